//! After a reboot nothing of the last boot is believed: neither a process number nor a wait for
//! the next run.

use std::fs;

use crate::leftovers;
use crate::scenario::{kill, monitors};
use crate::world::{Project, World};

const COMPOSE: &str = "\
services:
  db:
    image: busybox
    command: sleep inf
    restart: always
    volumes: ['data:/data']
  web:
    image: busybox
    command: sleep inf
    depends_on: [db]
    ports: ['8080:80']
  again:
    image: busybox
    command: sh -c 'exit 1'
    restart: always
volumes:
  data: {}
";

/// What a reboot does: every process ends, what is volatile is gone, the boot has another id.
fn reboot(project: &Project<'_>) {
    let world = project.world;
    let ids = leftovers::container_ids(world);
    // Without a monitor nobody writes the end down, or starts anything again.
    for pid in monitors(world) {
        kill(pid);
    }
    for id in &ids {
        for pid in processes(id) {
            kill(pid);
        }
    }
    for id in &ids {
        let path = world
            .root("data")
            .join("containers")
            .join(id)
            .join("state.json");
        let text = fs::read_to_string(&path).unwrap();
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let other = "00000000-0000-4000-8000-000000000000";
        let mut state: serde_json::Value =
            serde_json::from_str(&text.replace(boot.trim(), other)).unwrap();
        assert!(state.to_string().contains(other), "{state}");
        // The number of its first process is somebody else's now: ours.
        if state["pid"].is_number() {
            state["pid"] = std::process::id().into();
            let stat = fs::read_to_string("/proc/self/stat").unwrap();
            let after_name = stat.rsplit_once(") ").unwrap().1;
            let start_time: u64 = after_name.split(' ').nth(19).unwrap().parse().unwrap();
            state["pid_start_time"] = start_time.into();
        }
        fs::write(&path, state.to_string()).unwrap();
    }
    crate::world::eventually("all processes are gone", || {
        ids.iter().all(|id| processes(id).is_empty())
    });
    let links = world.run("ip", &["-o", "link", "show"]).ok().stdout;
    for line in links.lines() {
        let name = line.split(' ').nth(1).unwrap().trim_end_matches(':');
        if name.starts_with("br-") {
            world.run("ip", &["link", "delete", name]).ok();
        }
    }
    world.run("nft", &["flush", "ruleset"]).ok();
    fs::remove_dir_all(world.root("run")).unwrap();
}

/// All processes in a container's cgroup.
fn processes(id: &str) -> Vec<i32> {
    let cgroups = fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
    let roots = cgroups.map(|entry| entry.path());
    let roots = roots.chain([std::path::PathBuf::from("/sys/fs/cgroup")]);
    let files = roots.map(|root| root.join("ketch").join(id).join("cgroup.procs"));
    let texts = files.filter_map(|file| fs::read_to_string(file).ok());
    texts
        .flat_map(|text| {
            let pids: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
            pids
        })
        .collect()
}

fn states(project: &Project<'_>) -> Vec<(String, String)> {
    let mut states: Vec<(String, String)> = project
        .ps()
        .iter()
        .map(|one| {
            let text = |key: &str| one[key].as_str().unwrap().to_owned();
            (
                text("Service"),
                format!("{} {}", text("State"), one["ExitCode"]),
            )
        })
        .collect();
    states.sort();
    states
}

#[test]
fn what_the_last_boot_left_is_told_as_ended_and_started_again() {
    let world = World::new();
    let project = world.project("app", COMPOSE);
    project.ketch(&["up", "-d"]).ok();
    project.exec("db", "echo kept >/data/file");
    crate::world::eventually("it waits for its next run", || {
        let listed = project.ps();
        listed.iter().any(|one| one["State"] == "restarting")
    });
    reboot(&project);

    let ended = [
        ("again", "exited 255"),
        ("db", "exited 255"),
        ("web", "exited 255"),
    ];
    let seen = states(&project);
    let seen: Vec<_> = seen.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(seen, ended);
    assert!(monitors(&world).is_empty(), "to look starts nothing");

    project.ketch(&["up", "-d"]).ok();
    assert_eq!(project.exec("db", "cat /data/file").trim(), "kept");
    let answer = project.exec("web", "ping -c 1 -W 2 db && echo there");
    assert!(answer.ends_with("there\n"), "{answer}");

    reboot(&project);
    let ids = leftovers::container_ids(&world);
    project.ketch(&["down", "-v"]).ok();
    assert_eq!(leftovers::of(&world, &ids), [""; 0]);
}
