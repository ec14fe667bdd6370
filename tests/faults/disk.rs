//! A full disk, a read-only run root, and what `system prune --orphans` finds.

use std::fs;

use crate::leftovers;
use crate::world::{World, busybox};

const COMPOSE: &str = "services: {one: {image: busybox, command: sleep inf, volumes: [/cache]}}\n";

#[test]
fn a_full_disk_is_told_and_leaves_nothing_half_made() {
    let world = World::new();
    let project = world.project("app", COMPOSE);
    let data = world.root("data");
    let data = data.to_str().unwrap();
    // Over the world's own data: a new and small one.
    world
        .run("mount", &["-t", "tmpfs", "-o", "size=16m", "small", data])
        .ok();
    let import = ["image", "import", busybox().to_str().unwrap(), "busybox"];
    project.ketch(&import).ok();
    fs::write(world.root("data").join("filler"), vec![0; 15 << 20]).unwrap_err();
    let again = project.ketch(&["image", "import", busybox().to_str().unwrap(), "other"]);
    let up = project.ketch(&["up", "-d"]);
    let ids = leftovers::container_ids(&world);
    fs::remove_file(world.root("data").join("filler")).unwrap();
    project.ketch(&["up", "-d"]).ok();
    project.ketch(&["down", "-v", "-t", "0"]).ok();
    let left: Vec<String> = leftovers::of(&world, &ids)
        .into_iter()
        .filter(|line| !line.starts_with("mount "))
        .collect();
    world.run("umount", &["--lazy", data]).ok();
    assert!(
        up.code != 0 && up.stderr.contains("o space left on device"),
        "{up:?}"
    );
    assert!(
        again.code == 0 || again.stderr.contains("o space left on device"),
        "{again:?}"
    );
    assert_eq!(left, [""; 0]);
}

#[test]
fn a_read_only_run_root_is_told() {
    let world = World::new();
    let project = world.project("app", COMPOSE);
    let run = world.root("run");
    fs::create_dir_all(&run).unwrap();
    let run = run.to_str().unwrap();
    world
        .run("mount", &["-t", "tmpfs", "-o", "ro", "fixed", run])
        .ok();
    let up = project.ketch(&["up", "-d"]);
    world.run("umount", &[run]).ok();
    assert_ne!(up.code, 0);
    assert!(
        up.stderr.to_lowercase().contains("read-only file system") && up.stderr.contains(run),
        "{up:?}"
    );
    project.ketch(&["up", "-d"]).ok();
}

#[test]
fn orphans_are_listed_and_removed() {
    let world = World::new();
    let project = world.project("app", COMPOSE);
    project.ketch(&["up", "-d"]).ok();
    let (data, id) = (world.root("data"), "0123456789abcdef".repeat(4));
    fs::create_dir_all(data.join("containers").join(&id)).unwrap();
    fs::create_dir_all(data.join("tmp/stage-0123456789abcdef/layer")).unwrap();
    fs::write(data.join("names/ghost"), "f".repeat(64)).unwrap();
    fs::write(data.join(".images.json.7fffffff01234567"), "{").unwrap();
    fs::create_dir_all(world.root("run").join("networks").join(&id)).unwrap();
    // A network whose record was lost: its bridge is nobody's.
    project.ketch(&["down", "-v", "-t", "0"]).ok();
    let network = world.project("other", COMPOSE);
    network.ketch(&["up", "-d"]).ok();
    network.ketch(&["rm", "-sfv"]).ok();
    for entry in fs::read_dir(data.join("networks")).unwrap().flatten() {
        fs::remove_file(entry.path()).unwrap();
    }
    // What `up` and `down` met is gone already; make it again.
    fs::create_dir_all(data.join("containers").join(&id)).unwrap();
    fs::create_dir_all(data.join("tmp/stage-0123456789abcdef/layer")).unwrap();
    fs::write(data.join(".images.json.7fffffff01234567"), "{").unwrap();
    fs::create_dir_all(world.root("run").join("networks").join(&id)).unwrap();
    let listed = world
        .ketch(&data, &["--dry-run", "system", "prune", "--orphans"])
        .ok()
        .stdout;
    for word in [
        "unfinished container 0123456789abcdef",
        "container name ghost",
        "staging directory ",
        "temporary file ",
        "name table of network 0123456789abcdef",
        "bridge br-",
    ] {
        assert!(listed.contains(word), "{word}: {listed}");
    }
    assert!(data.join("names/ghost").exists());
    let removed = world.ketch(&data, &["system", "prune", "--orphans"]).ok();
    assert_eq!(removed.stdout, listed);
    let nothing = world.ketch(&data, &["system", "prune", "--orphans"]).ok();
    assert_eq!(nothing.stdout, "");
    assert_eq!(leftovers::of(&world, &[]), [""; 0]);
}
