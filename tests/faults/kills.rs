//! Kills at random moments of every scenario.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::leftovers;
use crate::random::{Random, setting};
use crate::world::{Project, World, eventually};

const COMPOSE: &str = "\
services:
  db:
    image: busybox
    command: sleep inf
    volumes: ['data:/data', /cache]
  web:
    image: busybox
    command: sleep inf
    depends_on: [db]
    ports: ['8080:80']
    environment: {VERSION: '1'}
volumes:
  data: {}
";

/// What is disturbed.
#[derive(Debug, Clone, Copy)]
enum Scenario {
    Up,
    UpChanged,
    Down,
    Restart,
    Import,
    Build,
    /// Nothing but monitors is killed.
    Monitors,
}

const SCENARIOS: [Scenario; 7] = [
    Scenario::Up,
    Scenario::UpChanged,
    Scenario::Down,
    Scenario::Restart,
    Scenario::Import,
    Scenario::Build,
    Scenario::Monitors,
];

impl Scenario {
    fn args(self) -> &'static [&'static str] {
        match self {
            Self::Up | Self::UpChanged => &["up", "-d", "-t", "0"],
            Self::Down => &["down", "-v", "-t", "0"],
            Self::Restart => &["restart", "-t", "0"],
            Self::Import => &["image", "import", "rootfs.tar", "other"],
            Self::Build => &["build", "--no-cache", "built"],
            Self::Monitors => &["ps"],
        }
    }

    fn starts_running(self) -> bool {
        matches!(
            self,
            Self::UpChanged | Self::Down | Self::Restart | Self::Monitors
        )
    }
}

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
        let matrix = Self {
            world: World::new(),
            durations: Vec::new(),
        };
        let project = matrix.project();
        let mut durations = Vec::new();
        for scenario in SCENARIOS {
            prepare(&project, scenario);
            let begun = Instant::now();
            project.ketch(scenario.args()).ok();
            durations.push(begun.elapsed());
            project.ketch(&["down", "-v", "-t", "0"]).ok();
        }
        drop(project);
        Self {
            durations,
            ..matrix
        }
    }

    fn project(&self) -> Project<'_> {
        let project = self.world.project("app", COMPOSE);
        project.write(
            "Dockerfile",
            "FROM busybox\nRUN echo one >/one\nRUN echo two >/two\n",
        );
        fs::copy(
            crate::world::busybox(),
            project.directory.join("rootfs.tar"),
        )
        .unwrap();
        project
    }

    fn kill(&self, number: u64, seed: u64, worker: u64) {
        let mut random = Random::new(seed.wrapping_mul(1_000_003).wrapping_add(number));
        let place = usize::try_from(number).unwrap() % SCENARIOS.len();
        let scenario = SCENARIOS[place];
        let moment = random.within(self.durations[place].mul_f64(1.1));
        let what =
            format!("kill {number} of seed {seed} (worker {worker}): {scenario:?} at {moment:?}");
        let project = self.project();
        prepare(&project, scenario);
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
        let kills_monitors = matches!(scenario, Scenario::Monitors) || random.below(4) == 0;
        if matches!(scenario, Scenario::Monitors) {
            child.wait().unwrap();
        } else {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        if kills_monitors {
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
            self.check_up(&project, scenario, &what);
            ids.extend(leftovers::container_ids(&self.world));
        }
        self.check_down(&project, &ids, &what);
    }

    fn check_up(&self, project: &Project<'_>, scenario: Scenario, what: &str) {
        match scenario {
            Scenario::Import | Scenario::Build => {
                let again = project.ketch(scenario.args());
                assert_eq!(again.code, 0, "{what}: again: {again:?}");
            }
            _ => {}
        }
        if matches!(scenario, Scenario::Restart | Scenario::Down) {
            // The stop that the killed command had asked for goes on in the monitor.
            std::thread::sleep(Duration::from_millis(200));
        }
        let up = project.ketch(&["up", "-d", "-t", "0"]);
        assert_eq!(up.code, 0, "{what}: the next up: {up:?}");
        let states: Vec<(String, String)> = project
            .ps()
            .iter()
            .map(|one| (text(&one["Service"]), text(&one["State"])))
            .collect();
        let expected = [("db", "running"), ("web", "running")];
        let mut seen: Vec<(&str, &str)> = states
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, expected, "{what}: {up:?}");
        let resolved = project.ketch(&["exec", "-T", "web", "ping", "-c", "1", "-W", "2", "db"]);
        assert_eq!(resolved.code, 0, "{what}: {resolved:?}");
    }

    fn check_down(&self, project: &Project<'_>, ids: &[String], what: &str) {
        let down = project.ketch(&["down", "-v", "-t", "0"]);
        assert_eq!(down.code, 0, "{what}: the next down: {down:?}");
        // What a killed monitor's child was about to do ends by itself in a moment.
        let deadline = Instant::now() + Duration::from_secs(3);
        let mut left = leftovers::of(&self.world, ids);
        while !left.is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
            left = leftovers::of(&self.world, ids);
        }
        assert!(left.is_empty(), "{what}: left behind:\n{}", left.join("\n"));
    }
}

fn prepare(project: &Project<'_>, scenario: Scenario) {
    if scenario.starts_running() {
        project.ketch(&["up", "-d"]).ok();
    }
    match scenario {
        Scenario::UpChanged => {
            project.write(
                "compose.yaml",
                &COMPOSE.replace("VERSION: '1'", "VERSION: '2'"),
            );
        }
        Scenario::Build => project.write(
            "compose.yaml",
            &format!("{COMPOSE}\n").replace(
                "volumes:\n  data",
                "  built: {build: ., profiles: [never]}\nvolumes:\n  data",
            ),
        ),
        _ => {}
    }
}

/// The monitors of a world.
pub fn monitors(world: &World) -> Vec<i32> {
    let root = world.root("data");
    let root = root.to_str().unwrap();
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|process| {
            let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.starts_with("ketch-monitor") && line.contains(root)
        })
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .collect()
}

/// SIGKILL, and no wait: it is not our child.
pub fn kill(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_matrix_is_worth_something_only_if_it_can_fail() {
    let world = World::new();
    let project = world.project("app", COMPOSE);
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
    eventually("everything is gone", || {
        leftovers::of(&world, &ids).is_empty()
    });
}
