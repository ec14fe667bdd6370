//! Where things are made before they are renamed into place.
//!
//! Each maker has a directory of its own below `Roots::staging`, locked while its process
//! lives and removed with the value. What a killed process left is removed by the next one.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;

use super::id::Id;
use super::{Roots, document};
use crate::error::{Context, Result};

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
        let name = format!("{PREFIX}{}", &Id::random()?.as_str()[..16]);
        let path = roots.staging().join(name);
        document::make_directory(&path)?;
        let lock = File::open(&path).context(|| format!("open {}", path.display()))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .context(|| format!("lock {}", path.display()))?;
        Ok(Self { path, _lock: lock })
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
        other => other.context(|| format!("remove {}", path.display())),
    }
}

/// Removes what dead processes left. Failures are for the next sweep.
fn sweep(roots: &Roots) {
    let Ok(entries) = std::fs::read_dir(roots.staging()) else {
        return;
    };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if is_ours && is_abandoned(&entry.path()) {
            let _next_sweep = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn is_abandoned(path: &Path) -> bool {
    // Between mkdir and flock a new one is unlocked: leave young ones alone.
    let is_old = std::fs::symlink_metadata(path)
        .and_then(|metadata| metadata.modified())
        .is_ok_and(|time| {
            time.elapsed()
                .is_ok_and(|age| age > Duration::from_secs(60))
        });
    is_old
        && File::open(path).is_ok_and(|directory| {
            rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok()
        })
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
