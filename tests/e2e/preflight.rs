//! Preflight: whatever would stop `up` half way is told at once, and nothing has been made.

use std::process::Child;

use crate::world::{Project, World, eventually};

/// Another program that has a port of this world's host.
struct Holder(Child);

impl Holder {
    fn of(world: &World, port: u16) -> Self {
        let child = world
            .command("busybox", &["nc", "-l", "-p", &port.to_string()])
            .spawn()
            .unwrap();
        let holder = Self(child);
        eventually("the port is taken", || {
            let listening = world.run("ss", &["-ltn"]).stdout;
            listening.contains(&format!(":{port}"))
        });
        holder
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// The command fails with all of these words, and has made nothing.
#[track_caller]
fn refused(project: &Project<'_>, args: &[&str], words: &[&str]) {
    let ran = project.ketch(args).failed(1);
    for word in words {
        assert!(ran.stderr.contains(word), "no {word:?} in:\n{}", ran.stderr);
    }
    assert!(project.ps().is_empty(), "a container was made");
    let networks = project.ketch(&["network", "ls"]).ok().stdout;
    assert!(!networks.contains("app_default"), "{networks}");
}

#[test]
fn a_taken_port_is_told_with_program_and_service_before_anything_is_made() {
    let world = World::new();
    let project = world.project(
        "app",
        "services:\n  web:\n    image: busybox\n    command: sleep inf\n    ports: ['8080:80']\n",
    );
    let holder = Holder::of(&world, 8080);
    let pid = format!("(pid {})", holder.0.id());
    refused(
        &project,
        &["up", "-d"],
        &[
            "compose.yaml:5:13",
            "service \"web\": failed to bind host port 0.0.0.0:8080/tcp: address already in use by",
            &pid,
        ],
    );
    drop(holder);
    project.ketch(&["up", "-d"]).ok();
}

#[test]
fn three_conflicts_of_one_file_are_told_at_once() {
    let world = World::new();
    let shop = world.project(
        "shop",
        "services: {api: {image: busybox, command: sleep inf, ports: ['9000:80']}}",
    );
    shop.ketch(&["up", "-d"]).ok();
    let _holder = Holder::of(&world, 8080);
    let project = world.project(
        "app",
        "services:\n  a:\n    image: busybox\n    ports: ['8080:80']\n  b:\n    image: busybox\n    ports: ['9000:80', '7000:80']\n  \
         c:\n    image: busybox\n    ports: ['7000:81']\n  d:\n    image: nosuch\n    pull_policy: never\n    volumes:\n      \
         - {type: bind, source: ./none, target: /data, bind: {create_host_path: false}}\n",
    );
    refused(
        &project,
        &["up", "-d"],
        &[
            "compose.yaml:4:13",
            "service \"a\": failed to bind host port 0.0.0.0:8080/tcp: address already in use by",
            "compose.yaml:7:13",
            "service \"b\": Bind for 0.0.0.0:9000 failed: port is already allocated by container shop-api-1 (project \"shop\", service \"api\")",
            "compose.yaml:10:13",
            "service \"c\": Bind for 0.0.0.0:7000 failed: port is already allocated by service \"b\"",
            "compose.yaml:12:12",
            "image nosuch is not here",
            "compose.yaml:15:9",
            "bind source path does not exist",
        ],
    );
}

#[test]
fn a_name_and_a_subnet_of_another_project_are_told_before_anything_is_made() {
    let world = World::new();
    let compose = |subnet: &str| {
        format!(
            "services: {{one: {{image: busybox, command: sleep inf, container_name: fixed}}}}\n\
             networks: {{default: {{ipam: {{config: [{{subnet: {subnet}}}]}}}}}}\n"
        )
    };
    let shop = world.project("shop", &compose("10.77.0.0/16"));
    shop.ketch(&["up", "-d"]).ok();
    let project = world.project("app", &compose("10.77.1.0/24"));
    refused(
        &project,
        &["create"],
        &[
            "compose.yaml:1:",
            "The container name \"/fixed\" is already in use by container fixed (project \"shop\", service \"one\")",
            "compose.yaml:2:",
            "Pool overlaps with other one on this address space",
            "shop_default",
        ],
    );
}

#[test]
fn ports_of_what_is_replaced_are_free() {
    let world = World::new();
    let compose = |value: &str| {
        format!(
            "services: {{one: {{image: busybox, command: sleep inf, ports: ['8080:80'], environment: {{A: '{value}'}}}}}}"
        )
    };
    let project = world.project("app", &compose("1"));
    project.ketch(&["up", "-d"]).ok();
    project.ketch(&["up", "-d", "--force-recreate"]).ok();
    project.write("compose.yaml", &compose("2"));
    project.ketch(&["up", "-d"]).ok();
    assert_eq!(project.exec("one", "echo $A"), "2\n");
}

#[test]
fn start_tells_of_a_port_that_was_taken_meanwhile() {
    let world = World::new();
    let project = world.project(
        "app",
        "services:\n  web: {image: busybox, command: sleep inf, ports: ['8080:80']}\n  \
         other: {image: busybox, command: sleep inf}\n",
    );
    project.ketch(&["up", "-d"]).ok();
    project.ketch(&["stop", "-t", "0"]).ok();
    let _holder = Holder::of(&world, 8080);
    let start = project.ketch(&["start"]).failed(1);
    assert!(
        start
            .stderr
            .contains("service \"web\": failed to bind host port 0.0.0.0:8080/tcp"),
        "{}",
        start.stderr
    );
    let started = project.ps().iter().any(|row| row["State"] == "running");
    assert!(!started, "nothing starts when not all can");
}

/// Runs `ketch up -d` after a script has hidden something in a mount namespace of its own.
fn up_without(project: &Project<'_>, hide: &str) -> crate::world::Ran {
    let ketch = env!("CARGO_BIN_EXE_ketch");
    let directory = project.directory.to_str().unwrap();
    let script = format!("set -e; {hide}; cd '{directory}'; exec '{ketch}' up -d");
    let words = ["--mount", "sh", "-c", &script];
    project.world.run("unshare", &words)
}

#[test]
fn what_the_kernel_lacks_is_told_before_anything_is_made() {
    let world = World::new();
    let project = world.project(
        "app",
        "services:\n  web:\n    image: busybox\n    command: sleep inf\n    mem_limit: 64m\n    networks: [six]\n\
         networks:\n  six: {enable_ipv6: true}\n",
    );
    let hide = "umount -l /sys/fs/cgroup; mount -t tmpfs none /proc/sys/net; \
                echo 0 > /proc/sys/net/zero; mount --bind /proc/sys/net/zero /proc/sys/user/max_ipc_namespaces";
    let ran = up_without(&project, hide).failed(1);
    for words in [
        "compose.yaml:2:3",
        "service \"web\": cgroup mountpoint does not exist: nothing is mounted below /sys/fs/cgroup",
        "hint: `mount -t cgroup2 cgroup2 /sys/fs/cgroup` as root",
        "service \"web\": Devices cgroup isn't mounted",
        "service \"web\": this kernel makes no ipc namespaces: user.max_ipc_namespaces is 0",
        "compose.yaml:5:16",
        "service \"web\": Your kernel does not support memory limits or the cgroup is not mounted. Limitation discarded.",
        "compose.yaml:8:3",
        "network app_six: this kernel has no IPv6: /proc/sys/net/ipv6 is not there",
        "network app_six: IPv4 forwarding is disabled and can't be enabled: open(/proc/sys/net/ipv4/ip_forward): no such file or directory (ENOENT)",
    ] {
        assert!(
            ran.stderr.contains(words),
            "no {words:?} in:\n{}",
            ran.stderr
        );
    }
    assert!(project.ps().is_empty(), "a container was made");
    let networks = project.ketch(&["network", "ls"]).ok().stdout;
    assert!(!networks.contains("app_six"), "{networks}");
    project.ketch(&["up", "-d"]).ok();
}
