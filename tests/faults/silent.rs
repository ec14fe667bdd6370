//! A monitor that does not answer holds nobody up for ever.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::leftovers;
use crate::scenario::monitors;
use crate::world::World;

#[test]
fn down_replaces_a_monitor_that_does_not_answer_and_says_so() {
    let world = World::new();
    let project = world.project(
        "app",
        "services:\n  one:\n    image: busybox\n    command: sh -c 'trap \"echo bye; exit 3\" TERM; echo up; while :; do sleep 0.05; done'\n",
    );
    project.ketch(&["up", "-d"]).ok();
    crate::world::eventually("it is up", || {
        project.ketch(&["logs", "--no-log-prefix"]).ok().stdout == "up\n"
    });
    let stop = |signal| {
        for pid in monitors(&world) {
            kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
        }
    };
    stop(Signal::STOP);
    let begun = Instant::now();
    let stopped = project.ketch(&["stop"]).ok();
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert!(
        stopped
            .stderr
            .contains("its monitor did not answer and was replaced"),
        "{stopped:?}"
    );
    // Its handler was heard, and its code is known.
    assert_eq!(project.ps()[0]["ExitCode"], 3);
    let logs = project.ketch(&["logs", "--no-log-prefix"]).ok().stdout;
    assert_eq!(logs, "up\nbye\n");

    project.ketch(&["up", "-d"]).ok();
    stop(Signal::STOP);
    let ids = leftovers::container_ids(&world);
    project.ketch(&["down", "-v"]).ok();
    assert_eq!(leftovers::of(&world, &ids), [""; 0]);
}
