//! Volumes keep what is in them, and start with what the image has there.

use crate::world::World;

#[test]
fn a_named_volume_survives_down_and_goes_with_volumes() {
    let world = World::new();
    let compose = "services: {one: {image: busybox, command: sleep inf, volumes: ['data:/data']}}\nvolumes: {data: }\n";
    let project = world.project("app", compose);
    project.ketch(&["up", "-d"]).ok();
    project.exec("one", "echo kept >/data/file");
    project.ketch(&["down", "-t", "0"]).ok();
    project.ketch(&["up", "-d"]).ok();
    assert_eq!(project.exec("one", "cat /data/file"), "kept\n");
    project.ketch(&["down", "-v", "-t", "0"]).ok();
    assert!(!world.root("data").join("volumes/app_data").exists());
    project.ketch(&["up", "-d"]).ok();
    assert_eq!(project.exec("one", "ls /data"), "");
}

#[test]
fn those_of_a_project_are_listed() {
    let world = World::new();
    let compose = "services:
  one: {image: busybox, command: sleep inf, volumes: ['data:/data', 'theirs:/x']}
  two: {image: busybox, command: sleep inf, volumes: ['more:/more']}
volumes: {data: , more: , theirs: {external: true}}
";
    let project = world.project("app", compose);
    project.ketch(&["volume", "create", "theirs"]).ok();
    project.ketch(&["up", "-d"]).ok();
    let shown = |args: &[&str]| project.ketch(&[&["volumes"], args].concat()).ok().stdout;
    assert_eq!(
        shown(&[]),
        "DRIVER    VOLUME NAME\nlocal     app_data\nlocal     app_more\n"
    );
    assert_eq!(shown(&["-q", "one"]), "app_data\ntheirs\n");
    assert_eq!(shown(&["--format", "{{.Name}}", "two"]), "app_more\n");
    project.ketch(&["volumes", "three"]).failed(1);
    project.ketch(&["down", "-v", "-t", "0"]).ok();
    world.assert_clean();
    project.ketch(&["volume", "rm", "theirs"]).ok();
}

#[test]
fn a_new_volume_holds_what_the_image_has() {
    let world = World::new();
    let project = world.project(
        "app",
        "services:\n  one:\n    build: {dockerfile_inline: \"FROM busybox\\nRUN mkdir -m 750 /data && echo seed >/data/file && chown -R 1000:1000 /data\\n\"}\n    \
         command: sleep inf\n    volumes: ['data:/data', /anonymous]\nvolumes: {data: }\n",
    );
    project.ketch(&["up", "-d"]).ok();
    assert_eq!(
        project.exec("one", "cat /data/file; stat -c '%a %u:%g' /data"),
        "seed\n750 1000:1000\n"
    );
    project.ketch(&["down", "-v"]).ok();
    let left = std::fs::read_dir(world.root("data").join("volumes"))
        .unwrap()
        .count();
    assert_eq!(left, 0, "anonymous volumes go too");
}

#[test]
fn anonymous_volumes_are_inherited_by_a_recreated_container() {
    let world = World::new();
    let compose = |value: u8| {
        format!(
            "services: {{one: {{image: busybox, command: sleep inf, environment: {{A: '{value}'}}, volumes: [/data]}}}}"
        )
    };
    let project = world.project("app", &compose(1));
    project.ketch(&["up", "-d"]).ok();
    project.exec("one", "echo kept >/data/file");
    project.write("compose.yaml", &compose(2));
    project.ketch(&["up", "-d", "-t", "0"]).ok();
    assert_eq!(project.exec("one", "cat /data/file"), "kept\n");
}

#[test]
fn binds_tmpfs_secrets_and_configs() {
    let world = World::new();
    let project = world.project(
        "app",
        "services:\n  one:\n    image: busybox\n    command: sleep inf\n    volumes: ['./src:/src:ro', './made:/made']\n    \
         tmpfs: ['/scratch:size=1m']\n    secrets: [token]\n    configs: [{source: greeting, target: /etc/greeting}]\n\
         secrets: {token: {file: ./token.txt}}\nconfigs: {greeting: {content: hello}}\n",
    );
    project.write("src/file", "from the host\n");
    project.write("token.txt", "s3cret");
    project.ketch(&["up", "-d"]).ok();
    assert_eq!(
        project.exec(
            "one",
            "cat /src/file; cat /run/secrets/token; cat /etc/greeting"
        ),
        "from the host\ns3crethello"
    );
    assert_ne!(
        project
            .ketch(&["exec", "-T", "one", "touch", "/src/x"])
            .code,
        0,
        "ro means ro"
    );
    project.exec("one", "touch /made/x /scratch/x");
    assert!(project.directory.join("made/x").exists());
    assert!(
        project
            .exec("one", "df -k /scratch | tail -1")
            .contains(" 1024 ")
    );
}
