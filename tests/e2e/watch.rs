//! `watch` and `up --watch`: files that change are in the containers.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::world::{Project, World, eventually};

const PATIENCE: Duration = Duration::from_secs(30);

/// A command that goes on, and its lines as they come.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    pub fn new(project: &Project<'_>, args: &[&str]) -> Self {
        let mut command = project.world.ketch_command(&project.directory, args);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let streams: [Box<dyn std::io::Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        for stream in streams {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Self {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// Waits for a line with this, and returns it.
    #[track_caller]
    pub fn says(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("{text:?} was not said:\n{}", self.seen.join("\n"));
            };
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// What has been said so far.
    pub fn seen_now(&mut self) -> &[String] {
        self.seen.extend(self.lines.try_iter());
        &self.seen
    }

    /// The same on whichever stream, before or after what was waited for last.
    #[track_caller]
    fn has_said(&mut self, text: &str) {
        if !self.seen.iter().any(|line| line.contains(text)) {
            self.says(text);
        }
    }

    #[track_caller]
    pub fn interrupted(mut self) -> Vec<String> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(130));
        self.seen.extend(self.lines.iter());
        std::mem::take(&mut self.seen)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The root of a container as the host sees it.
fn root_of(project: &Project<'_>, service: &str) -> PathBuf {
    let id = project.id(service);
    let inspected = project.ketch(&["container", "inspect", "-f", "{{.State.Pid}}", &id]);
    PathBuf::from(format!("/proc/{}/root", inspected.ok().stdout.trim()))
}

/// Every file below: its kind, and its content or target.
fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let shown = match () {
                () if metadata.is_dir() => {
                    open.push(path.clone());
                    "directory".to_owned()
                }
                () if metadata.is_symlink() => {
                    format!("link {}", fs::read_link(&path).unwrap().display())
                }
                () => format!(
                    "file {:o} {}",
                    metadata.mode() & 0o7777,
                    fs::read_to_string(&path).unwrap()
                ),
            };
            all.insert(path.strip_prefix(root).unwrap().to_owned(), shown);
        }
    }
    all
}

const WEB: &str = "    image: busybox
    command: sh -c 'trap exit TERM; n=0; while :; do n=$$((n+1)); echo line $$n; sleep 0.02; done'
";

#[test]
fn a_change_is_in_every_replica() {
    let world = World::new();
    let file = format!(
        "services:
  web:
{WEB}    user: guest
    scale: 2
    develop:
      watch:
        - {{path: src, action: sync, target: /app/src, ignore: [skip/, '*.tmp']}}
        - {{path: only, action: sync, target: /only, include: '**/*.js', initial_sync: true}}
        - {{path: app.conf, action: sync, target: /etc/app.conf}}
"
    );
    let project = world.project("app", &file);
    project.write("only/deep/a.js", "a");
    project.write("only/deep/a.css", "a");
    project.write("src/there", "not copied at the start");
    let mut watch = Running::new(&project, &["watch"]);
    watch.says("⦿ Watch enabled");
    let only = project.exec("web", "cd /only && find . -type f");
    assert_eq!(only.trim(), "./deep/a.js");

    project.write("src/a", "one");
    let line = watch.says("Syncing service \"web\" after 1 changes were detected: src/a (");
    assert!(line.starts_with("⦿ "), "{line}");
    project.write("src/skip/x", "x");
    project.write("src/x.tmp", "x");
    project.write("src/.a.swp", "x");
    fs::set_permissions(
        project.directory.join("src/a"),
        fs::Permissions::from_mode(0o750),
    )
    .unwrap();
    watch.says("src/a (");
    // As editors save: aside, then renamed.
    project.write("src/a~", "two");
    fs::rename(
        project.directory.join("src/a~"),
        project.directory.join("src/a"),
    )
    .unwrap();
    watch.says("src/a (");
    project.write("src/new/deep/file", "deep");
    symlink("../a", project.directory.join("src/new/link")).unwrap();
    watch.says("src/new");
    project.write("app.conf", "here now");
    watch.says("app.conf");
    for index in ["1", "2"] {
        let args = ["exec", "-T", "--index", index, "web", "sh", "-c"];
        let script = "cat /app/src/a /app/src/new/deep/file /app/src/new/link /etc/app.conf; \
                      find /app/src | sort; stat -c '%u %g %a' /app/src/a";
        eventually("the last change is there", || {
            let ran = project.ketch(&[&args[..], &["test -L /app/src/new/link"]].concat());
            ran.code == 0
        });
        let shown = project.ketch(&[&args[..], &[script]].concat()).ok();
        assert_eq!(
            shown.stdout,
            "twodeeptwohere now/app/src\n/app/src/a\n/app/src/new\n/app/src/new/deep\n\
             /app/src/new/deep/file\n/app/src/new/link\n1000 1000 644\n"
        );
    }
    fs::remove_dir_all(project.directory.join("src/new")).unwrap();
    fs::remove_file(project.directory.join("app.conf")).unwrap();
    let gone = || project.exec("web", "ls /app/src /etc/app.conf 2>/dev/null; true");
    eventually("what was removed is removed", || {
        gone().trim() == "/app/src:\na"
    });
    // Another watch of the project would do everything twice.
    let second = project.ketch(&["watch", "--no-up"]).failed(1);
    assert!(
        second.stderr.contains("is watched by another command"),
        "{}",
        second.stderr
    );
    watch.interrupted();
    assert_eq!(project.ps().len(), 2, "they run on");
    project.ketch(&["down", "-t", "1"]).ok();
    world.assert_clean();
}

#[test]
fn a_hostile_container_is_not_followed_outside() {
    let world = World::new();
    let file = format!(
        "services:
  web:
{WEB}    develop:
      watch:
        - {{path: src, action: sync, target: /app}}
"
    );
    let project = world.project("app", &file);
    project.write("outside", "untouched");
    project.write("src/first", "1");
    let mut watch = Running::new(&project, &["watch"]);
    watch.says("Watch enabled");
    let outside = project.directory.join("outside");
    let evil = format!(
        "mkdir -p /app; ln -s {0} /app/file; ln -s {1} /app/dir; ln -s /proc/1/root{1} /app/magic; \
         ln -s ../../../../../../../..{1} /app/up",
        outside.display(),
        project.directory.display(),
    );
    project.exec("web", &evil);
    for path in ["file", "dir/outside", "magic/outside", "up/outside"] {
        project.write(&format!("src/{path}"), "new");
    }
    watch.says("src/");
    let root = root_of(&project, "web");
    eventually("all is there", || {
        fs::read_to_string(root.join("app/up/outside")).is_ok_and(|text| text == "new")
    });
    fs::remove_dir_all(project.directory.join("src/dir")).unwrap();
    eventually("it is gone", || !root.join("app/dir").exists());
    assert_eq!(fs::read_to_string(&outside).unwrap(), "untouched");
    assert!(project.directory.join("compose.yaml").exists());
    watch.interrupted();
    project.ketch(&["down", "-t", "1"]).ok();
    world.assert_clean();
}

/// The kernel has one watch for both, and tells of each change once.
#[test]
fn a_directory_may_have_two_names() {
    let world = World::new();
    let file = format!(
        "services:
  web:
{WEB}    develop:
      watch:
        - {{path: src, action: sync, target: /one}}
        - {{path: link, action: sync, target: /two}}
"
    );
    let project = world.project("app", &file);
    project.write("src/deep/a", "1");
    let mut watch = Running::new(&project, &["watch"]);
    watch.says("Watch enabled");
    symlink("src", project.directory.join("link")).unwrap();
    let shown = "cat /one/deep/a /two/deep/a 2>/dev/null; true";
    let has = |expected: &str| eventually(expected, || project.exec("web", shown) == expected);
    has("1");
    for text in ["2", "3"] {
        project.write("src/deep/a", text);
        has(&text.repeat(2));
    }
    watch.interrupted();
    project.ketch(&["down", "-t", "1"]).ok();
    world.assert_clean();
}

#[test]
fn a_volume_below_the_target_stays_mounted() {
    let world = World::new();
    let project = world.project(
        "app",
        "services:
  web:
    image: busybox
    command: sleep inf
    volumes: ['data:/app/data', 'deep:/app/data/a/deep']
    develop:
      watch: [{path: src, action: sync, target: /app}]
volumes: {data: , deep: }
",
    );
    project.write("src/data/a/deep/one", "1");
    project.write("src/data/a/two", "2");
    let mut watch = Running::new(&project, &["watch"]);
    watch.says("Watch enabled");
    let touch = |path: &str, text: &str| project.write(&format!("src/{path}"), text);
    touch("data/a/deep/one", "one");
    touch("data/a/two", "two");
    let shown = "cd /app/data; find . -type f | sort; grep -c ' /app/data' /proc/mounts";
    let has = |expected: &str| eventually(expected, || project.exec("web", shown) == expected);
    has("./a/deep/one\n./a/two\n2\n");
    fs::remove_dir_all(project.directory.join("src/data")).unwrap();
    watch.says("busy");
    has("2\n");
    touch("data/three", "three");
    has("./three\n2\n");
    watch.interrupted();
    project.ketch(&["down", "-v", "-t", "1"]).ok();
    world.assert_clean();
}

#[test]
fn changes_restart_run_commands_and_rebuild() {
    let world = World::new();
    let project = world.project(
        "app",
        "services:
  web:
    build: ctx
    command: sh -c 'trap exit TERM; cat /built /conf/c; while :; do sleep 0.02; done'
    develop:
      watch:
        - {path: conf, action: sync+restart, target: /conf}
        - {path: hook, action: sync+exec, target: /hook, exec: {command: [sh, -c, 'cat /hook/h; exit 3']}}
        - {path: ctx, action: rebuild, ignore: notes}
",
    );
    project.write(
        "ctx/Dockerfile",
        "FROM busybox\nCOPY built /built\nRUN mkdir /conf; echo 0 > /conf/c\n",
    );
    project.write("ctx/.dockerignore", "ignored\n");
    project.write("ctx/built", "built 1\n");
    let mut watch = Running::new(&project, &["watch"]);
    watch.says("Watch enabled");
    let (id, image) = (project.id("web"), || {
        let id = project.id("web");
        project
            .ketch(&["container", "inspect", "-f", "{{.Image}}", &id])
            .ok()
            .stdout
    });
    let first = image();

    project.write("conf/c", "conf 2\n");
    let line = watch.says("service(s) [\"web\"] restarted");
    assert!(line.contains("Syncing service \"web\""), "{line}");
    eventually("it was started with the new file", || {
        project
            .ketch(&["logs", "--no-log-prefix", "web"])
            .stdout
            .ends_with("built 1\nconf 2\n")
    });
    assert_eq!(project.id("web"), id, "the same container");

    project.write("hook/h", "from the hook\n");
    watch.says("from the hook");
    watch.has_said("ended with code 3");

    // What the build does not see changes nothing.
    project.write("ctx/ignored", "x");
    // Nor does what a tool writes aside, when it is gone again at once.
    project.write("ctx/sedAbCdEf", "x");
    fs::remove_file(project.directory.join("ctx/sedAbCdEf")).unwrap();
    project.write("ctx/notes", "x");
    project.write("ctx/Dockerfile", "FROM busybox\nRUN exit 9\n");
    watch.says("Rebuilding service(s) [\"web\"]");
    watch.says("not rebuilt: what runs, runs on");
    assert!(
        !watch
            .seen
            .iter()
            .any(|line| line.contains("notes") || line.contains("sedAb")),
        "{:?}",
        watch.seen
    );
    assert_eq!(project.id("web"), id);
    project.write("ctx/built", "built 2\n");
    project.write(
        "ctx/Dockerfile",
        "FROM busybox\nCOPY built /built\nRUN mkdir /conf; echo 0 > /conf/c\n",
    );
    watch.says("successfully built");
    assert_ne!(project.id("web"), id);
    eventually("it runs the new image", || {
        project.ketch(&["logs", "--no-log-prefix", "web"]).stdout == "built 2\n0\n"
    });
    // The image that it took the place of is gone.
    let gone = project.ketch(&["image", "inspect", first.trim()]);
    assert_eq!(gone.code, 1, "{}", gone.stdout);
    watch.interrupted();
    project.ketch(&["down", "-t", "1", "--rmi", "local"]).ok();
    world.assert_clean();
}

/// A save that breaks a program must not lock out the one that mends it.
#[test]
fn a_container_that_fails_again_and_again_is_given_what_mends_it() {
    let world = World::new();
    let project = world.project(
        "app",
        "services:
  web:
    image: busybox
    command: sh -c 'sh /conf/script && exec sleep 1000'
    restart: always
    develop:
      watch:
        - {path: conf, action: sync+restart, target: /conf, initial_sync: true}
        - {path: more, action: sync, target: /more}
",
    );
    project.write("conf/script", "exit 1");
    let mut watch = Running::new(&project, &["watch"]);
    watch.says("Watch enabled");
    let status = || {
        let listed = project.ketch(&["ps", "-a", "--format", "{{.State}}"]).ok();
        listed.stdout.trim().to_owned()
    };
    eventually("it fails", || status() == "restarting");
    project.write("more/file", "more");
    watch.says("more/file");
    project.write("conf/script", "exit 0");
    watch.says("restarted");
    eventually("it is mended", || status() == "running");
    assert_eq!(
        project.exec("web", "cat /conf/script /more/file"),
        "exit 0more"
    );
    watch.interrupted();
    // One that does not run at all has what was saved meanwhile when it is started.
    let mut watch = Running::new(&project, &["watch"]);
    watch.says("Watch enabled");
    project.ketch(&["stop", "-t", "1", "web"]).ok();
    project.write("more/file", "later");
    watch.says("more/file");
    project.ketch(&["start", "web"]).ok();
    assert_eq!(project.exec("web", "cat /more/file"), "later");
    watch.interrupted();
    project.ketch(&["down", "-t", "1"]).ok();
    world.assert_clean();
}

#[test]
fn up_shows_what_restarted_containers_write_without_gap_or_repetition() {
    let world = World::new();
    let file = format!(
        "services:
  web:
{WEB}    develop:
      watch:
        - {{path: conf, action: sync+restart, target: /conf}}
"
    );
    let project = world.project("app", &file);
    project.write("conf/c", "1");
    let mut up = Running::new(&project, &["up", "--watch"]);
    up.says("Watch enabled");
    up.says("| line 3");
    for round in 0..3 {
        project.write("conf/c", &format!("{round}"));
        up.says("restarted");
        up.says("| line 5");
    }
    let lines = up.interrupted();
    let numbers: Vec<u32> = lines
        .iter()
        .filter_map(|line| line.split("| line ").nth(1)?.trim().parse().ok())
        .collect();
    let starts = numbers.iter().filter(|number| **number == 1).count();
    assert_eq!(starts, 4, "{lines:#?}");
    for pair in numbers.windows(2) {
        assert!(
            pair[1] == pair[0] + 1 || pair[1] == 1,
            "{pair:?} in {numbers:?}"
        );
    }
    let ends = lines
        .iter()
        .filter(|line| line.contains("exited with code"))
        .count();
    assert_eq!(ends, 1, "only the last end is one: {lines:#?}");
    project.ketch(&["down", "-t", "1"]).ok();
    world.assert_clean();
}

#[test]
fn the_compose_file_is_watched_and_rules_are_derived() {
    let world = World::new();
    let project = world.project("app", &format!("services:\n  web:\n{WEB}"));
    let nothing = project.ketch(&["watch"]).failed(1);
    assert!(
        nothing
            .stderr
            .contains("none of the selected services is configured for watch"),
        "{}",
        nothing.stderr
    );
    assert!(project.ps().is_empty());

    project.write("src/a", "1");
    let bound = format!("services:\n  web:\n{WEB}    volumes: ['./src:/app']\n");
    project.write("compose.yaml", &bound);
    project.ketch(&["watch", "--no-infer"]).failed(1);
    let mut watch = Running::new(&project, &["watch", "--apply"]);
    watch.says("derived, as there is no 'develop' section: restart \"web\" when ./src changes");
    watch.says("Watch enabled");
    project.write("src/a", "2");
    watch.says("service(s) [\"web\"] restarted after 1 changes were detected: src/a");

    project.write("compose.yaml", "services:\n  web:\n    image: [\n");
    watch.says("the files have errors");
    watch.has_said("compose.yaml:");
    project.write("compose.yaml", &format!("{bound}    environment: [A=1]\n"));
    watch.says("the files have changed: carried out");
    assert_eq!(project.exec("web", "echo $A").trim(), "1");
    // A variable of the file.
    project.write(
        "compose.yaml",
        &format!("{bound}    environment: ['A=${{VALUE:-none}}']\n"),
    );
    watch.says("carried out");
    project.write(".env", "VALUE=two\n");
    watch.says("carried out");
    assert_eq!(project.exec("web", "echo $A").trim(), "two");
    watch.interrupted();

    // Without --apply it is said and not done.
    let mut watch = Running::new(&project, &["watch"]);
    watch.says("Watch enabled");
    let id = project.id("web");
    project.write(".env", "VALUE=three\n");
    watch.says("`ketch up -d` carries this out");
    watch.has_said("rename to app-web-1");
    assert_eq!(project.id("web"), id);
    watch.interrupted();
    project.ketch(&["down", "-t", "1"]).ok();
    world.assert_clean();
}

/// What a person and the tools do to a tree, at random but the same for a seed.
struct Random {
    state: u64,
    root: PathBuf,
}

impl Random {
    fn number(&mut self, below: usize) -> usize {
        // splitmix64
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % below as u64).unwrap()
    }

    /// A path of few names, so that operations meet.
    fn path(&mut self) -> PathBuf {
        let depth = 1 + self.number(3);
        let mut path = self.root.clone();
        for _ in 0..depth {
            path.push(["a", "b", "c", "d", "e", "f"][self.number(6)]);
        }
        path
    }

    /// Most of these fail now and then, which is no matter.
    fn step(&mut self) {
        let (path, other) = (self.path(), self.path());
        let text = self.number(1_000_000).to_string();
        let _may_fail = match self.number(16) {
            0..=4 => fs::write(&path, text),
            5 | 6 => fs::create_dir_all(&path),
            7 | 8 => fs::rename(&path, &other),
            9 => fs::remove_file(&path),
            10 => fs::remove_dir_all(&path),
            11 => symlink(&text, &path),
            12 => symlink(other.file_name().unwrap(), &path),
            13 => fs::set_permissions(&path, fs::Permissions::from_mode(0o600)),
            14 => {
                let aside = path.with_extension("aside");
                fs::write(&aside, text).and_then(|()| fs::rename(&aside, &path))
            }
            _ => fs::OpenOptions::new()
                .append(true)
                .open(&path)
                .and_then(|mut file| std::io::Write::write_all(&mut file, b"+")),
        };
    }
}

/// 20 seeds of 10,000 operations each, all at once in one container.
#[test]
fn after_ten_thousand_random_operations_the_trees_are_equal() {
    const SEEDS: u64 = 20;
    let world = World::new();
    let rules: String = (0..SEEDS)
        .map(|seed| format!("        - {{path: s{seed}, action: sync, target: /t/{seed}}}\n"))
        .collect();
    let file = format!("services:\n  web:\n{WEB}    develop:\n      watch:\n{rules}");
    let project = world.project("app", &file);
    for seed in 0..SEEDS {
        fs::create_dir(project.directory.join(format!("s{seed}"))).unwrap();
    }
    let mut watch = Running::new(&project, &["watch"]);
    watch.says("Watch enabled");
    for seed in 0..SEEDS {
        let root = project.directory.join(format!("s{seed}"));
        let mut random = Random { state: seed, root };
        for _ in 0..10_000 {
            random.step();
        }
        // The last of all: what comes before it is dealt with when it is there.
        project.write(&format!("s{seed}/last"), "last");
    }
    let root = root_of(&project, "web").join("t");
    let source = |seed: u64| tree(&project.directory.join(format!("s{seed}")));
    let differences = |seed: u64| {
        let (wanted, got) = (source(seed), tree(&root.join(seed.to_string())));
        let paths = wanted.keys().chain(got.keys());
        let differ = paths.filter(|path| wanted.get(*path) != got.get(*path));
        differ
            .map(|path| {
                format!(
                    "{seed}/{}: {:?} is {:?}",
                    path.display(),
                    wanted.get(path),
                    got.get(path)
                )
            })
            .collect::<Vec<_>>()
    };
    for seed in 0..SEEDS {
        let target = root.join(seed.to_string());
        eventually("the last file is there", || target.join("last").exists());
        let mut left = Vec::new();
        // What was being written waits for the end of the storm; what is lost never comes.
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            left = differences(seed);
            if left.is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(
            left.is_empty(),
            "{left:#?}\n{}",
            watch.lines.try_iter().collect::<Vec<_>>().join("\n")
        );
    }
    let lines = watch.interrupted();
    let failures: Vec<_> = lines.iter().filter(|it| it.contains("could not")).collect();
    assert!(failures.is_empty(), "{failures:#?}");
    project.ketch(&["down", "-t", "1"]).ok();
    world.assert_clean();
}
