//! Two commands at once on one project.

use std::process::{Output, Stdio};

use crate::leftovers;
use crate::world::{Project, World};

const COMPOSE: &str = "\
services:
  db: {image: busybox, command: sleep inf, volumes: ['data:/data', /cache]}
  web: {image: busybox, command: sleep inf, depends_on: [db]}
volumes:
  data: {}
";

fn both(project: &Project<'_>, first: &[&str], second: &[&str]) -> [Output; 2] {
    let start = |args| {
        let mut command = project.world.ketch_command(&project.directory, args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let children = [start(first), start(second)];
    children.map(|child| child.wait_with_output().unwrap())
}

/// No panic, no signal: an exit code of ours.
#[track_caller]
fn assert_ended_properly(outputs: &[Output]) {
    for output in outputs {
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code().is_some(), "{output:?}");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
}

#[test]
fn two_ups_and_an_up_with_a_down_leave_a_state_that_the_next_command_can_use() {
    let world = World::new();
    let project = world.project("app", COMPOSE);
    let mut ids = Vec::new();
    for round in 0..5 {
        let second: &[&str] = if round % 2 == 0 {
            &["up", "-d"]
        } else {
            &["down", "-v", "-t", "0"]
        };
        assert_ended_properly(&both(&project, &["up", "-d"], second));
        ids.extend(leftovers::container_ids(&world));
        assert_eq!(leftovers::unreadable(&world), [""; 0]);
        project.ketch(&["up", "-d"]).ok();
        let states: Vec<_> = project
            .ps()
            .iter()
            .map(|one| one["State"].clone())
            .collect();
        assert_eq!(states, ["running", "running"]);
        ids.extend(leftovers::container_ids(&world));
        project.ketch(&["down", "-v", "-t", "0"]).ok();
        leftovers::assert_none(&world, &ids, &format!("round {round}"));
    }
}
