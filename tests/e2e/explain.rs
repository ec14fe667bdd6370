//! Failures explain themselves: in the error that ends a command, and with `ketch why`.

use crate::world::{Project, World, eventually};

/// A database with these lines, and a service that waits until it is healthy.
fn compose(db: &str) -> String {
    format!(
        "services:\n  db:\n    image: busybox\n{db}  web:\n    image: busybox\n    command: sleep inf\n    \
         depends_on: {{db: {{condition: service_healthy}}}}\n"
    )
}

#[track_caller]
fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "no {word:?} in:\n{text}");
    }
}

/// What `why` says, which is never a failure.
#[track_caller]
fn why(project: &Project<'_>, service: &str) -> String {
    project.ketch(&["why", service]).ok().stdout
}

#[test]
fn a_wrong_health_command_is_told_with_its_output_attempts_and_log() {
    let world = World::new();
    let db = "    command: sh -c 'echo ready for connections; sleep inf'\n    \
              healthcheck: {test: pg_isredy -U app, interval: 200ms, retries: 3}\n";
    let project = world.project("app", &compose(db));
    let up = project.ketch(&["up", "-d"]).failed(1);
    let told = [
        "health check: /bin/sh -c \"pg_isredy -U app\"",
        // It goes on failing while we ask.
        " failed in a row (retries 3, interval 200ms",
        "exit code 127 (command not found), ",
        " times alike",
        "| /bin/sh: pg_isredy: not found",
        "| ready for connections",
    ];
    says(
        &up.stderr,
        &["dependency failed to start: container app-db-1 is unhealthy\n"],
    );
    says(&up.stderr, &told);

    let db = why(&project, "db");
    says(
        &db,
        &["container app-db-1 has been running", "is unhealthy"],
    );
    says(&db, &told);
    let web = why(&project, "web");
    says(
        &web,
        &[
            "container app-web-1 was never started",
            "it waits for db (service_healthy): container app-db-1 has been running",
        ],
    );
    says(&web, &told);
    let start = project.ketch(&["start"]).failed(1);
    says(&start.stderr, &told);
}

#[test]
fn a_crash_at_start_is_told_with_its_code_and_last_words() {
    let world = World::new();
    let db = "    command: sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo line $$i; done; echo no config >&2; exit 3'\n    \
              healthcheck: {test: 'false', interval: 30s}\n";
    let project = world.project("app", &compose(db));
    let told = [
        "cause: it ended by itself with exit code 3",
        "| line 12",
        "| no config",
    ];
    let up = project.ketch(&["up", "-d"]).failed(1);
    says(
        &up.stderr,
        &["dependency failed to start: container app-db-1 exited (3)\n"],
    );
    says(&up.stderr, &told);
    assert!(!up.stderr.contains("| line 2\n"), "{}", up.stderr);
    let waited = project.ketch(&["up", "-d", "--wait", "db"]).failed(1);
    says(&waited.stderr, &["container app-db-1 exited (3)"]);
    says(&waited.stderr, &told);
    says(&why(&project, "db"), &told);
}

#[test]
fn a_kill_for_want_of_memory_is_told_with_limit_and_peak() {
    let world = World::new();
    let db = "    command: sh -c 'echo growing; exec tail /dev/zero'\n    mem_limit: 16m\n    memswap_limit: 16m\n    \
              healthcheck: {test: 'false', interval: 30s}\n";
    let project = world.project("app", &compose(db));
    let up = project.ketch(&["up", "-d"]).failed(1);
    let told = [
        "cause: the kernel killed it for want of memory (OOM): limit 16MiB, peak 16MiB",
        "| growing",
    ];
    says(&up.stderr, &["container app-db-1 exited (137)\n"]);
    says(&up.stderr, &told);
    says(&why(&project, "db"), &told);
}

#[test]
fn a_wait_that_takes_too_long_says_for_whom() {
    let world = World::new();
    let db = "    command: sh -c 'echo warming up; sleep inf'\n    \
              healthcheck: {test: 'echo not yet; false', interval: 200ms, retries: 1000}\n";
    let project = world.project("app", &compose(db));
    let up = project
        .ketch(&["up", "-d", "--wait", "--wait-timeout", "1"])
        .failed(1);
    says(
        &up.stderr,
        &[
            "application not healthy after 1s\n",
            "container app-db-1 has been running for",
            "is not healthy yet",
            "| not yet",
            "| warming up",
            "container app-web-1 was never started",
        ],
    );
}

#[test]
fn why_tells_stops_signals_and_missing_programs_apart() {
    let world = World::new();
    let project = world.project(
        "app",
        "services:\n  deaf: {image: busybox, command: sleep inf}\n  \
         stubborn: {image: busybox, command: \"sh -c 'trap : TERM; while :; do sleep 0.1; done'\"}\n  \
         killed: {image: busybox, command: sleep inf}\n  \
         struck: {image: busybox, command: sleep 86399}\n  \
         crashed: {image: busybox, command: \"sh -c 'kill -SEGV $$$$; sleep 1'\", init: true}\n",
    );
    says(&why(&project, "deaf"), &["service deaf has no container"]);
    project.ketch(&["up", "-d"]).ok();
    says(&why(&project, "deaf"), &["nothing is wrong"]);
    project.ketch(&["kill", "killed"]).ok();
    eventually("it is dead", || {
        why(&project, "killed").contains("SIGKILL was sent to it by hand")
    });
    let struck = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .find(|process| {
            let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            command == b"sleep\086399\0"
        });
    let struck = struck.expect("it runs").file_name();
    world.run("kill", &["-KILL", struck.to_str().unwrap()]).ok();
    eventually("it is dead", || {
        why(&project, "struck").contains("SIGKILL from elsewhere ended it")
    });
    says(
        &why(&project, "crashed"),
        &["exit code 139: a process in it was ended by SIGSEGV"],
    );
    project.ketch(&["stop", "-t", "1"]).ok();
    says(
        &why(&project, "deaf"),
        &["exited (137)", "nothing in it handles SIGTERM"],
    );
    says(
        &why(&project, "stubborn"),
        &["did not end after SIGTERM within its grace"],
    );
    project.write(
        "compose.yaml",
        "services: {none: {image: busybox, command: nosuchprogram}}",
    );
    let up = project.ketch(&["up", "-d"]).failed(1);
    says(&up.stderr, &["nosuchprogram", "not found"]);
    says(
        &why(&project, "none"),
        &[
            "container app-none-1 was never started",
            "cause: it could not be started",
            "nosuchprogram",
        ],
    );
    project.ketch(&["why", "nobody"]).failed(1);
}

#[test]
fn what_fails_right_after_restart_or_start_says_why() {
    let world = World::new();
    let project = world.project(
        "app",
        "services:\n  bad: {image: busybox, command: \"sh -c 'echo no config >&2; exit 3'\"}\n  \
         hungry: {image: busybox, command: tail /dev/zero, mem_limit: 16m, memswap_limit: 16m}\n  \
         crashed: {image: busybox, command: \"sh -c 'kill -SEGV $$$$; sleep 1'\", init: true}\n  \
         again: {image: busybox, command: \"sh -c 'exit 4'\", restart: always}\n  \
         job: {image: busybox, command: 'true'}\n  \
         well: {image: busybox, command: sleep inf}\n",
    );
    project.ketch(&["up", "-d"]).ok();
    let restart = project.ketch(&["restart", "-t", "0"]).ok();
    says(
        &restart.stderr,
        &[
            "container app-bad-1 exited (3)",
            "cause: it ended by itself with exit code 3",
            "| no config",
            "container app-hungry-1 exited (137)",
            "cause: the kernel killed it for want of memory (OOM): limit 16MiB, peak 16MiB",
            "container app-crashed-1 exited (139)",
            "ended by SIGSEGV",
            "container app-again-1 exited (4)",
            "will be started again",
        ],
    );
    // The lines of the run that failed, not of those before it.
    assert_eq!(restart.stderr.matches("| no config").count(), 1);
    for quiet in ["container app-job-1", "container app-well-1"] {
        assert!(!restart.stderr.contains(quiet), "{}", restart.stderr);
    }
    let start = project.ketch(&["start", "bad"]).ok();
    says(
        &start.stderr,
        &["container app-bad-1 exited (3)", "| no config"],
    );
}

#[test]
fn a_program_that_is_gone_or_not_executable_is_told_by_restart() {
    use std::os::unix::fs::PermissionsExt as _;

    let world = World::new();
    let project = world.project(
        "app",
        "services: {one: {image: busybox, command: /app/run, volumes: ['./app:/app']}}",
    );
    project.write("app/run", "#!/bin/sh\nsleep inf\n");
    let program = project.directory.join("app/run");
    let set_mode = |mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&program, mode).unwrap();
    };
    set_mode(0o755);
    project.ketch(&["up", "-d"]).ok();
    set_mode(0o644);
    let restart = project.ketch(&["restart", "-t", "0"]).failed(1);
    says(
        &restart.stderr,
        &["service \"one\": exec: \"/app/run\": permission denied"],
    );
    std::fs::remove_file(&program).unwrap();
    let start = project.ketch(&["start"]).failed(1);
    says(
        &start.stderr,
        &["service \"one\": exec: \"/app/run\": stat /app/run: no such file or directory"],
    );
    says(
        &why(&project, "one"),
        &["cause: it could not be started: exec: \"/app/run\""],
    );
}
