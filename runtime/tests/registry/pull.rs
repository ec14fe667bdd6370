//! What a pull asks for, and what it leaves.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use ketch_runtime::engine::Engine;
use ketch_runtime::image::platform::Platform;
use ketch_runtime::image::reference::Reference;
use ketch_runtime::image::store;
use ketch_runtime::layer;
use ketch_runtime::registry::settings::Settings;
use serde_json::json;

use super::pretended::{Answer, INDEX, MANIFEST, Server, World, host, layer as archive};

#[test]
fn an_image_comes_once_and_is_known_by_tag_and_digest() {
    let server = Server::new();
    let digest = server.put_image("1", &[archive(&[("a/f", 3000)]), archive(&[("a/g", 10)])]);
    let world = World::new();
    let reference = server.reference("team/app:1");
    let pulled = world.pull(&reference).unwrap();
    assert!(pulled.is_new);
    assert_eq!(pulled.digest.as_str(), digest);
    assert_eq!(pulled.image.references, [reference.familiar()]);
    let pinned = format!("{}@{digest}", reference.familiar_name());
    assert_eq!(pulled.image.repo_digests, std::slice::from_ref(&pinned));
    let files = layer::directory(&world.roots, &pulled.image.layers[0]);
    assert_eq!(files.join("a/f").metadata().unwrap().len(), 3000);
    // Again: its digest is asked for, and nothing is fetched.
    let before = server.asked("GET /v2/team").len();
    let again = world.pull(&reference).unwrap();
    assert!(!again.is_new);
    assert_eq!(server.asked("GET /v2/team").len(), before);
    // By digest it is here already; elsewhere it comes without a tag.
    assert!(
        !world
            .pull(&Reference::parse(&pinned).unwrap())
            .unwrap()
            .is_new
    );
    let other = World::new();
    let pulled = other.pull(&Reference::parse(&pinned).unwrap()).unwrap();
    assert_eq!(pulled.image.references, [""; 0]);
    assert_eq!(store::get(&other.roots, &pinned).unwrap(), pulled.image);
}

#[test]
fn a_tag_that_moved_brings_what_is_new_and_no_more() {
    let server = Server::new();
    let base = archive(&[("base", 2000)]);
    server.put_image("1", std::slice::from_ref(&base));
    let world = World::new();
    let reference = server.reference("app:1");
    let old = world.pull(&reference).unwrap().image;
    server.put_image("1", &[base, archive(&[("new", 10)])]);
    let before = server.asked("GET /v2/app/blobs").len();
    let new = world.pull(&reference).unwrap().image;
    assert_ne!(old.id, new.id);
    // The configuration and one layer.
    assert_eq!(server.asked("GET /v2/app/blobs").len(), before + 2);
    assert_eq!(
        store::get(&world.roots, old.id.as_str())
            .unwrap()
            .references,
        [""; 0]
    );
}

#[test]
fn of_an_index_our_platform_is_pulled_and_the_index_is_its_digest() {
    let server = Server::new();
    let ours = server.put_image("ours", &[archive(&[("f", 5)])]);
    let size = server.content.lock().unwrap().manifests[&ours].1.len();
    let of = |architecture: &str, digest: &str, size: usize| {
        json!({"mediaType": MANIFEST, "digest": digest, "size": size,
               "platform": {"os": "linux", "architecture": architecture}})
    };
    let foreign = format!("sha256:{}", "a".repeat(64));
    let index = json!({"schemaVersion": 2, "mediaType": INDEX,
        "manifests": [of("s390x", &foreign, 9), of(host(), &ours, size)]});
    let digest = server.put_manifest("multi", INDEX, index.to_string().as_bytes());
    let world = World::new();
    let reference = server.reference("app:multi");
    let pulled = world.pull(&reference).unwrap();
    assert_eq!(pulled.digest.as_str(), digest);
    assert!(!world.pull(&reference).unwrap().is_new);
    let wanted = Platform::parse("linux/riscv64").unwrap();
    let refused = world
        .registries()
        .pull(&world.roots, &reference, Some(&wanted), &|_, _| {});
    let told = refused.unwrap_err().to_string();
    assert!(
        told.starts_with("no matching manifest for linux/riscv64"),
        "{told}"
    );
}

#[test]
fn a_damaged_image_is_fetched_again_for_its_own_platform() {
    let server = Server::new();
    let put = |architecture: &str| {
        let layer = archive(&[(architecture, 5)]);
        let digest = server.put_image_for(architecture, architecture, &[layer]);
        let size = server.content.lock().unwrap().manifests[&digest].1.len();
        json!({"mediaType": MANIFEST, "digest": digest, "size": size,
               "platform": {"os": "linux", "architecture": architecture}})
    };
    let index = json!({"schemaVersion": 2, "mediaType": INDEX,
        "manifests": [put(host()), put("riscv64")]});
    server.put_manifest("multi", INDEX, index.to_string().as_bytes());
    let world = World::new();
    let foreign = Platform::parse("linux/riscv64").unwrap();
    let pulled = world
        .registries()
        .pull(
            &world.roots,
            &server.reference("app:multi"),
            Some(&foreign),
            &|_, _| {},
        )
        .unwrap();
    let engine = Engine::open(world.roots.clone()).unwrap();
    let file = layer::directory(&world.roots, &pulled.image.layers[0]).join("riscv64");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, b"wrong").unwrap();
    let report = engine.check_store().unwrap();
    assert_eq!(report.damaged.len(), 1, "{report:?}");
    let failed = engine
        .mend_store(&world.registries(), &report, &|_| {})
        .unwrap();
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(std::fs::read(&file).unwrap(), whole);
    assert!(engine.check_store().unwrap().damaged.is_empty());
    let images = engine.images().unwrap();
    assert_eq!(images.len(), 1, "the host's was not asked for");
    assert_eq!(images[0].id, pulled.image.id);

    // Its configuration gone, nobody knows its platform: what comes is not taken for it.
    let config = world
        .roots
        .blobs()
        .join("sha256")
        .join(pulled.image.id.hex());
    std::fs::write(&config, b"{}").unwrap();
    let report = engine.check_store().unwrap();
    let failed = engine
        .mend_store(&world.registries(), &report, &|_| {})
        .unwrap();
    assert_eq!(failed.len(), 1, "{report:?}");
    let told = failed[0].1.to_string();
    assert!(told.contains("brought another image"), "{told}");
}

#[test]
fn unknown_names_are_told_in_docker_s_words() {
    let server = Server::with(|request| {
        let told = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known"}]}"#;
        (request.path.contains("/secret/")).then(|| Answer::status(404).body(told))
    });
    let world = World::new();
    let reference = server.reference("app:7");
    assert_eq!(
        world.pull_error(&reference),
        format!(
            "manifest for {} not found: manifest unknown: manifest unknown",
            reference.familiar()
        )
    );
    let told = world.pull_error(&server.reference("secret/app:7"));
    assert!(
        told.starts_with("pull access denied for 127.0.0.1:"),
        "{told}"
    );
    assert!(told.contains("repository does not exist or may require 'docker login'"));
}

#[test]
fn layers_come_in_any_order_and_take_what_lies_below_from_below() {
    // The lowest layer comes last; the upper one only implies the directory.
    let mut lower = ketch_runtime::layer::archive::Entry::new(
        "d/",
        ketch_runtime::layer::archive::Kind::Directory,
    );
    lower.mode = 0o1777;
    lower.uid = rustix::process::getuid().as_raw();
    lower.gid = rustix::process::getgid().as_raw();
    let mut writer = ketch_runtime::layer::archive::Writer::new(Vec::new());
    writer.append(&lower, &b""[..]).unwrap();
    let lower = writer.finish().unwrap();
    let slow = super::pretended::gzip(&lower);
    let digest = ketch_runtime::content::digest::Digest::of(&slow).to_string();
    let server = Server::with(move |request| {
        (request.method == "GET" && request.path.ends_with(&digest)).then(|| Answer {
            delay: Duration::from_millis(200),
            ..Answer::status(200).body(slow.clone())
        })
    });
    server.put_image(
        "1",
        &[lower, archive(&[("d/f", 10)]), archive(&[("d/g", 10)])],
    );
    let world = World::new();
    let image = world.pull(&server.reference("app:1")).unwrap().image;
    for chain_id in &image.layers[1..] {
        use std::os::unix::fs::PermissionsExt as _;
        let path = layer::directory(&world.roots, chain_id).join("d");
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o1777);
    }
}

#[test]
fn two_pulls_of_one_image_share_the_work() {
    let server = Server::with(|request| {
        // Long enough for the other to come along.
        std::thread::sleep(Duration::from_millis(
            u64::from(request.method == "GET") * 30,
        ));
        None
    });
    let layers: Vec<_> = (0..3)
        .map(|it| archive(&[(&format!("f{it}"), 5000)]))
        .collect();
    server.put_image("1", &layers);
    let world = World::new();
    let reference = server.reference("app:1");
    let both = Barrier::new(2);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                both.wait();
                let registries = world.registries();
                registries
                    .pull(&world.roots, &reference, None, &|_, _| {})
                    .unwrap();
            });
        }
    });
    world.assert_nothing_unfinished();
    // Each layer once, the configuration once for each.
    assert_eq!(server.asked("GET /v2/app/blobs").len(), 3 + 2);
}

#[test]
fn a_layer_that_is_removed_meanwhile_is_fetched_again() {
    let server = Server::new();
    let base = archive(&[("base", 100)]);
    server.put_image("old", std::slice::from_ref(&base));
    let world = World::new();
    let old = world.pull(&server.reference("app:old")).unwrap().image;
    server.put_image("new", &[base, archive(&[("more", 100)])]);
    // While the new image's layers are on their way, the old one goes with its layer.
    let removed = AtomicU32::new(0);
    let registries = world.registries();
    let pulled = registries
        .pull(&world.roots, &server.reference("app:new"), None, &|_, _| {
            if removed.fetch_add(1, Ordering::Relaxed) == 0 {
                store::remove(&world.roots, old.id.as_str(), true).unwrap();
            }
        })
        .unwrap();
    assert_eq!(world.layers(), 2);
    assert!(layer::directory(&world.roots, &pulled.image.layers[0]).exists());
}

#[test]
fn docker_hub_is_pulled_through_its_mirror() {
    let server = Arc::new(Server::new());
    server.put_image("1", &[archive(&[("f", 10)])]);
    let world = World::new();
    std::fs::create_dir(world.path("machine")).unwrap();
    let file = json!({"registry-mirrors": [format!("http://127.0.0.1:{}", server.port)]});
    std::fs::write(world.path("machine/daemon.json"), file.to_string()).unwrap();
    let pulled = world.pull(&Reference::parse("app:1").unwrap()).unwrap();
    assert_eq!(pulled.image.references, ["app:1"]);
    assert_eq!(server.asked("GET /v2/library/app/manifests").len(), 1);
}

#[test]
fn what_is_no_registry_is_told_with_its_address() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let world = World::new();
    let reference = Reference::parse(&format!("127.0.0.1:{port}/x:1")).unwrap();
    assert_eq!(
        world.pull_error(&reference),
        format!("Get \"http://127.0.0.1:{port}/v2/\": dial tcp: connect: connection refused")
    );
    let settings = Settings {
        machine: world.path("x"),
        ..Settings::default()
    };
    assert!(settings.user.is_none());
}

#[test]
fn tags_are_listed_page_by_page() {
    let server = Server::with(|request| {
        let page = |tags: &str| Answer::status(200).body(format!("{{\"tags\": {tags}}}"));
        match request.path.as_str() {
            "/v2/app/tags/list" => Some(
                page("[\"a\", \"b\"]").with("link", "</v2/app/tags/list?last=b>; rel=\"next\""),
            ),
            "/v2/app/tags/list?last=b" => Some(page("[\"c\"]")),
            "/v2/none/tags/list" => Some(page("null")),
            // Leads to itself.
            "/v2/loop/tags/list" => {
                Some(page("[\"x\"]").with("link", "</v2/loop/tags/list>; rel=next"))
            }
            _ => None,
        }
    });
    let world = World::new();
    let tags = |name: &str| world.registries().tags(&server.reference(name)).unwrap();
    assert_eq!(tags("app"), ["a", "b", "c"]);
    assert_eq!(tags("none"), [""; 0]);
    assert_eq!(tags("loop"), ["x"]);
}
