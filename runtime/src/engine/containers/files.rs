//! A container's files, through its own mounts, whether it runs or not.
//!
//! Nothing of the container runs for it, and nothing of it is trusted: every path is resolved by
//! the kernel inside the container's root (`openat2(2)`, `RESOLVE_IN_ROOT`), and what is put or
//! removed is a name in a directory that is held open.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::kill::not_running;
use crate::container::Container;
use crate::container::directory::Directory;
use crate::engine::Engine;
use crate::error::{Context as _, Result};
use crate::init::{self, Still};
use crate::monitor::spawn;
use crate::store::id::Id;
use crate::store::lock::{self, Guard, Lock};
use crate::sys;

/// The root of a container: while one run of it lasts, or, when it does not run, while this is
/// held.
#[derive(Debug)]
pub struct Files {
    root: Root,
    /// Who new files belong to: the container's user, where it names one.
    user: Option<(u32, u32)>,
}

#[derive(Debug)]
enum Root {
    /// Of the run with this process 1: another one has other mounts.
    Running { root: OwnedFd, pid: u32 },
    /// Nobody can start it meanwhile.
    Still { still: Still, _alone: Guard },
}

impl Engine {
    /// Opens the files of a container. One that does not run is put together for it, and can't be
    /// started until they are dropped.
    ///
    /// # Errors
    /// `NotFound`; a user that its own files do not know; what keeps its mounts from being made.
    pub fn files(&self, name: &str) -> Result<Files> {
        let id = self.container_id(name)?;
        let container = self.settled(&id)?;
        if container.state.pid.is_some() {
            return self.running_files(name);
        }
        let alone = lock::acquire(self.roots(), Lock::Container(id.as_str()))?;
        self.wait_until_gone(&id)?;
        let container = self.settle_locked(&alone, &id)?;
        if container.state.pid.is_some() {
            drop(alone);
            return self.running_files(name);
        }
        let record = &container.record;
        let layers = spawn::layers(self.roots(), record);
        let still = Still::new(record, self.roots().container(&id), layers)
            .context(|| format!("open the files of {}", record.name))?;
        let root = Root::Still {
            still,
            _alone: alone,
        };
        Files::of(&container, root)
    }

    /// Opens the files of a running container.
    ///
    /// # Errors
    /// `Conflict` when it does not run; a user that its own files do not know.
    pub fn running_files(&self, name: &str) -> Result<Files> {
        let id = self.container_id(name)?;
        let container = self.settled(&id)?;
        let Some(pid) = container.state.pid else {
            return Err(not_running(&container));
        };
        let root = sys::path::open_place(Path::new(&format!("/proc/{pid}/root")));
        // The number may have become another process' since: then this is not its root.
        if sys::process::start_time(pid).ok() != Some(container.state.pid_start_time) {
            return Err(not_running(&container));
        }
        let root = root.context(|| format!("open the files of {}", container.record.name))?;
        Files::of(&container, Root::Running { root, pid })
    }

    /// Whether the container is still in the run that these files were opened in.
    pub fn is_current(&self, id: &Id, files: &Files) -> bool {
        let Root::Running { pid, .. } = &files.root else {
            return false;
        };
        self.container(id.as_str())
            .is_ok_and(|container| container.state.pid == Some(*pid))
    }
}

impl Files {
    fn of(container: &Container, root: Root) -> Result<Self> {
        let mut files = Self { root, user: None };
        let user = &container.record.process.user;
        if !user.is_empty() {
            files.user = Some(init::user_in(user, files.root())?);
        }
        Ok(files)
    }

    /// The container's user, where it names one.
    pub fn user(&self) -> Option<(u32, u32)> {
        self.user
    }

    /// A directory, made with its parents where it is missing; symlinks are followed inside the
    /// root.
    ///
    /// # Errors
    /// Something else in its place.
    pub fn make_directory(&self, path: &Path) -> Result<Directory> {
        let made = sys::path::make_directory_in_root(self.root(), path, 0o755)
            .context(|| format!("make directory {}", path.display()))?;
        // As a place it can't be written to.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(made, ".", flags, Mode::empty());
        let opened = opened.context(|| format!("open {}", path.display()))?;
        Ok(Directory::from(opened))
    }

    /// A directory; `None` when there is none.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn directory(&self, path: &Path) -> Result<Option<Directory>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match sys::path::open_in_root(self.root(), path, flags, 0) {
            Ok(fd) => Ok(Some(Directory::from(fd))),
            Err(error) if error.is(libc::ENOENT) || error.is(libc::ENOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn root(&self) -> BorrowedFd<'_> {
        match &self.root {
            Root::Running { root, .. } => root.as_fd(),
            Root::Still { still, .. } => still.root(),
        }
    }
}
