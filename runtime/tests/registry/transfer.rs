//! Transfers that break, stall, lie, and are refused for a while.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::pretended::{Answer, Request, Server, World, gzip, layer, ranged};

/// A server of one image, whose only layer is answered by the hook: bytes, and how often it was
/// asked before.
fn server(
    size: usize,
    hook: impl Fn(&Request, &[u8], u32) -> Answer + Send + Sync + 'static,
) -> Server {
    let plain = layer(&[("f", size)]);
    let bytes = gzip(&plain);
    let digest = ketch_runtime::content::digest::Digest::of(&bytes).to_string();
    let asked = AtomicU32::new(0);
    let server = Server::with(move |request| {
        let is_layer = request.method == "GET" && request.path.ends_with(&digest);
        is_layer.then(|| hook(request, &bytes, asked.fetch_add(1, Ordering::Relaxed)))
    });
    server.put_image("1", &[plain]);
    server
}

fn layer_requests(server: &Server) -> Vec<Request> {
    let largest = |requests: Vec<Request>| {
        let mut requests = requests;
        // The configuration is the other blob.
        let first = requests.remove(0);
        requests.retain(|it| it.path != first.path);
        requests
    };
    largest(server.asked("GET /v2/app/blobs"))
}

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    let server = server(2_000_000, |request, bytes, _| Answer {
        cut_after: Some(700_000),
        claimed_length: Some(bytes.len() - range_start(request)),
        ..ranged(request, bytes)
    });
    let world = World::new();
    world.pull(&server.reference("app:1")).unwrap();
    let requests = layer_requests(&server);
    let ranges: Vec<_> = requests.iter().map(|it| it.header("range")).collect();
    assert!(ranges.len() >= 3 && ranges[0].is_none(), "{ranges:?}");
    assert!(
        ranges[1..]
            .iter()
            .all(|range| range.is_some_and(|it| it != "bytes=0-"))
    );
}

fn range_start(request: &Request) -> usize {
    let range = request
        .header("range")
        .and_then(|it| it.strip_prefix("bytes="));
    range.map_or(0, |it| it.trim_end_matches('-').parse().unwrap())
}

#[test]
fn a_server_that_knows_no_ranges_sends_all_again() {
    // The second time it breaks before there is anything new.
    let server = server(600_000, |_, bytes, asked| Answer {
        cut_after: [400_000, 200_000, 500_000].into_iter().nth(asked as usize),
        ..Answer::status(200).body(bytes)
    });
    let world = World::new();
    world.pull(&server.reference("app:1")).unwrap();
    assert_eq!(layer_requests(&server).len(), 4);
}

#[test]
fn another_part_than_was_asked_for_is_refused() {
    let server = server(600_000, |_, bytes, asked| match asked {
        0 | 2 => Answer {
            cut_after: Some(400_000),
            ..Answer::status(200).body(bytes)
        },
        _ => Answer::status(206)
            .with("content-range", "bytes 7-9/10")
            .body(&bytes[7..]),
    });
    let told = World::new().pull_error(&server.reference("app:1"));
    assert!(told.contains("another part"), "{told}");
}

#[test]
fn a_connection_that_never_holds_is_given_up() {
    let server = server(600_000, |request, bytes, _| Answer {
        cut_after: Some(10),
        ..ranged(request, bytes)
    });
    let world = World::new();
    let told = world.pull_error(&server.reference("app:1"));
    assert!(told.starts_with("layer "), "{told}");
    assert_eq!(layer_requests(&server).len(), 4, "{told}");
    assert_eq!(world.layers(), 0);
}

#[test]
fn wrong_bytes_are_fetched_once_more_and_then_refused() {
    let wrong = |_: &Request, bytes: &[u8], _| {
        let mut bytes = bytes.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        Answer::status(200).body(bytes)
    };
    let told = {
        let server = server(100_000, wrong);
        let world = World::new();
        let told = world.pull_error(&server.reference("app:1"));
        assert_eq!(world.layers(), 0);
        assert_eq!(layer_requests(&server).len(), 2);
        told
    };
    assert!(
        told.contains("filesystem layer verification failed for digest sha256:"),
        "{told}"
    );
    // Once wrong, then right.
    let server = server(100_000, move |request, bytes, asked| match asked {
        0 => wrong(request, bytes, 0),
        _ => Answer::status(200).body(bytes),
    });
    World::new().pull(&server.reference("app:1")).unwrap();
}

#[test]
fn a_blob_is_as_long_as_its_manifest_says() {
    for longer in [true, false] {
        let server = server(50_000, move |_, bytes, _| {
            let mut bytes = bytes.to_vec();
            match longer {
                true => bytes.extend_from_slice(b"more"),
                false => bytes.truncate(bytes.len() - 4),
            }
            Answer::status(200).body(bytes)
        });
        let world = World::new();
        let told = world.pull_error(&server.reference("app:1"));
        let expected = match longer {
            true => "is longer than its manifest says",
            false => "unexpected EOF",
        };
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    for status in [429, 500, 502, 503, 504, 408] {
        let server = server(1000, move |_, bytes, asked| match asked {
            0 | 1 => Answer::status(status).with("retry-after", "0"),
            _ => Answer::status(200).body(bytes),
        });
        World::new().pull(&server.reference("app:1")).unwrap();
    }
}

#[test]
fn a_limit_is_explained() {
    let server = server(1000, |_, _, _| {
        Answer::status(429).body(
            r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit"}]}"#,
        )
    });
    let world = World::new();
    let told = world.pull_error(&server.reference("app:1"));
    assert!(
        told.contains("You have reached your pull rate limit"),
        "{told}"
    );
    assert!(told.contains("ketch login"), "{told}");
    assert_eq!(layer_requests(&server).len(), 4);
    // Nobody waits for an hour.
    let server = self::server(1000, |_, _, _| {
        Answer::status(503).with("retry-after", "3600")
    });
    let told = world.pull_error(&server.reference("app:1"));
    assert!(told.contains("asks to wait 3600 s"), "{told}");
}

#[test]
fn a_trickle_is_no_transfer() {
    let server = server(200_000, |request, bytes, _| Answer {
        drip: Some(Duration::from_millis(20)),
        ..ranged(request, bytes)
    });
    let told = World::new().pull_error(&server.reference("app:1"));
    assert!(told.contains("too slow"), "{told}");
}

#[test]
fn silence_is_not_waited_for_for_ever() {
    let server = server(1000, |_, bytes, _| Answer {
        claimed_length: Some(bytes.len() * 2),
        delay: Duration::from_millis(1200),
        ..Answer::status(200).body(bytes)
    });
    let told = World::new().pull_error(&server.reference("app:1"));
    assert!(told.contains("timeout awaiting response headers"), "{told}");
}

#[test]
fn who_gives_up_is_gone_at_once() {
    let server = server(1000, |_, bytes, _| Answer {
        delay: Duration::from_secs(2),
        ..Answer::status(200).body(bytes)
    });
    let world = World::new();
    let cancel = ketch_runtime::cancel::Cancel::new().unwrap();
    let registries =
        ketch_runtime::registry::Registries::new(world.settings.clone(), Some(cancel.clone()))
            .unwrap();
    let begun = std::time::Instant::now();
    let error = registries
        .pull(&world.roots, &server.reference("app:1"), None, &|_, _| {
            cancel.cancel();
        })
        .unwrap_err();
    assert_eq!(error.kind(), ketch_runtime::error::ErrorKind::Cancelled);
    assert!(begun.elapsed() < Duration::from_secs(2));
    world.assert_nothing_unfinished();
}

#[test]
fn what_came_before_a_failure_need_not_come_again() {
    let plain: Vec<_> = (0..3)
        .map(|number| layer(&[(&format!("f{number}"), 5000 + number)]))
        .collect();
    let last = ketch_runtime::content::digest::Digest::of(&gzip(&plain[2])).to_string();
    let asked = AtomicU32::new(0);
    let server = Server::with(move |request| {
        let is_last = request.method == "GET" && request.path.ends_with(&last);
        (is_last && asked.fetch_add(1, Ordering::Relaxed) == 0).then(|| Answer::status(404))
    });
    server.put_image("1", &plain);
    let mut world = World::new();
    world.settings.limits.parallel = 1;
    world.pull_error(&server.reference("app:1"));
    assert_eq!(world.layers(), 2);
    world.pull(&server.reference("app:1")).unwrap();
    assert_eq!(world.layers(), 3);
    // Two configurations, two layers once, the last one twice.
    assert_eq!(server.asked("GET /v2/app/blobs").len(), 2 + 2 + 2);
}
