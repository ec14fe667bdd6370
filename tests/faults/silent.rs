//! A monitor that does not answer holds nobody up for ever.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::leftovers;
use crate::scenario::monitors;
use crate::world::{World, eventually};

#[test]
fn down_replaces_a_monitor_that_does_not_answer_and_says_so() {
    let world = World::new();
    let project = world.project(
        "app",
        "services:\n  one:\n    image: busybox\n    command: sh -c 'trap \"echo bye; exit 3\" TERM; echo up; while :; do sleep 0.05; done'\n",
    );
    project.ketch(&["up", "-d"]).ok();
    eventually("it is up", || {
        project.ketch(&["logs", "--no-log-prefix"]).ok().stdout == "up\n"
    });
    signal_monitors(&world, Signal::STOP);
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
    signal_monitors(&world, Signal::STOP);
    let ids = leftovers::container_ids(&world);
    project.ketch(&["down", "-v"]).ok();
    assert_eq!(leftovers::of(&world, &ids), [""; 0]);
}

#[test]
fn a_monitor_killed_before_it_hears_is_asked_again() {
    let world = World::new();
    let project = world.project(
        "app",
        "services: {one: {image: busybox, command: sleep inf}}",
    );
    project.ketch(&["up", "-d"]).ok();
    let asked = |args: &[&str], kills: bool| {
        signal_monitors(&world, Signal::STOP);
        let command = world
            .ketch_command(&project.directory, args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        if kills {
            eventually("it has asked", || has_unaccepted(command.id()));
            signal_monitors(&world, Signal::KILL);
        }
        let ended = command.wait_with_output().unwrap();
        assert!(ended.status.success(), "{args:?}: {ended:?}");
        ended.stdout
    };
    let exec = ["exec", "-T", "one", "echo", "heard"];
    assert_eq!(asked(&exec, true), b"heard\n");
    // Without a kill it is replaced, as it does not answer.
    assert_eq!(asked(&exec, false), b"heard\n");
    asked(&["pause"], true);
    assert_eq!(project.ps()[0]["State"], "paused");
    asked(&["unpause"], true);
    asked(&["kill"], true);
    assert_eq!(
        project
            .ketch(&["ps", "-a", "--format", "{{.State}}"])
            .stdout,
        "exited\n"
    );
    project.ketch(&["down", "-t", "0"]).ok();
}

fn signal_monitors(world: &World, signal: Signal) {
    for pid in monitors(world) {
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }
}

/// Whether a monitor has a connection that it has not accepted, in the network of a process:
/// type SOCK_SEQPACKET, state SS_CONNECTING.
fn has_unaccepted(pid: u32) -> bool {
    let sockets = std::fs::read_to_string(format!("/proc/{pid}/net/unix")).unwrap();
    sockets.lines().any(|line| line.contains(" 0005 02 "))
}
