//! Our streams as a container's own: `run -it`, `start -ai`, `attach`.

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::OpenptFlags;
use rustix::termios::{Winsize, tcsetwinsize};

use crate::docker::{docker, link};
use crate::world::{World, eventually};

const PATIENCE: Duration = Duration::from_secs(20);

/// A program at a terminal of its own, and somebody who types.
pub struct Typist {
    master: std::fs::File,
    child: Child,
    heard: Receiver<Vec<u8>>,
    /// What came since the last thing that was waited for.
    screen: String,
}

impl Typist {
    pub fn at(mut command: Command) -> Self {
        let master = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        rustix::pty::grantpt(&master).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let path = rustix::pty::ptsname(&master, Vec::new()).unwrap();
        let slave: OwnedFd = std::fs::File::options()
            .read(true)
            .write(true)
            .open(path.to_str().unwrap())
            .unwrap()
            .into();
        let mut typist_master = std::fs::File::from(master);
        resize(&typist_master, 30, 100);
        let child = command
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(slave)
            .spawn()
            .unwrap();
        drop(command);
        let (sender, heard) = channel();
        let mut from = typist_master.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                if sender.send(buffer[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        typist_master.flush().unwrap();
        Self {
            master: typist_master,
            child,
            heard,
            screen: String::new(),
        }
    }

    pub fn types(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until this is on the screen.
    #[track_caller]
    pub fn sees(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.screen.find(text) {
                self.screen.drain(..at + text.len());
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.heard.recv_timeout(left) {
                Ok(bytes) => self.screen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("{text:?} is not on the screen: {:?}", self.screen),
            }
        }
    }

    #[track_caller]
    pub fn leaves_with(&mut self, code: i32) {
        let mut status = None;
        eventually("it ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert_eq!(status.unwrap().code(), Some(code), "{:?}", self.screen);
    }
}

/// A test that fails leaves nobody waiting at a terminal.
impl Drop for Typist {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn resize(terminal: &std::fs::File, rows: u16, columns: u16) {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(terminal, size).unwrap();
}

fn docker_command(world: &World, args: &[&str]) -> Command {
    let program: PathBuf = link(world);
    world.command(program.to_str().unwrap(), args)
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
}

fn status_of(world: &World, name: &str) -> String {
    let shown = docker(world, &["inspect", "-f", "{{.State.Status}}", name]);
    shown.stdout.trim().to_owned()
}

#[test]
fn what_is_piped_in_is_read_and_its_end_is_the_end() {
    let world = World::new();
    let piped = |command: &[&str], input: &[u8]| {
        let mut args = vec!["run", "-i", "--rm", "--name", "box", "busybox"];
        args.extend(command);
        let mut child = docker_command(&world, &args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let _it_may_end_before = stdin.write_all(input);
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let (code, stdout, stderr) = piped(&["sh"], b"echo one; echo two >&2\nexit 4\n");
    assert_eq!((code, &*stdout, &*stderr), (Some(4), "one\n", "two\n"));
    let (code, stdout, _) = piped(&["wc", "-c"], &vec![b'x'; 300_000]);
    assert_eq!((code, stdout.trim()), (Some(0), "300000"));
    // A program that does not read holds nobody up.
    let (code, ..) = piped(&["true"], &vec![b'x'; 300_000]);
    assert_eq!(code, Some(0));
    // It is gone when the command is: its name is free.
    let again = docker(&world, &["run", "--rm", "--name", "box", "busybox", "true"]);
    again.ok();
    // Without -i there is no stdin.
    let ran = docker(&world, &["run", "--rm", "busybox", "cat"]).ok();
    assert_eq!(ran.stdout, "");
    world.assert_clean();
}

#[test]
fn a_terminal_is_typed_into_left_and_come_back_to() {
    let world = World::new();
    let piped = docker(&world, &["run", "-it", "--rm", "busybox", "sh"]).failed(1);
    assert_eq!(piped.stderr, "the input device is not a TTY\n");

    let args = ["run", "-it", "--name", "box", "busybox", "sh"];
    let mut typist = Typist::at(docker_command(&world, &args));
    typist.sees("# ");
    typist.types("stty size; tty\n");
    typist.sees("30 100");
    typist.sees("/dev/pts/0");
    resize(&typist.master, 40, 120);
    kill_process(pid(&typist.child), Signal::WINCH).unwrap();
    typist.types("until stty size | grep '40 120'; do sleep 0.05; done\n");
    typist.sees("40 120\r\n");
    // ctrl-C is the shell's, not ours.
    typist.types("sh -c 'echo $((1+1))there; sleep 100; :'\n");
    typist.sees("2there");
    typist.types("\x03");
    typist.sees("# ");
    typist.types("x=kept\n");
    typist.types("\x10\x11");
    typist.sees("read escape sequence");
    typist.leaves_with(0);
    assert_eq!(status_of(&world, "box"), "running");

    let args = ["attach", "--detach-keys", "ctrl-x,x", "box"];
    let mut typist = Typist::at(docker_command(&world, &args));
    typist.types("echo $x-$x\n");
    typist.sees("kept-kept");
    typist.types("\x18x");
    typist.leaves_with(0);
    let mut typist = Typist::at(docker_command(&world, &["attach", "box"]));
    typist.types("exit 9\n");
    typist.leaves_with(9);
    assert_eq!(status_of(&world, "box"), "exited");

    let stopped = docker(&world, &["attach", "box"]).failed(1);
    assert!(
        stopped
            .stderr
            .contains("You cannot attach to a stopped container, start it first"),
        "{}",
        stopped.stderr
    );
    let mut typist = Typist::at(docker_command(&world, &["start", "-ai", "box"]));
    typist.sees("# ");
    typist.types("exit 3\n");
    typist.leaves_with(3);
    docker(&world, &["rm", "box"]).ok();
    world.assert_clean();
}

#[test]
fn signals_are_the_program_s_and_a_killed_client_leaves_it_alone() {
    let world = World::new();
    let script = "trap 'echo usr1' USR1; trap 'echo int; exit 5' INT; echo ready; \
                  while :; do sleep 0.05; done";
    let args = ["run", "--name", "box", "busybox", "sh", "-c", script];
    let mut typist = Typist::at(docker_command(&world, &args));
    typist.sees("ready");
    kill_process(pid(&typist.child), Signal::USR1).unwrap();
    typist.sees("usr1");
    kill_process(pid(&typist.child), Signal::INT).unwrap();
    typist.sees("int");
    typist.leaves_with(5);

    // A client that is killed is nobody's end.
    let mut typist = Typist::at(docker_command(&world, &["start", "-a", "box"]));
    typist.sees("ready");
    typist.child.kill().unwrap();
    typist.child.wait().unwrap();
    assert_eq!(status_of(&world, "box"), "running");
    // Nor is one that does not pass signals on.
    let args = ["attach", "--sig-proxy=false", "box"];
    let mut typist = Typist::at(docker_command(&world, &args));
    docker(&world, &["kill", "-s", "USR1", "box"]).ok();
    typist.sees("usr1");
    kill_process(pid(&typist.child), Signal::INT).unwrap();
    typist.leaves_with(130);
    assert_eq!(status_of(&world, "box"), "running");
    docker(&world, &["pause", "box"]).ok();
    let paused = docker(&world, &["attach", "box"]).failed(1);
    assert!(
        paused
            .stderr
            .contains("You cannot attach to a paused container"),
        "{}",
        paused.stderr
    );
    docker(&world, &["rm", "-f", "box"]).ok();

    // One that ends with its reader: `| head -1`.
    let mut run = docker_command(&world, &["run", "--rm", "--name", "yes", "busybox", "yes"]);
    let mut child = run.stdout(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 2];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(141));
    docker(&world, &["rm", "-f", "yes"]).ok();
    world.assert_clean();
}

/// The processes that look after this world's containers.
fn monitors(world: &World) -> Vec<Pid> {
    let data = world.root("data").into_os_string().into_string().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let is_one = |pid: i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        line.starts_with("ketch-monitor") && line.contains(&data)
    };
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| is_one(*pid))
        .filter_map(Pid::from_raw)
        .collect()
}

#[test]
fn the_end_of_a_run_and_of_a_monitor_is_told() {
    let world = World::new();
    // One that is started again has ended for us all the same.
    let args = ["run", "--restart", "always", "--name", "box", "busybox"];
    let ran = docker(
        &world,
        &[&args[..], &["sh", "-c", "sleep 0.3; exit 6"]].concat(),
    );
    assert_eq!(ran.code, 6, "{}", ran.stderr);
    let again = docker(&world, &["inspect", "-f", "{{.State.Status}}", "box"]).ok();
    assert!(
        ["running", "restarting"].contains(&again.stdout.trim()),
        "{}",
        again.stdout
    );
    docker(&world, &["rm", "-f", "box"]).ok();

    let args = [
        "run",
        "--rm",
        "--name",
        "box",
        "busybox",
        "sh",
        "-c",
        "echo in; sleep 100",
    ];
    let mut typist = Typist::at(docker_command(&world, &args));
    typist.sees("in");
    for monitor in monitors(&world) {
        kill_process(monitor, Signal::KILL).unwrap();
    }
    typist.sees("monitor died");
    typist.leaves_with(125);
    // The container does not notice, and is found by whoever comes next.
    assert_eq!(status_of(&world, "box"), "running");
    docker(&world, &["kill", "box"]).ok();
    eventually("--rm holds", || {
        docker(&world, &["ps", "-aq"]).stdout.is_empty()
    });
    world.assert_clean();
}

#[test]
fn a_service_is_attached_to() {
    let world = World::new();
    let project = world.project(
        "app",
        "services:\n  sh:\n    image: busybox\n    command: sh\n    stdin_open: true\n    tty: true\n",
    );
    project.ketch(&["up", "-d"]).ok();
    let mut typist = Typist::at(world.ketch_command(&project.directory, &["attach", "sh"]));
    typist.types("echo a$((1+1))c\n");
    typist.sees("a2c");
    typist.types("\x10\x11");
    typist.leaves_with(0);
    project.ketch(&["attach", "nope"]).failed(1);
    let ran = project.ketch(&["attach", "sh"]).failed(1);
    assert!(
        ran.stderr.contains("the input device is not a TTY"),
        "{}",
        ran.stderr
    );
    let ran = project.ketch(&["--dry-run", "attach", "sh"]).ok();
    assert_eq!(ran.stdout, "");
    project.ketch(&["down"]).ok();
    world.assert_clean();
}
