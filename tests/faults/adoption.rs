//! A container whose monitor is killed goes on, and all that it says is in its log, once.
//!
//! It lives until the kills are over: of one that ends while it has no monitor nobody can tell the
//! exit code, nor what it said last.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::leftovers;
use crate::random::{Random, setting};
use crate::scenario::{kill, monitors};
use crate::world::{Project, World, eventually};

/// Kills what monitors there are, at random moments, each time with a command that adopts; then
/// the container may end.
fn kill_often(project: &Project<'_>, times: u32, pause: Duration) {
    let mut random = Random::new(setting("KETCH_FAULT_SEED", 1));
    let mut killed = Vec::new();
    for _ in 0..times {
        std::thread::sleep(random.within(pause));
        for pid in monitors(project.world) {
            kill(pid);
            killed.push(pid);
        }
        project.ketch(&["ps"]).ok();
    }
    // A dying one may still take a question; who asked it can't know what came of that.
    eventually("the killed are gone", || {
        let is_gone = |pid: &i32| !Path::new(&format!("/proc/{pid}")).exists();
        killed.iter().all(is_gone)
    });
    // Who lets it end may still be there when it does, and is killed with it.
    let told = project.ketch(&["exec", "-T", "one", "touch", "/end"]);
    assert!(matches!(told.code, 0 | 137), "{told:?}");
    eventually("it has ended", || project.ps()[0]["State"] == "exited");
    assert_eq!(project.ps()[0]["ExitCode"], 7);
}

fn assert_leaves_nothing(project: &Project<'_>) {
    let ids = leftovers::container_ids(project.world);
    project.ketch(&["down", "-v"]).ok();
    assert_eq!(leftovers::of(project.world, &ids), [""; 0]);
}

#[test]
fn a_monitor_killed_at_random_loses_no_exit_code_and_no_line() {
    let world = World::new();
    let project = world.project(
        "app",
        r#"
services:
  one:
    image: busybox
    command:
      - sh
      - -c
      - |
        i=0
        while [ $$i -lt 300 ]; do echo $$i; i=$$((i+1)); usleep 10000; done
        while ! test -f /end; do usleep 10000; done
        exit 7
"#,
    );
    project.ketch(&["up", "-d"]).ok();
    kill_often(&project, 20, Duration::from_millis(150));
    let logs = project.ketch(&["logs", "--no-log-prefix"]).ok().stdout;
    let expected: String = (0..300).map(|number| format!("{number}\n")).collect();
    assert_eq!(logs, expected);
    assert_leaves_nothing(&project);
}

/// What is logged of one stream, over all files, oldest first.
fn logged(directory: &Path, stream: &str) -> String {
    let number = |path: &PathBuf| path.extension()?.to_str()?.parse::<u32>().ok();
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort_by_key(|path| std::cmp::Reverse(number(path)));
    let mut text = String::new();
    for file in files {
        for line in fs::read_to_string(file).unwrap().lines() {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            if record["stream"] == stream {
                text.push_str(record["log"].as_str().unwrap());
            }
        }
    }
    text
}

/// Both streams at full speed, lines longer than a record, a log that is turned over all the
/// time, and a last line without an end.
#[test]
fn a_torrent_of_output_survives_its_monitors_to_the_byte() {
    let world = World::new();
    let project = world.project(
        "app",
        r#"
services:
  one:
    image: busybox
    command:
      - sh
      - -c
      - |
        ( seq 1 150000 | sed s/^/err-/ >&2 ) &
        i=0
        while [ $$i -lt 30 ]; do
          seq 1 5000
          head -c 30000 /dev/zero | tr '\0' x
          echo end $$i
          i=$$((i+1))
        done
        wait
        printf last
        while ! test -f /end; do usleep 10000; done
        exit 7
    logging:
      driver: json-file
      options: {max-size: 256k, max-file: "1000"}
"#,
    );
    project.ketch(&["up", "-d"]).ok();
    kill_often(&project, 40, Duration::from_millis(40));
    let log = world
        .root("data")
        .join("containers")
        .join(project.id("one"))
        .join("log");
    let mut out = String::new();
    for round in 0..30 {
        out.extend((1..=5000).map(|number| format!("{number}\n")));
        out.push_str(&"x".repeat(30_000));
        out.push_str(&format!("end {round}\n"));
    }
    out.push_str("last");
    let err: String = (1..=150_000)
        .map(|number| format!("err-{number}\n"))
        .collect();
    assert_same(&logged(&log, "stdout"), &out);
    assert_same(&logged(&log, "stderr"), &err);
    assert_leaves_nothing(&project);
}

/// Says where they part, not all of both.
#[track_caller]
fn assert_same(found: &str, expected: &str) {
    let common = found
        .bytes()
        .zip(expected.bytes())
        .take_while(|(a, b)| a == b)
        .count();
    let around = |text: &str| {
        let end = text.len().min(common + 60);
        text[common.saturating_sub(60).min(end)..end].to_owned()
    };
    assert!(
        found == expected,
        "{} bytes, not {}; they part at {common}: {:?}, not {:?}",
        found.len(),
        expected.len(),
        around(found),
        around(expected)
    );
}
