//! Kills at random moments of every scenario.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::leftovers;
use crate::random::{Random, setting};
use crate::scenario::{self, Scenario, kill, monitors};
use crate::world::World;

#[test]
fn whatever_is_killed_the_next_command_mends_it() {
    let kills = setting("KETCH_FAULT_KILLS", 200);
    let seed = setting("KETCH_FAULT_SEED", 1);
    let workers = setting("KETCH_FAULT_WORKERS", 4);
    let next = AtomicU64::new(0);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let next = &next;
            scope.spawn(move || {
                let matrix = Matrix::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= kills {
                        return;
                    }
                    matrix.kill(number, seed, worker);
                }
            });
        }
    });
    eprintln!("{kills} kills in {:.1?}, seed {seed}", begun.elapsed());
}

/// One world, and how long each scenario takes in it.
struct Matrix {
    world: World,
    durations: Vec<Duration>,
}

impl Matrix {
    fn new() -> Self {
        let world = World::new();
        let mut durations = Vec::new();
        for scenario in Scenario::ALL {
            let project = scenario::project(&world);
            scenario.prepare(&project, &[]);
            let begun = Instant::now();
            project.ketch(scenario.args()).ok();
            durations.push(begun.elapsed());
            scenario.check_down(&project, &[], "undisturbed");
        }
        Self { world, durations }
    }

    fn kill(&self, number: u64, seed: u64, worker: u64) {
        let mut random = Random::new(seed.wrapping_mul(1_000_003).wrapping_add(number));
        let place = usize::try_from(number).unwrap() % Scenario::ALL.len();
        let scenario = Scenario::ALL[place];
        let moment = random.within(self.durations[place].mul_f64(1.1));
        let what =
            format!("kill {number} of seed {seed} (worker {worker}): {scenario:?} at {moment:?}");
        let project = scenario::project(&self.world);
        scenario.prepare(&project, &[]);
        let mut ids = leftovers::container_ids(&self.world);
        let mut command = self
            .world
            .ketch_command(&project.directory, scenario.args());
        let mut child = command
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(moment);
        child.kill().unwrap();
        child.wait().unwrap();
        if scenario == Scenario::Adopt || random.below(4) == 0 {
            for pid in monitors(&self.world) {
                if random.below(2) == 0 {
                    kill(pid);
                }
            }
        }
        ids.extend(leftovers::container_ids(&self.world));
        let unreadable = leftovers::unreadable(&self.world);
        assert!(unreadable.is_empty(), "{what}: {unreadable:#?}");
        // Half of them meet `down` first.
        if random.below(2) == 0 {
            scenario.check_up(&project, &what);
            ids.extend(leftovers::container_ids(&self.world));
        }
        scenario.check_down(&project, &ids, &what);
    }
}

#[test]
fn a_matrix_is_worth_something_only_if_it_can_fail() {
    let world = World::new();
    let project = scenario::project(&world);
    project.ketch(&["up", "-d"]).ok();
    let ids = leftovers::container_ids(&world);
    let left = leftovers::of(&world, &ids);
    for word in ["link", "rule", "process", "cgroup", "/volumes/", "/names/"] {
        assert!(
            left.iter().any(|line| line.contains(word)),
            "{word}: {left:#?}"
        );
    }
    project.ketch(&["down", "-v", "-t", "0"]).ok();
    leftovers::assert_none(&world, &ids, "after all");
}
