//! One lock for each thing that several commands may change at once.
//!
//! flock(2) on a file of the volatile root: the kernel releases it when its holder dies.
//! **The order of locking**, left to right; who holds one may only take one further right,
//! and two of the same kind in the order of their names:
//!
//! group → networks → network → container → names → ports → layer → images → volumes →
//! build cache → events
//!
//! Layers are locked lowest first. Who holds the images' lock may try a layer's, never wait for it.
//!
//! Readers take no lock: documents are replaced whole.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::id::Id;
use super::{Roots, document};
use crate::error::{Context, Error, ErrorKind, Result};

/// What is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock<'a> {
    /// A set of containers that the caller handles as one, under a name of its choosing: one
    /// command at a time.
    Group(&'a str),
    /// The set of networks: names, subnets, the shared rules.
    Networks,
    /// One network: leases, names, endpoints. By id.
    Network(&'a str),
    /// One container's verbs. By id.
    Container(&'a str),
    /// The set of container names.
    Names,
    /// The host ports that are taken.
    Ports,
    /// One layer, by its chain id in hex: held by whoever makes it, shared by those who need it
    /// before a record names it.
    Layer(&'a str),
    /// Image names and layers.
    Images,
    /// The set of volumes, and filling one for the first time.
    Volumes,
    /// The builder's cache.
    BuildCache,
    /// Turning over the file of events.
    Events,
}

impl Lock<'_> {
    fn file_name(self) -> Result<String> {
        let (kind, name) = match self {
            Self::Group(name) => ("group", name),
            Self::Network(name) => ("network", name),
            Self::Container(name) => ("container", name),
            Self::Layer(name) => ("layer", name),
            Self::Networks => return Ok("networks".into()),
            Self::Names => return Ok("names".into()),
            Self::Ports => return Ok("ports".into()),
            Self::Images => return Ok("images".into()),
            Self::Volumes => return Ok("volumes".into()),
            Self::BuildCache => return Ok("build-cache".into()),
            Self::Events => return Ok("events".into()),
        };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if name.is_empty() || name.len() > 200 || !name.bytes().all(allowed) {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("invalid {kind} name {name:?}"),
            ));
        }
        Ok(format!("{kind}.{name}"))
    }
}

/// A held lock; dropping it lets go.
#[derive(Debug)]
pub struct Guard {
    file: File,
    path: PathBuf,
    left: Left,
}

/// What becomes of a lock's file when its last holder lets go.
#[derive(Debug)]
enum Left {
    Stays,
    /// Without this it has no use any more.
    With(PathBuf),
    /// There are many of them, each needed for a moment.
    Goes,
}

impl Drop for Guard {
    /// The lock of a container that is gone, or never came to be, goes with it. It is still held
    /// here: waiters find its file gone once they have it, and start again on a new one.
    fn drop(&mut self) {
        let goes = match &self.left {
            Left::Stays => false,
            Left::With(object) => !object.try_exists().unwrap_or(true),
            // Others may share it; the last of them removes it.
            Left::Goes => {
                rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive).is_ok()
                    && is_still_at(&self.file, &self.path).unwrap_or(false)
            }
        };
        if goes {
            let _found_by_a_sweep = std::fs::remove_file(&self.path);
        }
    }
}

/// Containers that are gone, or are just coming to be, whose lock's file is there.
///
/// # Errors
/// When the directory cannot be read.
pub fn without_container(roots: &Roots) -> Result<Vec<Id>> {
    let directory = roots.locks();
    let entries = match std::fs::read_dir(&directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.context(|| format!("read {}", directory.display()))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name().into_string().unwrap_or_default();
        let id = name.strip_prefix("container.").map(str::to_owned);
        if let Some(Ok(id)) = id.map(Id::try_from)
            && !roots.container(&id).exists()
        {
            found.push(id);
        }
    }
    Ok(found)
}

impl AsFd for Guard {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Waits for a lock.
pub fn acquire(roots: &Roots, lock: Lock<'_>) -> Result<Guard> {
    take(roots, lock, FlockOperation::LockExclusive)?.ok_or_else(|| {
        Error::new(
            ErrorKind::Internal,
            format!("lock {lock:?}: refused without a reason"),
        )
    })
}

/// Waits for a lock that others may hold with us.
pub fn share(roots: &Roots, lock: Lock<'_>) -> Result<Guard> {
    take(roots, lock, FlockOperation::LockShared)?.ok_or_else(|| {
        Error::new(
            ErrorKind::Internal,
            format!("lock {lock:?}: refused without a reason"),
        )
    })
}

/// Takes a lock if nobody holds it.
pub fn try_acquire(roots: &Roots, lock: Lock<'_>) -> Result<Option<Guard>> {
    take(roots, lock, FlockOperation::NonBlockingLockExclusive)
}

fn take(roots: &Roots, lock: Lock<'_>, operation: FlockOperation) -> Result<Option<Guard>> {
    let directory = roots.locks();
    let path = directory.join(lock.file_name()?);
    loop {
        let file = match open(&path) {
            Err(Errno::NOENT) => {
                document::make_directory(&directory)?;
                open(&path)
            }
            other => other,
        };
        let file = file.context(|| format!("lock {}", path.display()))?;
        match rustix::fs::flock(&file, operation) {
            Ok(()) => {}
            Err(Errno::INTR) => continue,
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(errno).context(|| format!("lock {}", path.display())),
        }
        if is_still_at(&file, &path)? {
            let left = match lock {
                Lock::Container(id) => Left::With(roots.containers().join(id)),
                Lock::Layer(_) => Left::Goes,
                _ => Left::Stays,
            };
            return Ok(Some(Guard { file, path, left }));
        }
    }
}

fn open(path: &Path) -> Result<File, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map(File::from)
}

/// Whether the file that was locked is still the one of that name (`Guard::drop`).
fn is_still_at(file: &File, path: &Path) -> Result<bool> {
    let ours = rustix::fs::fstat(file)?;
    match rustix::fs::lstat(path) {
        Ok(there) => Ok(there.st_dev == ours.st_dev && there.st_ino == ours.st_ino),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(directory: &tempfile::TempDir) -> Roots {
        Roots::new(directory.path().join("data"), directory.path().join("run"))
    }

    #[test]
    fn a_held_lock_is_refused_until_it_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let roots = roots(&directory);
        let held = acquire(&roots, Lock::Images).unwrap();
        assert!(try_acquire(&roots, Lock::Images).unwrap().is_none());
        assert!(try_acquire(&roots, Lock::Volumes).unwrap().is_some());
        drop(held);
        assert!(try_acquire(&roots, Lock::Images).unwrap().is_some());
    }

    #[test]
    fn a_waiter_outlives_the_removal_of_the_lock_file() {
        let directory = tempfile::tempdir().unwrap();
        let roots = roots(&directory);
        let held = acquire(&roots, Lock::Container("a1")).unwrap();
        let waiter = {
            let roots = roots.clone();
            std::thread::spawn(move || acquire(&roots, Lock::Container("a1")))
        };
        // There is no such container: the file goes.
        drop(held);
        let second = waiter.join().unwrap().unwrap();
        let third = try_acquire(&roots, Lock::Container("a1")).unwrap();
        assert!(third.is_none());
        drop(second);
        assert_eq!(std::fs::read_dir(roots.locks()).unwrap().count(), 0);
    }

    #[test]
    fn a_containers_lock_stays_with_it_and_is_found_without() {
        let directory = tempfile::tempdir().unwrap();
        let roots = roots(&directory);
        let id = Id::random().unwrap();
        std::fs::create_dir_all(roots.container(&id)).unwrap();
        drop(acquire(&roots, Lock::Container(id.as_str())).unwrap());
        assert!(without_container(&roots).unwrap().is_empty());
        std::fs::remove_dir(roots.container(&id)).unwrap();
        assert_eq!(
            without_container(&roots).unwrap(),
            std::slice::from_ref(&id)
        );
        drop(try_acquire(&roots, Lock::Container(id.as_str())).unwrap());
        assert!(without_container(&roots).unwrap().is_empty());
    }

    #[test]
    fn a_layer_is_shared_and_its_lock_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let roots = roots(&directory);
        let first = share(&roots, Lock::Layer("a1")).unwrap();
        let second = share(&roots, Lock::Layer("a1")).unwrap();
        assert!(try_acquire(&roots, Lock::Layer("a1")).unwrap().is_none());
        drop(first);
        assert!(try_acquire(&roots, Lock::Layer("a1")).unwrap().is_none());
        drop(second);
        assert_eq!(std::fs::read_dir(roots.locks()).unwrap().count(), 0);
        drop(acquire(&roots, Lock::Layer("a1")).unwrap());
        assert_eq!(std::fs::read_dir(roots.locks()).unwrap().count(), 0);
    }

    #[test]
    fn names_cannot_leave_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        assert!(acquire(&roots(&directory), Lock::Group("../x")).is_err());
    }
}
