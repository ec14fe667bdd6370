//! The keeper: exit codes, streams, exec, adoption, health, removal.

use std::time::Duration;

use ketch_runtime::container::state::{HealthStatus, Status};
use ketch_runtime::engine::containers::{ExecStdio, RemoveOptions};
use ketch_runtime::error::ErrorKind;
use ketch_runtime::spec::{HealthSpec, RestartPolicy};
use ketch_runtime::sys;
use rustix::event::{PollFd, PollFlags};

use crate::kept::{Kept, alarm, exec_spec};

pub(crate) fn the_exit_code_and_both_streams_are_kept() {
    let kept = Kept::new();
    kept.start("echo out; echo err >&2; printf rest; exit 3", |_| {});
    let state = kept.end();
    assert_eq!((state.exit_code, state.signal, state.pid), (3, None, None));
    let mut lines: Vec<String> = kept.log().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["err", "out", "rest"]);
}

pub(crate) fn a_signal_that_ends_it_is_kept() {
    let kept = Kept::new();
    kept.start("exec sleep 100", |spec| spec.init = true);
    kept.engine.kill_container("box", None).unwrap();
    let state = kept.state();
    assert_eq!((state.exit_code, state.signal), (137, Some(9)));
}

pub(crate) fn a_program_that_is_missing_is_told_with_its_code() {
    let kept = Kept::new();
    kept.create("", |spec| {
        spec.process.command = Some(vec!["nosuch".into()]);
    });
    let error = kept.engine.start_container("box").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CommandNotFound);
    let state = kept.state();
    assert_eq!((state.status, state.exit_code), (Status::Created, 127));
    assert!(state.error.contains("executable file not found in $PATH"));
}

pub(crate) fn a_further_process_runs_and_its_code_comes_back() {
    let kept = Kept::new();
    kept.start("sleep 100", |_| {});
    let (code, output) = kept.exec("echo $$ $HOSTNAME; exit 7");
    assert_eq!(code, 7);
    assert!(
        output.contains(kept.container().record.id.short()),
        "{output}"
    );
    let missing = exec_spec(&["nosuch"], ExecStdio::Detached);
    let error = kept.engine.exec("box", missing).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CommandNotFound);
    let processes = kept.engine.container_processes("box").unwrap();
    assert_eq!(processes[0].command, "sleep 100");
}

pub(crate) fn a_terminal_for_a_further_process_comes_back() {
    let kept = Kept::new();
    kept.start("sleep 100", |_| {});
    let stdio = ExecStdio::Terminal {
        rows: 20,
        columns: 70,
    };
    let mut exec = kept.start_exec(
        &["/bin/sh", "-c", "stty size; read answer; exit $answer"],
        stdio,
    );
    let terminal = exec.take_terminal().unwrap();
    let mut buffer = [0; 64];
    let length = rustix::io::read(&terminal, &mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"20 70\r\n");
    rustix::io::write(&terminal, b"9\n").unwrap();
    assert_eq!(exec.wait(&alarm(Duration::from_secs(20))).unwrap(), 9);
}

pub(crate) fn a_container_outlives_its_monitor_and_keeps_its_log_and_code() {
    let kept = Kept::new();
    kept.start(
        "echo before; while ! test -f /tmp/go; do sleep 0.02; done; echo after; exit 4",
        |_| {},
    );
    kept.wait_for_line("before");
    kept.kill_monitor();
    assert_eq!(kept.state().status, Status::Running);
    assert_eq!(kept.exec("touch /tmp/go").0, 0);
    assert_eq!(kept.end().exit_code, 4);
    assert_eq!(kept.log(), "before\nafter\n");
}

pub(crate) fn a_container_that_died_with_its_monitor_is_buried() {
    let kept = Kept::new();
    kept.start("sleep 100", |_| {});
    let pid = kept.state().pid.unwrap();
    kept.kill_monitor();
    sys::process::kill(i32::try_from(pid).unwrap(), 9).unwrap();
    while std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z"))
    {
        std::thread::yield_now();
    }
    let state = kept.state();
    assert_eq!((state.status, state.exit_code), (Status::Exited, 255));
    kept.engine.start_container("box").unwrap();
    assert_eq!(kept.state().status, Status::Running);
}

pub(crate) fn health_is_known_as_soon_as_it_is_true() {
    let kept = Kept::new();
    kept.start("sleep 0.3; touch /tmp/ready; sleep 100", |spec| {
        spec.health = Some(HealthSpec {
            test: Some(vec!["CMD-SHELL".into(), "test -f /tmp/ready".into()]),
            // Docker's first probe would come after a minute.
            interval: Some(Duration::from_secs(60)),
            ..HealthSpec::default()
        });
    });
    let is = |wanted| {
        move |state: &ketch_runtime::container::state::State| {
            state
                .health
                .as_ref()
                .is_some_and(|health| health.status == wanted)
        }
    };
    assert!(is(HealthStatus::Starting)(&kept.state()));
    let state = kept.wait(is(HealthStatus::Healthy));
    assert_eq!(state.health.unwrap().log.len(), 1);
}

pub(crate) fn a_probe_that_fails_often_enough_tells_why() {
    let kept = Kept::new();
    kept.start("sleep 100", |spec| {
        spec.health = Some(HealthSpec {
            test: Some(vec!["CMD-SHELL".into(), "echo no database; exit 5".into()]),
            interval: Some(Duration::from_millis(100)),
            retries: Some(2),
            ..HealthSpec::default()
        });
    });
    let state = kept.wait(|state| {
        state
            .health
            .as_ref()
            .is_some_and(|health| health.status == HealthStatus::Unhealthy)
    });
    let health = state.health.unwrap();
    assert_eq!(health.failing_streak, 2);
    assert_eq!(health.log[0].exit_code, 5);
    assert_eq!(health.log[0].output, "no database\n");
}

pub(crate) fn a_paused_container_stands_still_and_can_be_stopped() {
    let kept = Kept::new();
    kept.start("sleep 100", |_| {});
    kept.engine.pause_container("box").unwrap();
    assert_eq!(kept.state().status, Status::Paused);
    let error = kept
        .engine
        .exec("box", exec_spec(&["true"], ExecStdio::Detached));
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Conflict);
    kept.engine.unpause_container("box").unwrap();
    kept.engine.pause_container("box").unwrap();
    kept.stop();
    assert_eq!(kept.state().status, Status::Exited);
}

pub(crate) fn a_container_that_removes_itself_leaves_nothing() {
    let kept = Kept::new();
    kept.start("sleep 0.2", |spec| spec.auto_remove = true);
    let monitor = sys::process::pidfd_open(kept.monitor_pid()).unwrap();
    let mut fds = [PollFd::new(&monitor, PollFlags::IN)];
    rustix::event::poll(&mut fds, None).unwrap();
    let gone = kept.engine.container("box").unwrap_err();
    assert_eq!(gone.to_string(), "No such container: box");
}

pub(crate) fn a_running_container_is_not_removed_unless_forced() {
    let kept = Kept::new();
    kept.start("sleep 100", |spec| spec.restart = RestartPolicy::Always);
    let refused = kept
        .engine
        .remove_container("box", &RemoveOptions::default());
    assert_eq!(
        refused.unwrap_err().to_string(),
        "cannot remove container \"/box\": container is running: stop the container before \
         removing or force remove"
    );
    let force = RemoveOptions {
        force: true,
        volumes: false,
    };
    kept.engine.remove_container("box", &force).unwrap();
    assert!(kept.engine.container("box").is_err());
}

pub(crate) fn an_idle_monitor_is_small() {
    let kept = Kept::new();
    kept.start("sleep 100", |_| {});
    let path = format!("/proc/{}/smaps_rollup", kept.monitor_pid());
    let text = std::fs::read_to_string(path).unwrap();
    let field = text
        .lines()
        .find_map(|line| line.strip_prefix("Private_Dirty:"));
    let kib: u64 = field
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    // Unoptimised; the shipped binary takes a good part less.
    assert!(kib < 400, "{kib} KiB");
}
