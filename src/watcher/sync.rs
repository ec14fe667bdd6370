//! Changes carried into a container: each file in one step, deletions as `rm -rf`.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ketch_runtime::engine::containers::{Directory, FileAttributes, Files};
use ketch_runtime::error::Result;

use super::tree::{Change, Changes, Kind, Tree};

/// Carries changes below a target in a container.
///
/// # Errors
/// The first thing that could not be done; what comes after it is not done either.
pub fn apply(files: &Files, target: &Path, tree: &Tree, changes: &Changes) -> Result<()> {
    let mut copy = Copy {
        files,
        target,
        open: None,
        covered: None,
    };
    for (path, change) in changes {
        copy.change(&tree.absolute(path), path, *change)
            .map_err(|error| error.context(format!("{}", copy.at(path).display())))?;
    }
    Ok(())
}

struct Copy<'a> {
    files: &'a Files,
    target: &'a Path,
    /// The last directory that something was done in: the next change is likely there too.
    open: Option<(PathBuf, Directory)>,
    /// Nothing is left below this path.
    covered: Option<PathBuf>,
}

impl Copy<'_> {
    fn at(&self, path: &Path) -> PathBuf {
        match path.as_os_str().is_empty() {
            true => self.target.to_owned(),
            false => self.target.join(path),
        }
    }

    fn change(&mut self, from: &Path, path: &Path, change: Change) -> Result<()> {
        let at = self.at(path);
        let Some(name) = at.file_name().map(OsStr::to_owned) else {
            // The target is the root itself.
            return Ok(());
        };
        let covered = self.covered.as_ref();
        let is_covered = covered.is_some_and(|covered| path.starts_with(covered));
        match change {
            Change::Gone if is_covered => Ok(()),
            Change::Gone => {
                self.covered = Some(path.to_owned());
                let parent = at.parent().unwrap_or(&at);
                if self.is_open(parent) {
                    return self.opened(parent)?.remove(&name);
                }
                match self.files.directory(parent)? {
                    Some(directory) => directory.remove(&name),
                    None => Ok(()),
                }
            }
            Change::Put(Kind::Directory) if path.as_os_str().is_empty() => {
                self.opened(&at).map(drop)
            }
            Change::Put(kind) => self.put(from, &at, &name, path, kind),
        }
    }

    /// What is gone again by now, or has become something else, will be told.
    fn put(&mut self, from: &Path, at: &Path, name: &OsStr, path: &Path, kind: Kind) -> Result<()> {
        let user = self.files.user();
        let parent = at.parent().unwrap_or(at);
        match kind {
            Kind::File => {
                let Some((mut content, metadata)) = opened_file(from)? else {
                    return Ok(());
                };
                self.covered = Some(path.to_owned());
                let attributes = attributes(&metadata, user);
                self.opened(parent)?
                    .put_file(name, &mut content, attributes)
            }
            Kind::Link => {
                let (Ok(target), Ok(metadata)) = (from.read_link(), from.symlink_metadata()) else {
                    return Ok(());
                };
                self.covered = Some(path.to_owned());
                let owner = user.unwrap_or((metadata.uid(), metadata.gid()));
                self.opened(parent)?.put_link(name, &target, owner)
            }
            Kind::Directory => {
                let Ok(metadata) = from.symlink_metadata() else {
                    return Ok(());
                };
                if !metadata.is_dir() {
                    return Ok(());
                }
                let attributes = attributes(&metadata, user);
                let made = self.opened(parent)?.put_directory(name, attributes)?;
                self.open = Some((at.to_owned(), made));
                Ok(())
            }
        }
    }

    fn is_open(&self, path: &Path) -> bool {
        self.open.as_ref().is_some_and(|(open, _)| open == path)
    }

    fn opened(&mut self, path: &Path) -> Result<&Directory> {
        if !self.is_open(path) {
            self.open = None;
        }
        match &mut self.open {
            Some((_, directory)) => Ok(directory),
            none => {
                let made = self.files.make_directory(path)?;
                Ok(&none.insert((path.to_owned(), made)).1)
            }
        }
    }
}

/// Never waits for a pipe that took the file's place.
fn opened_file(path: &Path) -> Result<Option<(File, Metadata)>> {
    let flags = libc_flags();
    let opened = File::options().read(true).custom_flags(flags).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => match path.symlink_metadata() {
            Ok(metadata) if metadata.is_file() => return Err(error.into()),
            _ => return Ok(None),
        },
    };
    let metadata = file.metadata()?;
    Ok(metadata.is_file().then_some((file, metadata)))
}

fn libc_flags() -> i32 {
    use rustix::fs::OFlags;
    (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY)
        .bits()
        .cast_signed()
}

fn attributes(metadata: &Metadata, user: Option<(u32, u32)>) -> FileAttributes {
    let (uid, gid) = user.unwrap_or((metadata.uid(), metadata.gid()));
    FileAttributes {
        mode: metadata.mode() & 0o7777,
        uid,
        gid,
        modified: (
            metadata.mtime(),
            u32::try_from(metadata.mtime_nsec()).unwrap_or_default(),
        ),
    }
}
