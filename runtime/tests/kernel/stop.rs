//! Stopping and restarting: grace where somebody listens, none where nobody does.

use std::time::Duration;

use ketch_runtime::container::state::Status;
use ketch_runtime::engine::containers::{Grace, StopOptions};
use ketch_runtime::spec::RestartPolicy;

use crate::kept::Kept;

pub(crate) fn a_handler_gets_its_grace() {
    let kept = Kept::new();
    kept.start(
        "trap 'sleep 0.2; echo bye; exit 5' TERM; echo up; while :; do sleep 0.02; done",
        |_| {},
    );
    kept.wait_for_line("up");
    kept.stop();
    assert_eq!(kept.state().exit_code, 5);
    assert_eq!(kept.log(), "up\nbye\n");
}

pub(crate) fn nobody_waits_for_a_process_that_will_not_hear() {
    let kept = Kept::new();
    kept.start("exec sleep 100", |_| {});
    let took = kept.stop();
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(kept.state().exit_code, 137);
    assert!(kept.state().manually_stopped);
}

pub(crate) fn a_child_that_listens_is_asked_in_place_of_a_deaf_process_one() {
    let kept = Kept::new();
    kept.start(
        "sh -c 'trap \"sleep 0.2; echo child says bye; exit 0\" TERM; echo up; while :; do sleep 0.02; done'; \
         echo after; exit 9",
        |_| {},
    );
    kept.wait_for_line("up");
    let took = kept.stop();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(
        kept.log().contains("child says bye\nafter\n"),
        "{}",
        kept.log()
    );
    assert_eq!(kept.state().exit_code, 9);
}

pub(crate) fn who_ignores_the_end_of_the_grace_is_killed() {
    let kept = Kept::new();
    kept.start(
        "trap 'echo no' TERM; echo up; while :; do sleep 0.02; done",
        |_| {},
    );
    kept.wait_for_line("up");
    let options = StopOptions {
        signal: None,
        grace: Grace::For(Duration::from_millis(300)),
    };
    kept.engine.stop_container("box", &options).unwrap();
    assert_eq!(kept.state().exit_code, 137);
    assert_eq!(kept.log(), "up\nno\n");
}

pub(crate) fn a_stop_on_its_way_is_known_and_a_start_waits_for_its_end() {
    let kept = Kept::new();
    kept.start(
        "trap 'sleep 0.3; exit 5' TERM; echo up; while :; do sleep 0.02; done",
        |_| {},
    );
    kept.wait_for_line("up");
    let first = kept.state().pid;
    std::thread::scope(|scope| {
        scope.spawn(|| kept.stop());
        let state = kept.wait(|state| state.stopping.is_some());
        assert_eq!((state.status, state.stays()), (Status::Running, false));
        assert!(kept.state().stopping.is_some());
        kept.engine.start_container("box").unwrap();
        let state = kept.state();
        assert!(state.stays());
        assert_ne!(state.pid, first);
    });
}

pub(crate) fn a_stop_outlives_the_monitor_that_was_asked_for_it() {
    let kept = Kept::new();
    kept.start(
        "trap 'echo heard' TERM; echo up; while :; do sleep 0.02; done",
        |spec| spec.restart = RestartPolicy::Always,
    );
    kept.wait_for_line("up");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let options = StopOptions {
                signal: None,
                grace: Grace::For(Duration::from_secs(1)),
            };
            kept.engine.stop_container("box", &options).unwrap();
        });
        kept.wait(|state| state.stopping.is_some());
        kept.wait_for_line("heard");
        kept.kill_monitor();
    });
    let state = kept.state();
    assert_eq!((state.status, state.exit_code), (Status::Exited, 137));
    assert!(state.manually_stopped);
}

pub(crate) fn a_monitor_that_does_not_answer_is_replaced() {
    let kept = Kept::new();
    kept.start(
        "trap 'echo bye; exit 6' TERM; echo up; while :; do sleep 0.02; done",
        |_| {},
    );
    kept.wait_for_line("up");
    kept.signal_monitor(libc::SIGSTOP);
    let took = kept.stop();
    assert!(took < Duration::from_secs(30), "{took:?}");
    let state = kept.state();
    assert_eq!((state.exit_code, state.monitor_replaced), (6, true));
    assert_eq!(kept.log(), "up\nbye\n");
}

pub(crate) fn the_policy_restarts_until_it_may_not() {
    let kept = Kept::new();
    kept.start("echo run; exit 1", |spec| {
        spec.restart = RestartPolicy::OnFailure { max: 2 };
    });
    let state = kept.end();
    assert_eq!((state.exit_code, state.restart_count), (1, 2));
    assert_eq!(kept.log(), "run\nrun\nrun\n");
}

pub(crate) fn a_stop_between_two_runs_is_the_end() {
    let kept = Kept::new();
    kept.start("exit 1", |spec| spec.restart = RestartPolicy::Always);
    kept.wait(|state| state.status == Status::Restarting && state.restart_count >= 3);
    kept.stop();
    let state = kept.state();
    assert_eq!((state.status, state.exit_code), (Status::Exited, 1));
}

pub(crate) fn a_restart_by_hand_counts_anew() {
    let kept = Kept::new();
    kept.start("sleep 100", |spec| {
        spec.restart = RestartPolicy::Always;
    });
    let first = kept.state().pid;
    kept.engine
        .restart_container("box", &StopOptions::default())
        .unwrap();
    let state = kept.state();
    assert_eq!(state.status, Status::Running);
    assert_ne!(state.pid, first);
    assert_eq!((state.restart_count, state.manually_stopped), (0, false));
}
