//! The store of images, volumes and networks by its own verbs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::world::{Ran, World};

fn ketch(world: &World, args: &[&str]) -> Ran {
    world.ketch(Path::new("/"), args)
}

/// The directories of all layers.
fn layers(world: &World) -> Vec<PathBuf> {
    let entries = fs::read_dir(world.root("data").join("layers")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn build(world: &World, name: &str, dockerfile: &str) {
    let project = world.project(
        name,
        &format!("services: {{a: {{build: ., image: '{name}'}}}}"),
    );
    project.write("Dockerfile", dockerfile);
    project.ketch(&["build"]).ok();
}

#[test]
fn what_is_saved_is_loaded_elsewhere_as_it_was() {
    let world = World::new();
    build(
        &world,
        "web:1",
        "FROM busybox\nRUN mkdir -m 1777 /d; ln -s x /d/l; rm -r /root; touch -d @7 /d/t; chown 7:8 /d/t\nENV A=b\n",
    );
    ketch(&world, &["image", "tag", "web:1", "web:2"]).ok();
    let file = world.root("web.tar");
    let file = file.to_str().unwrap();
    // By its name alone with all of its tags; the layers that it shares once.
    ketch(&world, &["image", "save", "-o", file, "web", "busybox"]).ok();
    let elsewhere = world.root("data2");
    let root = ["--root", elsewhere.to_str().unwrap()];
    let loaded = ketch(
        &world,
        &[&root[..], &["image", "load", "-i", file]].concat(),
    )
    .ok();
    for name in ["web:1", "web:2", "busybox:latest"] {
        assert!(
            loaded.stdout.contains(&format!("Loaded image: {name}\n")),
            "{}",
            loaded.stdout
        );
    }
    let inspected = |root: &[&str]| {
        let ran = ketch(&world, &[root, &["image", "inspect", "web:1"]].concat()).ok();
        let mut value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        value[0].as_object_mut().unwrap().remove("Metadata");
        value
    };
    assert_eq!(inspected(&root), inspected(&[]));
    let check = ketch(&world, &[&root[..], &["system", "check"]].concat()).ok();
    assert_eq!(check.stdout, "2 images, 2 layers: 0 damaged, 0 unused\n");
    // Another tool reads it too.
    let listed = world
        .run(
            "skopeo",
            &["inspect", &format!("docker-archive:{file}:web:2")],
        )
        .ok();
    assert!(
        listed.stdout.contains("\"Os\": \"linux\""),
        "{}",
        listed.stdout
    );
    let missing = ketch(&world, &["image", "save", "-o", file, "nosuch"]).failed(1);
    assert!(
        missing.stderr.contains("No such image: nosuch:latest"),
        "{}",
        missing.stderr
    );
    assert!(
        fs::metadata(file).unwrap().len() > 1000,
        "what was there stays"
    );
}

#[test]
fn a_check_finds_damage_of_every_kind() {
    let world = World::new();
    let files = layers(&world).remove(0).join("diff");
    let check = || ketch(&world, &["system", "check"]);
    check().ok();
    let damaged = |words: &str| {
        let told = check().failed(1).stdout;
        assert!(told.contains("damaged: layer "), "{told}");
        assert!(
            told.contains("of busybox:latest: ") && told.contains(words),
            "{told}"
        );
    };
    // A flipped bit, under the file's old time.
    let path = files.join("bin/busybox");
    let whole = fs::read(&path).unwrap();
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    let mut bytes = whole.clone();
    bytes[100_000] ^= 4;
    let write = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(time).unwrap();
    };
    write(&bytes);
    damaged("its content has the digest");
    write(&whole);
    check().ok();
    // A file that became shorter, a missing one, another mode, another target, a missing directory.
    write(&whole[..5000]);
    damaged("is shorter than it was");
    write(&whole);
    let link = files.join("bin/sh");
    let target = fs::read_link(&link).unwrap();
    fs::remove_file(&link).unwrap();
    damaged("\"bin/sh\": is missing");
    std::os::unix::fs::symlink("elsewhere", &link).unwrap();
    damaged("leads elsewhere");
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(target, &link).unwrap();
    check().ok();
    fs::remove_dir(files.join("var")).unwrap();
    damaged("\"var\": is missing");
    fs::create_dir(files.join("var")).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(files.join("var"), fs::Permissions::from_mode(0o700)).unwrap();
    damaged("\"var\": has another mode");
    fs::set_permissions(files.join("var"), fs::Permissions::from_mode(0o755)).unwrap();
    check().ok();
    // The whole of it.
    fs::remove_dir_all(files.parent().unwrap()).unwrap();
    damaged("is missing");
    let fixed = ketch(&world, &["system", "check", "--fix"]).failed(1);
    assert!(
        fixed.stderr.contains("it came from no registry"),
        "{}",
        fixed.stderr
    );
}

#[test]
fn prunes_remove_what_nobody_needs_and_say_what_that_was() {
    let world = World::new();
    build(
        &world,
        "old:1",
        "FROM busybox\nRUN head -c 100000 /bin/busybox >/f\n",
    );
    let project = world.project("app", "services: {a: {image: busybox, command: sleep inf}}");
    project.ketch(&["up", "-d"]).ok();
    // A name that moves on leaves an image without one.
    build(
        &world,
        "old:1",
        "FROM busybox\nRUN head -c 100001 /bin/busybox >/f\n",
    );
    let nothing = ketch(&world, &["image", "prune", "--filter", "until=1h", "-f"]).ok();
    assert_eq!(nothing.stdout, "Total reclaimed space: 0B\n");
    let asked = ketch(&world, &["image", "prune"]).ok();
    assert!(
        asked
            .stderr
            .contains("WARNING! This will remove all dangling images.")
    );
    assert_eq!(asked.stdout, "");
    let pruned = ketch(&world, &["image", "prune", "-f"]).ok().stdout;
    assert!(
        pruned.starts_with("Deleted Images:\ndeleted: sha256:"),
        "{pruned}"
    );
    // The builder remembers the step, and so the layer stays.
    assert!(
        pruned.ends_with("\nTotal reclaimed space: 0B\n"),
        "{pruned}"
    );
    let before = layers(&world).len();
    let pruned = ketch(&world, &["system", "prune", "-f"]).ok().stdout;
    assert!(
        pruned.ends_with("Total reclaimed space: 100kB\n"),
        "{pruned}"
    );
    assert_eq!(layers(&world).len(), before - 1);
    // What a container was made from stays, whatever is asked.
    let pruned = ketch(&world, &["system", "prune", "-af"]).ok().stdout;
    assert!(
        pruned.contains("untagged: old:1") && !pruned.contains("busybox"),
        "{pruned}"
    );
    let left = ketch(&world, &["image", "ls", "--format", "{{.Repository}}"])
        .ok()
        .stdout;
    assert_eq!(left, "busybox\n");
    project.ketch(&["stop", "-t", "0"]).ok();
    let pruned = ketch(&world, &["system", "prune", "-af", "--volumes"])
        .ok()
        .stdout;
    for words in [
        "Deleted Containers:",
        "Deleted Networks:\napp_default\n",
        "untagged: busybox",
    ] {
        assert!(pruned.contains(words), "{pruned}");
    }
    assert_eq!(layers(&world).len(), 0);
    let df = ketch(
        &world,
        &[
            "system",
            "df",
            "--format",
            "{{.Type}} {{.TotalCount}} {{.Size}}",
        ],
    );
    let zeros = "Images 0 0B\nContainers 0 0B\nLocal Volumes 0 0B\nBuild Cache 0 0B\n";
    assert_eq!(df.ok().stdout, zeros);
    drop(project);
    world.assert_clean();
}

#[test]
fn lists_can_be_filtered_and_shaped() {
    let world = World::new();
    build(
        &world,
        "web:1",
        "FROM busybox\nRUN true\nLABEL tier=front\n",
    );
    let ls = |args: &[&str]| {
        let shape = ["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"];
        ketch(&world, &[&shape[..], args].concat()).ok().stdout
    };
    assert_eq!(ls(&["-f", "label=tier=front"]), "web:1\n");
    assert_eq!(ls(&["-f", "reference=busy*"]), "busybox:latest\n");
    assert_eq!(ls(&["-f", "since=busybox"]), "web:1\n");
    assert_eq!(ls(&["-f", "dangling=true"]), "");
    assert_eq!(ls(&["web"]), "web:1\n");
    ketch(&world, &["image", "ls", "-f", "nosuch=1"]).failed(1);
    let history = ketch(
        &world,
        &[
            "image",
            "history",
            "--format",
            "{{.CreatedBy}} {{.Size}}",
            "web:1",
        ],
    );
    let history = history.ok().stdout;
    assert_eq!(
        history.lines().next(),
        Some("LABEL tier=front 0B"),
        "{history}"
    );
    assert_eq!(history.lines().count(), 3);

    ketch(&world, &["volume", "create", "--label", "a=b", "data"]).ok();
    let anonymous = ketch(&world, &["volume", "create"]).ok().stdout;
    let listed = ketch(&world, &["volume", "ls", "-q", "-f", "label=a"])
        .ok()
        .stdout;
    assert_eq!(listed, "data\n");
    let pruned = ketch(&world, &["volume", "prune", "-f"]).ok().stdout;
    assert!(
        pruned.contains(anonymous.trim()) && !pruned.contains("data"),
        "{pruned}"
    );
    let pruned = ketch(&world, &["volume", "prune", "-a", "-f"]).ok().stdout;
    assert!(pruned.contains("\ndata\n"), "{pruned}");

    let create = [
        "network",
        "create",
        "--subnet",
        "10.66.0.0/24",
        "--gateway",
        "10.66.0.9",
        "net1",
    ];
    ketch(&world, &create).ok();
    let inspected = ketch(&world, &["network", "inspect", "net1"]).ok().stdout;
    assert!(
        inspected.contains("\"Gateway\": \"10.66.0.9\""),
        "{inspected}"
    );
    let listed = ketch(
        &world,
        &["network", "ls", "--format", "{{.Name}} {{.Driver}}"],
    )
    .ok()
    .stdout;
    assert!(listed.contains("net1 bridge\n"), "{listed}");
    let pruned = ketch(&world, &["network", "prune", "-f"]).ok().stdout;
    assert_eq!(pruned, "Deleted Networks:\nnet1\n\n");
    world.assert_clean();
}
