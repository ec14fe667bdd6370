//! Further processes in a running container.

use ketch_runtime::container::record::Process;
use ketch_runtime::error::ErrorKind;

use crate::world::World;

fn shell(script: &str) -> Process {
    Process {
        args: vec!["/bin/sh".into(), "-c".into(), script.into()],
        env: vec!["PATH=/bin".into(), "EXTRA=1".into()],
        cwd: "/".into(),
        ..Process::default()
    }
}

pub(crate) fn a_further_process_is_in_the_container() {
    let world = World::new();
    let record = world.record(&["sleep", "1000"]);
    let script = "tr '\\0' ' ' </proc/1/cmdline; hostname; for n in mnt net ipc uts pid cgroup; do \
        [ $(readlink /proc/self/ns/$n) = $(readlink /proc/1/ns/$n) ] && echo same $n; done; \
        diff /proc/self/cgroup /proc/1/cgroup && echo same place; ls /proc/self/fd | tr '\\n' ' '; exit 3";
    let outcome = world.run_with_execs(&record, vec![shell(script)]);
    assert_eq!(outcome.execs, [Ok(3)]);
    assert_eq!(
        outcome.stdout,
        format!(
            "sleep 1000 {}\nsame mnt\nsame net\nsame ipc\nsame uts\nsame pid\nsame cgroup\nsame place\n0 1 2 3 ",
            record.hostname
        ),
        "{outcome:?}"
    );
    assert_eq!(outcome.result, Ok(137));
}

pub(crate) fn a_further_process_has_its_own_user_and_failures() {
    let world = World::new();
    let record = world.record(&["sleep", "1000"]);
    let user = Process {
        user: "web".into(),
        cwd: "/tmp".into(),
        ..shell("id -u; id -G; pwd; echo $HOME $EXTRA")
    };
    let missing = Process {
        args: vec!["nothing".into()],
        ..shell("")
    };
    let nowhere = Process {
        cwd: "/nowhere".into(),
        ..shell("true")
    };
    let outcome = world.run_with_execs(&record, vec![user, missing, nowhere]);
    assert_eq!(outcome.stdout, "33\n34 50\n/tmp\n/srv/web 1\n");
    assert_eq!(
        outcome.execs[1],
        Err((
            ErrorKind::CommandNotFound,
            "exec: \"nothing\": executable file not found in $PATH".into()
        ))
    );
    assert_eq!(
        outcome.execs[2],
        Err((
            ErrorKind::CommandNotFound,
            "chdir to cwd (\"/nowhere\") failed: no such file or directory".into()
        ))
    );
}

pub(crate) fn a_further_process_has_the_same_rights() {
    let world = World::new();
    let record = world.record(&["sleep", "1000"]);
    let script = "grep -E '^(CapEff|CapBnd|CapInh|CapAmb|Seccomp:)' /proc/self/status >/tmp/a; \
        grep -E '^(CapEff|CapBnd|CapInh|CapAmb|Seccomp:)' /proc/1/status | diff - /tmp/a && echo same; unshare -m true || echo refused";
    let outcome = world.run_with_execs(&record, vec![shell(script)]);
    assert_eq!(outcome.stdout, "same\nrefused\n", "{outcome:?}");
}
