//! A real registry server: Debian's `docker-registry`, with other people's tools beside us.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use crate::server::Registry;
use crate::world::World;

fn ketch(world: &World, args: &[&str]) -> crate::world::Ran {
    world.ketch(Path::new("/"), args)
}

/// Another installation on the same host.
fn elsewhere(world: &World, args: &[&str]) -> crate::world::Ran {
    let data = world.root("data2");
    let run = world.root("run2");
    let roots = [
        "--root",
        data.to_str().unwrap(),
        "--run-root",
        run.to_str().unwrap(),
    ];
    ketch(world, &[&roots[..], args].concat())
}

fn log_in(world: &World, domain: &str, password: &str) -> std::process::Output {
    let mut child = world
        .ketch_command(
            Path::new("/"),
            &["login", "-u", "bob", "--password-stdin", domain],
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    use std::io::Write as _;
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(format!("{password}\n").as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// The value after `Digest: ` or `digest: `.
fn digest_in(text: &str) -> String {
    let at = text.find("sha256:").expect("a digest");
    text[at..at + 71].to_owned()
}

#[test]
fn a_guarded_registry_is_pushed_to_and_pulled_from() {
    let world = World::new();
    let registry = Registry::guarded(&world);
    let name = format!("{}/team/app:1", registry.domain);
    ketch(&world, &["image", "tag", "busybox", &name]).ok();

    let push = ketch(&world, &["image", "push", &name]).failed(1);
    let words = "tls: failed to verify certificate: x509: certificate signed by unknown authority";
    assert!(push.stderr.contains(words), "{}", push.stderr);
    registry.trust(&world);
    let push = ketch(&world, &["image", "push", &name]).failed(1);
    assert!(
        push.stderr.contains("no basic auth credentials"),
        "{}",
        push.stderr
    );

    let wrong = log_in(&world, &registry.domain, "wrong");
    assert_eq!(wrong.status.code(), Some(1));
    let told = String::from_utf8_lossy(&wrong.stderr);
    assert!(
        told.contains("failed with status: 401 Unauthorized"),
        "{told}"
    );
    assert!(!world.root("docker").join("config.json").exists());
    let login = log_in(&world, &registry.domain, "s3cret");
    assert_eq!(String::from_utf8_lossy(&login.stdout), "Login Succeeded\n");
    let told = String::from_utf8_lossy(&login.stderr);
    assert!(told.contains("stored unencrypted"), "{told}");

    let pushed = ketch(&world, &["image", "push", &name]).ok().stdout;
    let digest = digest_in(&pushed);
    let pulled = elsewhere(&world, &["image", "pull", &name]).ok().stdout;
    assert!(pulled.contains(&format!("Digest: {digest}")), "{pulled}");
    assert!(
        pulled.contains(&format!("Status: Downloaded newer image for {name}")),
        "{pulled}"
    );
    let again = elsewhere(&world, &["image", "pull", &name]).ok().stdout;
    assert!(again.contains("Status: Image is up to date"), "{again}");
    let pinned = format!("{}/team/app@{digest}", registry.domain);
    elsewhere(&world, &["image", "rm", "-f", &name]).ok();
    elsewhere(&world, &["image", "pull", "-q", &pinned]).ok();
    let inspected = elsewhere(&world, &["image", "inspect", &pinned])
        .ok()
        .stdout;
    assert!(inspected.contains(&pinned), "{inspected}");

    // What another client reads of it.
    let certificates = world.root("docker").join("certs.d").join(&registry.domain);
    let seen = world.run(
        "skopeo",
        &[
            "inspect",
            "--cert-dir",
            certificates.to_str().unwrap(),
            "--creds",
            "bob:s3cret",
            &format!("docker://{name}"),
        ],
    );
    let seen: serde_json::Value = serde_json::from_str(&seen.ok().stdout).unwrap();
    assert_eq!(seen["Digest"], digest.as_str());

    mended_from_there(&world, &pinned);

    let out = ketch(&world, &["logout", &registry.domain]).ok().stdout;
    assert_eq!(
        out,
        format!("Removing login credentials for {}\n", registry.domain)
    );
    let refused = elsewhere(&world, &["image", "pull", &format!("{name}2")]).failed(1);
    assert!(
        refused.stderr.contains("no basic auth credentials"),
        "{}",
        refused.stderr
    );
    drop(registry);
    world.assert_clean();
}

/// A layer that is damaged comes back from where it came.
fn mended_from_there(world: &World, pinned: &str) {
    let layer = fs::read_dir(world.root("data2").join("layers"))
        .unwrap()
        .next();
    let path = layer.unwrap().unwrap().path();
    fs::write(path.join("diff/bin/busybox"), "damaged").unwrap();
    elsewhere(world, &["system", "check"]).failed(1);
    let mended = elsewhere(world, &["system", "check", "--fix"]).ok();
    let words = format!("fetched again as {pinned}");
    assert!(mended.stderr.contains(&words), "{}", mended.stderr);
    let checked = elsewhere(world, &["system", "check"]).ok().stdout;
    assert_eq!(checked, "1 images, 1 layers: 0 damaged, 0 unused\n");
}

#[test]
fn what_ketch_built_goes_through_other_tools_and_comes_back_the_same() {
    let world = World::new();
    let registry = Registry::plain(&world);
    let name = format!("{}/built:1", registry.domain);
    let project = world.project(
        "app",
        &format!("services: {{one: {{build: ., image: '{name}'}}}}"),
    );
    project.write(
        "Dockerfile",
        "FROM busybox\nRUN echo hi >/hi; ln /hi /there; rm /root -r\n",
    );
    project.ketch(&["build", "--push"]).ok();
    let id = |text: &str| {
        let inspected: serde_json::Value = serde_json::from_str(text).unwrap();
        inspected[0]["Id"].as_str().unwrap().to_owned()
    };
    let ours = id(&ketch(&world, &["image", "inspect", &name]).ok().stdout);
    let source = format!("docker://{name}");
    for form in ["docker-archive", "oci-archive"] {
        let file = world.root(&format!("{form}.tar"));
        let target = format!("{form}:{}:{}", file.display(), "other.test/x:1");
        let copy = ["copy", "-q", "--src-tls-verify=false", &source, &target];
        world.run("skopeo", &copy).ok();
        let roots = world.root(form);
        let load = [
            "--root",
            roots.to_str().unwrap(),
            "image",
            "load",
            "-i",
            file.to_str().unwrap(),
        ];
        ketch(&world, &load).ok();
        let root = ["--root", roots.to_str().unwrap()];
        let back = ketch(
            &world,
            &[&root[..], &["image", "inspect", "other.test/x:1"]].concat(),
        );
        let theirs = id(&back.ok().stdout);
        // For the other form the tool writes the configuration anew.
        assert_eq!(theirs == ours, form == "docker-archive", "{form}");
        // From there it goes to the registry once more, as it was.
        let again = format!("{}/again/{form}:1", registry.domain);
        ketch(
            &world,
            &[&root[..], &["image", "tag", "other.test/x:1", &again]].concat(),
        )
        .ok();
        ketch(&world, &[&root[..], &["image", "push", &again]].concat()).ok();
        let pulled = elsewhere(&world, &["image", "pull", &again]).ok();
        assert!(pulled.stdout.contains("Digest: sha256:"));
        let there = elsewhere(&world, &["image", "inspect", &again]).ok().stdout;
        assert_eq!(id(&there), theirs, "{form}");
    }
    drop(project);
    drop(registry);
    world.assert_clean();
}

#[test]
fn up_pulls_what_is_missing_and_tells_what_it_can_t_have_at_its_place() {
    let world = World::new();
    let registry = Registry::plain(&world);
    let name = format!("{}/app:1", registry.domain);
    ketch(&world, &["image", "tag", "busybox", &name]).ok();
    ketch(&world, &["image", "push", "-q", &name]).ok();
    ketch(&world, &["image", "rm", &name]).ok();
    let project = world.project(
        "app",
        &format!("services:\n  one:\n    image: {name}\n    command: sleep inf\n"),
    );
    let never = project.ketch(&["up", "-d", "--pull", "never"]).failed(1);
    assert!(
        never.stderr.contains("compose.yaml:3:12"),
        "{}",
        never.stderr
    );
    let up = project.ketch(&["up", "-d"]).ok();
    assert!(
        up.stderr.contains(&format!("Image {name}  Pulled")),
        "{}",
        up.stderr
    );
    assert_eq!(project.exec("one", "echo here"), "here\n");
    // Nothing to do, and nothing asked for.
    let again = project.ketch(&["up", "-d"]).ok();
    assert!(!again.stderr.contains("Pull"), "{}", again.stderr);

    project.write(
        "compose.yaml",
        &format!(
            "services:\n  one:\n    image: {name}\n    command: sleep inf\n  two:\n    image: {}/nosuch:9\n",
            registry.domain
        ),
    );
    let up = project.ketch(&["up", "-d"]).failed(1);
    let words = format!(
        "manifest for {}/nosuch:9 not found: manifest unknown",
        registry.domain
    );
    assert!(up.stderr.contains(&words), "{}", up.stderr);
    assert!(up.stderr.contains("compose.yaml:6:12"), "{}", up.stderr);
    let pull = project.ketch(&["pull"]).failed(1);
    assert!(pull.stderr.contains(&words), "{}", pull.stderr);
    project.ketch(&["pull", "--ignore-pull-failures"]).ok();
    project.ketch(&["pull", "one"]).ok();

    project.write(
        "compose.yaml",
        &format!("services: {{one: {{image: '{name}'}}}}\n"),
    );
    let pinned = project.ketch(&["config", "--resolve-image-digests"]).ok();
    assert!(
        pinned.stdout.contains(&format!("image: {name}@sha256:")),
        "{}",
        pinned.stdout
    );

    let all = ["image", "pull", "-a", "-q"];
    let repository = format!("{}/app", registry.domain);
    let tags = elsewhere(&world, &[&all[..], &[&repository]].concat()).ok();
    assert_eq!(tags.stdout, format!("{name}\n"));
    elsewhere(&world, &[&all[..], &[&name]].concat()).failed(1);

    // A build begins with what it has to fetch.
    project.write(
        "compose.yaml",
        "services: {built: {build: ., command: cat /hi}}\n",
    );
    project.write("Dockerfile", &format!("FROM {name}\nRUN echo hi >/hi\n"));
    ketch(&world, &["image", "rm", "-f", &name]).ok();
    project.ketch(&["down"]).ok();
    let up = project.ketch(&["up"]).ok();
    assert!(up.stdout.contains("hi"), "{} {}", up.stdout, up.stderr);
    drop(project);
    drop(registry);
    world.assert_clean();
}
