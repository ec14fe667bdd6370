//! What runs out: descriptors, watches, the reader of our output, the place it is written to.

use std::fs::{self, File};
use std::io;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::leftovers;
use crate::scenario::{self, monitors};
use crate::world::{Project, World, eventually};

const KETCH: &str = env!("CARGO_BIN_EXE_ketch");

fn with_stdout(project: &Project<'_>, args: &[&str], stdout: impl Into<Stdio>) -> (i32, String) {
    let mut command = project.world.ketch_command(&project.directory, args);
    let output = command.stdout(stdout).output().unwrap();
    let code = output.status.code().expect("no signal ends it");
    (code, String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_reader_that_went_away_is_no_error_and_a_full_device_is_one() {
    let world = World::new();
    let lines = "services: {one: {image: busybox, command: seq 100000}}\n";
    let project = world.project("app", lines);
    project.ketch(&["up", "-d"]).ok();
    project.ketch(&["wait", "one"]).ok();
    project.write(
        "compose.yaml",
        &lines
            .replace("seq 100000", "sleep inf")
            .replace("one:", "two:"),
    );
    project.ketch(&["up", "-d"]).ok();
    let commands: [&[&str]; 7] = [
        &["ps"],
        &["config"],
        &["images"],
        &["ls"],
        &["--help"],
        &["volume", "ls"],
        &["version"],
    ];
    for args in commands {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        assert_eq!(
            with_stdout(&project, args, writer),
            (141, String::new()),
            "{args:?}"
        );
        let (code, stderr) = with_stdout(&project, args, File::create("/dev/full").unwrap());
        assert_eq!(code, 1, "{args:?}: {stderr}");
        let told = "write standard output: no space left on device\n";
        assert!(stderr.contains(told), "{args:?}: {stderr}");
    }
    let exec = ["exec", "-T", "two", "echo", "hello"];
    let (code, stderr) = with_stdout(&project, &exec, File::create("/dev/full").unwrap());
    assert!(
        code == 1 && stderr.contains("no space left on device"),
        "{code}: {stderr}"
    );
    project.write("compose.yaml", lines);
    let directory = project.directory.to_str().unwrap();
    let first =
        format!("cd {directory}; {{ {KETCH} logs --no-log-prefix; echo $? >&2; }} | head -n 1");
    let ran = world.run("sh", &["-c", &first]);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("1\n", "141\n"));
    let (code, stderr) = with_stdout(&project, &["logs"], File::create("/dev/full").unwrap());
    assert!(
        code == 1 && stderr.contains("no space left on device"),
        "{code}: {stderr}"
    );
}

#[test]
fn too_few_descriptors_are_told_and_leave_nothing_half_made() {
    let world = World::new();
    let mut refused = 0;
    for most in (6..42).step_by(3) {
        let project = scenario::project(&world);
        let limit = format!("--nofile={most}:{most}");
        // The monitors have it too.
        let mut command = world.command("prlimit", &[&limit, KETCH, "up", "-d"]);
        let begun = Instant::now();
        let output = command.current_dir(&project.directory).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{most}: {stderr}"
        );
        match output.status.code() {
            Some(0) => {}
            Some(1) => {
                assert!(
                    stderr.to_lowercase().contains("too many open files"),
                    "{most}: {stderr}"
                );
                refused += 1;
            }
            other => panic!("{most}: {other:?}: {stderr}"),
        }
        let mut ids = leftovers::container_ids(&world);
        assert_eq!(leftovers::unreadable(&world), [""; 0]);
        project.ketch(&["up", "-d"]).ok();
        ids.extend(leftovers::container_ids(&world));
        project.ketch(&["down", "-v", "-t", "0"]).ok();
        leftovers::assert_none(&world, &ids, &limit);
    }
    assert!(refused > 3, "the limits were low enough: {refused}");
}

/// Processes that hold something until this is dropped.
struct Holders(Vec<Child>);

impl Holders {
    fn new(count: usize, command: impl Fn() -> Command) -> Self {
        let start = |_| {
            let mut command = command();
            command.stdin(Stdio::piped()).stdout(Stdio::null());
            command.stderr(Stdio::null()).spawn().unwrap()
        };
        Self((0..count).map(start).collect())
    }
}

impl Drop for Holders {
    fn drop(&mut self) {
        for child in &mut self.0 {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

fn descriptors(pid: i32) -> Vec<u32> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn ticks(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn a_monitor_without_descriptors_still_hears_and_rests() {
    let world = World::new();
    let project = world.project(
        "app",
        "services: {one: {image: busybox, command: httpd -f -p 80, ports: ['8080:80']}}\n",
    );
    project.ketch(&["up", "-d"]).ok();
    let monitor = monitors(&world)[0];
    let highest = descriptors(monitor).into_iter().max().unwrap();
    let limit = format!("--nofile={0}:{0}", highest + 6);
    world
        .run("prlimit", &["--pid", &monitor.to_string(), &limit])
        .ok();
    let connect = || world.command("busybox", &["nc", "127.0.0.1", "8080"]);
    let _connections = Holders::new(20, connect);
    // A connection takes two of them.
    let most = usize::try_from(highest).unwrap() + 6;
    eventually("its descriptors are used up", || {
        descriptors(monitor).len() + 2 >= most
    });
    // What is left, the spare one too, is taken by those who wait for news.
    let watch = || world.ketch_command(&project.directory, &["logs", "-f"]);
    let watchers = Holders::new(6, watch);
    eventually("nothing is left", || descriptors(monitor).len() == most);
    let before = ticks(monitor);
    std::thread::sleep(Duration::from_millis(500));
    assert!(ticks(monitor) - before < 10, "it turns in circles");
    drop(watchers);
    let exec = project.ketch(&["exec", "-T", "one", "true"]).failed(1);
    assert!(exec.stderr.contains("too many open files"), "{exec:?}");
    let begun = Instant::now();
    project.ketch(&["stop", "-t", "1"]).ok();
    assert!(begun.elapsed() < Duration::from_secs(8));
    assert_eq!(project.ps()[0]["State"], "exited");
}

#[test]
fn without_watches_logs_are_followed_all_the_same() {
    let world = World::new();
    let project = scenario::project(&world);
    project.write(
        "compose.yaml",
        "services:\n  one:\n    image: busybox\n    command: sh -c 'for i in 1 2 3 4 5 6 7 8; do echo $$i; usleep 50000; done'\n  built: {build: ., profiles: [never]}\n",
    );
    for error in ["ENOSPC", "EMFILE"] {
        let refused = format!("command:file-watch:{error}");
        let run = |args: &[&str]| {
            let mut command = world.ketch_command(&project.directory, args);
            let output = command.env("KETCH_FAILPOINT", &refused).output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{error}: {stderr}");
            String::from_utf8(output.stdout).unwrap()
        };
        project.ketch(&["up", "-d", "--force-recreate"]).ok();
        let followed = run(&["logs", "-f", "--no-log-prefix"]);
        assert_eq!(followed, "1\n2\n3\n4\n5\n6\n7\n8\n");
        run(&["build", "--no-cache", "built"]);
    }
}
