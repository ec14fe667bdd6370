//! The process itself: user, environment, terminal, exec, process 1.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use ketch_runtime::error::ErrorKind;
use ketch_runtime::spec::{Namespace, NetworkMode};

use crate::world::{World, bind, runner::Job};

pub(crate) fn the_environment_is_dockers() {
    let world = World::new();
    let record = world.shell("env | sort; umask; cat /proc/self/status | grep -E '^Sig(Blk|Ign)'; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; cat /sys/class/net/lo/flags");
    let shown = world.run(&record).ok();
    let expected = format!(
        "HOME=/root\nHOSTNAME={}\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nPWD=/\nSHLVL=1\n0022\n\
         SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n0\n0x9\n",
        record.hostname
    );
    assert_eq!(shown, expected);
}

pub(crate) fn users_are_looked_up_in_the_container() {
    let world = World::new();
    let run = |user: &str| {
        let mut record =
            world.shell("id -u; id -g; id -G; echo $HOME; grep CapEff /proc/self/status");
        record.process.user = user.into();
        world.run(&record)
    };
    assert_eq!(
        run("web").ok(),
        "33\n34\n34 50\n/srv/web\nCapEff:\t0000000000000000\n"
    );
    assert_eq!(
        run("4000:50").ok(),
        "4000\n50\n50\n/\nCapEff:\t0000000000000000\n"
    );
    assert_eq!(
        run("nobody-here").result.unwrap_err().1,
        "unable to find user nobody-here: no matching entries in passwd file"
    );
}

pub(crate) fn the_streams_belong_to_the_user() {
    let world = World::new();
    let mut record = world.shell("echo one >/dev/stdout; echo two >/dev/stderr");
    record.process.user = "web".into();
    let outcome = world.run(&record);
    assert_eq!(
        (outcome.stdout.as_str(), outcome.stderr.as_str()),
        ("one\n", "two\n")
    );
}

pub(crate) fn missing_and_broken_programs_are_told_apart() {
    let world = World::new();
    let scripts = world.path("scripts");
    fs::create_dir(&scripts).unwrap();
    let script = |name: &str, text: &str, mode: u32| {
        fs::write(scripts.join(name), text).unwrap();
        fs::set_permissions(scripts.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    script("plain", "true", 0o644);
    script("garbage", "\u{1}\u{2}", 0o755);
    script("orphan", "#!/no/such/interpreter\n", 0o755);
    let cases = [
        (
            "foo",
            ErrorKind::CommandNotFound,
            "exec: \"foo\": executable file not found in $PATH",
        ),
        (
            "/no/foo",
            ErrorKind::CommandNotFound,
            "exec: \"/no/foo\": stat /no/foo: no such file or directory",
        ),
        (
            "/etc",
            ErrorKind::NotExecutable,
            "exec: \"/etc\": is a directory: permission denied",
        ),
        (
            "/scripts/plain",
            ErrorKind::NotExecutable,
            "exec: \"/scripts/plain\": permission denied",
        ),
        (
            "/scripts/garbage",
            ErrorKind::NotExecutable,
            "exec /scripts/garbage: exec format error",
        ),
        (
            "/scripts/orphan",
            ErrorKind::CommandNotFound,
            "exec /scripts/orphan: no such file or directory",
        ),
    ];
    for init in [false, true] {
        for (program, kind, text) in cases {
            let mut record = world.record(&[program]);
            record.mounts = vec![bind(&scripts, "/scripts", true)];
            record.spec.init = init;
            assert_eq!(
                world.run(&record).result,
                Err((kind, text.into())),
                "init {init}"
            );
        }
    }
}

pub(crate) fn the_working_directory_is_made() {
    let world = World::new();
    let mut record = world.shell("pwd; stat -c '%u %a' .");
    record.process.cwd = "/srv/app/here".into();
    record.process.user = "web".into();
    assert_eq!(world.run(&record).ok(), "/srv/app/here\n0 755\n");
    record.process.cwd = "/etc/passwd/x".into();
    let (kind, text) = world.run(&record).result.unwrap_err();
    assert_eq!(kind, ErrorKind::CommandNotFound);
    assert_eq!(text, "Cannot mkdir: /etc/passwd/x is not a directory");
}

pub(crate) fn a_terminal_is_its_own() {
    let world = World::new();
    for init in [false, true] {
        let mut record = world.shell("tty; stty size; ls -l /dev/console /dev/pts | tr -s ' ' | cut -d' ' -f1,3; echo x >/dev/tty; echo $TERM");
        record.process.tty = true;
        record.process.user = "web".into();
        record.spec.init = init;
        record.process.env.push("TERM=xterm".into());
        let shown = world.run(&record).ok();
        assert!(
            shown.starts_with("/dev/pts/0\r\n33 111\r\n"),
            "init {init}: {shown}"
        );
        assert!(shown.ends_with("x\r\nxterm\r\n"), "init {init}: {shown}");
        assert!(
            shown.contains("crw--w---- 33") || shown.contains("crw--w---- web"),
            "{shown}"
        );
    }
}

pub(crate) fn the_small_init_reaps_and_forwards() {
    let world = World::new();
    // Orphans are reaped: no zombie is left after a while.
    let mut record = world.shell(
        "echo $$; (sleep 0.05 & ) ; (sleep 0.05 &) ; sleep 0.3; ps -o stat | grep -c Z; grep -E '^(Name|CapPrm|Seccomp:)' /proc/1/status | tr '\\t\\n' '  '; ls -l /proc/1/exe 2>&1 | grep -c -i denied; exit 7",
    );
    record.spec.init = true;
    let outcome = world.run(&record);
    assert_eq!(outcome.result, Ok(7), "{outcome:?}");
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_ne!(lines[0], "1");
    assert_eq!(lines[1], "0", "{outcome:?}");
    assert!(
        lines[2].contains("CapPrm: 0000000000000020 Seccomp: 2"),
        "{outcome:?}"
    );
    assert!(lines[2].ends_with('1'), "{outcome:?}");
    // A signal comes through, which process 1 itself would ignore.
    let mut record = world.record(&["sh", "-c", "touch /ready; exec sleep 100"]);
    record.spec.init = true;
    let mut job = Job::new(&world, &record);
    job.signal = Some(15);
    assert_eq!(world.run_job(&job).result, Ok(143));
}

pub(crate) fn shared_namespaces_are_shared() {
    let world = World::new();
    let mut donor = world.record(&["sh", "-c", "echo hello >/dev/shm/note; exec sleep 1000"]);
    donor.spec.security.ipc = Namespace::Shareable;
    let mut guest = world.shell(
        "n=0; until [ -e /dev/shm/note ] || [ $n = 50 ]; do n=$((n+1)); sleep 0.02; done; cat /dev/shm/note; tr '\\0' ' ' </proc/1/cmdline | cut -c1-5; ls /sys/class/net",
    );
    guest.spec.security.ipc = Namespace::Container("donor".into());
    guest.spec.security.pid = Namespace::Container("donor".into());
    guest.spec.network = NetworkMode::Container("donor".into());
    let mut job = Job::new(&world, &donor);
    job.guest = Some(Box::new(Job::new(&world, &guest)));
    let outcome = world.run_job(&job);
    assert_eq!(outcome.execs, [Ok(0)], "{outcome:?}");
    assert_eq!(outcome.stdout, "hello\nsleep\nlo\n", "{outcome:?}");
    // The host's ones, too.
    let mut record =
        world.shell("[ $$ != 1 ] && ls -d /proc/[0-9]* | wc -l; readlink /proc/self/ns/uts");
    record.spec.security.pid = Namespace::Host;
    record.spec.security.ipc = Namespace::Host;
    record.spec.security.uts = Namespace::Host;
    record.spec.network = NetworkMode::Host;
    let shown = world.run(&record).ok();
    let own = fs::read_link("/proc/self/ns/uts").unwrap();
    assert!(shown.contains(own.to_str().unwrap()), "{shown}");
}

pub(crate) fn a_dropped_start_leaves_nothing() {
    let world = World::new();
    let record = world.record(&["sleep", "1000"]);
    let mut job = Job::new(&world, &record);
    job.drop_pending = true;
    assert_eq!(world.run_job(&job).result, Ok(0));
    // A start that fails in the middle does as well; the world looks at its end.
    let mut record = world.shell("true");
    record.mounts = vec![bind(&world.path("missing"), "/x", false)];
    assert!(world.run(&record).result.is_err());
}

pub(crate) fn a_start_is_quick() {
    let world = World::new();
    let mut times: Vec<u64> = (0..10)
        .map(|_| world.run(&world.record(&["true"])).start_micros)
        .collect();
    times.sort_unstable();
    // Debug build, other tests at the same time: only gross mistakes show here.
    assert!(times[0] < 100_000, "microseconds: {times:?}");
    eprintln!("start to exec, microseconds: {times:?}");
}
