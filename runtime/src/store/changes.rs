//! Whether files of a directory have changed (`inotify(7)`).

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::Timespec;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

use crate::error::{Context as _, Result};
use crate::failpoint::{self, Point};

/// How often is looked where the kernel does not tell.
const LOOK_AGAIN: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// A directory that is watched.
#[derive(Debug)]
pub(crate) struct Changes(
    /// Absent when the user has no more watches (`fs.inotify`): others use them up.
    Option<OwnedFd>,
);

impl Changes {
    /// Files that are written, made or renamed in it.
    pub(crate) fn of(directory: &Path) -> Result<Self> {
        match watch(directory) {
            Ok(fd) => Ok(Self(Some(fd))),
            Err(Errno::MFILE | Errno::NOSPC) => Ok(Self(None)),
            Err(errno) => Err(errno).context(|| format!("watch {}", directory.display())),
        }
    }

    /// Readable when something has changed.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(|fd| fd.as_fd())
    }

    /// How long to wait at most.
    pub(crate) fn patience(&self) -> Option<Timespec> {
        self.0.is_none().then_some(LOOK_AGAIN)
    }

    /// What has changed up to now is known: that it did matters, not what.
    pub(crate) fn take(&self) {
        let Some(changes) = &self.0 else { return };
        let mut buffer = [0u8; 4096];
        while rustix::io::read(changes, &mut buffer).is_ok_and(|length| length > 0) {}
    }
}

fn watch(directory: &Path) -> Result<OwnedFd, Errno> {
    failpoint::guard(Point::FileWatch)?;
    let changes = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let what = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO;
    inotify::add_watch(&changes, directory, what)?;
    Ok(changes)
}
