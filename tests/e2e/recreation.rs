//! A service that is made anew keeps its address: whoever has looked it up once, and never again,
//! goes on reaching it.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::world::{World, eventually, run};

const COMPOSE: &str = "\
services:
  proxy:
    image: nginx
    command: [nginx, -g, daemon off;]
    ports: ['8080:80']
    tmpfs: /run
    # Its packages are unpacked, not installed: nobody is known yet.
    volumes: ['./nginx.conf:/etc/nginx/nginx.conf:ro', './passwd:/etc/passwd:ro', './group:/etc/group:ro']
    depends_on: {web: {condition: service_healthy}}
  web:
    image: busybox
    command: sh -c 'hostname >/tmp/index.html; exec httpd -f -p 8000 -h /tmp'
    healthcheck: {test: wget -q -O /dev/null http://127.0.0.1:8000/, interval: 1s, start_period: 5s, start_interval: 50ms}
";

/// As anybody would write it: no `resolver`, no variable in `proxy_pass`.
const NGINX: &str = "\
user root;
events {}
http {
    access_log off;
    server {
        listen 80;
        location / { proxy_pass http://web:8000; }
    }
}
";

#[test]
fn a_proxy_in_front_of_a_service_that_is_made_anew_never_loses_it() {
    let rounds: u32 = std::env::var("KETCH_RECREATIONS").map_or(10, |text| {
        text.parse().expect("KETCH_RECREATIONS is a number")
    });
    let world = World::new();
    let project = world.project("app", COMPOSE);
    project.write("nginx.conf", NGINX);
    project.write("passwd", "root:x:0:0::/:/bin/false\n");
    project.write("group", "root:x:0:\n");
    project
        .ketch(&["image", "import", nginx().to_str().unwrap(), "nginx"])
        .ok();
    project.ketch(&["up", "-d", "--wait"]).ok();
    let address = "http://127.0.0.1:8080/";
    eventually("nginx listens", || world.get(address).code == 0);
    let own = project.exec("web", "hostname -i");
    let mut before = String::new();
    for round in 1..=rounds {
        project
            .ketch(&["up", "-d", "--wait", "--force-recreate", "web"])
            .ok();
        let answer = world.get(address);
        assert_eq!(answer.code, 0, "round {round}: {answer:?}");
        let id = project.id("web");
        assert_eq!(answer.stdout.trim_end(), &id[..12], "round {round}");
        assert_ne!(id, before, "round {round}");
        assert_eq!(project.exec("web", "hostname -i"), own, "round {round}");
        before = id;
    }
    eprintln!("{rounds} recreations, no answer lost, always at {own}");
    project.ketch(&["down", "-v", "-t", "0"]).ok();
    world.assert_clean();
}

/// A tar of Debian's nginx and the libraries that it needs, made once with this machine's own apt
/// configuration.
fn nginx() -> &'static Path {
    static TAR: OnceLock<PathBuf> = OnceLock::new();
    TAR.get_or_init(|| {
        let unfinished = format!("nginx-{}.tar", std::process::id());
        let unfinished = Path::new(env!("CARGO_TARGET_TMPDIR")).join(unfinished);
        let sources = [
            "/etc/apt/sources.list.d/debian.sources",
            "/etc/apt/sources.list",
        ]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .expect("a Debian machine");
        run(
            "mmdebstrap",
            &[
                "--quiet",
                "--mode=root",
                "--variant=extract",
                "--include=nginx-light",
                "--format=tar",
                "--aptopt=Apt::Install-Recommends \"false\"",
                "bookworm",
                unfinished.to_str().unwrap(),
                sources,
            ],
        );
        let tar = unfinished.with_file_name("nginx.tar");
        std::fs::rename(unfinished, &tar).unwrap();
        tar
    })
}
