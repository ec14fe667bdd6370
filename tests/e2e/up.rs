//! `up`, `down` and what lies between: nothing to do, a change, a dry run, scale, orphans.

use crate::world::{World, eventually};

const ONE: &str = "services: {one: {image: busybox, command: sleep inf, environment: {A: '1'}}}";

#[test]
fn up_starts_and_down_leaves_nothing() {
    let world = World::new();
    let project = world.project("app", ONE);
    let up = project.ketch(&["up", "-d"]).ok();
    assert!(up.stderr.contains("Container app-one-1"), "{}", up.stderr);
    let ps = project.ps();
    assert_eq!(ps[0]["Name"], "app-one-1");
    assert_eq!(ps[0]["State"], "running");
    project.ketch(&["down"]).ok();
    assert!(project.ps().is_empty());
    world.assert_clean();
}

#[test]
fn a_second_up_changes_nothing_and_says_so() {
    let world = World::new();
    let project = world.project("app", ONE);
    project.ketch(&["up", "-d"]).ok();
    let id = project.id("one");
    let again = project.ketch(&["up", "-d"]).ok();
    assert!(
        again.stderr.contains("Container app-one-1  Running"),
        "{}",
        again.stderr
    );
    assert_eq!(project.id("one"), id);
}

#[test]
fn a_change_recreates_that_service_and_those_that_ask_for_it() {
    let world = World::new();
    let compose = |value: &str| {
        format!(
            "services:\n  db: {{image: busybox, command: sleep inf, environment: {{A: '{value}'}}}}\n  \
             follows: {{image: busybox, command: sleep inf, depends_on: {{db: {{condition: service_started, restart: true}}}}}}\n  \
             stays: {{image: busybox, command: sleep inf, depends_on: [db]}}\n"
        )
    };
    let project = world.project("app", &compose("1"));
    project.ketch(&["up", "-d"]).ok();
    let before = ["db", "follows", "stays"].map(|service| project.id(service));
    let started = started_at(&project, "app-follows-1");

    project.write("compose.yaml", &compose("2"));
    let dry = project.ketch(&["--dry-run", "up", "-d"]).ok();
    let plan = dry.stdout + &dry.stderr;
    assert!(
        plan.contains("app-db-1") && plan.contains("configuration changed"),
        "{plan}"
    );
    let touched = plan
        .lines()
        .find(|line| line.contains("app-stays-1") && !line.ends_with("Running"));
    assert_eq!(touched, None, "{plan}");
    assert_eq!(project.id("db"), before[0], "a dry run changes nothing");

    project.ketch(&["up", "-d"]).ok();
    let after = ["db", "follows", "stays"].map(|service| project.id(service));
    assert_ne!(after[0], before[0]);
    assert_eq!(after[2], before[2]);
    assert_ne!(
        started_at(&project, "app-follows-1"),
        started,
        "restart: true restarts the dependant"
    );
    assert_eq!(project.exec("db", "echo $A"), "2\n");
}

fn started_at(project: &crate::world::Project<'_>, container: &str) -> String {
    let listed = project.ps();
    let row = listed
        .iter()
        .find(|row| row["Name"] == container)
        .expect("listed");
    // The process is another one when the container was started anew.
    project
        .world
        .run(
            "cat",
            &[state_file(project, row["ID"].as_str().unwrap())
                .to_str()
                .unwrap()],
        )
        .ok()
        .stdout
}

fn state_file(project: &crate::world::Project<'_>, id: &str) -> std::path::PathBuf {
    let containers = project.world.root("data").join("containers");
    let mut found = std::fs::read_dir(containers).unwrap().flatten();
    let found = found.find(|entry| entry.file_name().to_string_lossy().starts_with(id));
    found
        .expect("the container's directory")
        .path()
        .join("state.json")
}

#[test]
fn services_are_scaled_up_and_down() {
    let world = World::new();
    let project = world.project("app", ONE);
    project.ketch(&["up", "-d", "--scale", "one=3"]).ok();
    assert_eq!(project.ps().len(), 3);
    project.ketch(&["up", "-d"]).ok();
    let left = project.ps();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["Name"], "app-one-1");
}

#[test]
fn orphans_are_told_of_and_removed_when_asked() {
    let world = World::new();
    let two = "services: {one: {image: busybox, command: sleep inf}, two: {image: busybox, command: sleep inf}}";
    let project = world.project("app", two);
    project.ketch(&["up", "-d"]).ok();
    project.write(
        "compose.yaml",
        "services: {one: {image: busybox, command: sleep inf}}",
    );
    let up = project.ketch(&["up", "-d"]).ok();
    assert!(
        up.stderr.contains("orphan") && up.stderr.contains("app-two-1"),
        "{}",
        up.stderr
    );
    project.ketch(&["up", "-d", "--remove-orphans"]).ok();
    assert_eq!(project.ps().len(), 1);
}

#[test]
fn services_that_were_not_named_are_no_orphans() {
    let world = World::new();
    let two = "services: {one: {image: busybox, command: sleep inf}, two: {image: busybox, command: sleep inf}}";
    let project = world.project("app", two);
    project.ketch(&["up", "-d"]).ok();
    let up = project.ketch(&["up", "-d", "one", "--remove-orphans"]).ok();
    assert!(!up.stderr.contains("orphan"), "{}", up.stderr);
    assert_eq!(project.ps().len(), 2);
}

#[test]
fn a_taken_port_is_named_with_its_service_and_down_cleans_up() {
    let world = World::new();
    let project = world.project(
        "app",
        "services: {web: {image: busybox, command: sleep inf, ports: ['8080:80']}}",
    );
    let mut holder = world
        .command("busybox", &["nc", "-l", "-p", "8080"])
        .spawn()
        .unwrap();
    eventually("the port is taken", || {
        world.run("ss", &["-ltn"]).stdout.contains(":8080")
    });
    let up = project.ketch(&["up", "-d"]);
    holder.kill().unwrap();
    holder.wait().unwrap();
    let up = up.failed(1);
    assert!(
        up.stderr.contains("8080") && up.stderr.contains("web"),
        "{}",
        up.stderr
    );
    project.ketch(&["down"]).ok();
    world.assert_clean();
}

#[test]
fn stop_start_restart_kill_and_rm() {
    let world = World::new();
    let project = world.project("app", ONE);
    project.ketch(&["up", "-d"]).ok();
    project.ketch(&["stop", "-t", "1"]).ok();
    assert_eq!(project.ps()[0]["State"], "exited");
    project.ketch(&["start"]).ok();
    assert_eq!(project.ps()[0]["State"], "running");
    project.ketch(&["restart", "-t", "0"]).ok();
    project.ketch(&["kill"]).ok();
    eventually("it is dead", || project.ps()[0]["State"] == "exited");
    assert_eq!(project.ps()[0]["ExitCode"], 137);
    project.ketch(&["rm", "-f"]).ok();
    assert!(project.ps().is_empty());
}

#[test]
fn ctrl_c_stops_an_attached_up() {
    let world = World::new();
    let project = world.project(
        "app",
        "services: {one: {image: busybox, command: \"sh -c 'echo hello; trap \\\"echo bye; exit 0\\\" TERM; while :; do sleep 0.1; done'\"}}",
    );
    let child = world
        .ketch_command(&project.directory, &["up"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    eventually("it runs", || {
        project
            .ps()
            .first()
            .is_some_and(|row| row["State"] == "running")
    });
    eventually("it has spoken", || {
        project.ketch(&["logs"]).stdout.contains("hello")
    });
    world.run("kill", &["-INT", &child.id().to_string()]).ok();
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(stdout.contains("one-1  | hello"), "{stdout}");
    assert!(stdout.contains("one-1  | bye"), "{stdout}");
    assert_eq!(project.ps()[0]["State"], "exited");
}
