//! Pure: when to probe, and what the results mean.
//!
//! Docker's schedule decides alone when a container becomes unhealthy: the first probe
//! after one whole interval, the next one interval after the end of the last. Beside it,
//! while the status is `starting`, run *eager* probes: at once, then with growing gaps. Of
//! these only a success counts, so that `healthy` is told as soon as it is true and
//! `unhealthy` exactly when Docker would tell it.

use std::time::{Duration, Instant};

use super::machine::Now;
use crate::container::record::Health as Check;
use crate::container::state::{Health, HealthStatus, ProbeResult};

/// How many results are kept.
const KEPT_RESULTS: usize = 5;
/// The first gap between eager probes; each next one is twice as long, within bounds.
const FIRST_GAP: Duration = Duration::from_millis(25);
/// Eager gaps grow freely up to here, then with the time the start takes.
const FREE_GAP: Duration = Duration::from_secs(1);

/// What is to be done about probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Run { id: u64 },
    Kill { id: u64 },
}

/// The health check of one run of a container.
#[derive(Debug)]
pub struct Schedule {
    check: Check,
    started: Instant,
    /// When Docker's next probe is due; absent while it runs.
    due: Option<Instant>,
    /// Whether Docker, which makes no eager probes, would still say `starting`.
    docker_starting: bool,
    gap: Duration,
    eager_due: Option<Instant>,
    running: Option<Probe>,
    next_id: u64,
}

#[derive(Debug)]
struct Probe {
    id: u64,
    eager: bool,
    began: Now,
    /// Set once the program runs: launching it does not count.
    deadline: Option<Instant>,
    timed_out: bool,
}

impl Schedule {
    /// The container has just started. `first_id` makes results of an earlier run recognisable.
    pub fn new(check: Check, now: Instant, first_id: u64) -> Self {
        let mut schedule = Self {
            check,
            started: now,
            due: None,
            docker_starting: true,
            gap: FIRST_GAP,
            eager_due: Some(now),
            running: None,
            next_id: first_id,
        };
        schedule.due = Some(now + schedule.interval(now));
        schedule
    }

    /// The container was thawed or adopted: its status stands until a probe says otherwise.
    pub fn resume(check: Check, now: Instant, first_id: u64) -> Self {
        let mut schedule = Self::new(check, now, first_id);
        schedule.docker_starting = false;
        schedule.eager_due = None;
        schedule
    }

    /// The id after the last one used.
    pub fn next_id(&self) -> u64 {
        self.next_id
    }

    /// The probe that runs.
    pub fn running(&self) -> Option<u64> {
        self.running.as_ref().map(|probe| probe.id)
    }

    /// When `tick` has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let eager = self.eager_due.filter(|_| self.running.is_none());
        let timeout = self
            .running
            .as_ref()
            .filter(|probe| !probe.timed_out)
            .and_then(|probe| probe.deadline);
        [self.due, eager, timeout].into_iter().flatten().min()
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Now) -> Vec<Step> {
        let mut steps = Vec::new();
        if let Some(probe) = &mut self.running
            && !probe.timed_out
            && probe.deadline.is_some_and(|at| at <= now.instant)
        {
            probe.timed_out = true;
            steps.push(Step::Kill { id: probe.id });
        }
        if self.due.is_some_and(|at| at <= now.instant) {
            // Docker's probe comes at its own time, whatever an eager one is at.
            if let Some(eager) = self.running.take() {
                steps.push(Step::Kill { id: eager.id });
                self.eager_due = Some(now.instant + self.gap);
            }
            self.due = None;
            steps.push(self.run(now, false));
        } else if self.running.is_none() && self.eager_due.is_some_and(|at| at <= now.instant) {
            self.eager_due = None;
            steps.push(self.run(now, true));
        }
        steps
    }

    fn run(&mut self, now: Now, eager: bool) -> Step {
        let id = self.next_id;
        self.next_id += 1;
        self.running = Some(Probe {
            id,
            eager,
            began: now,
            deadline: None,
            timed_out: false,
        });
        Step::Run { id }
    }

    /// The program of a probe runs: its time counts from now.
    pub fn started(&mut self, id: u64, now: Instant) {
        if let Some(probe) = self.running.as_mut().filter(|probe| probe.id == id) {
            probe.deadline = Some(now + self.check.timeout);
        }
    }

    /// A probe has ended, or could not be launched (-1 and why). Returns whether the status
    /// changed.
    pub fn ended(
        &mut self,
        id: u64,
        exit_code: i32,
        output: String,
        now: Now,
        health: &mut Health,
    ) -> bool {
        let Some(probe) = self.running.take_if(|probe| probe.id == id) else {
            return false;
        };
        let (exit_code, output) = if probe.timed_out {
            (-1, timeout_text(self.check.timeout, &output))
        } else {
            (exit_code, output)
        };
        if probe.eager && exit_code != 0 {
            self.plan_eager(&probe, now.instant);
            return false;
        }
        let before = health.status;
        push_result(health, &probe, exit_code, output, now);
        if exit_code == 0 {
            health.failing_streak = 0;
            health.status = HealthStatus::Healthy;
            self.eager_due = None;
        } else if !self.excused(&probe) {
            health.failing_streak += 1;
            if health.failing_streak >= self.check.retries {
                health.status = HealthStatus::Unhealthy;
                self.docker_starting = false;
                self.eager_due = None;
            }
        }
        if !probe.eager {
            if exit_code == 0 {
                self.docker_starting = false;
            }
            self.due = Some(now.instant + self.interval(now.instant));
        }
        before != health.status
    }

    /// Failures inside the start period do not count while Docker would say `starting`.
    fn excused(&self, probe: &Probe) -> bool {
        self.docker_starting
            && probe.began.instant.duration_since(self.started) < self.check.start_period
    }

    /// Docker's `next_interval`.
    fn interval(&self, now: Instant) -> Duration {
        let in_start_period = now.duration_since(self.started) < self.check.start_period;
        if in_start_period && self.docker_starting {
            self.check.start_interval
        } else {
            self.check.interval
        }
    }

    /// The next eager probe: gaps double, stay small against the time that the start has
    /// taken and against the interval, and are four times as long as a probe itself, so that
    /// an expensive check does not slow down the start it is waiting for.
    fn plan_eager(&mut self, probe: &Probe, now: Instant) {
        let took = now.duration_since(probe.began.instant);
        let gap = self.gap.max(took * 4).min(self.check.interval);
        self.eager_due = Some(now + gap);
        let most = FREE_GAP.max(now.duration_since(self.started) / 8);
        self.gap = (self.gap * 2).min(most).min(self.check.interval);
    }
}

fn push_result(health: &mut Health, probe: &Probe, exit_code: i32, output: String, now: Now) {
    if health.log.len() >= KEPT_RESULTS {
        health.log.drain(..=health.log.len() - KEPT_RESULTS);
    }
    health.log.push(ProbeResult {
        start: probe.began.wall,
        end: now.wall,
        exit_code,
        output,
    });
}

fn timeout_text(timeout: Duration, output: &str) -> String {
    let text = format!("Health check exceeded timeout ({})", go_duration(timeout));
    if output.is_empty() {
        text
    } else {
        format!("{text}: {output}")
    }
}

/// A duration as Go prints it: `1m30s`, `1.5s`, `500ms`.
pub fn go_duration(duration: Duration) -> String {
    if duration.is_zero() {
        return "0s".into();
    }
    if duration < Duration::from_secs(1) {
        return trimmed(duration.as_secs_f64() * 1000.0, "ms");
    }
    let whole = duration.as_secs();
    let seconds = trimmed(
        (whole % 60) as f64 + f64::from(duration.subsec_nanos()) / 1e9,
        "s",
    );
    match (whole / 3600, whole / 60 % 60) {
        (0, 0) => seconds,
        (0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

fn trimmed(value: f64, unit: &str) -> String {
    let text = format!("{value:.9}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a container whose probe succeeds from `healthy_after` on (never without) and takes
    /// `takes`; returns the changes of status with their times in milliseconds.
    fn run(
        check: Check,
        takes: Duration,
        healthy_after: Option<Duration>,
        until: Duration,
    ) -> (Vec<(u128, HealthStatus)>, Health, usize) {
        let zero = Now::test(Duration::ZERO);
        let mut schedule = Schedule::new(check, zero.instant, 0);
        let mut health = Health::default();
        let mut changes = Vec::new();
        let mut clock = zero;
        let mut ending: Option<(Instant, u64)> = None;
        let mut probes = 0;
        while clock.instant.duration_since(zero.instant) <= until {
            if let Some((_, id)) = ending.take_if(|(at, _)| *at <= clock.instant) {
                let began = clock.instant.duration_since(zero.instant) - takes;
                let code = i32::from(healthy_after.is_none_or(|after| began < after));
                if schedule.ended(id, code, String::new(), clock, &mut health) {
                    let at = clock.instant.duration_since(zero.instant).as_millis();
                    changes.push((at, health.status));
                }
            }
            for step in schedule.tick(clock) {
                match step {
                    Step::Run { id } => {
                        probes += 1;
                        schedule.started(id, clock.instant);
                        ending = Some((clock.instant + takes, id));
                    }
                    Step::Kill { id } => {
                        if ending.is_some_and(|(_, running)| running == id) {
                            ending = None;
                            if schedule.ended(id, 137, String::new(), clock, &mut health) {
                                let at = clock.instant.duration_since(zero.instant).as_millis();
                                changes.push((at, health.status));
                            }
                        }
                    }
                }
            }
            let next = [schedule.deadline(), ending.map(|(at, _)| at)];
            let Some(next) = next.into_iter().flatten().min() else {
                break;
            };
            clock = clock.test_at(next);
        }
        (changes, health, probes)
    }

    fn check() -> Check {
        Check {
            args: vec!["true".into()],
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(30),
            start_period: Duration::ZERO,
            start_interval: Duration::from_secs(5),
            retries: 3,
        }
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn success_is_seen_long_before_the_first_interval() {
        let (changes, ..) = run(check(), MS, Some(300 * MS), Duration::from_secs(10));
        assert_eq!(changes.len(), 1);
        let (at, status) = changes[0];
        assert_eq!(status, HealthStatus::Healthy);
        assert!((300..700).contains(&at), "{at}");
    }

    #[test]
    fn unhealthy_comes_when_docker_would_say_it() {
        // Probes of 1 ms at 30 s, then one interval after each end: the third ends at 90.003 s.
        let (changes, health, _) = run(check(), MS, None, Duration::from_secs(120));
        assert_eq!(changes, [(90_003, HealthStatus::Unhealthy)]);
        assert_eq!(health.log.len(), 3);
    }

    #[test]
    fn the_start_period_excuses_failures_by_the_start_of_the_probe() {
        let check = Check {
            start_period: Duration::from_secs(12),
            ..check()
        };
        // Docker probes at 5 and 10 s (excused), 15 s, then every 30 s: two more make three.
        let (changes, health, _) = run(check, MS, None, Duration::from_secs(100));
        assert_eq!(changes, [(75_005, HealthStatus::Unhealthy)]);
        assert_eq!(health.failing_streak, 3);
    }

    #[test]
    fn a_probe_that_hangs_is_killed_after_its_timeout() {
        let check = Check {
            timeout: Duration::from_secs(1),
            interval: Duration::from_secs(2),
            retries: 1,
            ..check()
        };
        let (changes, health, _) =
            run(check, Duration::from_secs(60), None, Duration::from_secs(4));
        assert_eq!(changes, [(3_000, HealthStatus::Unhealthy)]);
        assert_eq!(health.log[0].exit_code, -1);
        assert_eq!(health.log[0].output, "Health check exceeded timeout (1s)");
    }

    #[test]
    fn an_expensive_probe_is_made_less_often() {
        let (_, _, probes) = run(check(), 500 * MS, None, Duration::from_secs(25));
        assert!((5..=11).contains(&probes), "{probes}");
    }

    #[test]
    fn durations_are_printed_as_go_does() {
        assert_eq!(go_duration(Duration::from_secs(90)), "1m30s");
        assert_eq!(go_duration(500 * MS), "500ms");
        assert_eq!(go_duration(1500 * MS), "1.5s");
        assert_eq!(go_duration(Duration::from_secs(3600)), "1h0m0s");
    }
}
