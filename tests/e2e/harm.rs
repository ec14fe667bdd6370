//! Containers that mean harm to the host: they get as far as their limits (docs/reference/security.md).

use std::fs;

use crate::world::{Project, World, eventually};

/// The processes of a service's container whose command line is this one.
fn count(project: &Project<'_>, service: &str, line: &str) -> usize {
    let listed = project.exec(service, "ps -o args");
    listed.lines().filter(|known| known.trim() == line).count()
}

#[test]
fn a_probe_that_forks_and_hangs_leaves_nothing_of_its_group() {
    let world = World::new();
    let project = world.project(
        "app",
        "services:
  one:
    image: busybox
    command: sleep 1d
    healthcheck:
      test: sleep 7777 & sleep 7777 & sleep 7777
      interval: 100ms
      timeout: 300ms
      retries: 3
",
    );
    project.ketch(&["up", "-d"]).ok();
    eventually("three probes have hung", || {
        project.ps()[0]["Health"] == "unhealthy"
    });
    // Of three probes there would be nine; one may be under way.
    let left = count(&project, "one", "sleep 7777");
    assert!(left <= 3, "{left} processes of probes are left");
    project.ketch(&["stop", "-t", "0"]).ok();
}

#[test]
fn a_fork_bomb_ends_at_its_limit_and_spares_the_others() {
    let world = World::new();
    let project = world.project(
        "app",
        "services:
  bomb:
    image: busybox
    pids_limit: 20
    command:
      - sh
      - -c
      - |
        (i=0; while [ $$i -lt 200 ]; do sleep 7777 & i=$$((i+1)); done) 2>/tmp/refused
        touch /tmp/over
        exec sleep 1d
  other: {image: busybox, command: sleep 1d}
",
    );
    project.ketch(&["up", "-d"]).ok();
    let upper = world
        .root("data")
        .join("containers")
        .join(project.id("bomb"))
        .join("upper/tmp");
    eventually("the bomb has gone off", || upper.join("over").exists());
    let refused = fs::read_to_string(upper.join("refused")).unwrap();
    assert!(refused.contains("can't fork"), "{refused}");
    let running = project.ketch(&["top", "bomb"]).ok().stdout;
    let running = running.matches("sleep 7777").count();
    assert!((10..20).contains(&running), "{running} of 200");
    assert_eq!(project.exec("other", "echo still here"), "still here\n");
    project.ketch(&["kill"]).ok();
}

#[test]
fn a_flood_of_output_stays_within_the_size_that_is_set() {
    let world = World::new();
    let project = world.project(
        "app",
        "services:
  flood:
    image: busybox
    command: sh -c 'yes a line of the flood | head -c 3000000; echo the end'
    logging: {driver: json-file, options: {max-size: 20k, max-file: '3'}}
",
    );
    project.ketch(&["up", "-d"]).ok();
    assert_eq!(project.ketch(&["wait", "flood"]).code, 0);
    let log = world
        .root("data")
        .join("containers")
        .join(project.id("flood"))
        .join("log");
    let sizes: Vec<u64> = fs::read_dir(&log)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .collect();
    // A file is full with the record that reaches its size.
    assert!(
        sizes.len() <= 3 && sizes.iter().all(|size| *size < 21_000),
        "{sizes:?}"
    );
    let last = project
        .ketch(&["logs", "--no-log-prefix", "--tail", "1"])
        .ok();
    assert_eq!(last.stdout, "the end\n");
}
