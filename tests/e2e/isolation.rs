//! What a container sees and may do.

use crate::world::World;

const ONE: &str = "services: {one: {image: busybox, command: sleep inf}}";

#[test]
fn no_process_mount_or_device_of_the_host_is_seen() {
    let world = World::new();
    let project = world.project("app", ONE);
    project.ketch(&["up", "-d"]).ok();
    let processes = project.exec("one", "ps -o pid,comm");
    assert!(processes.lines().count() <= 5, "{processes}");
    assert!(processes.contains("sleep"), "{processes}");
    let mounts = project.exec("one", "cat /proc/self/mountinfo");
    let root = world.root("data");
    for line in mounts.lines() {
        let target = line.split(' ').nth(4).unwrap();
        assert!(
            ["/", "/proc", "/dev", "/sys", "/etc"]
                .iter()
                .any(|known| target == *known || target.starts_with(&format!("{known}/"))),
            "{line}"
        );
    }
    assert!(!mounts.contains(&format!("upperdir={}/volumes", root.display())));
    let devices = project.exec("one", "ls /dev");
    for device in [
        "null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm",
    ] {
        assert!(
            devices.split_whitespace().any(|name| name == device),
            "{device} in {devices}"
        );
    }
    for device in ["vda", "sda", "kmsg", "mem"] {
        assert!(
            !devices.split_whitespace().any(|name| name == device),
            "{device} in {devices}"
        );
    }
    assert_ne!(
        project
            .ketch(&["exec", "-T", "one", "cat", "/proc/kcore"])
            .stdout
            .len(),
        1
    );
}

#[test]
fn the_default_rights_are_docker_s() {
    let world = World::new();
    let project = world.project("app", ONE);
    project.ketch(&["up", "-d"]).ok();
    for status in [
        project.exec("one", "cat /proc/1/status"),
        project.exec("one", "cat /proc/self/status"),
    ] {
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap()
                .trim()
                .to_owned()
        };
        assert_eq!(field("CapEff:"), "00000000a80425fb");
        assert_eq!(field("CapBnd:"), "00000000a80425fb");
        assert_eq!(field("CapInh:"), "0000000000000000");
        assert_eq!(field("CapAmb:"), "0000000000000000");
        assert_eq!(field("Seccomp:"), "2");
    }
}

#[test]
fn calls_outside_the_policy_are_refused() {
    let world = World::new();
    let project = world.project(
        "app",
        "services:\n  one: {image: busybox, command: sleep inf}\n  \
         strong: {image: busybox, command: sleep inf, cap_add: [SYS_ADMIN]}\n",
    );
    project.ketch(&["up", "-d"]).ok();
    for command in [
        "unshare -m true",
        "mount -t tmpfs x /tmp",
        "swapoff /x",
        "pivot_root / /",
    ] {
        let refused = project.ketch(&["exec", "-T", "one", "sh", "-c", command]);
        assert_ne!(refused.code, 0, "{command}");
        assert!(
            refused.stderr.contains("not permitted") || refused.stderr.contains("denied"),
            "{command}: {}",
            refused.stderr
        );
    }
    // The capability opens the calls that it is for.
    project.exec("strong", "mount -t tmpfs x /tmp");
}

#[test]
fn masked_and_read_only_paths() {
    let world = World::new();
    let project = world.project("app", ONE);
    project.ketch(&["up", "-d"]).ok();
    assert_ne!(
        project
            .ketch(&[
                "exec",
                "-T",
                "one",
                "sh",
                "-c",
                "echo 1 >/proc/sys/kernel/panic"
            ])
            .code,
        0
    );
    assert_ne!(
        project
            .ketch(&["exec", "-T", "one", "touch", "/sys/x"])
            .code,
        0
    );
    assert_eq!(
        project
            .exec("one", "cat /proc/keys /proc/timer_list 2>/dev/null | wc -c")
            .trim(),
        "0"
    );
}

#[test]
fn users_limits_and_a_read_only_root() {
    let world = World::new();
    let project = world.project(
        "app",
        "services:\n  one:\n    image: busybox\n    command: sleep inf\n    user: guest\n    read_only: true\n    \
         working_dir: /tmp/deep/er\n    hostname: somewhere\n    ulimits: {nofile: {soft: 100, hard: 200}}\n    tmpfs: /scratch\n  \
         limited: {image: busybox, command: sleep inf, mem_limit: 64m, pids_limit: 20, cpus: 0.5}\n",
    );
    // The directory can't be made on a read-only root, so it has to be there.
    let text = std::fs::read_to_string(project.directory.join("compose.yaml")).unwrap();
    project.write("compose.yaml", &text.replace("/tmp/deep/er", "/tmp"));
    project.ketch(&["up", "-d"]).ok();
    assert_eq!(
        project.exec("one", "id -u; id -g; pwd; hostname; ulimit -n; echo $HOME"),
        "1000\n1000\n/tmp\nsomewhere\n100\n/tmp\n"
    );
    assert_ne!(
        project
            .ketch(&["exec", "-T", "one", "touch", "/tmp/x"])
            .code,
        0
    );
    project.exec("one", "ls /proc/self/fd | wc -l");
    let limit = project.exec(
        "limited",
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true",
    );
    assert!(limit.contains("67108864"), "{limit}");
    let pids = project.exec(
        "limited",
        "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; true",
    );
    assert!(pids.contains("20"), "{pids}");
}

#[test]
fn whoever_waits_for_the_callers_files_to_be_closed_does_not_wait_for_a_container() {
    let world = World::new();
    let project = world.project("app", ONE);
    let directory = project.directory.to_str().unwrap();
    let ketch = env!("CARGO_BIN_EXE_ketch");
    // `cat` reads until nobody can write any more.
    let script = format!("cd {directory}; {ketch} up -d 9>&1 >/dev/null 2>&1 | timeout 10 cat");
    world.run("sh", &["-c", &script]).ok();
    assert_eq!(project.ps()[0]["State"], "running");
}

#[test]
fn no_file_of_the_runtime_is_left_open() {
    let world = World::new();
    let project = world.project("app", ONE);
    project.ketch(&["up", "-d"]).ok();
    let files = project.exec("one", "ls /proc/1/fd");
    assert_eq!(
        files.split_whitespace().collect::<Vec<_>>(),
        ["0", "1", "2"]
    );
}
