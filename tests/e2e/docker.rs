//! ketch by the name of `docker`.

use std::path::PathBuf;

use crate::world::{Ran, World};

/// A link of that name, as a user would make it.
pub fn link(world: &World) -> PathBuf {
    let path = world.root("docker-face").join("docker");
    if !path.exists() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ketch"), &path).unwrap();
    }
    path
}

pub fn docker(world: &World, args: &[&str]) -> Ran {
    world.run(link(world).to_str().unwrap(), args)
}

#[test]
fn a_container_is_run_and_its_output_and_code_are_ours() {
    let world = World::new();
    let script = "echo out $A; echo err >&2; exit 7";
    let ran = docker(
        &world,
        &["run", "--rm", "-e", "A=$B", "busybox", "sh", "-c", script],
    );
    let said = (ran.code, ran.stdout.as_str(), ran.stderr.as_str());
    assert_eq!(said, (7, "out $B\n", "err\n"));
    // A hundred lines of a program that ends at once.
    let ran = docker(&world, &["run", "--rm", "busybox", "seq", "100"]).ok();
    assert_eq!(ran.stdout.lines().count(), 100);
    let missing = docker(&world, &["run", "--rm", "busybox", "nosuch"]).failed(127);
    assert!(
        missing.stderr.contains("executable file not found"),
        "{}",
        missing.stderr
    );
    let wrong = docker(&world, &["run", "--rm", "-p", "bad", "busybox"]).failed(125);
    assert!(
        wrong.stderr.contains("invalid containerPort: bad"),
        "{}",
        wrong.stderr
    );
    let never = docker(&world, &["run", "--pull", "never", "nosuch:1"]).failed(125);
    assert!(
        never.stderr.contains("No such image: nosuch:1"),
        "{}",
        never.stderr
    );
    let flags = docker(
        &world,
        &[
            "run",
            "--rm",
            "--user",
            "1000:1000",
            "--read-only",
            "--cap-drop",
            "ALL",
            "--hostname",
            "h",
            "--tmpfs",
            "/t",
            "-v",
            "/etc/hostname:/x:ro",
            "busybox",
            "sh",
            "-c",
            "id -u; hostname; touch /t/a; touch /b; grep CapEff /proc/self/status",
        ],
    );
    assert_eq!(
        flags.stdout, "1000\nh\nCapEff:\t0000000000000000\n",
        "{}",
        flags.stderr
    );
    assert_eq!(docker(&world, &["ps", "-aq"]).ok().stdout, "");
    world.assert_clean();
}

#[test]
fn a_container_lives_by_docker_s_verbs() {
    let world = World::new();
    let run = [
        "run",
        "-d",
        "--name",
        "web",
        "-p",
        "8080:80",
        "-v",
        "data:/data",
        "--label",
        "tier=front",
        "busybox",
        "httpd",
        "-f",
        "-h",
        "/data",
    ];
    let id = docker(&world, &run).ok().stdout;
    let id = id.trim();
    let write = "echo hello >/data/index.html";
    docker(&world, &["exec", "-i", "web", "sh", "-c", write]).ok();
    assert_eq!(world.get("http://127.0.0.1:8080/").stdout, "hello\n");
    let shape = "{{.ID}} {{.Names}} {{.Image}} {{.State}}";
    let ps = docker(&world, &["ps", "--no-trunc", "--format", shape])
        .ok()
        .stdout;
    assert_eq!(ps, format!("{id} web busybox running\n"));
    let ps = docker(
        &world,
        &["ps", "-q", "--filter", "label=tier=front", "-f", "name=we"],
    );
    assert_eq!(ps.ok().stdout, format!("{}\n", &id[..12]));
    assert_eq!(
        docker(&world, &["ps", "-q", "-f", "status=exited"])
            .ok()
            .stdout,
        ""
    );
    let port = docker(&world, &["port", "web", "80"]).ok().stdout;
    assert_eq!(port, "0.0.0.0:8080\n[::]:8080\n");
    let shape = "{{.Name}} {{.State.Running}} {{.HostConfig.NetworkMode}}";
    let inspected = docker(&world, &["inspect", "-f", shape, "web"]).ok().stdout;
    assert_eq!(inspected, "/web true bridge\n");
    let volume = docker(&world, &["inspect", "-f", "{{.Driver}}", "data"])
        .ok()
        .stdout;
    assert_eq!(volume, "local\n");
    docker(&world, &["inspect", "nosuch"]).failed(1);
    assert!(
        docker(&world, &["top", "web"])
            .ok()
            .stdout
            .contains("httpd")
    );
    let shape = "{{.Name}} {{.PIDs}} {{.MemUsage}}";
    let stats = docker(&world, &["stats", "--no-stream", "--format", shape, "web"]).ok();
    assert!(stats.stdout.starts_with("web 1 "), "{}", stats.stdout);
    docker(&world, &["rename", "web", "site"]).ok();
    docker(&world, &["pause", "site"]).ok();
    docker(&world, &["unpause", "site"]).ok();
    assert_eq!(
        docker(&world, &["stop", "-t", "0", "site"]).ok().stdout,
        "site\n"
    );
    assert_eq!(docker(&world, &["wait", "site"]).ok().stdout, "137\n");
    docker(&world, &["start", "site"]).ok();
    docker(&world, &["rm", "site"]).failed(1);
    docker(&world, &["rm", "-f", "site"]).ok();
    what_compose_made_is_listed_as_well(&world);
    world.assert_clean();
}

/// What scripts ask most.
#[test]
fn formats_are_go_s_templates() {
    let world = World::new();
    let run = [
        "run", "-d", "--name", "web", "-p", "8080:80", "-l", "a.b=c", "busybox", "sleep", "inf",
    ];
    let id = docker(&world, &run).ok().stdout;
    let shown = |args: &[&str]| docker(&world, args).ok().stdout;
    let address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = shown(&["inspect", "-f", address, "web"]);
    let own = shown(&["exec", "web", "hostname", "-i"]);
    assert_eq!(address, own);
    let port = r#"{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}"#;
    assert_eq!(shown(&["inspect", "-f", port, "web"]), "8080\n");
    let label = r#"{{index .Config.Labels "a.b"}}{{if .State.Health}} healthy{{end}}"#;
    assert_eq!(shown(&["inspect", "-f", label, "web"]), "c\n");
    let joined = "{{range $id, $it := .Containers}}{{$it.Name}} {{$id}}{{end}}";
    let joined = shown(&["network", "inspect", "-f", joined, "bridge"]);
    assert_eq!(joined, format!("web {id}"));
    let table = r"table {{.ID}}\t{{upper .Names}}";
    let table = shown(&["ps", "--format", table]);
    let lines: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split("   ").collect())
        .collect();
    assert_eq!(lines, [["CONTAINER ID", "NAMES"], [&id[..12], "WEB"]]);
    let wrong = docker(&world, &["inspect", "-f", "{{range .Mounts}}", "web"]).failed(1);
    assert!(
        wrong.stderr.contains("template parsing error"),
        "{}",
        wrong.stderr
    );
    docker(&world, &["rm", "-f", "web"]).ok();
    world.assert_clean();
}

fn what_compose_made_is_listed_as_well(world: &World) {
    let project = world.project("app", "services: {a: {image: busybox, command: sleep inf}}");
    let face = link(world);
    let mut up = world.command(face.to_str().unwrap(), &["compose", "up", "-d"]);
    assert!(
        up.current_dir(&project.directory)
            .status()
            .unwrap()
            .success()
    );
    let ps = docker(world, &["ps", "--format", "{{.Names}}"]).ok().stdout;
    assert_eq!(ps, "app-a-1\n");
}

#[test]
fn images_are_built_and_listed_under_docker_s_names() {
    let world = World::new();
    let project = world.project("context", "services: {}");
    project.write(
        "Dockerfile",
        "FROM busybox\nARG A\nRUN echo $A >/a\nCMD cat /a\n",
    );
    let path = project.directory.to_str().unwrap();
    docker(
        &world,
        &["build", "-t", "mine:1", "--build-arg", "A=built", path],
    )
    .ok();
    let id = docker(
        &world,
        &[
            "build",
            "-q",
            "-t",
            "mine:2",
            "--build-arg",
            "A=built",
            path,
        ],
    )
    .ok();
    assert!(id.stdout.starts_with("sha256:"), "{}", id.stdout);
    assert_eq!(
        docker(&world, &["run", "--rm", "mine:1"]).ok().stdout,
        "built\n"
    );
    let images = docker(
        &world,
        &["images", "--format", "{{.Repository}}:{{.Tag}}", "mine"],
    );
    assert_eq!(images.ok().stdout, "mine:1\nmine:2\n");
    docker(&world, &["tag", "mine:1", "mine:3"]).ok();
    let removed = docker(&world, &["rmi", "mine:1", "mine:2", "mine:3"])
        .ok()
        .stdout;
    assert!(
        removed.contains("Untagged: mine:3\nDeleted: sha256:"),
        "{removed}"
    );
    let failing = docker(&world, &["build", "-f", "/nosuch", path]);
    assert_ne!(failing.code, 0);
    docker(&world, &["-H", "tcp://other", "ps"]).failed(1);
    let unknown = docker(&world, &["swarm", "init"]).failed(1);
    assert!(
        unknown.stderr.contains("docker swarm"),
        "{}",
        unknown.stderr
    );
    drop(project);
    world.assert_clean();
}
