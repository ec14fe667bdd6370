//! A container whose monitor is killed goes on, and nothing it says is told twice.
//!
//! Known limit: bytes that a monitor had taken from the stream, but not yet written when it was
//! killed, are gone. `KETCH_FAULT_STRICT=1` asserts that there are none; without it the test bounds
//! them and says how many there were.

use std::time::Duration;

use crate::leftovers;
use crate::random::{Random, setting};
use crate::scenario::{kill, monitors};
use crate::world::{World, eventually};

#[test]
fn a_monitor_killed_at_random_loses_no_exit_code_and_repeats_no_line() {
    let mut random = Random::new(setting("KETCH_FAULT_SEED", 1));
    let world = World::new();
    let project = world.project(
        "app",
        "services:\n  one:\n    image: busybox\n    command: sh -c 'i=0; while [ $$i -lt 300 ]; do echo $$i; i=$$((i+1)); usleep 10000; done; exit 7'\n",
    );
    project.ketch(&["up", "-d"]).ok();
    let mut kills = 0;
    for _ in 0..20 {
        std::thread::sleep(random.within(Duration::from_millis(150)));
        for pid in monitors(&world) {
            kill(pid);
            kills += 1;
        }
        project.ketch(&["ps"]).ok();
    }
    eventually("it has ended", || project.ps()[0]["State"] == "exited");
    assert_eq!(project.ps()[0]["ExitCode"], 7);
    let logs = project.ketch(&["logs", "--no-log-prefix"]).ok().stdout;
    let lines: Vec<u32> = logs.lines().map(|line| line.parse().unwrap()).collect();
    assert!(
        lines.is_sorted_by(|a, b| a < b),
        "in order, each once: {lines:?}"
    );
    let lost = 300 - lines.len();
    if std::env::var_os("KETCH_FAULT_STRICT").is_some() {
        assert_eq!(lost, 0, "{lines:?}");
    } else if lost > 0 {
        eprintln!("known limit: {lost} lines lost by {kills} killed monitors");
    }
    assert!(
        lost <= kills,
        "at most what one monitor held: {lost} lines, {kills} kills"
    );
    let ids = leftovers::container_ids(&world);
    project.ketch(&["down", "-v"]).ok();
    assert_eq!(leftovers::of(&world, &ids), [""; 0]);
}
