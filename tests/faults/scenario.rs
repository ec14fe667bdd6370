//! What is disturbed, and what must hold afterwards.

use std::ffi::OsStr;
use std::fs;

use crate::leftovers;
use crate::world::{Project, World, eventually};

pub const COMPOSE: &str = "\
services:
  db:
    image: busybox
    command: sleep inf
    volumes: ['data:/data', 'fresh:/etc', /cache]
  web:
    image: busybox
    command: sleep inf
    depends_on: [db]
    ports: ['8080:80']
    environment: {VERSION: '1'}
volumes:
  data: {}
  fresh: {}
";

/// A command, and the state that it meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Nothing is there but a volume with data.
    Up,
    UpChanged,
    Down,
    DownVolumes,
    Restart,
    Import,
    Build,
    /// The monitors were killed: the command takes their containers over.
    Adopt,
    /// Monitors and containers were killed.
    Bury,
}

impl Scenario {
    pub const ALL: &[Self] = &[
        Self::Up,
        Self::UpChanged,
        Self::Down,
        Self::DownVolumes,
        Self::Restart,
        Self::Import,
        Self::Build,
        Self::Adopt,
        Self::Bury,
    ];

    pub fn args(self) -> &'static [&'static str] {
        match self {
            Self::Up | Self::UpChanged => &["up", "-d"],
            Self::Down => &["down"],
            Self::DownVolumes => &["down", "-v"],
            Self::Restart => &["restart"],
            Self::Import => &["image", "import", "rootfs.tar", "other"],
            Self::Build => &["build", "--no-cache", "built"],
            Self::Adopt | Self::Bury => &["ps", "--all"],
        }
    }

    /// Brings about what the command is to meet. Its monitors have these variables.
    pub fn prepare(self, project: &Project<'_>, environment: &[(&str, &OsStr)]) {
        match self {
            Self::Import => {}
            Self::Build => project.write(
                "compose.yaml",
                &COMPOSE.replace(
                    "volumes:\n  data",
                    "  built: {build: ., profiles: [never]}\nvolumes:\n  data",
                ),
            ),
            _ => {
                let mut up = project
                    .world
                    .ketch_command(&project.directory, &["up", "-d"]);
                up.envs(environment.iter().copied());
                let up = up.output().unwrap();
                assert!(up.status.success(), "{up:?}");
                project.exec("db", "echo kept >/data/kept");
            }
        }
        match self {
            Self::Up => {
                project.ketch(&["down", "-t", "0"]).ok();
                project.ketch(&["volume", "rm", "app_fresh"]).ok();
                remove_anonymous(project);
            }
            Self::UpChanged => project.write(
                "compose.yaml",
                &COMPOSE.replace("VERSION: '1'", "VERSION: '2'"),
            ),
            Self::Adopt => monitors(project.world).into_iter().for_each(kill),
            Self::Bury => {
                let containers = first_processes(project.world);
                monitors(project.world).into_iter().for_each(kill);
                for pid in containers {
                    kill(pid);
                    eventually("the container has ended", || has_ended(pid));
                }
            }
            _ => {}
        }
    }

    /// The next `up` must end in the right state, with the data that was there.
    pub fn check_up(self, project: &Project<'_>, what: &str) {
        if matches!(self, Self::Import | Self::Build) {
            let again = project.ketch(self.args());
            assert_eq!(again.code, 0, "{what}: again: {again:?}");
        }
        let up = project.ketch(&["up", "-d", "-t", "0"]);
        assert_eq!(up.code, 0, "{what}: the next up: {up:?}");
        let mut seen: Vec<(String, String)> = project
            .ps()
            .iter()
            .map(|one| (text(&one["Service"]), text(&one["State"])))
            .collect();
        seen.sort_unstable();
        let expected = ["db", "web"].map(|service| (service.to_owned(), "running".to_owned()));
        assert_eq!(seen, expected, "{what}: {up:?}");
        let resolved = project.ketch(&["exec", "-T", "web", "ping", "-c", "1", "-W", "2", "db"]);
        assert_eq!(resolved.code, 0, "{what}: {resolved:?}");
        let filled = project.ketch(&["exec", "-T", "db", "cat", "/etc/passwd"]);
        assert_eq!(filled.code, 0, "{what}: a volume half filled: {filled:?}");
        if !matches!(self, Self::Import | Self::Build | Self::DownVolumes) {
            let kept = project.ketch(&["exec", "-T", "db", "cat", "/data/kept"]);
            assert_eq!(kept.stdout, "kept\n", "{what}: {kept:?}");
        }
    }

    /// The next `down -v` must leave nothing.
    pub fn check_down(self, project: &Project<'_>, ids: &[String], what: &str) {
        let down = project.ketch(&["down", "-v", "-t", "0"]);
        assert_eq!(down.code, 0, "{what}: the next down: {down:?}");
        if self == Self::Down {
            // Without `-v` it leaves them.
            remove_anonymous(project);
        }
        leftovers::assert_none(project.world, ids, what);
    }
}

/// The project of every scenario.
pub fn project(world: &World) -> Project<'_> {
    let project = world.project("app", COMPOSE);
    project.write(
        "Dockerfile",
        // The second step lasts until its output is followed.
        "FROM busybox\nRUN echo one >/one\nRUN echo two >/two; sleep 0.3\n",
    );
    fs::copy(
        crate::world::busybox(),
        project.directory.join("rootfs.tar"),
    )
    .unwrap();
    project
}

/// Removes the volumes that nobody has given a name, and that no container uses.
fn remove_anonymous(project: &Project<'_>) {
    let listed = project.ketch(&["volume", "ls", "-q"]).ok().stdout;
    for name in listed.lines().filter(|name| name.len() == 64) {
        project.ketch(&["volume", "rm", name]).ok();
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

/// The first processes of a world's containers.
fn first_processes(world: &World) -> Vec<i32> {
    let states = leftovers::container_ids(world).into_iter().map(|id| {
        let path = world.root("data").join("containers").join(id);
        fs::read_to_string(path.join("state.json")).unwrap()
    });
    states
        .map(|text| serde_json::from_str::<serde_json::Value>(&text).unwrap())
        .filter_map(|state| i32::try_from(state["pid"].as_i64()?).ok())
        .collect()
}

/// Whether a process is gone, or waits to be reaped.
fn has_ended(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z")
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
