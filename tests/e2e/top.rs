//! What `top` and a container's own `ps` show.

use crate::world::World;

#[test]
fn top_has_the_columns_of_ps_and_the_small_init_its_own_name() {
    let world = World::new();
    let project = world.project(
        "app",
        "services: {one: {image: busybox, command: sleep inf, init: true}}",
    );
    project.ketch(&["up", "-d"]).ok();
    let top = project.ketch(&["top"]).ok().stdout;
    let rows: Vec<Vec<&str>> = top
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let head = "SERVICE # UID PID PPID C STIME TTY TIME CMD";
    assert_eq!(rows[0].join(" "), head);
    assert_eq!(rows.len(), 3, "{top}");
    assert_eq!(rows[1][..3], ["one", "1", "root"]);
    assert_eq!(rows[1][7..], ["?", "00:00:00", "ketch-init"]);
    assert_eq!(rows[2][9..], ["sleep", "inf"]);
    assert_eq!(rows[2][4], rows[1][3], "the init is its parent");
    let shown = project.exec("one", "tr '\\0' '|' < /proc/1/cmdline; cat /proc/1/comm");
    assert_eq!(shown, "ketch-init|ketch-init\n");
}
