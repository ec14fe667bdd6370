//! Output, and further processes.

use std::io::Write as _;
use std::process::Stdio;

use crate::world::{World, eventually};

#[test]
fn logs_are_prefixed_timed_and_cut() {
    let world = World::new();
    let project = world.project(
        "app",
        "services:\n  one: {image: busybox, command: sh -c 'for i in 1 2 3; do echo line $$i; done; echo oops >&2'}\n",
    );
    project.ketch(&["up", "-d"]).ok();
    eventually("it has ended", || project.ps()[0]["State"] == "exited");
    let logs = project.ketch(&["logs"]).ok().stdout;
    assert!(
        logs.contains("one-1  | line 1\n") && logs.contains("one-1  | oops\n"),
        "{logs}"
    );
    assert_eq!(
        project
            .ketch(&["logs", "--tail", "1", "--no-log-prefix"])
            .ok()
            .stdout,
        "oops\n"
    );
    let timed = project
        .ketch(&["logs", "-t", "--no-log-prefix"])
        .ok()
        .stdout;
    assert!(
        timed
            .lines()
            .all(|line| line.len() > 30 && line.as_bytes()[4] == b'-'),
        "{timed}"
    );
}

#[test]
fn following_ends_with_the_container_and_misses_nothing() {
    let world = World::new();
    let project = world.project(
        "app",
        "services:\n  one:\n    image: busybox\n    command: sh -c 'i=0; while [ $$i -lt 500 ]; do echo $$i; i=$$((i+1)); done; sleep 1; echo last'\n",
    );
    project.ketch(&["up", "-d"]).ok();
    let followed = project
        .ketch(&["logs", "-f", "--no-log-prefix"])
        .ok()
        .stdout;
    let expected: String = (0..500)
        .map(|number| format!("{number}\n"))
        .chain(["last\n".to_owned()])
        .collect();
    assert_eq!(followed, expected);
}

#[test]
fn exec_passes_input_output_environment_and_exit_code() {
    let world = World::new();
    let project = world.project(
        "app",
        "services: {one: {image: busybox, command: sleep inf}}",
    );
    project.ketch(&["up", "-d"]).ok();
    let mut child = world
        .ketch_command(
            &project.directory,
            &[
                "exec",
                "-T",
                "-e",
                "A=b",
                "-w",
                "/tmp",
                "-u",
                "guest",
                "one",
                "sh",
                "-c",
                "cat; echo $A $(pwd) $(id -u); exit 7",
            ],
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"typed\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "typed\nb /tmp 1000\n"
    );
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(project.ketch(&["exec", "-T", "one", "nosuch"]).code, 127);
    assert_eq!(
        project.ketch(&["exec", "-T", "one", "/etc/passwd"]).code,
        126
    );
    assert_eq!(project.ketch(&["exec", "-T", "nobody", "true"]).code, 1);
}

#[test]
fn a_command_that_is_not_there_ends_up_with_its_name() {
    let world = World::new();
    let project = world.project("app", "services: {one: {image: busybox, command: nosuch}}");
    let up = project.ketch(&["up", "-d"]);
    assert_ne!(up.code, 0);
    assert!(
        up.stderr
            .contains("exec: \"nosuch\": executable file not found in $PATH"),
        "{}",
        up.stderr
    );
}
