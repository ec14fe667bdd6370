//! Attacks: what a hostile image or a hostile process in a container tries, and that it fails.
//! `docs/reference/security.md` names the test of each line of defence.

use std::fs;
use std::path::Path;

use ketch_runtime::container::record::Process;
use ketch_runtime::spec::Seccomp;
use ketch_runtime::sys::{keyring, mount, namespace};

use crate::world::{World, bind};

/// This program as it is called inside a container, for what busybox can't show.
const PROBE: &str = "/probe";

/// Answers and ends, when this process was started as the probe.
pub(crate) fn probe() {
    if std::env::args().next().as_deref() != Some(PROBE) {
        return;
    }
    let shown = keyring::session_name().unwrap();
    fs::write("/dev/stdout", format!("{shown}\n")).unwrap();
    std::process::exit(0);
}

fn own_program() -> ketch_runtime::container::record::Mount {
    bind(&std::env::current_exe().unwrap(), PROBE, true)
}

fn process(args: &[&str]) -> Process {
    Process {
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: vec!["PATH=/bin".into()],
        cwd: "/".into(),
        ..Process::default()
    }
}

/// On a machine whose mounts are all shared (as systemd makes them), a container that may mount
/// must not reach the host through what we mounted for it (checklist 35).
pub(crate) fn what_a_container_mounts_stays_in_it() {
    let world = World::new();
    namespace::unshare(namespace::NEWNS).unwrap();
    // Private first: what else happens on this machine is none of our business.
    for propagation in [libc::MS_PRIVATE, libc::MS_SHARED] {
        let flags = libc::MS_REC | propagation;
        mount::mount("none", Path::new("/"), None, flags, None).unwrap();
    }
    let mounts = || fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let before = mounts();
    let mut record = world.shell(
        "mount --bind /etc/passwd /proc/timer_list && echo file; \
         for d in /sys/fs/cgroup /sys/fs/cgroup/*/ /dev/shm; do mount -t tmpfs none $d && echo directory; done",
    );
    record.spec.security.cap_add = vec!["SYS_ADMIN".into()];
    let shown = world.run(&record).ok();
    assert!(shown.starts_with("file\ndirectory\n"), "{shown}");
    assert_eq!(mounts(), before);
}

/// The keys of the caller's session are not for containers, nor for further processes in them
/// (checklist 34).
pub(crate) fn nobody_gets_the_session_keyring_of_the_caller() {
    let world = World::new();
    keyring::join_session("ketch-test-canary").unwrap();
    let mut record = world.record(&[PROBE]);
    record.mounts = vec![own_program()];
    record.spec.security.seccomp = Seccomp::Unconfined;
    let own = format!("_ses.{}\n", record.id);
    assert_eq!(world.run(&record).ok(), own);
    let mut record = world.record(&["sleep", "1000"]);
    record.mounts = vec![own_program()];
    record.spec.security.seccomp = Seccomp::Unconfined;
    let own = format!("_ses.{}\n", record.id);
    let outcome = world.run_with_execs(&record, vec![process(&[PROBE])]);
    assert_eq!((outcome.stdout, outcome.execs), (own, vec![Ok(0)]));
}
