//! A container whose monitor is killed goes on, and nothing it says is lost or told twice.

use std::time::Duration;

use crate::kills::{kill, monitors};
use crate::leftovers;
use crate::random::{Random, setting};
use crate::world::{World, eventually};

#[test]
fn a_monitor_killed_at_random_loses_neither_a_line_nor_the_exit_code() {
    let mut random = Random::new(setting("KETCH_FAULT_SEED", 1));
    let world = World::new();
    let project = world.project(
        "app",
        "services:\n  one:\n    image: busybox\n    command: sh -c 'i=0; while [ $$i -lt 300 ]; do echo $$i; i=$$((i+1)); usleep 10000; done; exit 7'\n",
    );
    project.ketch(&["up", "-d"]).ok();
    for _ in 0..20 {
        std::thread::sleep(random.within(Duration::from_millis(150)));
        for pid in monitors(&world) {
            kill(pid);
        }
        project.ketch(&["ps"]).ok();
    }
    eventually("it has ended", || project.ps()[0]["State"] == "exited");
    assert_eq!(project.ps()[0]["ExitCode"], 7);
    let logs = project.ketch(&["logs", "--no-log-prefix"]).ok().stdout;
    let expected: String = (0..300).map(|number| format!("{number}\n")).collect();
    assert_eq!(logs, expected);
    let ids = leftovers::container_ids(&world);
    project.ketch(&["down", "-v"]).ok();
    assert_eq!(leftovers::of(&world, &ids), [""; 0]);
}
