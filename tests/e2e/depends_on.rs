//! Gates: a dependant starts when its dependency is ready, and not when it never will be.

use std::time::Instant;

use crate::world::World;

#[test]
fn a_healthy_gate_waits_for_the_check_and_no_longer() {
    let world = World::new();
    // Healthy half a second after its start; Docker would look after thirty.
    let project = world.project(
        "app",
        "services:\n  db:\n    image: busybox\n    command: sh -c 'sleep 0.5; touch /tmp/ready; sleep inf'\n    \
         healthcheck: {test: ['CMD', 'test', '-e', '/tmp/ready']}\n  web:\n    image: busybox\n    command: sleep inf\n    \
         depends_on: {db: {condition: service_healthy}}\n",
    );
    let begun = Instant::now();
    let up = project.ketch(&["up", "-d"]).ok();
    assert!(
        begun.elapsed().as_secs() < 10,
        "eager probes see it at once: {:?}",
        begun.elapsed()
    );
    assert!(
        up.stderr.contains("Container app-db-1  Healthy"),
        "{}",
        up.stderr
    );
    assert_eq!(
        project
            .ps()
            .iter()
            .filter(|row| row["State"] == "running")
            .count(),
        2
    );
}

#[test]
fn an_unhealthy_dependency_fails_the_gate() {
    let world = World::new();
    let project = world.project(
        "app",
        "services:\n  db:\n    image: busybox\n    command: sleep inf\n    \
         healthcheck: {test: ['CMD', 'false'], interval: 200ms, retries: 2}\n  web:\n    image: busybox\n    command: sleep inf\n    \
         depends_on: {db: {condition: service_healthy}}\n",
    );
    let up = project.ketch(&["up", "-d"]).failed(1);
    assert!(
        up.stderr
            .contains("dependency failed to start: container app-db-1 is unhealthy"),
        "{}",
        up.stderr
    );
    let web = project
        .ps()
        .into_iter()
        .find(|row| row["Service"] == "web")
        .expect("created before any start");
    assert_eq!(web["State"], "created");
}

#[test]
fn a_completed_dependency_opens_the_gate_and_a_failed_one_does_not() {
    let world = World::new();
    let compose = |code: u8| {
        format!(
            "services:\n  job: {{image: busybox, command: sh -c 'exit {code}'}}\n  web:\n    image: busybox\n    \
             command: sleep inf\n    depends_on: {{job: {{condition: service_completed_successfully}}}}\n"
        )
    };
    let project = world.project("app", &compose(0));
    project.ketch(&["up", "-d"]).ok();
    project.ketch(&["down", "-t", "0"]).ok();
    project.write("compose.yaml", &compose(3));
    let up = project.ketch(&["up", "-d"]).failed(1);
    assert!(
        up.stderr
            .contains("service \"job\" didn't complete successfully: exit 3"),
        "{}",
        up.stderr
    );
}

#[test]
fn a_restart_policy_brings_a_failed_container_back() {
    let world = World::new();
    let project = world.project(
        "app",
        "services:\n  one:\n    image: busybox\n    restart: on-failure\n    \
         command: sh -c 'test -e /data/x && sleep inf; touch /data/x; exit 1'\n    volumes: ['data:/data']\nvolumes: {data: }\n",
    );
    project.ketch(&["up", "-d"]).ok();
    crate::world::eventually("it is back", || {
        project.ps()[0]["State"] == "running"
            && project
                .ketch(&["exec", "-T", "one", "test", "-e", "/data/x"])
                .code
                == 0
    });
}
