//! `docker cp` and Compose's `cp`.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::process::Stdio;

use crate::docker::{docker, link};
use crate::world::{Ran, World};

/// A container that sleeps, and a directory with a few files.
fn furnish(world: &World) -> String {
    let here = world.root("here");
    fs::create_dir_all(here.join("dir/sub")).unwrap();
    fs::write(here.join("file"), "file").unwrap();
    fs::write(here.join("dir/a"), "a").unwrap();
    fs::write(here.join("dir/sub/b"), "b").unwrap();
    symlink("a", here.join("dir/link")).unwrap();
    let args = [
        "run",
        "-d",
        "--name",
        "box",
        "-v",
        "data:/data",
        "busybox",
        "sleep",
        "1000",
    ];
    docker(world, &args).ok();
    here.to_str().unwrap().to_owned()
}

fn sh(world: &World, script: &str) -> String {
    docker(world, &["exec", "box", "sh", "-c", script])
        .ok()
        .stdout
}

fn refused(ran: Ran, words: &str) {
    let ran = ran.failed(1);
    assert!(ran.stderr.contains(words), "{}", ran.stderr);
}

#[test]
fn files_go_in_and_out_by_docker_s_rules() {
    let world = World::new();
    let here = furnish(&world);
    let cp = |from: &str, to: &str| docker(&world, &["cp", from, to]);
    // In: a file into a directory, under a name, over one; a directory under its own and a new
    // name, and its content alone.
    cp(&format!("{here}/file"), "box:/tmp").ok();
    cp(&format!("{here}/file"), "box:/tmp/new").ok();
    cp(&format!("{here}/dir/a"), "box:/tmp/new").ok();
    cp(&format!("{here}/dir"), "box:/tmp").ok();
    cp(&format!("{here}/dir"), "box:/tmp/other").ok();
    cp(&format!("{here}/dir/."), "box:/data").ok();
    assert_eq!(
        sh(
            &world,
            "cd /tmp && cat file new dir/sub/b other/a /data/a && readlink dir/link"
        ),
        "fileabaaa\n"
    );
    refused(
        cp(&format!("{here}/dir"), "box:/tmp/file"),
        "cannot copy directory",
    );
    refused(
        cp(&format!("{here}/file"), "box:/tmp/none/"),
        "no such directory",
    );
    refused(
        cp(&format!("{here}/file"), "box:/none/x"),
        "Could not find the file /none in container box",
    );
    refused(cp(&format!("{here}/nothing"), "box:/tmp"), "nothing");
    refused(
        cp(&format!("{here}/dir"), "box:/tmp/new/"),
        "cannot copy directory",
    );
    // Out.
    let out = world.root("out");
    fs::create_dir(&out).unwrap();
    let to = out.to_str().unwrap();
    cp("box:/tmp/file", to).ok();
    cp("box:/tmp/file", &format!("{to}/name")).ok();
    cp("box:/tmp/dir", to).ok();
    cp("box:/data/.", &format!("{to}/data")).ok();
    let read = |path: &str| fs::read_to_string(out.join(path)).unwrap();
    assert_eq!(
        [
            read("file"),
            read("name"),
            read("dir/sub/b"),
            read("data/a")
        ]
        .concat(),
        "filefileba"
    );
    assert_eq!(fs::read_link(out.join("dir/link")).unwrap(), Path::new("a"));
    refused(
        cp("box:/nothing", to),
        "Could not find the file /nothing in container box",
    );
    refused(
        cp("box:/tmp/a", "box:/tmp/b"),
        "copying between containers is not supported",
    );
    refused(cp("a", "b"), "must specify at least one container source");
    refused(cp("none:/tmp/a", to), "No such container: none");
    // What a link leads to, only when asked.
    sh(
        &world,
        "ln -s /tmp/file /tmp/abs; mkdir /tmp/d; ln -s /tmp/dir /tmp/way",
    );
    cp("box:/tmp/abs", &format!("{to}/link")).ok();
    docker(
        &world,
        &["cp", "-L", "box:/tmp/abs", &format!("{to}/followed")],
    )
    .ok();
    assert!(out.join("link").is_symlink());
    assert_eq!(read("followed"), "file");
    cp(&format!("{here}/file"), "box:/tmp/way").ok();
    assert_eq!(sh(&world, "cat /tmp/dir/file"), "file");
    docker(&world, &["rm", "-f", "box"]).ok();
    docker(&world, &["volume", "rm", "data"]).ok();
    world.assert_clean();
}

#[test]
fn archives_are_streamed_and_lead_nowhere_else() {
    let world = World::new();
    let here = furnish(&world);
    let docker_command = |args: &[&str]| world.command(link(&world).to_str().unwrap(), args);
    // Out of one, through tar, into it again.
    docker(&world, &["cp", &format!("{here}/dir"), "box:/tmp"]).ok();
    let archive = docker_command(&["cp", "box:/tmp/dir", "-"])
        .output()
        .unwrap();
    assert!(archive.status.success());
    let listed = world.root("listed.tar");
    fs::write(&listed, &archive.stdout).unwrap();
    let names = world.run("tar", &["-tf", listed.to_str().unwrap()]).ok();
    assert_eq!(names.stdout, "dir/\ndir/a\ndir/link\ndir/sub/\ndir/sub/b\n");
    let put = |archive: &[u8], to: &str| {
        let mut child = docker_command(&["cp", "-", to])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let _refused = child.stdin.take().unwrap().write_all(archive);
        child.wait_with_output().unwrap()
    };
    assert!(put(&archive.stdout, "box:/data").status.success());
    assert_eq!(sh(&world, "cat /data/dir/sub/b"), "b");
    let wrong = put(&archive.stdout, "box:/data/dir/a");
    let told = String::from_utf8(wrong.stderr).unwrap();
    assert!(told.contains("must be a directory"), "{told}");

    // A container that wants out: its links are followed inside, an archive's names too.
    let secret = world.root("secret");
    fs::write(&secret, "untouched").unwrap();
    let outside = secret.parent().unwrap().to_str().unwrap();
    sh(
        &world,
        &format!("ln -s {outside} /tmp/evil; ln -s / /tmp/root"),
    );
    let tar = world.root("evil.tar");
    let pack = "import tarfile,io,sys\n\
                t=tarfile.open(sys.argv[1],'w')\n\
                for n in ['evil/secret','../../secret','root/tmp/inside']:\n \
                i=tarfile.TarInfo(n); i.size=3; t.addfile(i,io.BytesIO(b'new'))\nt.close()";
    world
        .run("python3", &["-c", pack, tar.to_str().unwrap()])
        .ok();
    assert!(put(&fs::read(&tar).unwrap(), "box:/tmp").status.success());
    assert_eq!(sh(&world, "cat /tmp/inside /tmp/secret"), "newnew");
    let file = format!("{here}/file");
    let written = docker(&world, &["cp", &file, "box:/tmp/evil/secret"]);
    drop(written);
    assert_eq!(fs::read_to_string(&secret).unwrap(), "untouched");
    // Nor does what it gives lead anywhere on the host.
    let out = world.root("out");
    fs::create_dir(&out).unwrap();
    symlink(&secret, out.join("file")).unwrap();
    docker(&world, &["cp", &file, "box:/tmp/file"]).ok();
    docker(&world, &["cp", "box:/tmp/.", out.to_str().unwrap()]).ok();
    assert_eq!(fs::read_to_string(&secret).unwrap(), "untouched");
    docker(&world, &["rm", "-f", "box"]).ok();
    docker(&world, &["volume", "rm", "data"]).ok();
    world.assert_clean();
}

#[test]
fn a_container_that_does_not_run_is_copied_to_as_well() {
    let world = World::new();
    let here = furnish(&world);
    docker(&world, &["kill", "box"]).ok();
    docker(&world, &["cp", &format!("{here}/dir"), "box:/data"]).ok();
    docker(&world, &["cp", &format!("{here}/file"), "box:/etc/conf"]).ok();
    let out = world.root("conf");
    docker(&world, &["cp", "box:/etc/conf", out.to_str().unwrap()]).ok();
    assert_eq!(fs::read_to_string(&out).unwrap(), "file");
    docker(&world, &["start", "box"]).ok();
    assert_eq!(
        sh(
            &world,
            "cat /data/dir/a /etc/conf; mount | grep -c ' /data '"
        ),
        "afile1\n"
    );
    // One that was never started, and a user of its own.
    let args = [
        "create",
        "--name",
        "new",
        "-u",
        "guest",
        "busybox",
        "cat",
        "/tmp/file",
    ];
    docker(&world, &args).ok();
    docker(
        &world,
        &["cp", "-a", &format!("{here}/file"), "new:/tmp/file"],
    )
    .ok();
    let back = world.root("back");
    docker(&world, &["start", "-a", "new"]).ok();
    docker(&world, &["cp", "new:/tmp/file", back.to_str().unwrap()]).ok();
    assert_eq!(
        fs::metadata(&back).unwrap().uid(),
        0,
        "it is whoever copies"
    );
    let listed = docker(&world, &["cp", "new:/tmp/file", "-"]).ok();
    assert!(listed.stdout.contains("0001750"), "uid 1000 in octal");
    docker(&world, &["rm", "-f", "box", "new"]).ok();
    docker(&world, &["volume", "rm", "data"]).ok();
    world.assert_clean();
}

#[test]
fn a_service_is_copied_to_in_all_its_containers() {
    let world = World::new();
    let project = world.project(
        "app",
        "services:\n  web:\n    image: busybox\n    command: sleep 1000\n    scale: 2\n",
    );
    project.write("f", "text");
    project.ketch(&["cp", "f", "web:/tmp/f"]).failed(1);
    project.ketch(&["up", "-d"]).ok();
    let ran = project.ketch(&["cp", "f", "web:/tmp/f"]).ok();
    for name in ["app-web-1", "app-web-2"] {
        let told = format!("{name} copy f to {name}:/tmp/f  Copied");
        assert!(ran.stderr.contains(&told), "{}", ran.stderr);
    }
    project
        .ketch(&["cp", "--index", "2", "compose.yaml", "web:/tmp/only"])
        .ok();
    let listed = |index: &str| {
        let args = ["exec", "-T", "--index", index, "web", "ls", "/tmp"];
        project.ketch(&args).ok().stdout
    };
    assert_eq!(
        (listed("1").as_str(), listed("2").as_str()),
        ("f\n", "f\nonly\n")
    );
    project.ketch(&["cp", "web:/tmp/f", "back"]).ok();
    assert_eq!(
        fs::read_to_string(project.directory.join("back")).unwrap(),
        "text"
    );
    project.ketch(&["cp", "web:/a", "web:/b"]).failed(1);
    project.ketch(&["cp", "nope:/a", "x"]).failed(1);
    project.ketch(&["down", "-t", "1"]).ok();
    world.assert_clean();
}

#[test]
fn a_mount_stays_one() {
    let world = World::new();
    let here = world.root("here");
    fs::create_dir_all(here.join("dir/data/sub")).unwrap();
    fs::write(here.join("file"), "new\n").unwrap();
    fs::write(here.join("bound"), "old\n").unwrap();
    fs::write(here.join("data"), "no directory").unwrap();
    let bound = format!("{}:/bound", here.join("bound").display());
    let run = [
        "run",
        "-d",
        "--name",
        "box",
        "-v",
        "data:/data",
        "-v",
        &bound,
    ];
    docker(&world, &[&run[..], &["busybox", "sleep", "1000"]].concat()).ok();
    let mounts = || sh(&world, "grep -cE ' /(bound|data|etc/hosts) ' /proc/mounts");
    assert_eq!(mounts(), "3\n");
    let file = here.join("file");
    for target in ["box:/bound", "box:/etc/hosts"] {
        docker(&world, &["cp", file.to_str().unwrap(), target]).ok();
    }
    assert_eq!(sh(&world, "cat /bound /etc/hosts"), "new\nnew\n");
    assert_eq!(fs::read_to_string(here.join("bound")).unwrap(), "new\n");
    // A stream is not read twice.
    let docker_path = link(&world);
    let archive = "printf 'stream\\n' >/tmp/bound; tar -C /tmp -c bound";
    let script = format!(
        "{0} exec box sh -c \"{archive}\" | {0} cp - box:/",
        docker_path.display()
    );
    world.run("sh", &["-c", &script]).ok();
    assert_eq!(fs::read_to_string(here.join("bound")).unwrap(), "stream\n");
    assert_eq!(mounts(), "3\n");
    docker(&world, &["rm", "-f", "box"]).ok();
    docker(&world, &["volume", "rm", "data"]).ok();
    world.assert_clean();
}
