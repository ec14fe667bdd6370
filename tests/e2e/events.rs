//! `events`, Compose's and Docker's.

use crate::docker::docker;
use crate::watch::Running;
use crate::world::World;

const APP: &str = "services:
  web: {image: busybox, command: sleep inf, labels: {own: x}}
  other: {image: busybox, command: sleep inf}
";

/// The fourth word of each line.
fn actions(lines: &str) -> Vec<&str> {
    let words = lines.lines().map(|line| line.split(' '));
    words.filter_map(|mut words| words.nth(3)).collect()
}

#[test]
fn what_happens_to_a_project_is_told() {
    let world = World::new();
    let project = world.project("app", APP);
    let mut following = Running::new(&project, &["events", "web"]);
    // It follows from some moment on: what it does not say of the first it says of the next.
    let mut ready = false;
    for _ in 0..50 {
        project.ketch(&["up", "-d", "web"]).ok();
        project.ketch(&["down", "-t", "0"]).ok();
        ready = following
            .seen_now()
            .iter()
            .any(|line| line.contains("destroy"));
        if ready {
            break;
        }
    }
    assert!(ready, "nothing was told");
    project.ketch(&["up", "-d"]).ok();
    project.ketch(&["run", "-d", "web", "sleep", "inf"]).ok();
    project.ketch(&["pause", "web"]).ok();
    project.ketch(&["unpause", "web"]).ok();
    project.ketch(&["stop", "-t", "0", "web"]).ok();
    let line = following.says("container stop");
    assert!(
        line.ends_with("(image=busybox, name=app-web-1, own=x)"),
        "{line}"
    );
    let lines = following.interrupted();
    assert!(
        lines.iter().all(|line| line.contains("app-web-1")),
        "{lines:#?}"
    );

    // The past is known, and ends where it was told to.
    let past = project
        .ketch(&["events", "--since", "10m", "--until", "0s", "web"])
        .failed(1);
    assert!(past.stderr.contains("EOF"), "{}", past.stderr);
    let last: Vec<&str> = actions(&past.stdout).into_iter().rev().take(7).collect();
    let expected = ["stop", "die", "kill", "unpause", "pause", "start", "create"];
    assert_eq!(last, expected);
    assert!(
        past.stdout.contains("name=app-web-1, own=x, signal=9)"),
        "{}",
        past.stdout
    );
    let json = project.ketch(&[
        "events", "--json", "--since", "10m", "--until", "0s", "other",
    ]);
    let json = json.failed(1).stdout;
    let events: Vec<serde_json::Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events.len(), 2, "{json}");
    assert_eq!(events[1]["action"], "start");
    assert_eq!(events[1]["service"], "other");
    assert_eq!(events[1]["attributes"]["name"], "app-other-1");
    project.ketch(&["events", "nobody"]).failed(1);
    project.ketch(&["down", "--remove-orphans", "-t", "0"]).ok();
    world.assert_clean();
}

#[test]
fn docker_tells_of_everything() {
    let world = World::new();
    docker(
        &world,
        &[
            "run",
            "--rm",
            "--name",
            "box",
            "-v",
            "data:/data",
            "busybox",
            "true",
        ],
    )
    .ok();
    docker(&world, &["network", "create", "net"]).ok();
    docker(&world, &["network", "rm", "net"]).ok();
    docker(&world, &["volume", "rm", "data"]).ok();
    let past = ["events", "--since", "10m", "--until", "0s"];
    let shown = |more: &[&str]| docker(&world, &[&past[..], more].concat()).ok().stdout;
    let format = "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}{{if not .Actor.Attributes.name}}{{.Actor.ID}}{{end}}";
    let all = shown(&["--format", "{{.Type}} {{.Action}}"]);
    for event in [
        "image import",
        "volume create",
        "container create",
        "container start",
        "container die",
        "container destroy",
        "network create",
        "network destroy",
        "volume destroy",
    ] {
        assert!(
            all.lines().any(|line| line == event),
            "{event} not in:\n{all}"
        );
    }
    let died = shown(&["-f", "container=box", "-f", "event=die", "--format", format]);
    assert_eq!(died, "container die box\n");
    let json = shown(&[
        "-f",
        "type=network",
        "-f",
        "event=create",
        "--format",
        "json",
    ]);
    let event: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(event["Actor"]["Attributes"]["type"], "bridge");
    let line = shown(&["-f", "type=container", "-f", "event=die"]);
    assert!(
        line.trim_end()
            .ends_with("(exitCode=0, image=busybox, name=box)"),
        "{line}"
    );
    docker(&world, &["events", "-f", "nope=x"]).failed(1);
    docker(&world, &["events", "--since", "soon"]).failed(1);
    world.assert_clean();
}
