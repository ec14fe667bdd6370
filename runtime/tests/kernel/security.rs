//! Attacks: what a hostile image or a hostile process in a container tries, and that it fails.
//! `docs/reference/security.md` names the test of each line of defence.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ketch_runtime::container::record::{Mount, Process, Source};
use ketch_runtime::error::ErrorKind;
use ketch_runtime::spec::Seccomp;
use ketch_runtime::sys::{keyring, mount, namespace};

use crate::kept::Kept;
use crate::world::{World, bind, make_root, runner::Job};

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
    // A thread of its own: the mount namespace is left for good.
    alone(|| {
        let world = World::new();
        mount_in_a_container(&world);
    });
}

fn alone(test: impl FnOnce() + Send + 'static) {
    if let Err(panic) = std::thread::spawn(test).join() {
        std::panic::resume_unwind(panic);
    }
}

fn mount_in_a_container(world: &World) {
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

/// A program that lies in another mount namespace can't be mounted; its copy can't be written to
/// either (checklist 1).
pub(crate) fn a_program_of_elsewhere_is_sealed_in_memory() {
    alone(|| {
        namespace::unshare(namespace::NEWNS).unwrap();
        let own = Path::new("/proc/self/exe");
        let sealed = mount::seal_program(own).unwrap();
        let error = rustix::io::write(&sealed, b"evil").unwrap_err();
        assert_eq!(error, rustix::io::Errno::PERM);
        let length = rustix::fs::fstat(&sealed).unwrap().st_size;
        assert_eq!(
            u64::try_from(length).unwrap(),
            own.metadata().unwrap().len()
        );
    });
}

/// The state of containers, with programs that have the setuid bit, and their control sockets are
/// out of reach for other users of the host (checklist 25; CVE-2021-41091).
pub(crate) fn nobody_else_of_the_host_gets_at_what_is_kept() {
    let kept = Kept::new();
    let id = kept.create("sleep 1000", |_| {});
    kept.engine.start_container("box").unwrap();
    let roots = kept.engine.roots();
    for directory in [
        roots.containers(),
        roots.container(&id),
        roots.container_run(&id),
    ] {
        let others = directory.metadata().unwrap().mode() & 0o007;
        assert_eq!(others, 0, "{}", directory.display());
    }
    let socket = roots.container_run(&id).join("ctl.sock");
    assert_eq!(socket.metadata().unwrap().mode() & 0o777, 0o600);
    kept.engine.kill_container("box", None).unwrap();
}

/// The keys of the caller's session are not for containers, nor for further processes in them
/// (checklist 34).
pub(crate) fn nobody_gets_the_session_keyring_of_the_caller() {
    alone(look_at_keyrings);
}

fn look_at_keyrings() {
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

/// A volume over /proc would show a program its own idea of the kernel's files, and take the
/// covers off them (checklist 3, 7, 8; CVE-2023-27561).
pub(crate) fn a_link_into_proc_is_no_place_for_a_volume() {
    let world = World::new();
    let root = world.path("hostile");
    make_root(&root);
    symlink("/proc", root.join("data")).unwrap();
    symlink("proc/sys", root.join("more")).unwrap();
    let source = world.path("volume");
    fs::create_dir_all(&source).unwrap();
    let tmpfs = |target: &str| Mount {
        target: target.into(),
        read_only: false,
        source: Source::Tmpfs {
            options: Vec::new(),
        },
    };
    for mount in [
        bind(&source, "/data", false),
        bind(&source, "/more", false),
        bind(&source, "/more/kernel", false),
        tmpfs("/data"),
        bind(&source, "/proc", false),
    ] {
        let mut record = world.shell("true");
        let target = mount.target.clone();
        record.mounts = vec![mount];
        let mut job = Job::new(&world, &record);
        job.layers = vec![root.clone()];
        let (_, text) = world.run_job(&job).result.expect_err(&target);
        assert!(text.contains("proc"), "{text}");
    }
}

/// passwd as a fifo, a device, a link to one, something endless (checklist 11).
pub(crate) fn users_files_that_are_none_do_not_hold_a_start_up() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let world = World::new();
    for (number, kind) in ["fifo", "device", "link", "huge"].into_iter().enumerate() {
        let root = world.path(&format!("hostile-{number}"));
        make_root(&root);
        let passwd = root.join("etc/passwd");
        fs::remove_file(&passwd).unwrap();
        match kind {
            "fifo" => mknodat(CWD, &passwd, FileType::Fifo, Mode::RUSR, 0).unwrap(),
            "device" => {
                let zero = rustix::fs::makedev(1, 5);
                mknodat(CWD, &passwd, FileType::CharacterDevice, Mode::RUSR, zero).unwrap();
            }
            "link" => symlink("/dev/zero", &passwd).unwrap(),
            _ => fs::File::create(&passwd).unwrap().set_len(1 << 40).unwrap(),
        }
        let record = world.shell("true");
        let mut job = Job::new(&world, &record);
        job.layers = vec![root];
        let (_, text) = world.run_job(&job).result.expect_err(kind);
        assert!(text.contains("/etc/passwd"), "{kind}: {text}");
    }
}

/// Blocked and ignored signals, limits, umask, priority, variables, further groups
/// (checklist 2, 9, 33).
pub(crate) fn what_the_caller_has_set_for_itself_does_not_reach_the_program() {
    alone(set_things_and_run);
}

fn set_things_and_run() {
    use ketch_runtime::sys::{process, signal};
    let world = World::new();
    // The runner is a child of this thread.
    signal::block(&[
        libc::SIGINT,
        libc::SIGTERM,
        libc::SIGWINCH,
        libc::SIGRTMAX(),
    ])
    .unwrap();
    signal::ignore(libc::SIGHUP);
    signal::ignore(libc::SIGPIPE);
    rustix::process::setpriority_process(None, 5).unwrap();
    let (soft, hard) = process::get_limit(0, "nofile").unwrap();
    process::set_limit(0, "nofile", hard, hard).unwrap();
    let script = "grep -E '^(SigBlk|SigIgn|Groups|NoNewPrivs)' /proc/self/status | tr -s '\\t' ' '; \
        umask; cut -d' ' -f19 /proc/self/stat; ulimit -Sn; env | cut -d= -f1 | sort | tr '\\n' ' '; echo";
    let mut record = world.shell(script);
    record.process.env.push("MINE=1".into());
    let started = world.run(&record).ok();
    let sleeper = world.record(&["sleep", "1000"]);
    let mut further = process_of(script);
    further.env.push("MINE=1".into());
    let outcome = world.run_with_execs(&sleeper, vec![further]);
    rustix::process::setpriority_process(None, 0).unwrap();
    process::set_limit(0, "nofile", soft, hard).unwrap();
    for (shown, variables) in [
        (&started, "HOME HOSTNAME MINE PATH PWD SHLVL"),
        (&outcome.stdout, "HOME MINE PATH PWD SHLVL"),
    ] {
        for line in [
            "SigBlk: 0000000000000000",
            "SigIgn: 0000000000000000",
            "Groups: 0 ",
            "NoNewPrivs: 0",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
        }
        assert!(shown.contains("0022\n0\n1024\n"), "{shown}");
        assert!(shown.contains(variables), "{shown}");
        assert!(!shown.contains("CARGO"), "{shown}");
    }
}

fn process_of(script: &str) -> Process {
    process(&["/bin/sh", "-c", script])
}

/// A process that enters a container can be stopped by those in it; who started it must not wait
/// for ever (checklist 2, 31).
pub(crate) fn a_container_that_stops_what_enters_it_does_not_stop_us() {
    let world = World::new();
    let record = world.shell(
        // It has an end, with which all in it end: one may be stopped just after its exec.
        "end=$(($(date +%s) + 13)); while [ $(date +%s) -lt $end ]; do kill -STOP -1; done 2>/dev/null",
    );
    let before = Instant::now();
    let outcome = world.run_with_execs(&record, vec![process_of("echo in")]);
    let told = outcome.execs[0].as_ref();
    // It may have been quick enough to be stopped only after its exec.
    if let Err((kind, text)) = told {
        assert_eq!(*kind, ErrorKind::Unavailable, "{text}");
    }
    assert!(before.elapsed() < Duration::from_secs(40));
}

/// A directory of a volume that is a link to the host every other moment, while containers are
/// started on a place below it (checklist 3, 36; CVE-2021-30465).
pub(crate) fn a_link_that_swaps_while_containers_start_leads_nowhere() {
    let world = World::new();
    let (volume, canary) = (world.path("volume"), world.path("canary"));
    for directory in [&volume.join("a/sub"), &canary.join("sub")] {
        fs::create_dir_all(directory).unwrap();
    }
    fs::write(volume.join("a/sub/inside"), "").unwrap();
    fs::write(canary.join("sub/secret"), "").unwrap();
    symlink(&canary, volume.join("b")).unwrap();
    let before = canary.metadata().unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let place = ketch_runtime::sys::path::open_place(&volume).unwrap();
            while !stop.load(Ordering::Relaxed) {
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(&place, "a", &place, "b", flags).unwrap();
            }
        });
        for _ in 0..200 {
            // Once as the source of a mount, once as its target.
            let mut record = world.shell("ls /in; ls -A /v/a/new /v/a/sub 2>/dev/null");
            record.mounts = vec![
                bind(&volume, "/v", false),
                bind(&world.path("volume"), "/v/a/new/deep", false),
                Mount {
                    target: "/in".into(),
                    read_only: false,
                    source: Source::Volume {
                        name: "v".into(),
                        path: volume.clone(),
                        subpath: Some("a/sub".into()),
                        anonymous: false,
                    },
                },
            ];
            // Many starts fail, since the path leads nowhere; none may show or touch the canary.
            let outcome = world.run(&record);
            assert!(!outcome.stdout.contains("secret"), "{outcome:?}");
        }
        stop.store(true, Ordering::Relaxed);
    });
    let after = canary.metadata().unwrap();
    assert_eq!(
        (before.mtime(), before.mtime_nsec()),
        (after.mtime(), after.mtime_nsec())
    );
    assert_eq!(fs::read_dir(&canary).unwrap().count(), 1);
}
