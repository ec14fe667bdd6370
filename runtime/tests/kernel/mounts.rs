//! What a container sees of file systems.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use ketch_runtime::container::record::{Mount, Source};
use ketch_runtime::error::ErrorKind;

use crate::world::{World, bind, make_root, runner::Job};

pub(crate) fn the_default_mounts_are_there() {
    let world = World::new();
    let shown = world
        .run(
            &world
                .shell("awk '{print $5, $6}' /proc/self/mountinfo | sort; mount | grep -c cgroup"),
        )
        .ok();
    for expected in [
        "/proc rw,nosuid,nodev,noexec,relatime",
        "/dev rw,nosuid",
        "/dev/pts rw,nosuid,noexec,relatime",
        "/sys ro,nosuid,nodev,noexec,relatime",
        "/sys/fs/cgroup ro,nosuid,nodev,noexec,relatime",
        "/dev/mqueue rw,nosuid,nodev,noexec,relatime",
        "/dev/shm rw,nosuid,nodev,noexec,relatime",
        "/proc/sys ro,nosuid,nodev,noexec,relatime",
        "/etc/hosts rw,relatime",
        "/etc/resolv.conf rw,relatime",
    ] {
        assert!(
            shown.lines().any(|line| line == expected),
            "{expected}\n{shown}"
        );
    }
    let stray = shown
        .lines()
        .any(|line| line.starts_with("/tmp") || line.starts_with("/var"));
    assert!(!stray, "{shown}");
    let sizes = world
        .run(&world.shell("df -k /dev/shm | awk 'NR==2{print $2}'; stat -c %a /dev/shm; ls -A /; cat /etc/hostname"))
        .ok();
    assert!(sizes.starts_with("65536\n1777\n.dockerenv\n"), "{sizes}");
}

pub(crate) fn dangerous_files_are_hidden() {
    let world = World::new();
    let outcome = world.run(&world.shell(
        "head -c 1 /proc/kcore | wc -c; cat /proc/keys /proc/timer_list | wc -c; ls -A /sys/firmware /proc/scsi 2>/dev/null | grep -v : | wc -w; \
         echo 1 > /proc/sys/kernel/panic; mkdir /sys/x",
    ));
    assert_eq!(outcome.stdout, "0\n0\n0\n", "{outcome:?}");
    assert_eq!(
        outcome.stderr.matches("Read-only").count(),
        2,
        "{outcome:?}"
    );
    let mut record = world.shell("head -c 1 /proc/timer_list | wc -c");
    record.spec.security.system_paths_unconfined = true;
    assert_eq!(world.run(&record).ok(), "1\n");
}

pub(crate) fn a_read_only_root_refuses_writes() {
    let world = World::new();
    let mut record =
        world.shell("touch /x || touch /etc/hosts || touch /dev/shm/x && echo shm is not");
    record.spec.read_only = true;
    let outcome = world.run(&record);
    assert_eq!(outcome.stdout, "shm is not\n", "{outcome:?}");
    assert_eq!(
        outcome.stderr.matches("Read-only").count(),
        2,
        "{outcome:?}"
    );
}

pub(crate) fn tmpfs_options_are_kept() {
    let world = World::new();
    let mut record = world.shell(
        "grep ' /run ' /proc/mounts | cut -d' ' -f4; stat -c %a /tmp; cp /bin/busybox /run/ls && /run/ls >/dev/null && echo ran",
    );
    let tmpfs = |target: &str, options: &[&str]| Mount {
        target: target.into(),
        read_only: false,
        source: Source::Tmpfs {
            options: options.iter().map(|o| (*o).to_owned()).collect(),
        },
    };
    record.mounts = vec![
        tmpfs("/run", &["size=8m,exec", "mode=0700"]),
        tmpfs("/tmp", &[]),
    ];
    let shown = world.run(&record).ok();
    let lines: Vec<&str> = shown.lines().collect();
    assert!(
        lines[0].starts_with("rw,nosuid,nodev,relatime,size=8192k,mode=700"),
        "{shown}"
    );
    assert_eq!(&lines[1..], ["1777", "ran"]);
}

pub(crate) fn a_read_only_bind_is_so_all_the_way_down() {
    let world = World::new();
    let source = world.path("source");
    fs::create_dir_all(source.join("below")).unwrap();
    fs::write(source.join("file"), "content").unwrap();
    // /proc is a mount below: nothing may be left behind on the host, so use what is there.
    let mut record = world
        .shell("cat /in/file; touch /in/x; touch /in/below/x; touch /hostdev/shm/x; touch /rw/ok");
    record.mounts = vec![
        bind(&source, "/in", true),
        bind(&source, "/rw", false),
        bind(std::path::Path::new("/dev"), "/hostdev", true),
    ];
    let outcome = world.run(&record);
    assert_eq!(outcome.stdout, "content");
    assert_eq!(
        outcome.stderr.matches("Read-only").count(),
        3,
        "{outcome:?}"
    );
    assert!(source.join("ok").exists());
}

pub(crate) fn files_in_memory_have_content_and_owner() {
    let world = World::new();
    let mut record = world.shell(
        "cat /run/secrets/key; stat -c '%a %u %g' /run/secrets/key; find / -xdev -name key | wc -l",
    );
    record.mounts = vec![Mount {
        target: "/run/secrets/key".into(),
        read_only: true,
        source: Source::File {
            content: b"hush".to_vec(),
            mode: 0o440,
            uid: 33,
            gid: 34,
        },
    }];
    assert!(world.run(&record).ok().starts_with("hush440 33 34\n"));
    // On disk there is no more than the empty place it was mounted on.
    let place = world
        .roots
        .container(&record.id)
        .join("upper/run/secrets/key");
    assert_eq!(fs::read(place).unwrap(), b"");
}

pub(crate) fn a_volume_shows_its_subpath_and_nothing_above() {
    let world = World::new();
    let data = world.path("volume");
    fs::create_dir_all(data.join("sub")).unwrap();
    fs::write(data.join("sub/file"), "inside").unwrap();
    fs::write(data.join("secret"), "outside").unwrap();
    symlink("/etc", data.join("escape")).unwrap();
    let volume = |subpath: &str| Mount {
        target: "/data".into(),
        read_only: false,
        source: Source::Volume {
            name: "v".into(),
            path: data.clone(),
            subpath: Some(subpath.into()),
            anonymous: false,
        },
    };
    let mut record = world.shell("ls /data; cat /data/file; touch /data/../secret-not");
    record.mounts = vec![volume("sub")];
    assert_eq!(world.run(&record).ok(), "file\ninside");
    for outside in ["escape", "../..", "missing"] {
        let mut record = world.shell("ls /data");
        record.mounts = vec![volume(outside)];
        let outcome = world.run(&record);
        // `..` at the top of the volume is the volume; links into nowhere are an error.
        if outside == "../.." {
            assert_eq!(outcome.ok(), "escape\nsecret\nsub\n");
        } else {
            assert!(outcome.result.is_err(), "{outcome:?}");
        }
    }
}

pub(crate) fn a_missing_target_is_made_and_a_wrong_one_refused() {
    let world = World::new();
    let file = world.path("file");
    fs::write(&file, "x").unwrap();
    let mut record = world.shell("cat /a/b/c; stat -c %a /a/b");
    record.mounts = vec![bind(&file, "/a/b/c", false)];
    assert_eq!(world.run(&record).ok(), "x755\n");
    let mut record = world.shell("true");
    record.mounts = vec![bind(&file, "/bin", false)];
    let (kind, text) = world.run(&record).result.unwrap_err();
    assert_eq!(kind, ErrorKind::CommandNotFound);
    assert!(
        text.contains("Are you trying to mount a directory onto a file"),
        "{text}"
    );
}

pub(crate) fn links_of_the_image_lead_nowhere() {
    let world = World::new();
    let canary = world.path("canary");
    fs::create_dir_all(&canary).unwrap();
    // A target behind a link to a directory of the host stays inside the root.
    let root = world.path("hostile");
    make_root(&root);
    symlink(&canary, root.join("out")).unwrap();
    let mut record = world.shell("ls -A /out/ && ls /out/made");
    record.mounts = vec![bind(&world.path("canary"), "/out/made", false)];
    let mut job = Job::new(&world, &record);
    job.layers = vec![root.clone()];
    world.run_job(&job).ok();
    assert_eq!(fs::read_dir(&canary).unwrap().count(), 0);
    // The directories that we mount ourselves must be real ones.
    for name in ["dev", "proc", "sys"] {
        let root = world.path(&format!("hostile-{name}"));
        make_root(&root);
        fs::create_dir(root.join("elsewhere")).unwrap();
        symlink("elsewhere", root.join(name)).unwrap();
        let record = world.shell("true");
        let mut job = Job::new(&world, &record);
        job.layers = vec![root];
        let (_, text) = world.run_job(&job).result.unwrap_err();
        assert!(text.contains("must be a real directory"), "{text}");
    }
}

pub(crate) fn the_root_has_the_mode_of_the_image() {
    let world = World::new();
    let (lower, upper) = (world.path("lower"), world.path("upper"));
    make_root(&lower);
    fs::create_dir(&upper).unwrap();
    fs::write(upper.join("new"), "").unwrap();
    fs::set_permissions(&upper, fs::Permissions::from_mode(0o711)).unwrap();
    let record = world.shell("stat -c %a /; ls /new /bin/sh");
    let mut job = Job::new(&world, &record);
    job.layers = vec![lower, upper];
    assert_eq!(world.run_job(&job).ok(), "711\n/bin/sh\n/new\n");
    // No image at all is a root without programs.
    let record = world.shell("true");
    let mut job = Job::new(&world, &record);
    job.layers = Vec::new();
    assert_eq!(
        world.run_job(&job).result.unwrap_err().0,
        ErrorKind::CommandNotFound
    );
}
