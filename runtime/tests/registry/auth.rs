//! Proofs: passwords, tokens, their end, and where they must not go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ketch_runtime::error::ErrorKind;
use ketch_runtime::registry::credentials::{ConfigFile, Credentials};

use super::pretended::{Answer, Server, World, layer};

fn bob() -> Credentials {
    Credentials::Password {
        user: "bob".into(),
        password: "s3".into(),
    }
}

/// `bob:s3`.
const BASIC: &str = "Basic Ym9iOnMz";

fn log_in(world: &World, server: &Server, credentials: &Credentials) {
    let mut file = ConfigFile::read(world.settings.user.as_ref().unwrap()).unwrap();
    let domain = server.reference("x").domain;
    file.store(&domain, credentials).unwrap();
}

#[test]
fn a_password_is_asked_for_and_sent() {
    let server = Server::with(|request| {
        let challenge = || Answer::status(401).with("www-authenticate", "Basic realm=\"r\"");
        (request.header("authorization") != Some(BASIC)).then(challenge)
    });
    server.put_image("1", &[layer(&[("f", 10)])]);
    let world = World::new();
    let reference = server.reference("app:1");
    assert_eq!(world.pull_error(&reference), "no basic auth credentials");
    let wrong = Credentials::Password {
        user: "bob".into(),
        password: "wrong".into(),
    };
    log_in(&world, &server, &wrong);
    let error = world.pull(&reference).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    log_in(&world, &server, &bob());
    world.pull(&reference).unwrap();
}

#[test]
fn a_login_is_proven_before_it_is_kept() {
    let server = Server::with(|request| {
        let challenge = || Answer::status(401).with("www-authenticate", "Basic realm=\"r\"");
        (request.header("authorization") != Some(BASIC)).then(challenge)
    });
    let world = World::new();
    let domain = server.reference("x").domain;
    let registries = world.registries();
    assert_eq!(registries.login(&domain, &bob()).unwrap(), bob());
    let wrong = Credentials::Password {
        user: "bob".into(),
        password: "wrong".into(),
    };
    assert_eq!(
        registries.login(&domain, &wrong).unwrap_err().to_string(),
        format!("login attempt to http://{domain}/v2/ failed with status: 401 Unauthorized")
    );
}

/// A registry that wants tokens, which its own `/token` gives; each is good for `uses` requests.
fn with_tokens(uses: u32) -> Server {
    let port = Arc::new(AtomicU32::new(0));
    let told = Arc::clone(&port);
    let given = AtomicU32::new(0);
    let used = AtomicU32::new(0);
    let server = Server::with(move |request| {
        if request.path.starts_with("/token") {
            if request
                .header("authorization")
                .is_some_and(|it| it != BASIC)
            {
                let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"incorrect username or password"}]}"#;
                return Some(Answer::status(401).body(body));
            }
            used.store(0, Ordering::Relaxed);
            let number = given.fetch_add(1, Ordering::Relaxed) + 1;
            let refresh = match request.path.contains("offline_token=true") {
                true => r#", "refresh_token": "again""#,
                false => "",
            };
            let body = format!(r#"{{"token": "t{number}", "expires_in": 300{refresh}}}"#);
            return Some(Answer::status(200).body(body));
        }
        let current = format!("Bearer t{}", given.load(Ordering::Relaxed));
        let is_good = request.header("authorization") == Some(&current)
            && used.fetch_add(1, Ordering::Relaxed) < uses;
        (!is_good).then(|| {
            let port = told.load(Ordering::Relaxed);
            let challenge = format!(
                "Bearer realm=\"http://127.0.0.1:{port}/token\",service=\"s\",error=\"invalid_token\""
            );
            Answer::status(401).with("www-authenticate", challenge)
        })
    });
    port.store(u32::from(server.port), Ordering::Relaxed);
    server
}

#[test]
fn tokens_are_fetched_for_their_scope_and_kept() {
    let server = with_tokens(1000);
    server.put_image("1", &[layer(&[("f", 10)]), layer(&[("g", 10)])]);
    let world = World::new();
    world.pull(&server.reference("team/app:1")).unwrap();
    let asked = server.asked("GET /token");
    assert_eq!(asked.len(), 1);
    assert!(asked[0].path.contains("service=s"), "{}", asked[0].path);
    assert!(
        asked[0]
            .path
            .contains("scope=repository%3Ateam%2Fapp%3Apull")
    );
    assert!(asked[0].header("authorization").is_none());
}

#[test]
fn a_token_that_ends_in_the_middle_is_renewed() {
    let server = with_tokens(2);
    let layers: Vec<_> = (0..4).map(|it| layer(&[(&format!("f{it}"), 10)])).collect();
    server.put_image("1", &layers);
    let mut world = World::new();
    // One at a time: two at once would end each other's tokens.
    world.settings.limits.parallel = 1;
    world.pull(&server.reference("app:1")).unwrap();
    assert!(server.asked("GET /token").len() >= 3);
}

#[test]
fn a_login_at_a_token_server_keeps_its_refresh_token() {
    let server = with_tokens(1000);
    let world = World::new();
    let domain = server.reference("x").domain;
    let kept = world.registries().login(&domain, &bob()).unwrap();
    assert_eq!(kept, Credentials::Identity("again".into()));
    log_in(&world, &server, &kept);
    server.put_image("1", &[layer(&[("f", 10)])]);
    world.pull(&server.reference("app:1")).unwrap();
    let form = String::from_utf8(server.asked("POST /token")[0].body.clone()).unwrap();
    assert!(form.contains("grant_type=refresh_token") && form.contains("refresh_token=again"));
    let wrong = Credentials::Password {
        user: "bob".into(),
        password: "wrong".into(),
    };
    let told = world.registries().login(&domain, &wrong).unwrap_err();
    assert!(
        told.to_string().contains("incorrect username or password"),
        "{told}"
    );
    assert!(!told.to_string().contains("account=bob"), "{told}");
}

#[test]
fn another_host_gets_the_request_but_not_the_proof() {
    let storage = Arc::new(Server::new());
    let port = storage.port;
    let server = Server::with(move |request| {
        if request.header("authorization") != Some(BASIC) {
            return Some(Answer::status(401).with("www-authenticate", "Basic realm=\"r\""));
        }
        let is_blob = request.method == "GET" && request.path.contains("/blobs/");
        let location = format!("http://localhost:{port}{}", request.path);
        is_blob.then(|| Answer::status(307).with("location", location))
    });
    let archive = layer(&[("f", 10_000)]);
    server.put_image("1", std::slice::from_ref(&archive));
    storage.put_image("1", &[archive]);
    let world = World::new();
    log_in(&world, &server, &bob());
    world.pull(&server.reference("app:1")).unwrap();
    let asked = storage.asked("GET /v2/app/blobs");
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|it| it.header("authorization").is_none()));
}

#[test]
fn a_circle_of_redirects_ends() {
    let server = Server::with(|request| {
        let is_blob = request.path.contains("/blobs/");
        is_blob.then(|| Answer::status(302).with("location", request.path.clone()))
    });
    server.put_image("1", &[layer(&[("f", 10)])]);
    let told = World::new().pull_error(&server.reference("app:1"));
    assert!(told.contains("stopped after 10 redirects"), "{told}");
    assert_eq!(server.asked("GET /v2/app/blobs").len(), 11);
}

#[test]
fn a_helper_is_asked_where_the_file_names_one() {
    use std::os::unix::fs::PermissionsExt as _;
    // Found through PATH, which is this process's: the name is this test's own.
    let server = Server::with(|request| {
        let challenge = || Answer::status(401).with("www-authenticate", "Basic realm=\"r\"");
        (request.header("authorization") != Some(BASIC)).then(challenge)
    });
    server.put_image("1", &[layer(&[("f", 10)])]);
    let world = World::new();
    let user = world.settings.user.clone().unwrap();
    std::fs::create_dir(&user).unwrap();
    let file = r#"{"credsStore": "no-such-helper-of-ketch"}"#;
    std::fs::write(user.join("config.json"), file).unwrap();
    let told = world.pull_error(&server.reference("app:1"));
    assert!(
        told.starts_with("docker-credential-no-such-helper-of-ketch get"),
        "{told}"
    );
    let mode = user.metadata().unwrap().permissions().mode();
    assert_ne!(mode, 0);
}
