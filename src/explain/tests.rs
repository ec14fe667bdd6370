//! Explanations, as text.

use std::time::Duration;

use jiff::Timestamp;
use ketch_runtime::container::record::{self, Process, Record, Stop};
use ketch_runtime::container::state::{EndedBy, Health, HealthStatus, ProbeResult, State, Status};
use ketch_runtime::spec::ContainerSpec;

use super::{Dependency, Evidence, cause, failure, story};
use crate::model::Condition;

fn moment(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_000_000 + ms).unwrap()
}

fn record(name: &str) -> Record {
    Record {
        id: "a".repeat(64).try_into().unwrap(),
        name: name.into(),
        created: moment(0),
        image_id: format!("sha256:{}", "0".repeat(64)).try_into().unwrap(),
        layers: Vec::new(),
        process: Process::default(),
        hostname: String::new(),
        mounts: Vec::new(),
        health: Some(record::Health {
            args: vec!["/bin/sh".into(), "-c".into(), "pg_isredy -U app".into()],
            interval: Duration::from_millis(200),
            timeout: Duration::from_secs(30),
            start_period: Duration::ZERO,
            start_interval: Duration::from_secs(5),
            retries: 3,
        }),
        stop: Stop {
            signal: 15,
            signal_configured: false,
            grace: Some(Duration::from_secs(10)),
        },
        exposed: Vec::new(),
        spec: ContainerSpec::default(),
    }
}

fn state(status: Status) -> State {
    State {
        status,
        started_at: Some(moment(0)),
        finished_at: (status == Status::Exited).then(|| moment(3000)),
        ..State::default()
    }
}

fn probe(at_ms: i64, exit_code: i32, output: &str) -> ProbeResult {
    ProbeResult {
        start: moment(at_ms),
        end: moment(at_ms),
        exit_code,
        output: output.into(),
    }
}

fn unhealthy(log: Vec<ProbeResult>) -> State {
    State {
        health: Some(Health {
            status: HealthStatus::Unhealthy,
            failing_streak: 3,
            log,
        }),
        ..state(Status::Running)
    }
}

fn evidence(state: State, log: &[&str]) -> Evidence {
    Evidence {
        record: record("app-db-1"),
        state,
        log: log.iter().map(|line| (*line).to_owned()).collect(),
    }
}

#[test]
fn an_unhealthy_container_tells_probe_attempts_output_and_log() {
    let not_found = "/bin/sh: pg_isredy: not found\n";
    let probes = vec![
        probe(-500, 1, "of the last run"),
        probe(200, 1, ""),
        probe(400, 127, not_found),
        probe(600, 127, not_found),
    ];
    let text = failure(&evidence(
        unhealthy(probes),
        &["starting", "\x1b[31mready\n"],
    ));
    let expected = "  health check: /bin/sh -c \"pg_isredy -U app\"
  attempts: 3 failed in a row (retries 3, interval 200ms, timeout 30s)
    exit code 1 0.2s after the start, no output
    exit code 127 (command not found), 2 times alike, the last 0.6s after the start:
      | /bin/sh: pg_isredy: not found
  last lines of its log:
    | starting
    | \\u{1b}[31mready";
    assert_eq!(text, expected);
}

#[test]
fn only_the_last_ten_lines_are_shown_and_long_ones_are_cut() {
    let lines: Vec<String> = (0..12).map(|number| format!("line {number}")).collect();
    let mut lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let long = "x".repeat(1000);
    lines.push(&long);
    let text = failure(&evidence(state(Status::Exited), &lines));
    assert!(
        !text.contains("line 2\n") && text.contains("line 3\n"),
        "{text}"
    );
    assert!(text.ends_with("x…"), "{text}");
}

#[test]
fn exit_causes_are_told_apart() {
    let say = |change: &dyn Fn(&mut State)| {
        let mut state = state(Status::Exited);
        change(&mut state);
        let mut record = record("app-db-1");
        record.spec.resources.memory_bytes = Some(16 << 20);
        cause(&record, &state).unwrap_or_default()
    };
    let killed = |by: Option<EndedBy>| {
        say(&move |state| {
            (state.exit_code, state.signal, state.ended_by) = (137, Some(9), by);
        })
    };
    let told = [
        say(&|_| {}),
        say(&|state| state.exit_code = 3),
        say(&|state| state.exit_code = 127),
        say(&|state| state.exit_code = 139),
        say(&|state| (state.exit_code, state.signal) = (139, Some(11))),
        killed(None),
        killed(Some(EndedBy::Stop)),
        killed(Some(EndedBy::GraceRanOut)),
        killed(Some(EndedBy::StopInVain)),
        killed(Some(EndedBy::Signal(9))),
        killed(Some(EndedBy::Signal(1))),
        say(&|state| {
            (state.oom_killed, state.signal) = (true, Some(9));
            state.memory_peak_bytes = Some(16 << 20);
        }),
        say(&|state| (state.oom_killed, state.exit_code) = (true, 137)),
        say(&|state| (state.exit_code, state.ended_by) = (255, Some(EndedBy::Unseen))),
        say(&|state| state.error = "exec: \"foo\": executable file not found in $PATH".into()),
    ];
    let expected = [
        "it ended by itself, with success (exit code 0)",
        "it ended by itself with exit code 3",
        "it ended with exit code 127: a command was not found",
        "it ended with exit code 139: a process in it was ended by SIGSEGV",
        "it crashed: SIGSEGV (segmentation fault)",
        "SIGKILL from elsewhere ended it: sent neither by ketch nor for want of memory",
        "it was stopped by ketch (SIGTERM)",
        "ketch stopped it, and it did not end after SIGTERM within its grace (stop_grace_period 10s): it was killed",
        "ketch stopped it; nothing in it handles SIGTERM, so it was killed without waiting",
        "SIGKILL was sent to it by hand",
        "SIGKILL from elsewhere ended it: sent neither by ketch nor for want of memory",
        "the kernel killed it for want of memory (OOM): limit 16MiB, peak 16MiB",
        "the kernel killed a process in it for want of memory (OOM), and it ended with exit code 137: limit 16MiB",
        "its end was not seen: the machine went down, or its monitor was killed with it",
        "it could not be started: exec: \"foo\": executable file not found in $PATH",
    ];
    assert_eq!(told, expected);
}

#[test]
fn the_story_of_a_waiting_service_is_that_of_what_it_waits_for() {
    let mut web = evidence(State::default(), &[]);
    web.record.name = "app-web-1".into();
    let mut ended = state(Status::Exited);
    ended.exit_code = 1;
    let dependency = Dependency {
        service: "db".into(),
        condition: Condition::Healthy,
        containers: vec![evidence(ended, &["no space left"])],
    };
    let text = story("web", &[web], &[dependency], moment(8000));
    let expected = "container app-web-1 was never started
it waits for db (service_healthy): container app-db-1 exited (1) 5 seconds ago, after it ran for 3 seconds
  cause: it ended by itself with exit code 1
  last lines of its log:
    | no space left
";
    assert_eq!(text, expected);
}

#[test]
fn a_healthy_service_has_no_story() {
    let well = evidence(state(Status::Running), &["working"]);
    let text = story("db", &[well], &[], moment(8000));
    let expected = "container app-db-1 has been running for 8 seconds and has no health check
  nothing is wrong
";
    assert_eq!(text, expected);
    let none = story("db", &[], &[], moment(0));
    assert_eq!(
        none,
        "service db has no container: `ketch up -d db` makes one\n"
    );
}
