//! A wrong file: each mistake is shown at its place, and nothing has been made.

use crate::world::World;

/// What `up` says to this file; every error must hold these words.
#[track_caller]
fn refused(compose: &str, words: &[&str]) {
    let world = World::new();
    let project = world.project("app", compose);
    let up = project.ketch(&["up", "-d"]);
    assert_ne!(up.code, 0, "{}", up.stderr);
    for word in words {
        assert!(up.stderr.contains(word), "no {word:?} in:\n{}", up.stderr);
    }
    assert!(
        !world.root("data").join("networks").exists()
            || std::fs::read_dir(world.root("data").join("networks"))
                .unwrap()
                .next()
                .is_none()
    );
    world.assert_clean();
}

#[test]
fn a_wrong_key() {
    refused(
        "services:\n  web:\n    image: busybox\n    prots: ['80']\n",
        &["compose.yaml:4:5", "prots: ['80']", "^", "ports"],
    );
}

#[test]
fn a_wrong_type() {
    refused(
        "services:\n  web:\n    image: busybox\n    ports: 80\n",
        &["compose.yaml:4:12", "^", "list"],
    );
}

#[test]
fn an_undefined_variable_that_is_required() {
    refused(
        "services:\n  web:\n    image: ${IMAGE:?set an image}\n",
        &["compose.yaml:3:", "set an image", "^"],
    );
}

#[test]
fn a_missing_dependency() {
    refused(
        "services:\n  web:\n    image: busybox\n    depends_on: [bd]\n  db:\n    image: busybox\n",
        &[
            "compose.yaml:4:18",
            "service \"web\" depends on undefined service \"bd\"",
            "^",
            "db",
        ],
    );
}

#[test]
fn a_cycle() {
    refused(
        "services:\n  a: {image: busybox, depends_on: [b]}\n  b: {image: busybox, depends_on: [a]}\n",
        &[
            "compose.yaml:2:",
            "dependency cycle detected",
            "a -> b -> a",
            "^",
        ],
    );
}

#[test]
fn a_bad_port() {
    refused(
        "services:\n  web:\n    image: busybox\n    ports: ['80:99999']\n",
        &["compose.yaml:4:13", "99999", "^"],
    );
}

#[test]
fn broken_yaml() {
    refused(
        "services:\n  web:\n\timage: busybox\n",
        &["compose.yaml:3:", "^", "tab"],
    );
}

#[test]
fn all_mistakes_are_told_at_once() {
    refused(
        "services:\n  web:\n    imagee: busybox\n    ports: 80\n  db:\n    image: busybox\n    volumes: ['data:/x']\n",
        &["compose.yaml:3:5", "compose.yaml:4:12"],
    );
}

#[test]
fn an_image_that_is_not_here_is_named_before_anything_is_made() {
    refused(
        "services:\n  web:\n    image: nosuch:1\n",
        &["nosuch:1", "web"],
    );
}

#[test]
fn a_volume_that_can_not_be_made() {
    refused(
        "services:\n  web: {image: busybox, volumes: ['cache:/c', 'share:/s']}\nvolumes:\n  \
         cache: {driver_opts: {type: tmpfs, device: tmpfs, o: size=1m}}\n  \
         share: {driver_opts: {type: nfs, device: ':/x', o: addr=10.0.0.1}}\n",
        &[
            "compose.yaml:4:3",
            "volume cache: volumes of type \"tmpfs\" are not supported",
            "hint: use a tmpfs mount of the service instead",
            "compose.yaml:5:3",
            "volume share: volumes of type \"nfs\" are not supported",
            "hint: mount it on the host and use a bind mount instead",
        ],
    );
}
