//! One cgroup for each container, `ketch/<id>` below every hierarchy that is mounted.
//!
//! On a hybrid machine the container is in the v2 tree as well: killing, freezing and
//! being born into the cgroup work there without any controller. A controller that is
//! missing costs the limit and a warning, never the start.

mod detect;
pub mod devices;
mod oom;
mod usage;
mod writes;

use std::fs;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::spec::Resources;
use crate::store::id::Id;
use crate::sys;

pub use detect::Layout;
pub use oom::OomWatch;
pub use usage::Usage;

/// The directory that holds all cgroups of ours.
const ROOT: &str = "ketch";

/// The cgroup of one container, in all hierarchies.
#[derive(Debug, Clone)]
pub struct Cgroup {
    layout: Layout,
    /// `ketch/<parent>/<id>`
    relative: PathBuf,
}

/// How a container sees its cgroup below /sys/fs/cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum View {
    /// One tree; its own directory when a fresh mount can't be had.
    Unified(PathBuf),
    /// A directory for each hierarchy with what is shown there, and links to joint ones.
    Split {
        shown: Vec<(String, PathBuf)>,
        links: Vec<(String, String)>,
    },
}

/// Pure: the controllers that limits of the user's need.
pub fn controllers(resources: &Resources) -> impl Iterator<Item = &'static str> {
    let writes = writes::v1(resources).into_iter();
    writes
        .filter(|write| !write.implied)
        .map(|write| write.controller)
}

impl Cgroup {
    /// Names the cgroup of a container, existing or not. `parent` is the user's wish, kept below
    /// our own directory.
    pub fn of(id: &Id, parent: Option<&str>) -> Result<Self> {
        Ok(Self {
            layout: Layout::detect()?,
            relative: relative_path(id, parent),
        })
    }

    /// Makes it new, taking away what an earlier run left.
    pub fn create(id: &Id, parent: Option<&str>) -> Result<Self> {
        let cgroup = Self::of(id, parent)?;
        if cgroup.directories().any(|directory| directory.exists()) {
            cgroup.remove()?;
        }
        for directory in cgroup.directories() {
            make_directories(&directory)
                .context(|| format!("create cgroup {}", directory.display()))?;
        }
        cgroup.prepare_cpuset();
        cgroup.enable_v2_controllers();
        Ok(cgroup)
    }

    /// Whether this machine has v2 only: containers then get a cgroup namespace.
    pub fn is_unified(&self) -> bool {
        self.layout.is_unified()
    }

    fn directories(&self) -> impl Iterator<Item = PathBuf> + '_ {
        let v1 = self.layout.v1.iter().map(|hierarchy| &hierarchy.mount);
        v1.chain(self.layout.v2.as_ref())
            .map(|root| root.join(&self.relative))
    }

    fn directory_of(&self, controller: &str) -> Option<PathBuf> {
        let (root, _) = self.layout.controller_root(controller)?;
        Some(root.join(&self.relative))
    }

    fn v2_directory(&self) -> Option<PathBuf> {
        Some(self.layout.v2.as_ref()?.join(&self.relative))
    }

    /// The v2 directory, for a child to be born into; absent without a v2 tree.
    pub fn open_v2(&self) -> Option<OwnedFd> {
        sys::path::open_place(&self.v2_directory()?).ok()
    }

    /// A v1 cpuset without CPUs or memory nodes takes no process: inherit down the chain.
    fn prepare_cpuset(&self) {
        let Some(hierarchy) = self.layout.hierarchy("cpuset") else {
            return;
        };
        let mut directory = hierarchy.mount.clone();
        for part in self.relative.components() {
            let parent = directory.clone();
            directory.push(part);
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let empty = fs::read_to_string(directory.join(file))
                    .is_ok_and(|text| text.trim().is_empty());
                if let (true, Ok(value)) = (empty, fs::read_to_string(parent.join(file))) {
                    // A failure shows when the process is added.
                    let _shown_later = write_file(&directory.join(file), value.trim());
                }
            }
        }
    }

    /// v2: children have the controllers that every directory above them hands down.
    fn enable_v2_controllers(&self) {
        let Some(root) = &self.layout.v2 else { return };
        let all: Vec<String> = self
            .layout
            .v2_controllers
            .iter()
            .map(|name| format!("+{name}"))
            .collect();
        if all.is_empty() || !self.is_unified() {
            return;
        }
        let mut directory = root.clone();
        let parents = self.relative.parent().unwrap_or(Path::new(""));
        for part in [Component::CurDir].into_iter().chain(parents.components()) {
            directory.push(part);
            let file = directory.join("cgroup.subtree_control");
            // All at once, else each alone; the limit's own write tells what is missing.
            if write_file(&file, &all.join(" ")).is_err() {
                for one in &all {
                    let _shown_later = write_file(&file, one);
                }
            }
        }
    }

    /// Puts a process into it, in all v1 hierarchies back to back (only the first write waits for
    /// the kernel); in the v2 tree too, unless it was born there.
    pub fn add(&self, pid: u32, born_in_v2: bool) -> Result<()> {
        let skipped = self.v2_directory().filter(|_| born_in_v2);
        for directory in self.directories() {
            if Some(&directory) == skipped.as_ref() {
                continue;
            }
            let file = directory.join("cgroup.procs");
            write_file(&file, &pid.to_string())
                .context(|| format!("add process {pid} to cgroup {}", directory.display()))?;
        }
        Ok(())
    }

    /// Sets the limits; returns warnings about those that this machine can't keep.
    pub fn apply(&self, resources: &Resources) -> Result<Vec<String>> {
        let (writes, mut warnings) = if self.is_unified() {
            writes::v2(resources)
        } else {
            (writes::v1(resources), Vec::new())
        };
        let mut again = Vec::new();
        for write in &writes {
            match self.write(write, &mut warnings) {
                // A new value may contradict an old one that is to be replaced too: the order in
                // which an update works depends on whether it grows or shrinks.
                Err(error) if [libc::EINVAL, libc::EBUSY].contains(&error.errno()) => {
                    again.push(write);
                }
                other => other?,
            }
        }
        for write in again {
            self.write(write, &mut warnings)?;
        }
        Ok(warnings)
    }

    fn write(&self, write: &writes::Write, warnings: &mut Vec<String>) -> sys::Result<()> {
        let discard = |warnings: &mut Vec<String>| {
            if !write.implied {
                warnings.push(writes::discarded(write.file));
            }
        };
        let Some(directory) = self.directory_of(write.controller) else {
            discard(warnings);
            return Ok(());
        };
        match write_file(&directory.join(write.file), &write.value) {
            Err(error)
                if [libc::ENOENT, libc::EACCES, libc::EPERM, libc::EROFS]
                    .contains(&error.errno()) =>
            {
                discard(warnings);
                Ok(())
            }
            other => other,
        }
    }

    /// Refuses every device that no rule allows; returns warnings when that can't be had.
    pub fn restrict_devices(&self, rules: &[devices::Rule]) -> Result<Vec<String>> {
        let warning = |error: &sys::Error| vec![format!("devices are not restricted: {error}")];
        if let Some(hierarchy) = self.layout.hierarchy("devices") {
            let directory = hierarchy.mount.join(&self.relative);
            let deny_all = write_file(&directory.join("devices.deny"), "a");
            match deny_all {
                // In a nested user namespace nobody may: nor can devices be made there.
                Err(error) if error.is(libc::EPERM) => return Ok(warning(&error)),
                other => other?,
            }
            for line in devices::v1_lines(rules) {
                write_file(&directory.join("devices.allow"), &line)?;
            }
            return Ok(Vec::new());
        }
        if !self.layout.restricts_devices() {
            return Ok(vec![
                "devices are not restricted: no cgroup can do it".into(),
            ]);
        }
        let (Some(directory), Some(program)) = (self.open_v2(), devices::v2_program(rules)) else {
            return Ok(Vec::new());
        };
        use std::os::fd::AsFd;
        let attached = sys::bpf::load_device_program(&program).and_then(|program| {
            // O_PATH is refused here.
            let directory = rustix::fs::openat(
                &directory,
                ".",
                rustix::fs::OFlags::RDONLY
                    | rustix::fs::OFlags::DIRECTORY
                    | rustix::fs::OFlags::CLOEXEC,
                rustix::fs::Mode::empty(),
            )
            .map_err(|e| sys::Error::from_errno("open(cgroup)", e))?;
            sys::bpf::attach_device_program(directory.as_fd(), program.as_fd())
        });
        match attached {
            Err(error) if error.is(libc::EPERM) => Ok(warning(&error)),
            Err(error) => Err(error.into()),
            Ok(()) => Ok(Vec::new()),
        }
    }

    /// Kills every process in it. Does not wait for them to be gone.
    pub fn kill(&self) -> Result<()> {
        if let Some(directory) = self.v2_directory() {
            match write_file(&directory.join("cgroup.kill"), "1") {
                Err(error) if error.is(libc::ENOENT) => {}
                other => return Ok(other?),
            }
        }
        // v1, or a kernel before 5.14: held still, so that nothing forks away.
        let frozen = self.freeze();
        for pid in self.processes() {
            if let Ok(pid) = i32::try_from(pid) {
                // Gone already is what we want.
                let _gone = sys::process::kill(pid, libc::SIGKILL);
            }
        }
        if frozen.is_ok() {
            self.thaw()?;
        }
        Ok(())
    }

    /// Stops all its processes where they are.
    pub fn freeze(&self) -> Result<()> {
        self.set_frozen(true)
    }

    /// Lets them go on.
    pub fn thaw(&self) -> Result<()> {
        self.set_frozen(false)
    }

    fn set_frozen(&self, frozen: bool) -> Result<()> {
        if let Some(directory) = self.v2_directory() {
            let value = if frozen { "1" } else { "0" };
            match write_file(&directory.join("cgroup.freeze"), value) {
                Err(error) if error.is(libc::ENOENT) => {}
                Ok(()) => {
                    let wanted = format!("frozen {value}");
                    return wait_until("freeze", || {
                        fs::read_to_string(directory.join("cgroup.events"))
                            .is_ok_and(|text| text.lines().any(|line| line == wanted))
                    });
                }
                Err(error) => return Err(error.into()),
            }
        }
        let Some(directory) = self.directory_of("freezer") else {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "this kernel has no cgroup freezer",
            ));
        };
        let value = if frozen { "FROZEN" } else { "THAWED" };
        let file = directory.join("freezer.state");
        write_file(&file, value)?;
        wait_until("freeze", || {
            fs::read_to_string(&file).is_ok_and(|text| text.trim() == value)
        })
    }

    /// The processes in it and below it, as seen from here.
    pub fn processes(&self) -> Vec<u32> {
        let mut pids = Vec::new();
        if let Some(directory) = self.v2_directory().or_else(|| self.directories().next()) {
            collect_processes(&directory, &mut pids);
        }
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// Subscribes to the OOM killer; `None` without a memory controller.
    pub fn watch_oom(&self) -> Option<OomWatch> {
        let (root, v2) = self.layout.controller_root("memory")?;
        let directory = root.join(&self.relative);
        if v2 {
            OomWatch::v2(&directory).ok()
        } else {
            OomWatch::v1(&directory).ok()
        }
    }

    /// The most memory that its processes had at once; `None` when the kernel does not tell.
    pub fn memory_peak(&self) -> Option<u64> {
        let (root, v2) = self.layout.controller_root("memory")?;
        let name = if v2 {
            "memory.peak"
        } else {
            "memory.max_usage_in_bytes"
        };
        let text = fs::read_to_string(root.join(&self.relative).join(name)).ok()?;
        text.trim().parse().ok()
    }

    /// Kills what is left in it and removes it, with our parents of it that are empty now.
    pub fn remove(&self) -> Result<()> {
        if self.directories().all(|directory| !directory.exists()) {
            return Ok(());
        }
        let killed = self.kill();
        for directory in self.directories() {
            remove_tree(&directory).context(|| format!("remove cgroup {}", directory.display()))?;
            let mut parents = self.relative.as_path();
            let mut above = directory.as_path();
            while let (Some(shorter), Some(parent)) = (parents.parent(), above.parent()) {
                if shorter.as_os_str().is_empty() {
                    break;
                }
                (parents, above) = (shorter, parent);
                // Others may live there, and this hierarchy may be one that we share.
                if fs::remove_dir(above).is_err() {
                    break;
                }
            }
        }
        // Without its cgroup nothing can be left alive; before that the error would matter.
        drop(killed);
        Ok(())
    }

    /// What the container is shown below /sys/fs/cgroup.
    pub(crate) fn view(&self) -> View {
        if let (true, Some(directory)) = (self.is_unified(), self.v2_directory()) {
            return View::Unified(directory);
        }
        let mut shown = Vec::new();
        let mut links = Vec::new();
        let roots = self.layout.v1.iter().map(|hierarchy| &hierarchy.mount);
        for root in roots.chain(self.layout.v2.as_ref()) {
            if let Some(name) = root.file_name().and_then(|name| name.to_str()) {
                shown.push((name.to_owned(), root.join(&self.relative)));
            }
        }
        for hierarchy in self.layout.v1.iter().filter(|h| h.controllers.len() > 1) {
            let Some(name) = hierarchy.mount.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            for controller in &hierarchy.controllers {
                if controller != name {
                    links.push((controller.clone(), name.to_owned()));
                }
            }
        }
        View::Split { shown, links }
    }
}

/// Our cgroups (without a parent of the user's) that hold no process and are older than `age`, in
/// any hierarchy.
pub fn idle(age: Duration) -> Result<Vec<Id>> {
    let layout = Layout::detect()?;
    let roots = layout.v1.iter().map(|hierarchy| &hierarchy.mount);
    let mut idle = Vec::new();
    let mut busy = Vec::new();
    for root in roots.chain(layout.v2.as_ref()) {
        for entry in fs::read_dir(root.join(ROOT))
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = entry.file_name().into_string().unwrap_or_default();
            let Ok(id) = Id::try_from(name) else { continue };
            let mut processes = Vec::new();
            collect_processes(&entry.path(), &mut processes);
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            let is_old = modified.is_ok_and(|time| time.elapsed().is_ok_and(|old| old >= age));
            if processes.is_empty() && is_old {
                idle.push(id);
            } else {
                busy.push(id);
            }
        }
    }
    idle.sort();
    idle.dedup();
    idle.retain(|id| !busy.contains(id));
    Ok(idle)
}

/// `ketch/<parent>/<id>`; no `..` and no leading slash of the parent survives.
fn relative_path(id: &Id, parent: Option<&str>) -> PathBuf {
    let mut path = PathBuf::from(ROOT);
    for component in Path::new(parent.unwrap_or("")).components() {
        if let Component::Normal(name) = component {
            path.push(name);
        }
    }
    path.push(id.as_str());
    path
}

/// Writes a control file, which must exist.
fn write_file(path: &Path, value: &str) -> sys::Result<()> {
    let call = || format!("write({:?} to {})", value, path.display());
    fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(value.as_bytes()))
        .map_err(|error| sys::Error::from_io(call(), &error))
}

/// Makes a directory with its parents, also while somebody else removes the empty parents.
fn make_directories(path: &Path) -> io::Result<()> {
    let mut tries = 20;
    loop {
        match fs::create_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries > 0 => tries -= 1,
            other => return other,
        }
    }
}

fn collect_processes(directory: &Path, pids: &mut Vec<u32>) {
    if let Ok(text) = fs::read_to_string(directory.join("cgroup.procs")) {
        pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
    }
    for child in child_directories(directory) {
        collect_processes(&child, pids);
    }
}

fn child_directories(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Removes a cgroup with those that the container made in it, deepest first. A process that has
/// just died still counts for a moment: EBUSY is tried again with growing pauses.
fn remove_tree(directory: &Path) -> io::Result<()> {
    for child in child_directories(directory) {
        remove_tree(&child)?;
    }
    let mut pause = Duration::from_millis(1);
    loop {
        match fs::remove_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error)
                if error.raw_os_error() == Some(libc::EBUSY) && pause < Duration::from_secs(2) =>
            {
                std::thread::sleep(pause);
                pause *= 2;
            }
            other => return other,
        }
    }
}

/// Waits for the kernel to carry out a freeze or thaw, which it does at once unless a process is
/// deep in it.
fn wait_until(what: &str, done: impl Fn() -> bool) -> Result<()> {
    let mut pause = Duration::from_micros(100);
    while !done() {
        if pause > Duration::from_secs(2) {
            return Err(Error::new(
                ErrorKind::TimedOut,
                format!("{what} cgroup: processes do not react"),
            ));
        }
        std::thread::sleep(pause);
        pause *= 2;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_stays_below_our_own() {
        let id = Id::random().unwrap();
        let shown = |parent| relative_path(&id, parent).display().to_string();
        assert_eq!(shown(None), format!("ketch/{id}"));
        assert_eq!(shown(Some("/../x/./y")), format!("ketch/x/y/{id}"));
    }
}
