//! What a process in a container may do, as the kernel says.

use ketch_runtime::error::ErrorKind;
use ketch_runtime::spec::{Resources, Seccomp, SecuritySpec};

use crate::world::World;

const STATUS: &str = "grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status | tr -s '\\t' ' '";

fn status(security: SecuritySpec) -> String {
    let world = World::new();
    let mut record = world.shell(STATUS);
    record.spec.security = security;
    world.run(&record).ok()
}

pub(crate) fn capabilities_and_filter_are_dockers() {
    assert_eq!(
        status(SecuritySpec::default()),
        "CapInh: 0000000000000000\nCapPrm: 00000000a80425fb\nCapEff: 00000000a80425fb\n\
         CapBnd: 00000000a80425fb\nCapAmb: 0000000000000000\nNoNewPrivs: 0\nSeccomp: 2\n"
    );
}

pub(crate) fn no_new_privileges_is_set_when_asked() {
    let shown = status(SecuritySpec {
        no_new_privileges: true,
        ..SecuritySpec::default()
    });
    assert!(shown.contains("NoNewPrivs: 1\nSeccomp: 2"), "{shown}");
}

pub(crate) fn added_and_dropped_capabilities_show() {
    let shown = status(SecuritySpec {
        cap_drop: vec!["ALL".into()],
        cap_add: vec!["NET_ADMIN".into()],
        ..SecuritySpec::default()
    });
    assert!(shown.contains("CapBnd: 0000000000001000"), "{shown}");
    assert!(shown.contains("CapEff: 0000000000001000"), "{shown}");
}

pub(crate) fn a_privileged_container_has_everything() {
    let shown = status(SecuritySpec {
        privileged: true,
        ..SecuritySpec::default()
    });
    assert!(shown.contains("Seccomp: 0"), "{shown}");
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let bounding = own
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:\t"))
        .unwrap();
    assert!(shown.contains(&format!("CapBnd: {bounding}")), "{shown}");
}

pub(crate) fn calls_outside_the_policy_are_refused() {
    let world = World::new();
    let outcome = world.run(&world.shell(
        "unshare -m true; mount -t tmpfs none /tmp; hostname x; chroot / true && echo chroot works",
    ));
    assert!(outcome.stdout.contains("chroot works"), "{outcome:?}");
    for refused in ["unshare", "mount", "hostname"] {
        assert!(
            outcome
                .stderr
                .lines()
                .any(|line| line.contains(refused) && line.to_lowercase().contains("permi")),
            "{refused}: {outcome:?}"
        );
    }
}

pub(crate) fn a_custom_filter_is_used() {
    let world = World::new();
    let mut record = world.shell("mkdir /tmp/x; echo $?");
    record.spec.security.seccomp = Seccomp::Profile(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}"#.into(),
    );
    let outcome = world.run(&record);
    assert!(outcome.stderr.contains("No space left"), "{outcome:?}");
    let mut record = world.shell("true");
    record.spec.security.seccomp = Seccomp::Profile("nonsense".into());
    assert_eq!(world.run(&record).result.unwrap_err().0, ErrorKind::Invalid);
}

pub(crate) fn devices_of_the_host_can_not_be_used() {
    let world = World::new();
    let listed = world
        .run(&world.shell(
            "ls /dev | tr '\\n' ' '; mknod /tmp/mem c 1 1 && dd if=/tmp/mem count=1 2>&1; echo >/dev/null; head -c 4 /dev/zero | wc -c",
        ))
        .stdout;
    assert!(
        listed.trim_start_matches("core ").starts_with(
            "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero "
        ),
        "{listed}"
    );
    assert!(listed.contains("not permitted"), "{listed}");
    assert!(listed.ends_with("4\n"), "{listed}");
    // One that is given is there, with its number.
    let mut record = world.shell("ls -l /dev/ours | tr -s ' ' | cut -d' ' -f1,5,6; cat /dev/ours");
    record.spec.resources = Resources {
        devices: vec![("/dev/null".into(), "/dev/ours".into(), "r".into())],
        ..Resources::default()
    };
    assert_eq!(world.run(&record).ok(), "crw-rw-rw- 1, 3\n");
}

pub(crate) fn no_process_of_the_host_shows() {
    let world = World::new();
    let shown = world
        .run(&world.shell("echo $$; ls -d /proc/[0-9]* | wc -l; hostname; cat /proc/1/cmdline | tr '\\0' ' ' | cut -c1-7"))
        .ok();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[0], "1");
    assert!(lines[1].parse::<u32>().unwrap() < 6, "{shown}");
    assert_eq!(lines[3], "/bin/sh");
}

pub(crate) fn no_fd_leaks() {
    let world = World::new();
    for init in [false, true] {
        // No pipeline: the shell, which is process 1, would hold its pipe.
        let mut record = world.shell("ls /proc/self/fd; ls /proc/1/fd; true");
        record.spec.init = init;
        // 3 is the directory that ls reads.
        let shown = world.run(&record).ok();
        assert_eq!(shown, "0\n1\n2\n3\n0\n1\n2\n", "init {init}");
    }
}

pub(crate) fn a_sealed_program_can_not_be_written_to() {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::process::CommandExt as _;
    let world = World::new();
    let program = world.path("program");
    std::fs::copy("/bin/busybox", &program).unwrap();
    let sealed = ketch_runtime::sys::mount::seal_program(&program).unwrap();
    let mut running = std::process::Command::new(format!("/proc/self/fd/{}", sealed.as_raw_fd()))
        .arg0("busybox")
        .args(["sleep", "100"])
        .spawn()
        .unwrap();
    drop(sealed);
    // The attack keeps a place of the program and waits until nobody runs it.
    let exe = format!("/proc/{}/exe", running.id());
    let place = ketch_runtime::sys::path::open_place(std::path::Path::new(&exe)).unwrap();
    running.kill().unwrap();
    running.wait().unwrap();
    let error = std::fs::OpenOptions::new()
        .write(true)
        .open(format!("/proc/self/fd/{}", place.as_raw_fd()))
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
}
