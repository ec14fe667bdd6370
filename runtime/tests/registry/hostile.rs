//! Images that mean harm.

use ketch_runtime::layer::archive::{Entry, Kind, Writer};
use serde_json::json;

use super::pretended::{Answer, INDEX, MANIFEST, Server, World, gzip, layer};

fn entry(path: &str, kind: Kind, link: &str) -> Entry {
    let mut entry = Entry::new(path, kind);
    entry.link = link.into();
    entry.mode = 0o755;
    entry.uid = rustix::process::getuid().as_raw();
    entry.gid = rustix::process::getgid().as_raw();
    entry
}

#[test]
fn a_layer_that_leaves_its_directory_is_refused() {
    let cases = [
        vec![entry("../out", Kind::Directory, "")],
        vec![entry("a/../../out", Kind::Symlink, "x")],
        vec![
            entry("l", Kind::Symlink, "/tmp"),
            entry("l/x/y", Kind::Directory, ""),
        ],
        vec![entry("h", Kind::HardLink, "/etc/passwd")],
        vec![entry("h", Kind::HardLink, "../../canary")],
        vec![
            entry("l", Kind::Symlink, ".."),
            entry("l/.wh.canary", Kind::File, ""),
        ],
    ];
    for (number, entries) in cases.iter().enumerate() {
        let mut writer = Writer::new(Vec::new());
        for entry in entries {
            writer.append(entry, &b""[..]).unwrap();
        }
        let server = Server::new();
        server.put_image("1", &[writer.finish().unwrap()]);
        let world = World::new();
        std::fs::write(world.path("canary"), "safe").unwrap();
        // A link inside of the layer may be followed there: then nothing is refused, or harmed.
        let pulled = world.pull(&server.reference("app:1"));
        assert!(
            pulled.is_err() || number == 2 || number == 5,
            "case {number}"
        );
        assert_eq!(std::fs::read(world.path("canary")).unwrap(), b"safe");
        assert!(!world.path("out").exists() && !world.path("data/out").exists());
        if pulled.is_err() {
            assert_eq!(world.layers(), 0, "case {number}");
        }
    }
}

#[test]
fn manifests_that_lie_about_their_digest_are_refused() {
    let lie = |bytes: &'static str| {
        move |request: &super::pretended::Request| {
            let is_manifest = request.path.contains("/manifests/sha256:");
            is_manifest.then(|| {
                Answer::status(200)
                    .with("content-type", MANIFEST)
                    .body(bytes)
            })
        }
    };
    let server = Server::with(lie("{\"schemaVersion\": 2}"));
    server.put_image("1", &[layer(&[("f", 10)])]);
    let told = World::new().pull_error(&server.reference("app:1"));
    assert!(
        told.starts_with("manifest verification failed for digest sha256:"),
        "{told}"
    );
}

#[test]
fn a_document_of_two_minds_and_one_without_end_are_refused() {
    let server = Server::new();
    server.put_manifest(
        "both",
        INDEX,
        br#"{"schemaVersion":2,"manifests":[],"layers":[]}"#,
    );
    server.put_manifest("neither", INDEX, b"{}");
    server.put_manifest(
        "old",
        "application/json",
        br#"{"schemaVersion":1,"fsLayers":[]}"#,
    );
    server.put_manifest("huge", INDEX, &vec![b' '; (4 << 20) + 1]);
    let world = World::new();
    for (tag, words) in [
        ("both", "both an index and a manifest"),
        ("neither", "neither an index nor a manifest"),
        ("old", "schema 1"),
        ("huge", "larger than 4194304 bytes"),
    ] {
        let told = world.pull_error(&server.reference(&format!("app:{tag}")));
        assert!(told.contains(words), "{tag}: {told}");
    }
}

#[test]
fn indexes_in_indexes_have_a_bottom() {
    let server = Server::new();
    let mut inner = server.put_image("1", &[layer(&[("f", 10)])]);
    for depth in 0..6 {
        let size = server.content.lock().unwrap().manifests[&inner].1.len();
        let media_type = if depth == 0 { MANIFEST } else { INDEX };
        let index = json!({"schemaVersion": 2, "manifests": [
            {"mediaType": media_type, "digest": inner, "size": size,
             "platform": {"os": "linux", "architecture": super::pretended::host()}}]});
        inner = server.put_manifest(&format!("d{depth}"), INDEX, index.to_string().as_bytes());
    }
    let world = World::new();
    world.pull(&server.reference("app:d1")).unwrap();
    let told = world.pull_error(&server.reference("app:d5"));
    assert!(told.contains("nested too deeply"), "{told}");
}

#[test]
fn a_configuration_must_fit_its_layers() {
    let server = Server::new();
    let archive = layer(&[("f", 10)]);
    let (blob, size) = server.put_blob(&gzip(&archive));
    let config = json!({"os": "linux", "architecture": super::pretended::host(),
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", "a".repeat(64))]}});
    let (config, config_size) = server.put_blob(config.to_string().as_bytes());
    let manifest = |layers: usize| {
        let layer = json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                           "digest": blob, "size": size});
        json!({"schemaVersion": 2, "config": {"mediaType": "", "digest": config,
               "size": config_size}, "layers": vec![layer; layers]})
        .to_string()
    };
    server.put_manifest("two", MANIFEST, manifest(2).as_bytes());
    server.put_manifest("other", MANIFEST, manifest(1).as_bytes());
    let world = World::new();
    let told = world.pull_error(&server.reference("app:two"));
    assert!(
        told.contains("2 layers, but the configuration lists 1"),
        "{told}"
    );
    let told = world.pull_error(&server.reference("app:other"));
    assert!(told.contains("expected sha256:aaaa"), "{told}");
    assert_eq!(world.layers(), 0);
}

#[test]
fn what_a_registry_says_cannot_paint_the_terminal() {
    let server = Server::with(|request| {
        let is_manifest = request.path.contains("/manifests/");
        is_manifest.then(|| Answer::status(400).body("\x1b[2J\x1b]0;owned\x07"))
    });
    let told = World::new().pull_error(&server.reference("app:1"));
    assert!(!told.contains('\x1b') && !told.contains('\x07'), "{told:?}");
}
