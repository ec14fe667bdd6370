//! Keys of the compose file: what is carried out, and what is refused before anything is made.

use crate::world::World;

#[test]
fn links_are_names_that_only_their_service_sees() {
    let world = World::new();
    let project = world.project(
        "app",
        "services:\n  web:\n    image: busybox\n    command: sleep inf\n    links: ['db:store']\n    \
         external_links: ['app-db-1:elsewhere']\n  db: {image: busybox, command: sleep inf}\n",
    );
    project.ketch(&["up", "-d"]).ok();
    let address = project.exec("db", "hostname -i").trim().to_owned();
    for name in ["store", "db-1", "elsewhere"] {
        let answer = project.exec("web", &format!("nslookup {name} 127.0.0.11"));
        assert!(answer.contains(&address), "{name}: {answer}");
        let answer = project.exec("db", &format!("nslookup {name} 127.0.0.11 || true"));
        assert!(!answer.contains(&address), "{name}: {answer}");
    }
}

#[test]
fn labels_come_from_files_too() {
    let world = World::new();
    let project = world.project(
        "app",
        "services: {web: {image: busybox, command: sleep inf, label_file: ./my.labels, labels: {b: own}}}",
    );
    project.write("my.labels", "a=file\nb=file\n");
    project.ketch(&["up", "-d"]).ok();
    let shown = project.ketch(&["ps", "--format", "{{.Labels}}"]).ok();
    assert!(
        shown.stdout.contains("a=file") && shown.stdout.contains("b=own"),
        "{}",
        shown.stdout
    );
}

#[test]
fn what_cannot_be_carried_out_is_shown_and_refused() {
    let world = World::new();
    let project = world.project(
        "app",
        "services:\n  web:\n    image: busybox\n    gpus: all\n  off:\n    image: busybox\n    volumes_from: [web]\n    profiles: [never]\n",
    );
    let shown = project.ketch(&["config"]).ok();
    assert!(shown.stdout.contains("count: -1"), "{}", shown.stdout);
    for verb in ["up", "create"] {
        let refused = project.ketch(&[verb]);
        assert_ne!(refused.code, 0);
        for words in [
            "services.web.gpus is not supported by ketch yet",
            "compose.yaml:4:5",
            "^^^^",
        ] {
            assert!(
                refused.stderr.contains(words),
                "no {words:?} in:\n{}",
                refused.stderr
            );
        }
        assert!(
            !refused.stderr.contains("volumes_from"),
            "{}",
            refused.stderr
        );
    }
    world.assert_clean();
}
