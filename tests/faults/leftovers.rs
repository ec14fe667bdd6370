//! Everything that may be left of containers, networks and commands.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::world::World;

/// What is left in a world in which nothing should be: one line each.
pub fn of(world: &World, ids: &[String]) -> Vec<String> {
    let mut left = kernel(world);
    let (data, run) = (world.root("data"), world.root("run"));
    for name in ["containers", "names", "volumes", "tmp"] {
        left.extend(entries(&data.join(name)));
    }
    // The default network's record stays: everybody uses it, nobody removes it.
    let default = default_network(&data);
    left.extend(
        entries(&data.join("networks"))
            .into_iter()
            .filter(|path| default.as_ref().is_none_or(|id| !path.contains(id))),
    );
    for name in ["containers", "networks"] {
        left.extend(entries(&run.join(name)));
    }
    let locks = entries(&run.join("locks"));
    left.extend(
        locks
            .into_iter()
            .filter(|path| path.contains("/container.")),
    );
    left.extend(unfinished(&data));
    left.extend(unfinished(&run));
    left.extend(cgroups(ids));
    left
}

/// Fails the test when anything is left, after a moment: what a killed monitor's child was about to
/// do ends by itself.
#[track_caller]
pub fn assert_none(world: &World, ids: &[String], what: &str) {
    let deadline = Instant::now() + Duration::from_secs(3);
    let mut left = of(world, ids);
    while !left.is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
        left = of(world, ids);
    }
    assert!(left.is_empty(), "{what}: left behind:\n{}", left.join("\n"));
}

/// Containers that have ever been in this world, by what is on disk.
pub fn container_ids(world: &World) -> Vec<String> {
    fs::read_dir(world.root("data").join("containers"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// State files that cannot be read.
pub fn unreadable(world: &World) -> Vec<String> {
    let data = world.root("data");
    let mut files = vec![data.join("images.json")];
    for directory in ["networks", "containers", "volumes"] {
        for entry in fs::read_dir(data.join(directory))
            .into_iter()
            .flatten()
            .flatten()
        {
            files.push(entry.path());
            for name in ["config.json", "state.json", "meta.json"] {
                files.push(entry.path().join(name));
            }
        }
    }
    files
        .into_iter()
        .filter(|path| path.is_file() && path.extension().is_some_and(|ext| ext == "json"))
        .filter(|path| {
            let text = fs::read_to_string(path).unwrap_or_default();
            // One that was removed while we looked is not unreadable.
            path.exists() && serde_json::from_str::<serde_json::Value>(&text).is_err()
        })
        .map(|path| format!("unreadable: {}", path.display()))
        .collect()
}

fn kernel(world: &World) -> Vec<String> {
    let mut left = Vec::new();
    let links = world.run("ip", &["-o", "link", "show"]).ok().stdout;
    left.extend(
        links
            .lines()
            .filter(|line| {
                ["br-", "veth", "ketch"]
                    .iter()
                    .any(|word| line.contains(word))
            })
            .map(|line| format!("link {line}")),
    );
    let rules = world.run("nft", &["list", "ruleset"]).ok().stdout;
    // Hooks without a rule about anybody may stay for the next network.
    left.extend(
        rules
            .lines()
            .filter(|line| {
                ["br-", "dnat", "172."]
                    .iter()
                    .any(|word| line.contains(word))
            })
            .map(|line| format!("rule {line}")),
    );
    let root = world.root("");
    let root = root.to_str().unwrap().trim_end_matches('/');
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    left.extend(
        mounts
            .lines()
            .filter(|line| line.contains(root))
            .map(|line| format!("mount {line}")),
    );
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let arguments = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
        if arguments.contains(root) {
            let pid = process.file_name();
            left.push(format!("process {}: {arguments}", pid.to_string_lossy()));
        }
    }
    left
}

fn cgroups(ids: &[String]) -> Vec<String> {
    let mut left = Vec::new();
    let mut roots = vec![Path::new("/sys/fs/cgroup").to_owned()];
    roots.extend(
        fs::read_dir("/sys/fs/cgroup")
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path()),
    );
    for root in roots {
        for id in ids {
            let path = root.join("ketch").join(id);
            if path.exists() {
                left.push(format!("cgroup {}", path.display()));
            }
        }
    }
    left
}

fn entries(directory: &Path) -> Vec<String> {
    let listed = fs::read_dir(directory).into_iter().flatten().flatten();
    listed
        .map(|entry| entry.path().display().to_string())
        .collect()
}

/// Temporary files of documents, anywhere.
fn unfinished(directory: &Path) -> Vec<String> {
    let mut left = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_directory && name != "layers" {
            left.extend(unfinished(&entry.path()));
        } else if name.starts_with('.') {
            left.push(entry.path().display().to_string());
        }
    }
    left
}

fn default_network(data: &Path) -> Option<String> {
    let networks = fs::read_dir(data.join("networks")).ok()?.flatten();
    networks
        .filter_map(|entry| {
            let text = fs::read_to_string(entry.path()).ok()?;
            let value: serde_json::Value = serde_json::from_str(&text).ok()?;
            (value["spec"]["name"] == "bridge").then(|| value["id"].as_str().map(str::to_owned))?
        })
        .next()
}
