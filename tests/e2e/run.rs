//! `run`: one-off containers of a service.

use std::io::Write as _;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::attach::Typist;
use crate::world::{World, eventually};

const APP: &str = "services:
  db:
    image: busybox
    command: sleep inf
    healthcheck: {test: [CMD, 'true'], interval: 1s}
  web:
    image: busybox
    command: echo its own
    restart: always
    environment: {A: from the file, B: kept}
    ports: ['8080:80']
    volumes: ['data:/data']
    depends_on: {db: {condition: service_healthy}}
volumes: {data: }
";

#[test]
fn a_command_runs_beside_the_service_and_its_code_is_ours() {
    let world = World::new();
    let project = world.project("app", APP);
    let script = "echo $A, $B; echo aside >&2; exit 7";
    let ran = project.ketch(&["run", "--rm", "web", "sh", "-c", script]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (7, "from the file, kept\n")
    );
    assert!(ran.stderr.contains("aside"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("Container app-db-1  Healthy"),
        "{}",
        ran.stderr
    );
    // What it depends on stays; neither the service nor what was run does.
    let there = project.ps();
    assert_eq!(there.len(), 1, "{there:?}");
    assert_eq!(there[0]["Health"], "healthy");

    let quiet = project
        .ketch(&["run", "--rm", "-q", "web", "echo", "x"])
        .ok();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    let own = project.ketch(&["run", "web"]).ok();
    assert_eq!(own.stdout, "its own\n");
    assert_eq!(
        project.ps().len(),
        2,
        "without --rm it stays, and is not started again"
    );
    let other = project.ketch(&[
        "run",
        "--rm",
        "--no-deps",
        "--entrypoint",
        "echo a b",
        "web",
    ]);
    assert_eq!(other.ok().stdout, "a b\n");

    let warned = project.ketch(&["up", "-d", "--no-deps", "db"]).ok();
    assert!(
        warned
            .stderr
            .contains("Found orphan containers ([app-web-run-"),
        "{}",
        warned.stderr
    );
    project
        .ketch(&["down", "-v", "--remove-orphans", "-t", "1"])
        .ok();
    world.assert_clean();
}

#[test]
fn flags_say_what_the_service_would() {
    let world = World::new();
    let project = world.project("app", APP);
    project.write("here/file", "from here");
    project.write("more.env", "C=${A:-c}\nA=file\n");
    let id = project
        .ketch(&[
            "run",
            "-d",
            "--name",
            "mine",
            "-e",
            "A=flag",
            "-e",
            "UNSET",
            "--env-from-file",
            "more.env",
            "-l",
            "a=b",
            "-u",
            "guest",
            "-w",
            "/tmp",
            "-v",
            "./here:/here:ro",
            "-v",
            "cache:/cache",
            "--cap-drop",
            "ALL",
            "web",
            "sh",
            "-c",
            "sleep 1000",
        ])
        .ok()
        .stdout;
    let inspected = |what: &str| {
        let shown = project
            .ketch(&["container", "inspect", "-f", what, "mine"])
            .ok();
        shown.stdout.trim().to_owned()
    };
    assert_eq!(inspected("{{.Id}}"), id.trim());
    let labels = inspected("{{json .Config.Labels}}");
    assert!(labels.contains(r#""a":"b""#), "{labels}");
    assert!(labels.contains(r#"oneoff":"True""#), "{labels}");
    let shown = "{{.HostConfig.RestartPolicy.Name}} {{json .HostConfig.PortBindings}}";
    assert_eq!(inspected(shown), "no {}");
    let script = "id -u; pwd; echo $A $B $C ${UNSET-unset}; cat /here/file; ls -d /data /cache";
    let ran = project
        .ketch(&["container", "exec", "mine", "sh", "-c", script])
        .ok();
    assert_eq!(
        ran.stdout,
        "1000\n/tmp\nflag kept c unset\nfrom here/cache\n/data\n"
    );
    project
        .ketch(&["down", "-v", "--remove-orphans", "-t", "1"])
        .ok();
    world.assert_clean();
    // The volume that the files do not know is nobody's to remove.
    project.ketch(&["volume", "rm", "cache"]).ok();
}

#[test]
fn a_one_off_answers_to_the_services_name_only_when_told_to() {
    let world = World::new();
    let project = world.project("app", APP);
    project
        .ketch(&["run", "-d", "--name", "mine", "web", "sleep", "1000"])
        .ok();
    // It answers to its own name, and not to the service's.
    let resolves = |name: &str| project.ketch(&["exec", "-T", "db", "nslookup", name]).code == 0;
    assert!(resolves("mine"));
    assert!(!resolves("web"));
    let listed = |args: &[&str]| project.ketch(args).ok().stdout.contains("mine");
    assert!(!listed(&["ps"]));
    assert!(listed(&["ps", "-a"]));
    let aliased = [
        "run",
        "-d",
        "--use-aliases",
        "-p",
        "8081:80",
        "web",
        "sleep",
        "1000",
    ];
    project.ketch(&aliased).ok();
    assert!(resolves("web"));

    let down = project.ketch(&["down", "-t", "1"]).ok();
    assert!(
        down.stderr.contains("Resource is still in use"),
        "{}",
        down.stderr
    );
    project
        .ketch(&["down", "-v", "--remove-orphans", "-t", "1"])
        .ok();
    world.assert_clean();
}

#[test]
fn what_is_wrong_is_told_and_nothing_is_left() {
    let world = World::new();
    let project = world.project("app", APP);
    let told = |args: &[&str], expected: &str| {
        let ran = project.ketch(args).failed(1);
        assert!(
            ran.stderr.contains(expected),
            "{expected:?} not in:\n{}",
            ran.stderr
        );
    };
    told(&["run", "wbe", "true"], "no such service: wbe");
    told(&["run"], "requires at least 1 argument");
    told(
        &["run", "-P", "-p", "1:1", "web"],
        "--service-ports and --publish are incompatible",
    );
    told(&["run", "-p", "80:x", "web"], "ports: !override [\"80:x\"]");
    told(&["run", "--env-from-file", "none", "web"], "env file");
    told(
        &["run", "-v", "new:/new", "--name", "a b", "web"],
        "Invalid container name (a b)",
    );
    let planned = project.ketch(&["--dry-run", "run", "-v", "new:/new", "web"]);
    assert!(planned.ok().stdout.contains("volume    new"));
    assert_eq!(project.ketch(&["volume", "ls", "-q"]).ok().stdout, "");
    assert!(project.ps().is_empty());
    told(
        &["run", "web", "no-such-program"],
        "executable file not found",
    );
    assert_eq!(project.ps().len(), 1, "only what it depends on");
    project
        .ketch(&["run", "-d", "--name", "mine", "web", "sleep", "1000"])
        .ok();
    told(
        &["run", "--name", "mine", "web", "true"],
        "choose another `--name`",
    );
    let planned = project.ketch(&["--dry-run", "run", "web", "true"]).ok();
    assert!(
        planned.stdout.contains("container app-web-run-"),
        "{}",
        planned.stdout
    );
    assert_eq!(project.ps().len(), 2);
    project
        .ketch(&["down", "-v", "--remove-orphans", "-t", "1"])
        .ok();
    world.assert_clean();
}

#[test]
fn input_signals_and_terminals_are_the_programs() {
    let world = World::new();
    let project = world.project("app", APP);
    let command = |args: &[&str]| world.ketch_command(&project.directory, args);
    let mut piped = command(&["run", "--rm", "-T", "web", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    piped.stdin.take().unwrap().write_all(b"through").unwrap();
    let piped = piped.wait_with_output().unwrap();
    assert_eq!(piped.stdout, b"through");

    // The file may come that way too; then there is no more for the program.
    let mut piped = command(&["-f", "-", "run", "--rm", "web", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = piped.stdin.take().unwrap();
    stdin.write_all(APP.as_bytes()).unwrap();
    drop(stdin);
    let piped = piped.wait_with_output().unwrap();
    assert_eq!((piped.status.code(), piped.stdout), (Some(0), Vec::new()));

    let script = "trap 'echo caught; exit 3' INT; touch /data/ready; while :; do sleep 0.02; done";
    let signalled = command(&["run", "--rm", "web", "sh", "-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let ready = world.root("data").join("volumes/app_data/_data/ready");
    eventually("it runs", || ready.exists());
    kill_process(Pid::from_child(&signalled), Signal::INT).unwrap();
    let signalled = signalled.wait_with_output().unwrap();
    assert_eq!(signalled.status.code(), Some(3));
    assert_eq!(signalled.stdout, b"caught\n");

    let mut typist =
        Typist::at(world.ketch_command(&project.directory, &["run", "--rm", "web", "sh"]));
    typist.types("tty && stty size\n");
    typist.sees("/dev/pts/0");
    typist.sees("30 100");
    typist.types("exit 5\n");
    typist.leaves_with(5);
    assert_eq!(project.ps().len(), 1, "--rm");
    project.ketch(&["down", "-v", "-t", "1"]).ok();
    world.assert_clean();
}
