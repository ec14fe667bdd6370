//! Where things are made before they are renamed into place.
//!
//! Each maker has a directory of its own below `Roots::staging`, locked while its process
//! lives and removed with the value. What a killed process left is removed by the next one.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::id::Id;
use super::{Roots, document};
use crate::error::{Context, Result};
use crate::failpoint::{self, Point};

/// Only directories named so are ever swept.
const PREFIX: &str = "stage-";

/// A directory of ours, 0700, removed with all it holds when dropped.
#[derive(Debug)]
pub struct Staging {
    path: PathBuf,
    _lock: File,
}

impl Staging {
    /// Makes a new, empty one.
    pub fn new(roots: &Roots) -> Result<Self> {
        sweep(roots);
        loop {
            let name = format!("{PREFIX}{}", &Id::random()?.as_str()[..16]);
            let path = roots.staging().join(name);
            document::make_directory(&path)?;
            let lock = match File::open(&path) {
                // Between mkdir and the lock somebody may take it for abandoned.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                other => other.context(|| format!("open {}", path.display()))?,
            };
            let locked = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive);
            if locked.is_ok() && path.exists() {
                failpoint::reached(Point::StagingMade);
                return Ok(Self { path, _lock: lock });
            }
        }
    }

    /// Its name among the staging directories.
    pub fn name(&self) -> &str {
        let name = self.path.file_name().and_then(|name| name.to_str());
        name.unwrap_or_default()
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove staging directory");
        }
    }
}

/// Moves a directory away in one step, then removes it: nobody sees it half removed.
pub fn discard(roots: &Roots, path: &Path) -> Result<()> {
    let staging = Staging::new(roots)?;
    match std::fs::rename(path, staging.join("discarded")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => {
            failpoint::reached(Point::Discarded);
            other.context(|| format!("remove {}", path.display()))
        }
    }
}

/// Removes what dead processes left. Failures are for the next sweep.
pub fn sweep(roots: &Roots) {
    for path in abandoned(roots) {
        let Ok(Some(_lock)) = lock_of_dead(&path) else {
            continue;
        };
        let _next_sweep = std::fs::remove_dir_all(&path);
    }
}

/// What dead processes left.
pub fn abandoned(roots: &Roots) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(roots.staging());
    let mut found: Vec<PathBuf> = entries
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX))
        .map(|entry| entry.path())
        .filter(|path| is_abandoned(path))
        .collect();
    found.sort();
    found
}

/// Whether the process that made it is dead: nobody holds its lock, or it is gone.
pub fn is_abandoned(path: &Path) -> bool {
    match lock_of_dead(path) {
        Ok(lock) => lock.is_some(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// The lock of a directory whose owner is dead; `None` while it lives.
fn lock_of_dead(path: &Path) -> std::io::Result<Option<File>> {
    let directory = File::open(path)?;
    match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(directory)),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_staging_directory_goes_with_its_value() {
        let directory = tempfile::tempdir().unwrap();
        let roots = Roots::new(directory.path().join("data"), directory.path().join("run"));
        let staging = Staging::new(&roots).unwrap();
        let path = staging.path().to_owned();
        std::fs::create_dir_all(staging.join("a/b")).unwrap();
        drop(staging);
        assert!(!path.exists());
    }

    #[test]
    fn discarding_what_is_not_there_is_no_error() {
        let directory = tempfile::tempdir().unwrap();
        let roots = Roots::new(directory.path().join("data"), directory.path().join("run"));
        discard(&roots, &directory.path().join("nothing")).unwrap();
    }
}
