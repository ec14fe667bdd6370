//! Kills at every fail point of every scenario: ketch, a monitor, or the container's half of a
//! start dies behind each step that leaves something on disk or in the kernel.
//!
//! A scenario is first run undisturbed, to see which points are met, by whom and how often; then
//! it is run once for each of them, and a single process dies there.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ketch_runtime::failpoint::Point;

use crate::leftovers;
use crate::random::setting;
use crate::scenario::{self, Scenario};
use crate::world::{World, eventually};

/// No command of a scenario takes longer, whoever was killed beside it.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn whatever_is_killed_at_a_fail_point_the_next_command_mends_it() {
    let begun = Instant::now();
    let workers = setting("KETCH_FAULT_WORKERS", 4);
    // Which of two commands comes next changes with the seed.
    let seed = usize::try_from(setting("KETCH_FAULT_SEED", 1)).unwrap();
    let places = every_place();
    assert_each_point_is_met(&places);
    let next = AtomicUsize::new(0);
    let (missed, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut world = World::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some((scenario, place)) = places.get(number) else {
                        return;
                    };
                    let up_first = (number + seed).is_multiple_of(2);
                    // One failure does not hide the others.
                    let mut kill = || {
                        let killed = catch_unwind(|| kill_at(&world, *scenario, place, up_first));
                        if !matches!(killed, Ok(true)) {
                            world = World::new();
                        }
                        killed
                    };
                    // What is done once in each world is only met in a new one.
                    let killed = match kill() {
                        Ok(false) => kill(),
                        other => other,
                    };
                    match killed {
                        Ok(true) => {}
                        Ok(false) => {
                            eprintln!("{scenario:?} did not come to {place} this time");
                            missed.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(_told) => {
                            failed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let (kills, missed) = (places.len(), missed.into_inner());
    eprintln!(
        "{} points, {} scenarios: {} kills in {:.1?}",
        Point::ALL.len(),
        Scenario::ALL.len(),
        kills - missed,
        begun.elapsed()
    );
    assert_eq!(failed.into_inner(), 0, "kills after which all was not well");
    // Who does what first varies a little from run to run.
    assert!(
        missed * 20 < kills,
        "{missed} of {kills} places were not met"
    );
}

/// Scenario and setting (`monitor:name-reserved:2`) of everything that is met.
fn every_place() -> Vec<(Scenario, String)> {
    let world = World::new();
    let mut places = Vec::new();
    for scenario in Scenario::ALL {
        let project = scenario::project(&world);
        let log = world.root("points");
        let environment = [("KETCH_FAILPOINT_LOG", log.as_os_str())];
        scenario.prepare(&project, &environment);
        fs::write(&log, "").unwrap();
        let mut command = world.ketch_command(&project.directory, scenario.args());
        let ran = command.envs(environment).output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
        let mut met: Vec<String> = settled(&log).lines().map(str::to_owned).collect();
        met.sort();
        met.dedup();
        places.extend(met.into_iter().map(|place| (*scenario, place)));
        // Its monitors go on writing it down.
        drop(project);
        fs::remove_file(&log).unwrap();
    }
    places
}

/// A log once nobody adds to it any more: a monitor goes on for a moment after its word.
fn settled(log: &Path) -> String {
    let mut before = None;
    eventually("the log is settled", || {
        std::thread::sleep(Duration::from_millis(100));
        let now = fs::read_to_string(log).ok();
        let is_settled = now.is_some() && now == before;
        before = now;
        is_settled
    });
    before.unwrap_or_default()
}

/// Met by `watch` alone, which does not end: `watch.rs` tests it.
const ELSEWHERE: [Point; 1] = [Point::DirectoryWatch];

fn assert_each_point_is_met(places: &[(Scenario, String)]) {
    let mut met: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, place) in places {
        let name = place.split(':').nth(1).unwrap();
        *met.entry(name).or_default() += 1;
    }
    let never: Vec<&str> = Point::ALL
        .iter()
        .filter(|point| !ELSEWHERE.contains(point))
        .map(|point| point.name())
        .filter(|name| !met.contains_key(name))
        .collect();
    assert_eq!(never, [""; 0], "points that no scenario meets");
    let names: BTreeSet<&str> = Point::ALL.iter().map(|point| point.name()).collect();
    assert_eq!(names.len(), Point::ALL.len(), "each has a name of its own");
}

/// Whether somebody came there, and died.
fn kill_at(world: &World, scenario: Scenario, place: &str, up_first: bool) -> bool {
    let next = if up_first { "up" } else { "down" };
    let what = format!("{scenario:?} killed at {place}, then {next}");
    let project = scenario::project(world);
    let log = world.root("killed");
    let environment = [
        ("KETCH_FAILPOINT", OsStr::new(place)),
        ("KETCH_FAILPOINT_LOG", log.as_os_str()),
    ];
    scenario.prepare(&project, &environment);
    let mut ids = leftovers::container_ids(world);
    fs::write(&log, "").unwrap();
    let begun = Instant::now();
    let mut command = world.ketch_command(&project.directory, scenario.args());
    let ran = command.envs(environment).output().unwrap();
    assert!(begun.elapsed() < PATIENCE, "{what}: it hung: {ran:?}");
    // One that was to be killed after its word may not have come there yet.
    let deadline = Instant::now() + Duration::from_secs(1);
    let is_empty = || fs::read(&log).unwrap().is_empty();
    while is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    let killed = !is_empty();
    if !killed {
        // Nor is anybody to be killed by what comes now.
        fs::write(&log, "nobody\n").unwrap();
    }
    ids.extend(leftovers::container_ids(world));
    let unreadable = leftovers::unreadable(world);
    assert!(unreadable.is_empty(), "{what}: {unreadable:#?}");
    if up_first {
        scenario.check_up(&project, &what);
        ids.extend(leftovers::container_ids(world));
    }
    scenario.check_down(&project, &ids, &what);
    fs::remove_file(&log).unwrap();
    killed
}
