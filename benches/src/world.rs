//! A private world: roots in a temporary directory, this process' own network namespace.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ketch_runtime::sys::namespace;
use ketch_runtime::sys::process::{self, Exit};

use crate::Result;

/// Programs of busybox that the services need.
const APPLETS: [&str; 4] = ["sleep", "sh", "touch", "true"];

/// Where everything happens. Taken apart when dropped.
#[derive(Debug)]
pub struct World {
    ketch: PathBuf,
    directory: tempfile::TempDir,
    /// Where what takes long to make stays for the next time.
    kept: PathBuf,
}

impl World {
    /// A directory, and nothing in it yet.
    pub fn new(ketch: &Path, kept: &Path) -> Result<Self> {
        Ok(Self {
            ketch: ketch.canonicalize()?,
            directory: tempfile::tempdir()?,
            kept: kept.to_owned(),
        })
    }

    /// A directory that stays.
    pub fn kept(&self, name: &str) -> Result<PathBuf> {
        let directory = self.kept.join(name);
        fs::create_dir_all(&directory)?;
        Ok(directory)
    }

    /// ketch with another store, to be run by the caller.
    pub fn ketch_command(&self, store: &Path, arguments: &[&str]) -> Command {
        let mut command = self.command(Path::new("/"));
        command
            .args(arguments)
            .stderr(Stdio::inherit())
            .env("KETCH_ROOT", store.join("data"))
            .env("KETCH_RUN", store.join("run"));
        command
    }

    /// Leaves the host's network for a new one, and imports the image `busybox`; once.
    pub fn furnish(&self) -> Result<()> {
        if self.image_root().exists() {
            return Ok(());
        }
        // It ends with the last process in it: nothing to clean up.
        namespace::unshare(namespace::NEWNET)
            .map_err(|error| format!("{error}; the bench of containers needs root"))?;
        self.make_image()
    }

    fn make_image(&self) -> Result<()> {
        let root = self.image_root();
        for directory in ["bin", "etc", "tmp", "proc", "data"] {
            fs::create_dir_all(root.join(directory))?;
        }
        let busybox = ["/bin/busybox", "/usr/bin/busybox"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .ok_or("Debian's busybox-static is not installed")?;
        fs::copy(busybox, root.join("bin/busybox"))?;
        for applet in APPLETS {
            symlink("busybox", root.join("bin").join(applet))?;
        }
        let tar = self.path("image.tar");
        let mut pack = Command::new("tar");
        pack.arg("-C").arg(&root).arg("-cf").arg(&tar).arg(".");
        if !pack.status()?.success() {
            return Err("tar failed".into());
        }
        self.ketch(
            Path::new("/"),
            [
                OsStr::new("image"),
                "import".as_ref(),
                tar.as_ref(),
                "busybox".as_ref(),
            ],
        )?;
        Ok(())
    }

    /// The image's root file system, unpacked: the floor's only layer.
    pub fn image_root(&self) -> PathBuf {
        self.path("image")
    }

    /// A path in the world's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A project directory with this compose file.
    pub fn project(&self, name: &str, compose: &str) -> Result<PathBuf> {
        let directory = self.path(name);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("compose.yaml"), compose)?;
        Ok(directory)
    }

    /// Runs ketch to its end; how long it took.
    pub fn ketch<I, A>(&self, directory: &Path, arguments: I) -> Result<Duration>
    where
        I: IntoIterator<Item = A>,
        A: AsRef<OsStr>,
    {
        let mut command = self.command(directory);
        command.args(arguments);
        let begun = Instant::now();
        let output = command.output()?;
        let took = begun.elapsed();
        if output.status.success() {
            return Ok(took);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{command:?}: {}\n{said}", output.status).into())
    }

    /// ketch in a project's directory, to be run by the caller.
    pub fn ketch_in(&self, project: &Path) -> Command {
        self.command(project)
    }

    /// The root of a service's container as its own processes see it.
    pub fn container_root(&self, project: &Path, service: &str) -> Result<PathBuf> {
        let said = |arguments: &[&str]| -> Result<String> {
            let mut command = self.command(project);
            let output = command.args(arguments).stdout(Stdio::piped()).output()?;
            Ok(String::from_utf8(output.stdout)?.trim().to_owned())
        };
        let id = said(&["ps", "-q", service])?;
        let pid = said(&["container", "inspect", "-f", "{{.State.Pid}}", &id])?;
        Ok(PathBuf::from(format!("/proc/{pid}/root")))
    }

    fn command(&self, directory: &Path) -> Command {
        let mut command = Command::new(&self.ketch);
        command
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .env("KETCH_ROOT", self.path("data"))
            .env("KETCH_RUN", self.path("run"))
            .env_remove("COMPOSE_FILE")
            .env_remove("COMPOSE_PROJECT_NAME");
        command
    }

    /// Runs ketch to its end; how long it took, and its memory at the peak, in MiB.
    pub fn ketch_measured(&self, directory: &Path, arguments: &[&str]) -> Result<(Duration, f64)> {
        let mut command = self.command(directory);
        command.args(arguments).stderr(Stdio::inherit());
        let begun = Instant::now();
        let child = command.spawn()?;
        let (exit, peak_kib) = process::wait_with_peak(child.id())?;
        let took = begun.elapsed();
        if exit != Exit::Code(0) {
            return Err(format!("{command:?}: {exit:?}").into());
        }
        Ok((took, peak_kib as f64 / 1024.0))
    }

    /// This world's monitors.
    pub fn monitors(&self) -> Result<Vec<u32>> {
        let root = self
            .directory
            .path()
            .as_os_str()
            .as_encoded_bytes()
            .to_vec();
        let mut monitors = Vec::new();
        for pid in all_processes()? {
            // A process may end while it is looked at.
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let ours = arguments
                .split(|byte| *byte == 0)
                .any(|argument| argument.starts_with(&root));
            if ours && arguments.starts_with(b"ketch-monitor\0") {
                monitors.push(pid);
            }
        }
        Ok(monitors)
    }

    /// Waits until no monitor is left: a new run begins on clean ground.
    pub fn settle(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.monitors()?.is_empty() {
            if Instant::now() > deadline {
                return Err("monitors do not end".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        crate::floor::wait_for_links()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // After a failure something may still run.
        let projects = fs::read_dir(self.directory.path()).into_iter().flatten();
        for project in projects.flatten() {
            if project.path().join("compose.yaml").exists() {
                let down = ["down", "--volumes", "--timeout", "0"];
                if let Err(error) = self.ketch(&project.path(), down) {
                    eprintln!("bench: {error}");
                }
            }
        }
    }
}

fn all_processes() -> Result<Vec<u32>> {
    let entries = fs::read_dir("/proc")?.flatten();
    Ok(entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect())
}

/// Children of these processes: the containers' first processes.
pub fn children(parents: &[u32]) -> Result<Vec<u32>> {
    let mut children = Vec::new();
    for parent in parents {
        let path = format!("/proc/{parent}/task/{parent}/children");
        let text = fs::read_to_string(path)?;
        children.extend(
            text.split_whitespace()
                .filter_map(|pid| pid.parse::<u32>().ok()),
        );
    }
    Ok(children)
}

/// The proportional set sizes of these processes together, in MiB.
pub fn pss(processes: &[u32]) -> Result<f64> {
    let mut kib = 0.0;
    for pid in processes {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix("Pss:"))
            .and_then(|rest| rest.trim().strip_suffix(" kB"))
            .ok_or("no Pss in smaps_rollup")?;
        kib += value.trim().parse::<f64>()?;
    }
    Ok(kib / 1024.0)
}
