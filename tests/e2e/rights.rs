//! Without root: who is refused is told what to do.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::world::{Ran, World};

/// Runs ketch as another user, in a directory that everybody may write to.
fn as_nobody(world: &World, directory: &Path, roots: Option<&Path>, args: &[&str]) -> Ran {
    let ketch = directory.join("ketch");
    let mut words = vec!["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    words.push(ketch.to_str().unwrap());
    words.extend(args);
    let mut command = world.command("setpriv", &words);
    command.current_dir(directory);
    if let Some(roots) = roots {
        command.env("KETCH_ROOT", roots.join("data"));
        command.env("KETCH_RUN", roots.join("run"));
    }
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn another_user_is_told_to_be_root() {
    let world = World::new();
    let public = tempfile::tempdir().unwrap();
    let directory = public.path();
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o777)).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_ketch"), directory.join("ketch")).unwrap();
    std::fs::write(
        directory.join("compose.yaml"),
        "name: app\nservices: {one: {image: busybox}}\n",
    )
    .unwrap();
    let rows = [
        (&["ps"][..], "read"),
        (&["up", "-d"], "read"),
        // It takes its turn on the project before it looks.
        (&["down"], "lock"),
        (&["image", "ls"], "read"),
    ];
    for (args, refused) in rows {
        let ran = as_nobody(&world, directory, None, args).failed(1);
        let told = format!("ketch needs root (run it with sudo): {refused} ");
        assert!(ran.stderr.contains(&told), "{args:?}: {}", ran.stderr);
        assert!(
            ran.stderr.contains(": permission denied\n"),
            "{}",
            ran.stderr
        );
    }
    as_nobody(&world, directory, None, &["config", "-q"]).ok();
    // With roots of their own, what can't be done is still running containers.
    let own = as_nobody(&world, directory, Some(directory), &["up", "-d"]).failed(1);
    assert!(
        own.stderr.contains("ketch needs root to run containers"),
        "{}",
        own.stderr
    );
}

/// Even where the modes of all our files have been opened to everybody.
#[test]
fn a_monitor_obeys_nobody_but_its_owner() {
    let world = World::new();
    let project = world.project(
        "app",
        "services: {one: {image: busybox, command: sleep 1d}}",
    );
    project.ketch(&["up", "-d"]).ok();
    let public = tempfile::tempdir().unwrap();
    let directory = public.path();
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o777)).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_ketch"), directory.join("ketch")).unwrap();
    std::fs::copy(
        project.directory.join("compose.yaml"),
        directory.join("compose.yaml"),
    )
    .unwrap();
    let roots = world.root("");
    world
        .run("chmod", &["-R", "a+rwX", roots.to_str().unwrap()])
        .ok();
    let listed = as_nobody(&world, directory, Some(&roots), &["-p", "app", "ps", "-q"]).ok();
    assert_eq!(
        listed.stdout.trim(),
        project.id("one"),
        "the files are open"
    );
    for verb in [&["kill"][..], &["stop", "-t", "0"]] {
        let args = [&["-p", "app"], verb].concat();
        let ran = as_nobody(&world, directory, Some(&roots), &args);
        assert_ne!(ran.code, 0, "{verb:?}: {ran:?}");
        let told = "the container belongs to another user";
        assert!(ran.stderr.contains(told), "{verb:?}: {ran:?}");
        assert_eq!(project.ps()[0]["State"], "running", "{verb:?}");
    }
}
