//! A private world: roots in a temporary directory, a network namespace that plays the host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(20);

/// One test's installation of ketch and its host.
pub struct World {
    directory: tempfile::TempDir,
    /// The namespace's name; the test's real host when empty.
    namespace: String,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Fails the test unless the command succeeded.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(
            self.code, 0,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self
    }

    /// Fails the test unless the command failed with this code.
    #[track_caller]
    pub fn failed(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self
    }
}

impl World {
    /// A new one, with the image `busybox` in it.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("e2e-{}-{number}", std::process::id());
        run("ip", &["netns", "add", &namespace]);
        run("ip", &["-n", &namespace, "link", "set", "lo", "up"]);
        let world = Self::with_namespace(namespace);
        world
            .ketch(
                Path::new("/"),
                &["image", "import", busybox().to_str().unwrap(), "busybox"],
            )
            .ok();
        world
    }

    /// One on the real host's network, for what needs a way out; without images.
    pub fn on_the_host() -> Self {
        Self::with_namespace(String::new())
    }

    fn with_namespace(namespace: String) -> Self {
        let root = Command::new("id")
            .arg("-u")
            .output()
            .expect("id is on every machine");
        assert_eq!(root.stdout, b"0\n", "the e2e tests need root");
        Self {
            directory: tempfile::tempdir().unwrap(),
            namespace,
        }
    }

    /// A project directory of this name with a compose file.
    pub fn project(&self, name: &str, compose: &str) -> Project<'_> {
        let directory = self.directory.path().join(name);
        fs::create_dir_all(&directory).unwrap();
        let project = Project {
            world: self,
            directory,
        };
        project.write("compose.yaml", compose);
        project
    }

    /// Runs ketch in this world.
    pub fn ketch(&self, directory: &Path, args: &[&str]) -> Ran {
        Ran::of(
            &self
                .ketch_command(directory, args)
                .output()
                .expect("ketch is built"),
        )
    }

    /// ketch in this world, to be started by the test.
    pub fn ketch_command(&self, directory: &Path, args: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_ketch"), args);
        command.current_dir(directory).stdin(Stdio::null());
        command
    }

    /// Any program on this world's host, with ketch's roots in its environment.
    pub fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = if self.namespace.is_empty() {
            Command::new(program)
        } else {
            let mut command = Command::new("nsenter");
            command
                .arg(format!("--net=/run/netns/{}", self.namespace))
                .arg("--")
                .arg(program);
            command
        };
        command
            .args(args)
            .env("KETCH_ROOT", self.root("data"))
            .env("KETCH_RUN", self.root("run"))
            .env("DOCKER_CONFIG", self.root("docker"))
            .env_remove("DOCKER_AUTH_CONFIG")
            .env_remove("COMPOSE_FILE")
            .env_remove("COMPOSE_PROJECT_NAME");
        command
    }

    /// Runs any program on this world's host.
    pub fn run(&self, program: &str, args: &[&str]) -> Ran {
        Ran::of(
            &self
                .command(program, args)
                .output()
                .unwrap_or_else(|error| panic!("{program}: {error}")),
        )
    }

    /// What `address` answers to an HTTP GET from this world's host.
    pub fn get(&self, address: &str) -> Ran {
        self.run(
            "curl",
            &[
                "--silent",
                "--show-error",
                "--fail",
                "--max-time",
                "5",
                "--globoff",
                address,
            ],
        )
    }

    /// The data or run root.
    pub fn root(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The namespace's name, for a second host to be connected to.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// What is left of containers and networks on this world's host.
    #[track_caller]
    pub fn assert_clean(&self) {
        let mut left = Vec::new();
        if !self.namespace.is_empty() {
            let links = self.run("ip", &["-o", "link", "show"]).ok().stdout;
            left.extend(
                links
                    .lines()
                    .filter(|line| line.contains("br-") || line.contains("veth"))
                    .map(str::to_owned),
            );
            let rules = self.run("nft", &["list", "ruleset"]).ok().stdout;
            left.extend(
                rules
                    .lines()
                    .filter(|line| line.contains("ketch"))
                    .map(str::to_owned),
            );
        }
        let root = self.directory.path().to_str().unwrap();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        left.extend(
            mounts
                .lines()
                .filter(|line| line.contains(root))
                .map(str::to_owned),
        );
        for process in fs::read_dir("/proc").unwrap().flatten() {
            let arguments = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
            if arguments.contains(root) {
                left.push(format!(
                    "process {}: {arguments}",
                    process.file_name().to_string_lossy()
                ));
            }
        }
        let containers = fs::read_dir(self.root("data").join("containers"));
        left.extend(
            containers
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| format!("{:?}", entry.path())),
        );
        assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !self.namespace.is_empty() {
            run("ip", &["netns", "delete", &self.namespace]);
        }
    }
}

/// A directory with a compose file; taken down at the end.
pub struct Project<'a> {
    pub world: &'a World,
    pub directory: PathBuf,
}

impl Project<'_> {
    /// Runs ketch in the project's directory.
    pub fn ketch(&self, args: &[&str]) -> Ran {
        self.world.ketch(&self.directory, args)
    }

    /// Writes a file of the project.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.directory.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A program's output in a service's container.
    #[track_caller]
    pub fn exec(&self, service: &str, command: &str) -> String {
        self.ketch(&["exec", "-T", service, "sh", "-c", command])
            .ok()
            .stdout
    }

    /// `ps --format json` of every container, one value each.
    #[track_caller]
    pub fn ps(&self) -> Vec<serde_json::Value> {
        let listed = self.ketch(&["ps", "--all", "--format", "json"]).ok().stdout;
        listed
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The id of a service's first container.
    #[track_caller]
    pub fn id(&self, service: &str) -> String {
        self.ketch(&["ps", "--all", "-q", service])
            .ok()
            .stdout
            .lines()
            .next()
            .expect("a container")
            .to_owned()
    }
}

impl Drop for Project<'_> {
    fn drop(&mut self) {
        let down = self.ketch(&["down", "--volumes", "--remove-orphans", "--timeout", "0"]);
        if down.code != 0 {
            // A test that failed may have left a file that can't be read: its containers go by name.
            let all = self.ketch(&["container", "ls", "-aq"]).stdout;
            let mut remove = vec!["container", "rm", "-f", "-v"];
            remove.extend(all.lines());
            drop(self.ketch(&remove));
        }
        if std::thread::panicking() {
            eprintln!("{}", down.stderr);
        }
    }
}

/// Waits until a condition is true; the test fails when it never becomes so.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A tar of a root file system made of busybox, made once.
pub fn busybox() -> &'static Path {
    static TAR: OnceLock<PathBuf> = OnceLock::new();
    TAR.get_or_init(|| {
        let made =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("busybox-{}", std::process::id()));
        let root = made.join("root");
        for directory in ["bin", "etc", "tmp", "var", "root"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        let busybox = ["/bin/busybox", "/usr/bin/busybox"]
            .into_iter()
            .find(|path| Path::new(path).exists());
        fs::copy(
            busybox.expect("Debian's busybox-static is installed"),
            root.join("bin/busybox"),
        )
        .unwrap();
        let applets = Command::new("/bin/busybox").arg("--list").output().unwrap();
        for applet in String::from_utf8(applets.stdout)
            .unwrap()
            .lines()
            .filter(|applet| *applet != "busybox")
        {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        fs::write(
            root.join("etc/passwd"),
            "root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000::/tmp:/bin/sh\n",
        )
        .unwrap();
        fs::write(root.join("etc/group"), "root:x:0:\nguest:x:1000:\n").unwrap();
        let unfinished = made.with_extension("tar");
        run(
            "tar",
            &[
                "-C",
                root.to_str().unwrap(),
                "--numeric-owner",
                "-cf",
                unfinished.to_str().unwrap(),
                ".",
            ],
        );
        fs::remove_dir_all(made).unwrap();
        let tar = unfinished.with_file_name("busybox.tar");
        fs::rename(unfinished, &tar).unwrap();
        tar
    })
}

/// Runs a program of the test's own host, which must succeed.
#[track_caller]
pub fn run(program: &str, args: &[&str]) {
    let status = Command::new(program)
        .args(args)
        .status()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(status.success(), "{program} {args:?}: {status}");
}
