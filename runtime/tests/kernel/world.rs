//! A private world for each test: roots in a directory of its own, a network namespace on the
//! test's thread, a busybox image, and a look round at the end for what was left behind.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use jiff::Timestamp;
use ketch_runtime::container::record::{Mount, Process, Record, Source, Stop};
use ketch_runtime::content::digest::Digest;
use ketch_runtime::error::ErrorKind;
use ketch_runtime::spec::{ContainerSpec, NetworkMode};
use ketch_runtime::store::Roots;
use ketch_runtime::store::id::Id;
use ketch_runtime::sys::{namespace, process};

/// One test's world.
pub(crate) struct World {
    directory: tempfile::TempDir,
    pub(crate) roots: Roots,
    ids: Mutex<Vec<Id>>,
}

/// How a container's process went.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The exit code, or why there was no process.
    pub(crate) result: Result<i32, (ErrorKind, String)>,
    /// Results of the further processes, in their order.
    pub(crate) execs: Vec<Result<i32, (ErrorKind, String)>>,
    /// From the call of start to exec done.
    pub(crate) start_micros: u64,
}

impl Outcome {
    /// Stdout of a process that must have ended with 0.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(
            self.result,
            Ok(0),
            "stdout: {}\nstderr: {}",
            self.stdout,
            self.stderr
        );
        self.stdout
    }
}

impl World {
    pub(crate) fn new() -> Self {
        // Of this thread only; programs and containers started from it inherit it.
        namespace::unshare(namespace::NEWNET).unwrap();
        process::set_loopback_up().unwrap();
        let directory = tempfile::Builder::new()
            .prefix("ketch-world-")
            .tempdir()
            .unwrap();
        let roots = Roots::new(directory.path().join("data"), directory.path().join("run"));
        Self {
            directory,
            roots,
            ids: Mutex::new(Vec::new()),
        }
    }

    /// A directory of this world for a test's own use.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A record that runs `script` in a shell, without network.
    pub(crate) fn shell(&self, script: &str) -> Record {
        self.record(&["/bin/sh", "-c", script])
    }

    /// A record that runs these arguments, without network.
    pub(crate) fn record(&self, args: &[&str]) -> Record {
        let id = Id::random().unwrap();
        self.ids.lock().unwrap().push(id.clone());
        let hostname = id.short().to_owned();
        let directory = self.roots.container(&id);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("hosts"), "127.0.0.1\tlocalhost\n").unwrap();
        fs::write(directory.join("hostname"), format!("{hostname}\n")).unwrap();
        fs::write(directory.join("resolv.conf"), "nameserver 127.0.0.11\n").unwrap();
        Record {
            name: format!("test-{hostname}"),
            created: Timestamp::now(),
            image_id: Digest::of(b""),
            layers: Vec::new(),
            process: Process {
                args: args.iter().map(|arg| (*arg).to_owned()).collect(),
                env: vec![
                    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into(),
                    format!("HOSTNAME={hostname}"),
                ],
                cwd: "/".into(),
                ..Process::default()
            },
            hostname,
            mounts: Vec::new(),
            health: None,
            stop: Stop {
                signal: 15,
                signal_configured: false,
                grace: None,
            },
            exposed: Vec::new(),
            spec: ContainerSpec {
                network: NetworkMode::None,
                ..ContainerSpec::default()
            },
            id,
        }
    }

    /// Runs a container of the base image to its end.
    pub(crate) fn run(&self, record: &Record) -> Outcome {
        self.run_job(&runner::Job::new(self, record))
    }

    /// Runs a container and, once it runs, further processes in it, one after another; then kills
    /// it. Their output comes on the same streams.
    pub(crate) fn run_with_execs(&self, record: &Record, execs: Vec<Process>) -> Outcome {
        let mut job = runner::Job::new(self, record);
        job.execs = execs;
        self.run_job(&job)
    }

    pub(crate) fn run_job(&self, job: &runner::Job) -> Outcome {
        let mut program = self.spawn(job);
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let mut errors = program.stderr.take().unwrap();
        let reader = std::thread::spawn(move || {
            errors.read_to_string(&mut stderr).unwrap();
            stderr
        });
        let mut out = Vec::new();
        program
            .stdout
            .take()
            .unwrap()
            .read_to_end(&mut out)
            .unwrap();
        stdout.push_str(&String::from_utf8_lossy(&out));
        let stderr = reader.join().unwrap();
        let status = program.wait().unwrap();
        assert!(status.success(), "the runner failed: {stderr}");
        let report = fs::read(&job.report).unwrap();
        let report: runner::Report = serde_json::from_slice(&report).unwrap();
        Outcome {
            stdout,
            stderr,
            result: report.result,
            execs: report.execs,
            start_micros: report.start_micros,
        }
    }

    fn spawn(&self, job: &runner::Job) -> Child {
        let file = self.path(&format!("job-{}", job.record.id));
        fs::write(&file, serde_json::to_vec(job).unwrap()).unwrap();
        Command::new("/proc/self/exe")
            .env(runner::VARIABLE, &file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// What this world has left on the machine.
    fn leaks(&self) -> Vec<String> {
        let mut leaks = Vec::new();
        let here = self.directory.path().to_str().unwrap().to_owned();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        leaks.extend(
            mounts
                .lines()
                .filter(|line| line.contains(&here))
                .map(|line| format!("mount {line}")),
        );
        for id in self.ids.lock().unwrap().iter() {
            let cgroup = ketch_runtime::cgroup::Cgroup::of(id, None).unwrap();
            leaks.extend(
                cgroup
                    .processes()
                    .into_iter()
                    .map(|pid| format!("process {pid} of {id}")),
            );
            for hierarchy in fs::read_dir("/sys/fs/cgroup")
                .into_iter()
                .flatten()
                .flatten()
            {
                let path = hierarchy.path().join("ketch").join(id.as_str());
                if path.exists() {
                    leaks.push(format!("cgroup {}", path.display()));
                }
            }
        }
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&line).contains(&here) {
                leaks.push(format!("process {:?}", entry.file_name()));
            }
        }
        leaks
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A monitor ends a moment after it has told that its container is gone.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(3);
        let mut leaks = self.leaks();
        while !leaks.is_empty() && std::time::Instant::now() < deadline {
            std::thread::sleep(std::time::Duration::from_millis(10));
            leaks = self.leaks();
        }
        if !leaks.is_empty() && !std::thread::panicking() {
            panic!("left behind:\n{}", leaks.join("\n"));
        }
    }
}

/// A bind mount for a record.
pub(crate) fn bind(source: &Path, target: &str, read_only: bool) -> Mount {
    Mount {
        target: target.into(),
        read_only,
        source: Source::Bind {
            path: source.to_owned(),
            propagation: ketch_runtime::spec::Propagation::Rprivate,
            recursive: true,
        },
    }
}

static BASE: OnceLock<PathBuf> = OnceLock::new();

/// The one layer of the base image: busybox and a few users. Made once, shared by all tests.
pub(crate) fn base_image() -> &'static Path {
    BASE.get_or_init(|| {
        let root = tempfile::Builder::new()
            .prefix("ketch-base-")
            .tempdir()
            .unwrap()
            .keep();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        make_root(&root);
        root
    })
}

/// Fills a directory with busybox, its applets and two users.
pub(crate) fn make_root(root: &Path) {
    for directory in ["bin", "etc", "tmp", "usr", "var", "home"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    let busybox = root.join("bin/busybox");
    assert!(
        Path::new("/bin/busybox").exists(),
        "the kernel tests need /bin/busybox (Debian: busybox-static)"
    );
    fs::copy("/bin/busybox", &busybox).unwrap();
    let applets = Command::new("/bin/busybox").arg("--list").output().unwrap();
    for applet in String::from_utf8(applets.stdout).unwrap().lines() {
        if applet != "busybox" {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
    }
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/srv/web:/bin/sh\n",
    )
    .unwrap();
    fs::write(
        root.join("etc/group"),
        "root:x:0:\nextra:x:50:web\nweb:x:34:\n",
    )
    .unwrap();
}

/// Removes what all tests shared.
pub(crate) fn remove_base_image() {
    if let Some(root) = BASE.get() {
        fs::remove_dir_all(root).unwrap();
    }
}

/// Starting a container wants a process with one thread: this program, started again.
pub(crate) mod runner {
    use std::os::fd::{AsFd as _, OwnedFd};
    use std::time::Instant;

    use ketch_runtime::error::Error;
    use ketch_runtime::init::{self, Child, ExecRequest, JoinedNamespaces, StartRequest, Stdio};
    use serde::{Deserialize, Serialize};

    use super::*;

    pub(crate) const VARIABLE: &str = "KETCH_KERNEL_TEST_JOB";

    /// What to run.
    #[derive(Debug, Serialize, Deserialize)]
    pub(crate) struct Job {
        pub(crate) record: Record,
        pub(crate) directory: PathBuf,
        pub(crate) layers: Vec<PathBuf>,
        pub(crate) execs: Vec<Process>,
        pub(crate) report: PathBuf,
        /// Start it and let go before it is released.
        pub(crate) drop_pending: bool,
        /// A signal for process 1, once it runs and has printed something.
        pub(crate) signal: Option<i32>,
        /// A second container that joins the namespaces of the first.
        pub(crate) guest: Option<Box<Job>>,
    }

    impl Job {
        pub(crate) fn new(world: &World, record: &Record) -> Self {
            Self {
                record: record.clone(),
                directory: world.roots.container(&record.id),
                layers: vec![base_image().to_owned()],
                execs: Vec::new(),
                report: world.path(&format!("report-{}", record.id)),
                drop_pending: false,
                signal: None,
                guest: None,
            }
        }
    }

    #[derive(Debug, Serialize, Deserialize)]
    pub(crate) struct Report {
        pub(crate) result: Result<i32, (ErrorKind, String)>,
        pub(crate) execs: Vec<Result<i32, (ErrorKind, String)>>,
        pub(crate) start_micros: u64,
    }

    /// Runs the job and ends the process, if this process was started for one.
    pub(crate) fn check() {
        let Some(file) = std::env::var_os(VARIABLE) else {
            return;
        };
        let job: Job = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        let report = run(&job);
        fs::write(&job.report, serde_json::to_vec(&report).unwrap()).unwrap();
        std::process::exit(0);
    }

    fn told(error: &Error) -> (ErrorKind, String) {
        (error.kind(), error.to_string())
    }

    fn streams() -> Stdio {
        let copy = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().unwrap();
        Stdio::Streams {
            stdin: copy(std::io::stdin().as_fd()),
            stdout: copy(std::io::stdout().as_fd()),
            stderr: copy(std::io::stderr().as_fd()),
        }
    }

    fn start(job: &Job, join: JoinedNamespaces) -> Result<Option<Child>, Error> {
        let stdio = if job.record.process.tty {
            Stdio::Terminal {
                rows: 33,
                columns: 111,
            }
        } else {
            streams()
        };
        let pending = init::start(StartRequest {
            record: &job.record,
            directory: job.directory.clone(),
            layers: job.layers.clone(),
            stdio,
            join,
        })?;
        if job.drop_pending {
            return Ok(None);
        }
        Ok(Some(pending.release()?))
    }

    fn run(job: &Job) -> Report {
        let before = Instant::now();
        let started = start(job, JoinedNamespaces::default());
        let start_micros = u64::try_from(before.elapsed().as_micros()).unwrap();
        let mut execs = Vec::new();
        let result = match started {
            Err(error) => Err(told(&error)),
            Ok(None) => Ok(0),
            Ok(Some(mut child)) => {
                let cgroup = ketch_runtime::cgroup::Cgroup::of(&job.record.id, None).unwrap();
                for process in &job.execs {
                    execs.push(exec(job, &child, process));
                }
                if let Some(guest) = &job.guest {
                    execs.push(run_guest(guest, child.pid));
                }
                if !execs.is_empty() {
                    cgroup.kill().unwrap();
                }
                if let Some(signal) = job.signal {
                    // Its first output says that it is ready; it comes through a file, since the
                    // streams are the test's.
                    let ready = job.directory.join("upper/ready");
                    while !ready.exists() {
                        std::thread::sleep(std::time::Duration::from_millis(2));
                    }
                    process::pidfd_send_signal(child.pidfd.as_fd(), signal).unwrap();
                }
                if let Some(master) = child.terminal.take() {
                    copy_terminal(master);
                }
                let exit = process::wait(child.pidfd.as_fd()).unwrap();
                cgroup.remove().unwrap();
                Ok(exit.code())
            }
        };
        Report {
            result,
            execs,
            start_micros,
        }
    }

    fn exec(job: &Job, init: &Child, process: &Process) -> Result<i32, (ErrorKind, String)> {
        let child = init::exec(ExecRequest {
            record: &job.record,
            init: init.pidfd.as_fd(),
            init_pid: init.pid,
            process: process.clone(),
            privileged: false,
            stdio: streams(),
        })
        .map_err(|error| told(&error))?;
        Ok(process::wait(child.pidfd.as_fd()).unwrap().code())
    }

    fn run_guest(job: &Job, donor: u32) -> Result<i32, (ErrorKind, String)> {
        let open = |name: &str| Some(namespace::open(donor, name).unwrap());
        let join = JoinedNamespaces {
            net: open("net"),
            pid: open("pid"),
            ipc: open("ipc"),
            ipc_mounts: open("mnt"),
        };
        let child = start(job, join).map_err(|error| told(&error))?.unwrap();
        let exit = process::wait(child.pidfd.as_fd()).unwrap();
        let cgroup = ketch_runtime::cgroup::Cgroup::of(&job.record.id, None).unwrap();
        cgroup.remove().unwrap();
        Ok(exit.code())
    }

    /// Until the slave's last fd is closed, which reads as EIO.
    fn copy_terminal(master: OwnedFd) {
        let mut master = fs::File::from(master);
        let mut buffer = [0; 4096];
        while let Ok(length) = master.read(&mut buffer) {
            if length == 0 {
                break;
            }
            std::io::Write::write_all(&mut std::io::stdout(), &buffer[..length]).unwrap();
        }
        std::io::Write::flush(&mut std::io::stdout()).unwrap();
    }
}
