//! The tree of a container that does not run: its layers, and what is bound into them.
//!
//! It is put together in a mount namespace of a thread of ours, so the host never sees it, and it
//! is gone with the thread, however we end.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use super::{mounts, rootfs};
use crate::container::record::Record;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::sys::{mount, namespace};

/// The tree, while this lives.
#[derive(Debug)]
pub(crate) struct Still {
    root: OwnedFd,
    /// What the thread waits for the end of.
    alive: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Still {
    /// Mounts it. The caller holds the container's lock.
    pub(crate) fn new(record: &Record, directory: PathBuf, layers: Vec<PathBuf>) -> Result<Self> {
        let plan = mounts::plan(record, &directory)?;
        rootfs::prepare_directory(&directory, &layers)?;
        let (told, made) = channel();
        let (alive, end) = channel::<()>();
        let thread = thread::Builder::new()
            .name("files".into())
            .spawn(move || {
                if told.send(make(&plan, &directory, &layers)).is_ok() {
                    // Its mounts are this thread's: they last as long as it does.
                    let _dropped = end.recv();
                }
            })
            .context(|| "start a thread for the container's mounts".into())?;
        match made.recv() {
            Ok(root) => Ok(Self {
                root: root?,
                alive: Some(alive),
                thread: Some(thread),
            }),
            Err(_) => Err(Error::new(
                ErrorKind::Internal,
                "the thread of the mounts ended",
            )),
        }
    }

    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        drop(self.alive.take());
        // The overlay must be gone before the container may be started with another one.
        if let Some(thread) = self.thread.take() {
            let _it_never_panics = thread.join();
        }
    }
}

fn make(plan: &mounts::Plan, directory: &Path, layers: &[PathBuf]) -> Result<OwnedFd> {
    namespace::unshare(namespace::NEWNS)?;
    mount::make_all_slaves()?;
    rootfs::build_still(plan, directory, layers)
}
