//! Watching files where the kernel keeps less than we ask for.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::leftovers;
use crate::world::{Project, World, eventually};

const COMPOSE: &str = "\
services:
  web:
    image: busybox
    command: sleep inf
    develop:
      watch: [{path: src, action: sync, target: /app}]
";

/// A watch that goes on, with what it says in a file.
struct Watch<'a> {
    project: &'a Project<'a>,
    child: Child,
    said: PathBuf,
}

impl<'a> Watch<'a> {
    fn new(project: &'a Project<'a>, failpoint: Option<&str>) -> Self {
        let said = project.directory.join("said");
        let file = fs::File::create(&said).unwrap();
        let mut command = project
            .world
            .ketch_command(&project.directory, &["watch", "--no-up"]);
        command.envs(failpoint.map(|setting| ("KETCH_FAILPOINT", setting)));
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        let watch = Self {
            project,
            child,
            said,
        };
        eventually("it watches", || watch.said().contains("Watch enabled"));
        watch
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// The container has these files, with their own names in them.
    fn has(&self, files: &[&str]) {
        let expected: String = files.iter().map(|file| format!("{file}\n")).collect();
        // One may go while it is looked at.
        let look = "find /app -type f 2>/dev/null | sort | while read it; do cat $it 2>/dev/null; done; true";
        eventually("the files are there, and no others", || {
            self.project.exec("web", look) == expected
        });
    }

    fn interrupted(mut self) -> String {
        self.signal(Signal::INT);
        assert_eq!(self.child.wait().unwrap().code(), Some(130));
        self.said()
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn where_the_kernel_watches_no_more_files_are_looked_at() {
    let limits = [
        ("command:file-watch:EMFILE", "fs.inotify.max_user_instances"),
        (
            "command:directory-watch:ENOSPC",
            "fs.inotify.max_user_watches",
        ),
    ];
    let world = World::new();
    let project = world.project("app", COMPOSE);
    fs::create_dir(project.directory.join("src")).unwrap();
    project.ketch(&["up", "-d"]).ok();
    for (failpoint, advice) in limits {
        let watch = Watch::new(&project, Some(failpoint));
        project.write("src/a", "a\n");
        project.write("src/d/e/b", "d\n");
        watch.has(&["a", "d"]);
        project.write("src/d/e/b", "other\n");
        watch.has(&["a", "other"]);
        fs::remove_dir_all(project.directory.join("src/d")).unwrap();
        watch.has(&["a"]);
        fs::remove_file(project.directory.join("src/a")).unwrap();
        watch.has(&[]);
        let said = watch.interrupted();
        assert_eq!(said.matches(advice).count(), 1, "{said}");
        assert!(said.contains("looked at once a second"), "{said}");
    }
    finish(&world, &project);
}

#[test]
fn what_the_kernel_could_not_tell_is_found_all_the_same() {
    let world = World::new();
    let project = world.project("app", COMPOSE);
    project.write("src/old/gone", "gone\n");
    project.ketch(&["up", "-d"]).ok();
    let watch = Watch::new(&project, None);
    project.write("src/a", "a\n");
    watch.has(&["a"]);
    // A queue that nobody reads, and more than it takes.
    watch.signal(Signal::STOP);
    let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let most: usize = most.trim().parse().unwrap();
    let paths = ["src/a", "src/b"].map(|path| project.directory.join(path));
    // Two events a time at least: it is opened for writing, and closed.
    for number in 0..most / 2 + 100 {
        fs::write(&paths[number % 2], "x\n").unwrap();
    }
    project.write("src/new/deep/c", "c\n");
    project.write("src/b", "b\n");
    fs::remove_file(&paths[0]).unwrap();
    fs::remove_dir_all(project.directory.join("src/old")).unwrap();
    watch.signal(Signal::CONT);
    watch.has(&["b", "c"]);
    // It hears of what is new below, too.
    project.write("src/new/deep/d", "d\n");
    watch.has(&["b", "c", "d"]);
    watch.interrupted();
    finish(&world, &project);
}

#[test]
fn a_change_of_the_compose_file_loses_none_beside_it() {
    let world = World::new();
    let project = world.project("app", COMPOSE);
    project.write("src/first", "first\n");
    project.ketch(&["up", "-d"]).ok();
    let watch = Watch::new(&project, None);
    // One that is still being written when the compose file has its new content.
    let mut open = fs::File::create(project.directory.join("src/open")).unwrap();
    open.write_all(b"open\n").unwrap();
    let changed = COMPOSE.replace("sleep inf", "sleep 86400");
    project.write("compose.yaml", &changed);
    eventually("the file is read", || {
        watch.said().contains("the files have changed")
    });
    drop(open);
    watch.has(&["open"]);
    watch.interrupted();
    finish(&world, &project);
}

fn finish(world: &World, project: &Project<'_>) {
    let ids = leftovers::container_ids(world);
    project.ketch(&["down", "-v", "-t", "0"]).ok();
    leftovers::assert_none(world, &ids, "after a watch");
}
