//! Images from Dockerfiles.

use crate::world::World;

#[test]
fn a_service_is_built_and_built_again_from_the_cache() {
    let world = World::new();
    let project = world.project(
        "app",
        "services: {one: {build: {context: ., args: {WORD: hi}}, command: sleep inf}}",
    );
    project.write(
        "Dockerfile",
        "FROM busybox AS base\nARG WORD\nENV GREETING=\"${WORD} there\"\nRUN echo $GREETING >/greeting && id -u >/who\n\
         FROM busybox\nWORKDIR /app\nCOPY --from=base /greeting /who ./\nCOPY src/ src/\nUSER guest\nCMD [\"cat\", \"greeting\"]\n",
    );
    project.write("src/a.txt", "a");
    project.write("src/b.log", "b");
    project.write(".dockerignore", "**/*.log\n");
    project.ketch(&["up", "-d"]).ok();
    assert_eq!(
        project.exec("one", "cat greeting who; ls src; id -u"),
        "hi there\n0\na.txt\n1000\n"
    );

    let id = project.id("one");
    let again = project.ketch(&["up", "-d", "--build"]).ok();
    assert!(
        again.stderr.contains("CACHED") || again.stderr.contains("Running"),
        "{}",
        again.stderr
    );
    assert_eq!(
        project.id("one"),
        id,
        "the same image is the same container"
    );

    project.write("src/a.txt", "changed");
    project.ketch(&["up", "-d", "--build"]).ok();
    assert_eq!(project.exec("one", "cat src/a.txt"), "changed");
}

#[test]
fn a_failing_step_shows_its_output_and_its_line() {
    let world = World::new();
    let project = world.project("app", "services: {one: {build: .}}");
    project.write(
        "Dockerfile",
        "FROM busybox\nRUN echo before; exit 3\nCMD x\n",
    );
    let build = project.ketch(&["build"]);
    assert_ne!(build.code, 0);
    for word in [
        "before",
        "Dockerfile:2",
        "did not complete successfully: exit code: 3",
    ] {
        assert!(
            build.stderr.contains(word),
            "no {word:?} in:\n{}",
            build.stderr
        );
    }
    project.write("Dockerfile", "FROM busybox\nRUNN x\n");
    let build = project.ketch(&["build"]);
    assert!(
        build.stderr.contains("unknown instruction: RUNN"),
        "{}",
        build.stderr
    );
    world.assert_clean();
}
