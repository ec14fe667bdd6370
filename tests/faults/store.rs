//! Kills at random moments of pull, load, rm and prune, against a real registry: what is there is
//! whole, and at the end nothing is left.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::random::{Random, setting};
use crate::server::Registry;
use crate::world::{Ran, World};

fn ketch(world: &World, args: &[&str]) -> Ran {
    world.ketch(Path::new("/"), args)
}

/// Two images of three layers, of which they share two, in the registry and in an archive.
fn prepare(world: &World) -> String {
    let project = world.project("images", "services: {}");
    for (number, name) in ["one", "two"].iter().enumerate() {
        // Enough of files and bytes for a kill to fall into the middle.
        project.write(
            "Dockerfile",
            &format!(
                "FROM busybox\n\
                 RUN mkdir /a; for i in $(seq 300); do head -c 9000 /bin/busybox >/a/$i; done\n\
                 RUN head -c 900000 /bin/busybox >/b; head -c 900000 /dev/urandom >>/b\n\
                 RUN mkdir /c; for i in $(seq 100); do echo {number} >/c/$i; done\n"
            ),
        );
        let image = format!("127.0.0.1:5000/{name}:1");
        project.write(
            "compose.yaml",
            &format!("services: {{a: {{build: ., image: '{image}'}}}}"),
        );
        project.ketch(&["build", "--push"]).ok();
    }
    let archive = world.root("images.tar").to_str().unwrap().to_owned();
    let save = ["image", "save", "-o", &archive, ONE, TWO];
    ketch(world, &save).ok();
    ketch(world, &["system", "prune", "-af"]).ok();
    assert_eq!(used(world), [""; 0], "nothing to begin with");
    archive
}

const ONE: &str = "127.0.0.1:5000/one:1";
const TWO: &str = "127.0.0.1:5000/two:1";

/// What lies in the store: layers, blobs, unfinished things.
fn used(world: &World) -> Vec<String> {
    let data = world.root("data");
    let mut found = Vec::new();
    for directory in ["layers", "blobs/sha256", "tmp"] {
        let entries = fs::read_dir(data.join(directory)).into_iter().flatten();
        found.extend(entries.map(|entry| entry.unwrap().path().display().to_string()));
    }
    found
}

fn spawn(world: &World, args: &[&str]) -> Child {
    let mut command: Command = world.ketch_command(Path::new("/"), args);
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// How long each takes when nobody kills it, with something to do.
fn measured(world: &World, commands: &[Vec<&str>]) -> Vec<Duration> {
    commands
        .iter()
        .map(|args| {
            let begun = Instant::now();
            ketch(world, args).ok();
            begun.elapsed()
        })
        .collect()
}

#[test]
fn killed_pulls_loads_and_removals_leave_whole_images_and_no_files() {
    let world = World::new();
    let registry = Registry::plain(&world);
    let archive = prepare(&world);
    let commands: Vec<Vec<&str>> = vec![
        vec!["image", "pull", "-q", ONE],
        vec!["image", "load", "-q", "-i", &archive],
        vec!["image", "rm", "-f", ONE, TWO],
        vec!["image", "pull", "-q", TWO],
        vec!["system", "prune", "-af"],
    ];
    let durations = measured(&world, &commands);
    let seed = setting("KETCH_FAULT_SEED", 1);
    let mut random = Random::new(seed);
    let kills = setting("KETCH_STORE_KILLS", 60);
    let mut met = 0;
    for number in 0..kills {
        let which = usize::try_from(random.below(commands.len() as u64)).unwrap();
        let moment = random.within(durations[which]);
        let what = format!(
            "kill {number} of seed {seed}: {:?} at {moment:?}",
            commands[which]
        );
        // There must be something to do: to fetch, or to remove.
        let before = if matches!(which, 2 | 4) {
            &commands[1]
        } else {
            &commands[4]
        };
        ketch(&world, before).ok();
        // Every other time somebody else is at work, and goes on.
        let other = (number % 2 == 0).then(|| spawn(&world, &commands[3]));
        let mut killed = spawn(&world, &commands[which]);
        std::thread::sleep(moment);
        killed.kill().unwrap();
        met += u64::from(!killed.wait().unwrap().success());
        if let Some(mut other) = other {
            let ended = other.wait().unwrap();
            assert!(
                ended.success(),
                "{what}: the other command ended with {ended}"
            );
        }
        let checked = ketch(&world, &["system", "check"]);
        assert_eq!(checked.code, 0, "{what}: {}", checked.stdout);
        assert!(
            checked.stdout.contains(" 0 damaged"),
            "{what}: {}",
            checked.stdout
        );
    }
    eprintln!("{met} of {kills} kills fell before the end");
    assert!(
        met * 2 > kills,
        "only {met} of {kills} kills fell before the end"
    );
    // Everything can still be had, and everything goes again.
    ketch(&world, &["image", "pull", "-q", ONE]).ok();
    ketch(&world, &["image", "load", "-q", "-i", &archive]).ok();
    let checked = ketch(&world, &["system", "check"]).ok().stdout;
    assert!(
        checked.starts_with("2 images, 5 layers: 0 damaged"),
        "{checked}"
    );
    ketch(&world, &["system", "prune", "-af"]).ok();
    assert_eq!(used(&world), [""; 0], "disk use returns to what it was");
    drop(registry);
    world.assert_clean();
}
