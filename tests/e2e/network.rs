//! Names, published ports and isolation, from every side.

use std::process::Stdio;

use crate::world::{Project, World, eventually};

/// A web server that answers `hello` on port 80.
const WEB: &str = "services:\n  web:\n    image: busybox\n    \
    command: sh -c 'mkdir /www && echo hello >/www/index.html && exec httpd -f -p 80 -h /www'\n    \
    ports: ['8080:80']\n  other: {image: busybox, command: sleep inf}\n";

fn serving(project: &Project<'_>) {
    project.ketch(&["up", "-d"]).ok();
    eventually("the web server answers", || {
        project.world.get("http://127.0.0.1:8080/").code == 0
    });
}

#[test]
fn a_published_port_answers_on_every_address_of_the_host() {
    let world = World::new();
    let project = world.project("app", WEB);
    world
        .run("ip", &["address", "add", "198.51.100.7/24", "dev", "lo"])
        .ok();
    serving(&project);
    for host in ["localhost", "127.0.0.1", "[::1]", "198.51.100.7"] {
        let answer = world.get(&format!("http://{host}:8080/"));
        assert_eq!(answer.stdout, "hello\n", "{host}: {}", answer.stderr);
    }
}

#[test]
fn a_published_port_answers_to_another_host() {
    let world = World::new();
    let outside = format!("{}-out", world.namespace());
    let project = world.project("app", WEB);
    let ip = |args: &[&str]| world.run("ip", args).ok();
    ip(&["netns", "add", &outside]);
    ip(&[
        "-n",
        &outside,
        "link",
        "add",
        "up0",
        "type",
        "veth",
        "peer",
        "name",
        "lan0",
        "netns",
        world.namespace(),
    ]);
    ip(&[
        "-n",
        &outside,
        "address",
        "add",
        "203.0.113.2/24",
        "dev",
        "up0",
    ]);
    ip(&["-n", &outside, "link", "set", "up0", "up"]);
    ip(&["address", "add", "203.0.113.1/24", "dev", "lan0"]);
    ip(&["link", "set", "lan0", "up"]);
    serving(&project);
    let answer = world.run(
        "ip",
        &[
            "netns",
            "exec",
            &outside,
            "curl",
            "-s",
            "--max-time",
            "5",
            "http://203.0.113.1:8080/",
        ],
    );
    let address = project.exec("web", "hostname -i");
    ip(&[
        "-n",
        &outside,
        "route",
        "add",
        "172.16.0.0/12",
        "via",
        "203.0.113.1",
    ]);
    // The container's own address is nobody's business outside.
    let direct = format!("http://{}:80/", address.trim());
    let direct = world.run(
        "ip",
        &[
            "netns",
            "exec",
            &outside,
            "curl",
            "-s",
            "--max-time",
            "1",
            &direct,
        ],
    );
    ip(&["netns", "delete", &outside]);
    assert_eq!(answer.stdout, "hello\n", "{}", answer.stderr);
    assert_ne!(direct.code, 0, "{}", direct.stdout);
}

#[test]
fn a_published_port_answers_to_containers_too() {
    let world = World::new();
    let project = world.project("app", WEB);
    serving(&project);
    world
        .run("ip", &["address", "add", "198.51.100.7/24", "dev", "lo"])
        .ok();
    for from in ["other", "web"] {
        assert_eq!(
            project.exec(from, "timeout 5 wget -q -O - http://198.51.100.7:8080/"),
            "hello\n",
            "from {from}"
        );
    }
    let stranger = world.project(
        "stranger",
        "services: {one: {image: busybox, command: sleep inf}}",
    );
    stranger.ketch(&["up", "-d"]).ok();
    assert_eq!(
        stranger.exec("one", "timeout 5 wget -q -O - http://198.51.100.7:8080/"),
        "hello\n"
    );
}

#[test]
fn names_and_aliases_resolve_within_the_project_only() {
    let world = World::new();
    let project = world.project(
        "app",
        "services:\n  web: {image: busybox, command: sleep inf}\n  db:\n    image: busybox\n    command: sleep inf\n    \
         networks: {default: {aliases: [database]}}\n",
    );
    let stranger = world.project(
        "stranger",
        "services: {one: {image: busybox, command: sleep inf}}",
    );
    project.ketch(&["up", "-d"]).ok();
    stranger.ketch(&["up", "-d"]).ok();
    let address = project.exec("db", "hostname -i").trim().to_owned();
    for name in ["db", "database", "app-db-1", "DB"] {
        let answer = project.exec("web", &format!("nslookup {name} 127.0.0.11"));
        assert!(answer.contains(&address), "{name}: {answer}");
    }
    assert!(
        stranger
            .exec("one", "nslookup db 127.0.0.11 || true")
            .find(&address)
            .is_none()
    );
    // Neither name nor address reaches a container of another project.
    project.exec("db", "nc -l -p 5432 -e echo reached >/dev/null 2>&1 &");
    assert_ne!(
        stranger
            .ketch(&["exec", "-T", "one", "nc", "-w", "1", &address, "5432"])
            .stdout,
        "reached\n"
    );
    let refused = stranger.ketch(&["exec", "-T", "one", "ping", "-c", "1", "-W", "1", &address]);
    assert_ne!(refused.code, 0, "{}", refused.stdout);
    let reached = project.ketch(&["exec", "-T", "web", "ping", "-c", "1", "-W", "1", &address]);
    assert_eq!(reached.code, 0, "{}", reached.stdout);
}

#[test]
fn outside_names_are_forwarded_to_the_host_s_servers() {
    let world = World::new();
    let project = world.project(
        "app",
        "services: {one: {image: busybox, command: sleep inf}}",
    );
    project.ketch(&["up", "-d"]).ok();
    // No server answers in this world: the resolver says so itself, quickly, and keeps running.
    let answer = project.ketch(&[
        "exec",
        "-T",
        "one",
        "nslookup",
        "outside.example",
        "127.0.0.11",
    ]);
    assert_ne!(answer.code, 0);
    assert!(
        project
            .exec("one", "nslookup one 127.0.0.11")
            .contains("Address")
    );
}

#[test]
fn a_recreated_container_keeps_its_address() {
    let world = World::new();
    let project = world.project("app", WEB);
    serving(&project);
    let before = project.exec("web", "hostname -i");
    project
        .ketch(&["up", "-d", "--force-recreate", "-t", "0"])
        .ok();
    assert_eq!(project.exec("web", "hostname -i"), before);
}

#[test]
fn an_internal_network_has_no_way_out() {
    let world = World::new();
    let project = world.project(
        "app",
        "services: {one: {image: busybox, command: sleep inf, networks: [inside]}}\nnetworks: {inside: {internal: true}}\n",
    );
    project.ketch(&["up", "-d"]).ok();
    assert!(!project.exec("one", "ip route").contains("default"));
}

#[test]
fn network_modes_host_none_and_service() {
    let world = World::new();
    let project = world.project(
        "app",
        "services:\n  host: {image: busybox, command: sleep inf, network_mode: host}\n  \
         none: {image: busybox, command: sleep inf, network_mode: none}\n  base: {image: busybox, command: sleep inf}\n  \
         joined: {image: busybox, command: sleep inf, network_mode: 'service:base'}\n",
    );
    project.ketch(&["up", "-d"]).ok();
    assert!(project.exec("host", "ip link").contains("br-"));
    assert_eq!(project.exec("none", "ls /sys/class/net").trim(), "lo");
    assert_eq!(
        project.exec("joined", "hostname -i"),
        project.exec("base", "hostname -i")
    );
}

#[test]
fn many_connections_through_the_published_port() {
    let world = World::new();
    let project = world.project("app", WEB);
    serving(&project);
    let mut children: Vec<_> = (0..50)
        .map(|number| {
            let host = if number % 2 == 0 {
                "127.0.0.1"
            } else {
                "[::1]"
            };
            let address = format!("http://{host}:8080/");
            world
                .command("curl", &["-s", "-g", "--max-time", "10", &address])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children.drain(..) {
        assert_eq!(child.wait_with_output().unwrap().stdout, b"hello\n");
    }
}
