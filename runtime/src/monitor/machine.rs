//! Pure: the life of one container without clock or kernel.
//!
//! The driver tells what happened and when; the machine answers with what is to be done
//! and keeps the container's [`State`]. Restart policy, back-off, stop with grace, health:
//! all decisions are here, so that hours of a container's life pass in a microsecond of a
//! test.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::health::{Schedule, Step};
use crate::container::record::{Health as Check, Record};
use crate::container::state::{EndedBy, Health, HealthStatus, State, Status, StopRequest};
use crate::spec::RestartPolicy;
use crate::spec::signal;

/// Docker's back-off: 0.1 s, doubled up to a minute, reset by a run of ten seconds.
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(60);
const GOOD_RUN: Duration = Duration::from_secs(10);
/// How long an exit may take after SIGKILL, and after the second one.
const KILL_WAIT: Duration = Duration::from_secs(10);
const LAST_WAIT: Duration = Duration::from_secs(2);
/// The wait when the stop signal could not be sent.
const UNSENT_WAIT: Duration = Duration::from_secs(2);

/// One moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    pub instant: Instant,
    pub wall: Timestamp,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Started by hand.
    Start,
    /// The process runs already; the monitor that started it is gone.
    Adopt,
    /// The answer to `Action::Spawn`.
    Started {
        pid: u32,
        start_time: u64,
        boot_id: String,
    },
    StartFailed {
        exit_code: i32,
        error: String,
    },
    /// Process 1 is gone.
    Exited {
        exit_code: i32,
        signal: Option<i32>,
    },
    /// The kernel killed a process of the container for want of memory.
    OutOfMemory,
    /// Asked to stop; no grace waits for ever.
    Stop {
        signal: i32,
        grace: Option<Duration>,
        by: StoppedBy,
    },
    /// Nothing in the container will act on the stop signal: waiting would be in vain.
    StopInVain,
    /// The stop signal could not be sent.
    StopUnsent,
    /// Asked to pass on a signal.
    Kill {
        signal: i32,
    },
    /// The processes are frozen, thawed.
    Paused,
    Unpaused,
    ProbeStarted {
        id: u64,
    },
    ProbeEnded {
        id: u64,
        exit_code: i32,
        output: String,
    },
    /// A deadline has passed.
    Tick,
}

/// Who wants the container to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoppedBy {
    /// A person: `unless-stopped` stays down at the next boot.
    Hand,
    /// The host goes down.
    Shutdown,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start the process; answer with `Started` or `StartFailed`.
    Spawn,
    /// Send the stop signal; answer with `StopInVain` or `StopUnsent` when it cannot work.
    AskToStop { signal: i32 },
    /// Send a signal to process 1.
    Signal { signal: i32 },
    /// SIGKILL to everything in the container.
    KillAll,
    /// SIGKILL to process 1 itself, once more.
    KillInit,
    /// Thaw what is frozen.
    Thaw,
    /// Run the health check; answer with `ProbeStarted`, `ProbeEnded`.
    Probe { id: u64 },
    /// SIGKILL to a health check and its children.
    KillProbe { id: u64 },
    /// The state has changed: write it, tell it to watchers.
    Save,
    /// Tell the world, with Docker's word for it; of a `kill` also the signal.
    Announce { event: String, signal: Option<i32> },
    /// Not even SIGKILL ended it: whoever waits gets an error.
    GiveUp,
    /// The container has ended for good: clean up and leave.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    Idle,
    Spawning,
    Running { since: Instant },
    Waiting { until: Instant },
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stopping {
    No,
    Asked { until: Option<Instant> },
    Killed { until: Instant },
    KilledAgain { until: Instant },
    GivenUp,
}

/// The life of one container.
#[derive(Debug)]
pub struct Machine {
    policy: RestartPolicy,
    check: Option<Check>,
    stop_signal: Option<i32>,
    state: State,
    phase: Phase,
    stopping: Stopping,
    delay: Duration,
    /// The restart policy is off until the next start by hand.
    policy_cancelled: bool,
    schedule: Option<Schedule>,
    next_probe: u64,
}

impl Machine {
    /// A container that does not run yet, or whose monitor is gone.
    pub fn new(record: &Record, state: State) -> Self {
        Self {
            policy: record.spec.restart,
            check: record.health.clone(),
            stop_signal: record.stop.signal_configured.then_some(record.stop.signal),
            state,
            phase: Phase::Idle,
            stopping: Stopping::No,
            delay: FIRST_DELAY,
            policy_cancelled: false,
            schedule: None,
            next_probe: 0,
        }
    }

    /// What the container is doing.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// For what the driver alone knows: endpoints and ports.
    pub fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    /// Whether the container has ended for good, or never started.
    pub fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// Whether process 1 exists.
    pub fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running { .. })
    }

    /// When `Event::Tick` is due.
    pub fn deadline(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Waiting { until } => Some(until),
            _ => None,
        };
        let stopping = match self.stopping {
            Stopping::Asked { until } => until,
            Stopping::Killed { until } | Stopping::KilledAgain { until } => Some(until),
            Stopping::No | Stopping::GivenUp => None,
        };
        let health = self.schedule.as_ref().and_then(Schedule::deadline);
        [phase, stopping, health].into_iter().flatten().min()
    }

    /// Something happened.
    pub fn on(&mut self, now: Now, event: Event) -> Vec<Action> {
        match event {
            Event::Start => self.start(),
            Event::Adopt => self.adopt(now),
            Event::Started {
                pid,
                start_time,
                boot_id,
            } => self.started(now, pid, start_time, boot_id),
            Event::StartFailed { exit_code, error } => self.start_failed(now, exit_code, error),
            Event::Exited { exit_code, signal } => self.exited(now, exit_code, signal),
            Event::OutOfMemory => self.out_of_memory(),
            Event::Stop { signal, grace, by } => self.stop(now, signal, grace, by),
            Event::StopInVain => self.kill_as(now, EndedBy::StopInVain),
            Event::StopUnsent => self.stop_unsent(now),
            Event::Kill { signal } => self.kill(now, signal),
            Event::Paused => self.paused(),
            Event::Unpaused => self.unpaused(now),
            Event::ProbeStarted { id } => {
                if let Some(schedule) = &mut self.schedule {
                    schedule.started(id, now.instant);
                }
                Vec::new()
            }
            Event::ProbeEnded {
                id,
                exit_code,
                output,
            } => self.probe_ended(now, id, exit_code, output),
            Event::Tick => self.tick(now),
        }
    }

    fn start(&mut self) -> Vec<Action> {
        self.policy_cancelled = false;
        self.delay = FIRST_DELAY;
        self.stopping = Stopping::No;
        self.phase = Phase::Spawning;
        self.state.restart_count = 0;
        self.state.manually_stopped = false;
        self.state.stopping = None;
        self.state.monitor_replaced = false;
        self.state.error.clear();
        self.state.oom_killed = false;
        self.state.memory_peak_bytes = None;
        self.state.ended_by = None;
        vec![Action::Spawn]
    }

    fn adopt(&mut self, now: Now) -> Vec<Action> {
        self.policy_cancelled = self.state.manually_stopped;
        if self.state.status == Status::Restarting {
            self.phase = Phase::Spawning;
            return vec![Action::Spawn];
        }
        self.phase = Phase::Running { since: now.instant };
        if self.state.status == Status::Running {
            self.resume_health(now);
        }
        match self.state.stopping.clone() {
            Some(request) => self.resume_stop(now, &request),
            None => Vec::new(),
        }
    }

    /// Carries on what another monitor was asked for. The signal is sent again: it may have been
    /// killed before it came to that.
    fn resume_stop(&mut self, now: Now, request: &StopRequest) -> Vec<Action> {
        self.policy_cancelled = true;
        // The clock may have been set in the meantime: never longer than was asked for.
        let passed = Duration::try_from(now.wall.duration_since(request.since));
        let passed = passed.unwrap_or(Duration::ZERO);
        let left = request.grace.map(|grace| grace.saturating_sub(passed));
        match left {
            Some(Duration::ZERO) if request.signal == signal::KILL => self.kill_now(now),
            Some(Duration::ZERO) => self.kill_as(now, EndedBy::GraceRanOut),
            left => {
                let until = left.map(|left| now.instant + left);
                self.stopping = Stopping::Asked { until };
                let signal = request.signal;
                let mut actions = vec![Action::AskToStop { signal }];
                actions.extend(self.thaw());
                actions
            }
        }
    }

    fn started(&mut self, now: Now, pid: u32, start_time: u64, boot_id: String) -> Vec<Action> {
        self.phase = Phase::Running { since: now.instant };
        self.stopping = Stopping::No;
        let state = &mut self.state;
        state.status = Status::Running;
        state.pid = Some(pid);
        state.pid_start_time = start_time;
        state.boot_id = boot_id;
        state.started_at = Some(now.wall);
        state.exit_code = 0;
        state.signal = None;
        state.oom_killed = false;
        state.memory_peak_bytes = None;
        state.ended_by = None;
        state.error.clear();
        state.health = self.check.as_ref().map(|_| Health {
            log: state.health.take().map(|h| h.log).unwrap_or_default(),
            ..Health::default()
        });
        if let Some(check) = &self.check {
            self.schedule = Some(Schedule::new(check.clone(), now.instant, self.next_probe));
        }
        let mut actions = vec![Action::Save, announce("start")];
        actions.extend(self.probes(now));
        actions
    }

    /// By hand: nothing has become of it. By policy: the loop ends.
    fn start_failed(&mut self, now: Now, exit_code: i32, error: String) -> Vec<Action> {
        self.phase = Phase::Ended;
        let state = &mut self.state;
        state.exit_code = exit_code;
        state.error = error;
        state.pid = None;
        if state.status.is_active() {
            state.status = Status::Exited;
            state.finished_at = Some(now.wall);
        } else if state.started_at.is_none() {
            state.status = Status::Created;
        }
        vec![Action::Save, Action::End]
    }

    fn exited(&mut self, now: Now, exit_code: i32, signal: Option<i32>) -> Vec<Action> {
        let Phase::Running { since } = self.phase else {
            return Vec::new();
        };
        let ran = now.instant.duration_since(since);
        let mut actions = self.close_health();
        self.stopping = Stopping::No;
        let state = &mut self.state;
        state.stopping = None;
        state.pid = None;
        state.exit_code = exit_code;
        state.signal = signal;
        state.finished_at = Some(now.wall);
        let again = self.should_restart(exit_code);
        if again {
            if ran >= GOOD_RUN {
                self.delay = FIRST_DELAY;
            }
            self.phase = Phase::Waiting {
                until: now.instant + self.delay,
            };
            self.delay = (self.delay * 2).min(LONGEST_DELAY);
            self.state.status = Status::Restarting;
            self.state.restart_count += 1;
        } else {
            self.phase = Phase::Ended;
            self.state.status = Status::Exited;
        }
        actions.push(Action::Save);
        actions.push(announce("die"));
        if !again {
            if self.state.manually_stopped {
                actions.push(announce("stop"));
            }
            actions.push(Action::End);
        }
        actions
    }

    fn should_restart(&self, exit_code: i32) -> bool {
        if self.policy_cancelled {
            return false;
        }
        match self.policy {
            RestartPolicy::No => false,
            RestartPolicy::Always => true,
            RestartPolicy::UnlessStopped => !self.state.manually_stopped,
            RestartPolicy::OnFailure { max } => {
                exit_code != 0 && (max == 0 || self.state.restart_count < max)
            }
        }
    }

    fn out_of_memory(&mut self) -> Vec<Action> {
        if !self.is_running() || self.state.oom_killed {
            return Vec::new();
        }
        self.state.oom_killed = true;
        vec![Action::Save, announce("oom")]
    }

    fn stop(
        &mut self,
        now: Now,
        signal: i32,
        grace: Option<Duration>,
        by: StoppedBy,
    ) -> Vec<Action> {
        self.policy_cancelled = true;
        if by == StoppedBy::Hand {
            self.state.manually_stopped = true;
        }
        match self.phase {
            Phase::Waiting { .. } => self.cancel_restart(),
            Phase::Running { .. } if self.stopping == Stopping::No || signal == signal::KILL => {
                self.ask_to_stop(now, signal, grace)
            }
            Phase::Running { .. } => self.hurry(now, grace),
            Phase::Idle | Phase::Spawning | Phase::Ended => Vec::new(),
        }
    }

    fn cancel_restart(&mut self) -> Vec<Action> {
        self.phase = Phase::Ended;
        self.state.status = Status::Exited;
        vec![Action::Save, announce("stop"), Action::End]
    }

    fn ask_to_stop(&mut self, now: Now, signal: i32, grace: Option<Duration>) -> Vec<Action> {
        if signal == signal::KILL || grace == Some(Duration::ZERO) {
            let mut actions = self.kill_as(now, EndedBy::Signal(signal::KILL));
            if signal != signal::KILL {
                // Before the kill, after it is known.
                actions.insert(1, Action::Signal { signal });
            }
            return actions;
        }
        self.state.ended_by = Some(EndedBy::Stop);
        self.stopping = Stopping::Asked {
            until: grace.map(|grace| now.instant + grace),
        };
        self.state.stopping = Some(StopRequest {
            signal,
            since: now.wall,
            grace,
        });
        // Known before it can be felt.
        let mut actions = vec![
            Action::Save,
            Action::AskToStop { signal },
            announce_kill(signal),
        ];
        actions.extend(self.thaw());
        actions
    }

    /// A second request to stop can only bring the end nearer.
    fn hurry(&mut self, now: Now, grace: Option<Duration>) -> Vec<Action> {
        if let (Stopping::Asked { until }, Some(grace)) = (&mut self.stopping, grace) {
            let sooner = now.instant + grace;
            *until = Some(until.map_or(sooner, |until| until.min(sooner)));
        }
        self.tick(now)
    }

    fn stop_unsent(&mut self, now: Now) -> Vec<Action> {
        if let Stopping::Asked { until } = &mut self.stopping {
            let soon = now.instant + UNSENT_WAIT;
            *until = Some(until.map_or(soon, |until| until.min(soon)));
        }
        Vec::new()
    }

    fn kill_as(&mut self, now: Now, by: EndedBy) -> Vec<Action> {
        self.state.ended_by = Some(by);
        self.kill_now(now)
    }

    fn kill_now(&mut self, now: Now) -> Vec<Action> {
        if !self.is_running() {
            return Vec::new();
        }
        self.stopping = Stopping::Killed {
            until: now.instant + KILL_WAIT,
        };
        self.state.stopping = Some(StopRequest {
            signal: signal::KILL,
            since: now.wall,
            grace: Some(Duration::ZERO),
        });
        let mut actions = vec![Action::Save, Action::KillAll, announce_kill(signal::KILL)];
        actions.extend(self.thaw());
        actions
    }

    fn thaw(&mut self) -> Vec<Action> {
        if self.state.status != Status::Paused {
            return Vec::new();
        }
        self.state.status = Status::Running;
        vec![Action::Thaw, Action::Save]
    }

    /// Any signal by hand marks the container as stopped by hand; whether it also turns the
    /// restart policy off depends on the configured stop signal (spec 13.2).
    fn kill(&mut self, now: Now, signal: i32) -> Vec<Action> {
        let cancels = match self.stop_signal {
            None => true,
            Some(stop) => signal == stop || signal == signal::KILL,
        };
        self.state.manually_stopped = true;
        if self.is_running() {
            self.state.ended_by = Some(EndedBy::Signal(signal));
        }
        self.policy_cancelled |= cancels;
        match self.phase {
            Phase::Waiting { .. } => self.cancel_restart(),
            Phase::Running { .. } if signal == signal::KILL => self.kill_now(now),
            Phase::Running { .. } => {
                let mut actions = vec![
                    Action::Signal { signal },
                    announce_kill(signal),
                    Action::Save,
                ];
                if cancels {
                    actions.extend(self.thaw());
                }
                actions
            }
            Phase::Idle | Phase::Spawning | Phase::Ended => Vec::new(),
        }
    }

    fn paused(&mut self) -> Vec<Action> {
        let mut actions = self.close_health();
        self.state.status = Status::Paused;
        actions.push(Action::Save);
        actions.push(announce("pause"));
        actions
    }

    fn unpaused(&mut self, now: Now) -> Vec<Action> {
        self.state.status = Status::Running;
        self.resume_health(now);
        vec![Action::Save, announce("unpause")]
    }

    fn resume_health(&mut self, now: Now) {
        if let Some(check) = &self.check {
            let schedule = Schedule::resume(check.clone(), now.instant, self.next_probe);
            self.schedule = Some(schedule);
        }
    }

    /// Stop, pause and exit end the probing; Docker then says unhealthy.
    fn close_health(&mut self) -> Vec<Action> {
        let Some(schedule) = self.schedule.take() else {
            return Vec::new();
        };
        self.next_probe = schedule.next_id();
        if let Some(health) = &mut self.state.health {
            health.status = HealthStatus::Unhealthy;
        }
        match schedule.running() {
            Some(id) => vec![Action::KillProbe { id }],
            None => Vec::new(),
        }
    }

    fn probe_ended(&mut self, now: Now, id: u64, exit_code: i32, output: String) -> Vec<Action> {
        let (Some(schedule), Some(health)) = (&mut self.schedule, &mut self.state.health) else {
            return Vec::new();
        };
        let changed = schedule.ended(id, exit_code, output, now, health);
        let mut actions = self.probes(now);
        if changed {
            // Written when the word changes only: never a write for each probe.
            actions.push(Action::Save);
            if let Some(health) = &self.state.health {
                actions.push(announce(&format!(
                    "health_status: {}",
                    health.status.as_str()
                )));
            }
        }
        actions
    }

    fn probes(&mut self, now: Now) -> Vec<Action> {
        let Some(schedule) = &mut self.schedule else {
            return Vec::new();
        };
        let steps = schedule.tick(now).into_iter();
        steps
            .map(|step| match step {
                Step::Run { id } => Action::Probe { id },
                Step::Kill { id } => Action::KillProbe { id },
            })
            .collect()
    }

    fn tick(&mut self, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        match self.phase {
            Phase::Waiting { until } if until <= now.instant => {
                self.phase = Phase::Spawning;
                actions.push(Action::Spawn);
            }
            Phase::Running { .. } => {
                actions.extend(self.tick_stop(now));
                actions.extend(self.probes(now));
            }
            _ => {}
        }
        actions
    }

    fn tick_stop(&mut self, now: Now) -> Vec<Action> {
        match self.stopping {
            Stopping::Asked { until: Some(until) } if until <= now.instant => {
                self.kill_as(now, EndedBy::GraceRanOut)
            }
            Stopping::Killed { until } if until <= now.instant => {
                self.stopping = Stopping::KilledAgain {
                    until: now.instant + LAST_WAIT,
                };
                vec![Action::KillInit]
            }
            Stopping::KilledAgain { until } if until <= now.instant => {
                self.stopping = Stopping::GivenUp;
                vec![Action::GiveUp]
            }
            _ => Vec::new(),
        }
    }
}

fn announce(event: &str) -> Action {
    Action::Announce {
        event: event.into(),
        signal: None,
    }
}

fn announce_kill(signal: i32) -> Action {
    Action::Announce {
        event: "kill".into(),
        signal: Some(signal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::record::{Process, Stop};
    use crate::spec::ContainerSpec;

    const S: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);

    impl Now {
        /// The moment `since` after an arbitrary but constant beginning.
        pub(crate) fn test(since: Duration) -> Self {
            use std::sync::LazyLock;
            static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
            Self::at(*BEGINNING, since)
        }

        /// The same clocks at another instant.
        pub(crate) fn test_at(self, instant: Instant) -> Self {
            let zero = Self::test(Duration::ZERO).instant;
            Self::at(zero, instant.duration_since(zero))
        }

        fn at(zero: Instant, since: Duration) -> Self {
            Self {
                instant: zero + since,
                wall: Timestamp::UNIX_EPOCH + since,
            }
        }
    }

    /// A container and its clock.
    struct Script {
        machine: Machine,
        now: Duration,
    }

    fn record(policy: RestartPolicy) -> Record {
        Record {
            id: "a".repeat(64).try_into().unwrap(),
            name: "web".into(),
            created: Timestamp::UNIX_EPOCH,
            image_id: format!("sha256:{}", "0".repeat(64)).try_into().unwrap(),
            layers: vec![],
            process: Process::default(),
            hostname: "web".into(),
            mounts: vec![],
            health: None,
            stop: Stop {
                signal: 15,
                signal_configured: false,
                grace: Some(10 * S),
            },
            exposed: vec![],
            spec: ContainerSpec {
                restart: policy,
                ..ContainerSpec::default()
            },
        }
    }

    fn check() -> Check {
        Check {
            args: vec!["true".into()],
            interval: 30 * S,
            timeout: 30 * S,
            start_period: Duration::ZERO,
            start_interval: 5 * S,
            retries: 3,
        }
    }

    impl Script {
        fn new(record: &Record) -> Self {
            Self {
                machine: Machine::new(record, State::default()),
                now: Duration::ZERO,
            }
        }

        /// A container that runs since time 0.
        fn running(record: &Record) -> Self {
            let mut script = Self::new(record);
            assert_eq!(script.on(Event::Start), "spawn");
            script.started();
            script
        }

        fn started(&mut self) -> String {
            self.on(Event::Started {
                pid: 7,
                start_time: 1,
                boot_id: "b".into(),
            })
        }

        fn exited(&mut self, exit_code: i32) -> String {
            self.on(Event::Exited {
                exit_code,
                signal: None,
            })
        }

        fn stop(&mut self, grace: Option<Duration>) -> String {
            self.on(Event::Stop {
                signal: 15,
                grace,
                by: StoppedBy::Hand,
            })
        }

        fn on(&mut self, event: Event) -> String {
            let actions = self.machine.on(Now::test(self.now), event);
            let words: Vec<String> = actions.iter().map(word).collect();
            words.join(", ")
        }

        /// Lets time pass to the next deadline; says how long that was and what came of it.
        fn wait(&mut self) -> (Duration, String) {
            let deadline = self.machine.deadline().expect("nothing to wait for");
            let at = deadline.duration_since(Now::test(Duration::ZERO).instant);
            let waited = at - self.now;
            self.now = at;
            (waited, self.on(Event::Tick))
        }

        fn status(&self) -> &'static str {
            self.machine.state().status.as_str()
        }
    }

    fn word(action: &Action) -> String {
        match action {
            Action::Spawn => "spawn".into(),
            Action::AskToStop { signal } => format!("ask {signal}"),
            Action::Signal { signal } => format!("signal {signal}"),
            Action::KillAll => "kill all".into(),
            Action::KillInit => "kill init".into(),
            Action::Thaw => "thaw".into(),
            Action::Probe { id } => format!("probe {id}"),
            Action::KillProbe { id } => format!("kill probe {id}"),
            Action::Save => "save".into(),
            Action::Announce { event, signal } => match signal {
                Some(signal) => format!("[{event}: {signal}]"),
                None => format!("[{event}]"),
            },
            Action::GiveUp => "give up".into(),
            Action::End => "end".into(),
        }
    }

    #[test]
    fn a_container_without_policy_ends_with_its_process() {
        let mut script = Script::running(&record(RestartPolicy::No));
        assert_eq!(script.status(), "running");
        assert_eq!(script.exited(3), "save, [die], end");
        assert_eq!(script.status(), "exited");
        assert_eq!(script.machine.state().exit_code, 3);
        assert_eq!(script.machine.deadline(), None);
    }

    #[test]
    fn the_back_off_doubles_to_a_minute_and_a_good_run_resets_it() {
        let mut script = Script::running(&record(RestartPolicy::Always));
        let mut delays = Vec::new();
        for _ in 0..12 {
            assert_eq!(script.exited(0), "save, [die]");
            assert_eq!(script.status(), "restarting");
            let (delay, actions) = script.wait();
            assert_eq!(actions, "spawn");
            delays.push(delay.as_millis());
            script.started();
        }
        assert_eq!(
            delays,
            [
                100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000
            ]
        );
        assert_eq!(script.machine.state().restart_count, 12);
        script.now += 10 * S;
        script.exited(1);
        assert_eq!(script.wait().0, 100 * MS);
    }

    #[test]
    fn on_failure_gives_up_after_its_number_and_at_success() {
        let mut script = Script::running(&record(RestartPolicy::OnFailure { max: 2 }));
        for _ in 0..2 {
            assert_eq!(script.exited(1), "save, [die]");
            script.wait();
            script.started();
        }
        assert_eq!(script.exited(1), "save, [die], end");
        let mut script = Script::running(&record(RestartPolicy::OnFailure { max: 0 }));
        assert_eq!(script.exited(0), "save, [die], end");
    }

    #[test]
    fn a_stop_waits_its_grace_and_then_kills_once_and_again() {
        let mut script = Script::running(&record(RestartPolicy::Always));
        assert_eq!(script.stop(Some(10 * S)), "save, ask 15, [kill: 15]");
        assert_eq!(script.machine.state().ended_by, Some(EndedBy::Stop));
        assert_eq!(script.wait(), (10 * S, "save, kill all, [kill: 9]".into()));
        let ended_by = script.machine.state().ended_by;
        assert_eq!(ended_by, Some(EndedBy::GraceRanOut));
        assert_eq!(script.wait(), (10 * S, "kill init".into()));
        assert_eq!(script.wait(), (2 * S, "give up".into()));
        assert_eq!(script.exited(137), "save, [die], [stop], end");
        assert!(script.machine.state().manually_stopped);
    }

    #[test]
    fn a_stop_is_known_until_the_end_and_outlives_its_monitor() {
        let mut script = Script::running(&record(RestartPolicy::Always));
        script.stop(Some(10 * S));
        let state = script.machine.state().clone();
        assert!(state.stopping.is_some() && !state.stays());

        // Three seconds later somebody else keeps it.
        let adopt = |after| {
            let mut other = Script::new(&record(RestartPolicy::Always));
            other.machine.state = state.clone();
            other.now = after;
            let actions = other.on(Event::Adopt);
            (other, actions)
        };
        let (mut other, actions) = adopt(3 * S);
        assert_eq!(actions, "ask 15");
        assert_eq!(other.wait(), (7 * S, "save, kill all, [kill: 9]".into()));
        assert_eq!(other.exited(137), "save, [die], [stop], end");
        assert_eq!(other.machine.state().stopping, None);
        assert_eq!(adopt(11 * S).1, "save, kill all, [kill: 9]");
    }

    #[test]
    fn a_stop_that_nobody_hears_is_not_waited_for() {
        let mut script = Script::running(&record(RestartPolicy::No));
        script.stop(Some(10 * S));
        assert_eq!(script.on(Event::StopInVain), "save, kill all, [kill: 9]");
        let ended_by = script.machine.state().ended_by;
        assert_eq!(ended_by, Some(EndedBy::StopInVain));
    }

    #[test]
    fn a_stop_during_the_back_off_ends_it_at_once() {
        let mut script = Script::running(&record(RestartPolicy::Always));
        script.exited(1);
        assert_eq!(script.stop(Some(10 * S)), "save, [stop], end");
        assert_eq!(script.status(), "exited");
        assert_eq!(script.machine.state().exit_code, 1);
    }

    #[test]
    fn a_stop_without_bound_waits_until_a_second_one_hurries_it() {
        let mut script = Script::running(&record(RestartPolicy::No));
        script.stop(None);
        assert_eq!(script.machine.deadline(), None);
        assert_eq!(script.stop(Some(S)), "");
        assert_eq!(script.wait(), (S, "save, kill all, [kill: 9]".into()));
    }

    #[test]
    fn a_signal_that_is_not_the_stop_signal_leaves_the_policy_armed() {
        let mut asked = record(RestartPolicy::Always);
        asked.stop.signal_configured = true;
        let mut script = Script::running(&asked);
        script.on(Event::Kill { signal: 1 });
        assert_eq!(script.exited(0), "save, [die]");

        let mut script = Script::running(&record(RestartPolicy::Always));
        script.on(Event::Kill { signal: 1 });
        assert_eq!(script.exited(0), "save, [die], [stop], end");
    }

    #[test]
    fn a_paused_container_is_thawed_to_be_stopped() {
        let mut script = Script::running(&record(RestartPolicy::No));
        assert_eq!(script.on(Event::Paused), "save, [pause]");
        assert_eq!(script.status(), "paused");
        assert_eq!(script.stop(Some(S)), "save, ask 15, [kill: 15], thaw, save");
    }

    #[test]
    fn a_first_start_that_fails_leaves_the_container_created() {
        let mut script = Script::new(&record(RestartPolicy::Always));
        script.on(Event::Start);
        let failed = Event::StartFailed {
            exit_code: 128,
            error: "port is already allocated".into(),
        };
        assert_eq!(script.on(failed.clone()), "save, end");
        assert_eq!(script.status(), "created");

        let mut script = Script::running(&record(RestartPolicy::Always));
        script.exited(1);
        script.wait();
        assert_eq!(script.on(failed), "save, end");
        assert_eq!(script.status(), "exited");
        assert_eq!(script.machine.state().error, "port is already allocated");
    }

    #[test]
    fn health_is_probed_at_once_and_told_when_it_changes() {
        let mut asked = record(RestartPolicy::No);
        asked.health = Some(check());
        let mut script = Script::new(&asked);
        script.on(Event::Start);
        assert_eq!(script.started(), "save, [start], probe 0");
        let ended = |id, exit_code| Event::ProbeEnded {
            id,
            exit_code,
            output: String::new(),
        };
        assert_eq!(script.on(ended(0, 1)), "");
        assert_eq!(script.wait(), (25 * MS, "probe 1".into()));
        assert_eq!(script.on(ended(1, 0)), "save, [health_status: healthy]");
        let (_, actions) = script.wait();
        assert_eq!((script.now, actions.as_str()), (30 * S, "probe 2"));
        assert_eq!(script.exited(0), "kill probe 2, save, [die], end");
        // A result that comes late means nothing any more.
        assert_eq!(script.on(ended(2, 0)), "");
    }

    #[test]
    fn want_of_memory_is_told_once_a_run() {
        let mut script = Script::running(&record(RestartPolicy::No));
        assert_eq!(script.on(Event::OutOfMemory), "save, [oom]");
        assert_eq!(script.on(Event::OutOfMemory), "");
        assert!(script.machine.state().oom_killed);
    }
}
