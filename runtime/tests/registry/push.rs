//! What is sent, and what need not be.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use ketch_runtime::error::Result;
use ketch_runtime::image::{Image, store};
use ketch_runtime::registry::push::{PushState, Pushed};

use super::pretended::{Answer, Server, World, layer};

fn push(
    world: &World,
    server: &Server,
    image: &Image,
    name: &str,
) -> (Result<Pushed>, Vec<PushState>) {
    let states = Mutex::new(Vec::new());
    let pushed =
        world
            .registries()
            .push(&world.roots, image, &server.reference(name), &|_, state| {
                states.lock().unwrap().push(state);
            });
    world.assert_nothing_unfinished();
    let mut states = states.into_inner().unwrap();
    states.retain(|state| *state != PushState::Preparing && *state != PushState::Pushing);
    (pushed, states)
}

/// An image in the store, pulled from a registry of its own.
fn image(world: &World, layers: &[Vec<u8>]) -> Image {
    let server = Server::new();
    server.put_image("1", layers);
    world.pull(&server.reference("source:1")).unwrap().image
}

#[test]
fn what_was_pushed_can_be_pulled_elsewhere_and_is_the_same() {
    let world = World::new();
    let image = image(&world, &[layer(&[("a", 2_000_000)]), layer(&[("b", 10)])]);
    let server = Server::new();
    let (pushed, states) = push(&world, &server, &image, "team/app:1");
    let pushed = pushed.unwrap();
    assert_eq!(states, [PushState::Pushed, PushState::Pushed]);
    // The large layer in one stream, small things at once.
    assert_eq!(server.asked("PATCH").len(), 1);
    let other = World::new();
    let pulled = other.pull(&server.reference("team/app:1")).unwrap();
    assert_eq!(
        (&pulled.digest, &pulled.image.id),
        (&pushed.digest, &image.id)
    );
    // Known by its digest here as well.
    let name = format!(
        "{}@{}",
        server.reference("team/app").familiar(),
        pushed.digest
    );
    assert_eq!(store::get(&world.roots, &name).unwrap().id, image.id);
    // A second time nothing but questions.
    let before = server.asked("P").len();
    let (again, states) = push(&world, &server, &image, "team/app:1");
    assert_eq!(again.unwrap(), pushed);
    assert_eq!(states, [PushState::Exists, PushState::Exists]);
    // The manifest.
    assert_eq!(server.asked("P").len(), before + 1);
}

#[test]
fn an_image_that_came_from_there_goes_back_byte_by_byte() {
    let server = Server::new();
    let digest = server.put_image("1", &[layer(&[("a", 1000)])]);
    let world = World::new();
    let image = world.pull(&server.reference("app:1")).unwrap().image;
    let (pushed, states) = push(&world, &server, &image, "app:2");
    assert_eq!(pushed.unwrap().digest.as_str(), digest);
    assert_eq!(states, [PushState::Exists]);
    assert_eq!(server.asked("POST").len(), 0);
}

#[test]
fn a_neighbour_s_layer_is_mounted() {
    // In `other` nothing is there until it is mounted.
    let server = Server::with(|request| {
        let is_question = request.method == "HEAD" && request.path.starts_with("/v2/other/blobs/");
        is_question.then(|| Answer::status(404))
    });
    server.put_image("1", &[layer(&[("a", 1000)])]);
    let world = World::new();
    let image = world.pull(&server.reference("app:1")).unwrap().image;
    let (pushed, states) = push(&world, &server, &image, "other:1");
    pushed.unwrap();
    assert_eq!(states, [PushState::Mounted("app".into())]);
    let mounts = server.asked("POST /v2/other/blobs/uploads/?mount=");
    assert_eq!(mounts.len(), 1);
    assert!(mounts[0].path.contains("from=app"));
}

#[test]
fn a_broken_upload_goes_on_where_it_broke() {
    let asked = AtomicU32::new(0);
    let server = Server::with(move |request| {
        // The first stream is taken in part, and then the server has had enough.
        let first = request.method == "PATCH" && asked.fetch_add(1, Ordering::Relaxed) == 0;
        first.then(|| Answer::status(500))
    });
    let world = World::new();
    let image = image(&world, &[layer(&[("a", 3_000_000)])]);
    let (pushed, _) = push(&world, &server, &image, "app:1");
    pushed.unwrap();
    assert_eq!(server.asked("PATCH").len(), 2);
    World::new().pull(&server.reference("app:1")).unwrap();
}

#[test]
fn who_may_not_push_is_told_so() {
    let server = Server::with(|request| {
        let told = r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#;
        (request.method == "POST").then(|| Answer::status(403).body(told))
    });
    let world = World::new();
    let image = image(&world, &[layer(&[("a", 10)])]);
    let (pushed, _) = push(&world, &server, &image, "app:1");
    let told = pushed.unwrap_err().to_string();
    assert!(
        told.contains("denied: requested access to the resource is denied"),
        "{told}"
    );
}
