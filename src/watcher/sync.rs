//! Changes carried into a container: each file in one step, deletions as `rm -rf`.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ketch_runtime::container::directory::{Directory, FileAttributes};
use ketch_runtime::engine::containers::Files;
use ketch_runtime::error::{Error, Result};

use super::relative::Relative;
use super::tree::{Change, Changes, Kind, Tree};

/// What was not done.
#[derive(Debug, Default)]
pub struct Undone {
    /// The source has changed again since it was looked at, and may change back: to be done with
    /// what will be told of it.
    pub moved: Changes,
    /// The container refused.
    pub refused: Changes,
    /// Why, for the first of them.
    pub error: Option<Error>,
}

/// Carries changes below a target in a container, as far as it can be done.
pub fn apply(files: &Files, target: &Path, tree: &Tree, changes: &Changes) -> Undone {
    let mut undone = Undone::default();
    let mut copy = Copy {
        files,
        target,
        open: None,
        covered: None,
    };
    let mut left: Option<&Relative> = None;
    for (path, change) in changes {
        let is_left = left.is_some_and(|left| path.is_within(left));
        let done = match is_left {
            true => Ok(Done::Moved),
            false => copy.change(&tree.absolute(path), path, *change),
        };
        match done {
            Ok(Done::Yes) => {}
            Ok(Done::Moved) => {
                left = left.filter(|_| is_left).or(Some(path));
                undone.moved.insert(path.clone(), *change);
            }
            Err(error) => {
                let at = copy.at(path);
                undone.refused.insert(path.clone(), *change);
                undone
                    .error
                    .get_or_insert_with(|| error.context(format!("{}", at.display())));
            }
        }
    }
    undone
}

enum Done {
    Yes,
    /// The source is no longer what it was.
    Moved,
}

struct Copy<'a> {
    files: &'a Files,
    target: &'a Path,
    /// The last directory that something was done in: the next change is likely there too.
    open: Option<(PathBuf, Directory)>,
    /// Nothing is left below this path.
    covered: Option<Relative>,
}

impl Copy<'_> {
    fn at(&self, path: &Relative) -> PathBuf {
        match path.is_root() {
            true => self.target.to_owned(),
            false => self.target.join(&**path),
        }
    }

    fn change(&mut self, from: &Path, path: &Relative, change: Change) -> Result<Done> {
        let at = self.at(path);
        let Some(name) = at.file_name().map(OsStr::to_owned) else {
            // The target is the root itself.
            return Ok(Done::Yes);
        };
        let covered = self.covered.as_ref();
        let is_covered = covered.is_some_and(|covered| path.is_within(covered));
        match change {
            Change::Gone if is_covered => Ok(Done::Yes),
            Change::Gone => {
                self.covered = Some(path.clone());
                let parent = at.parent().unwrap_or(&at);
                if self.is_open(parent) {
                    self.opened(parent)?.remove(&name)?;
                } else if let Some(directory) = self.files.directory(parent)? {
                    directory.remove(&name)?;
                }
                Ok(Done::Yes)
            }
            Change::Put(Kind::Directory) if path.is_root() => self.opened(&at).map(|_| Done::Yes),
            Change::Put(kind) => self.put(from, &at, &name, path, kind),
        }
    }

    fn put(
        &mut self,
        from: &Path,
        at: &Path,
        name: &OsStr,
        path: &Relative,
        kind: Kind,
    ) -> Result<Done> {
        let user = self.files.user();
        let parent = at.parent().unwrap_or(at);
        match kind {
            Kind::File => {
                let Some((mut content, metadata)) = opened_file(from)? else {
                    return Ok(Done::Moved);
                };
                self.covered = Some(path.clone());
                let attributes = attributes(&metadata, user);
                let directory = self.opened(parent)?;
                directory.put_file(name, &mut content, attributes)?;
            }
            Kind::Link => {
                let (Ok(target), Ok(metadata)) = (from.read_link(), from.symlink_metadata()) else {
                    return Ok(Done::Moved);
                };
                self.covered = Some(path.clone());
                let owner = user.unwrap_or((metadata.uid(), metadata.gid()));
                self.opened(parent)?.put_link(name, &target, owner)?;
            }
            Kind::Directory => {
                let Ok(metadata) = from.symlink_metadata() else {
                    return Ok(Done::Moved);
                };
                if !metadata.is_dir() {
                    return Ok(Done::Moved);
                }
                let attributes = attributes(&metadata, user);
                let made = self.opened(parent)?.put_directory(name, attributes)?;
                self.open = Some((at.to_owned(), made));
            }
        }
        Ok(Done::Yes)
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
