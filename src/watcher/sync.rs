//! Changes carried into a container: each file in one step, deletions as `rm -rf`.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;

use ketch_runtime::container::directory::{Directory, FileAttributes};
use ketch_runtime::engine::containers::Files;
use ketch_runtime::error::{Error, Result};
use rustix::io::Errno;

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

/// More files than this are copied by several threads.
const MANY: usize = 64;

/// Carries changes below a target in a container, as far as it can be done: the directories and
/// what is gone first, in order, then the files, by as many threads as there are processors.
pub fn apply(files: &Files, target: &Path, tree: &Tree, changes: &Changes) -> Undone {
    let mut skeleton = Copy::new(files, target, tree);
    let mut regular: Vec<&Relative> = Vec::new();
    let mut replaced: Vec<(&Relative, &Relative)> = Vec::new();
    for (path, change) in changes {
        match (change, regular.last()) {
            (Change::Put(Kind::File), _) => regular.push(path),
            // It goes with the directory that the file takes the place of.
            (Change::Gone, Some(file)) if path.is_within(file) => replaced.push((file, path)),
            _ => skeleton.carry(path, *change),
        }
    }
    let mut undone = skeleton.undone;
    if !undone.is_empty() {
        // Where the way to a file is not what it should be, the file waits too.
        regular.retain(|path| {
            let stuck = path.above().find_map(|above| undone.reason(&above));
            if let Some(reason) = stuck {
                undone.keep(path, Change::Put(Kind::File), reason);
            }
            stuck.is_none()
        });
    }
    let copy = |paths: &[&Relative]| {
        let mut copy = Copy::new(files, target, tree);
        for path in paths {
            copy.carry(path, Change::Put(Kind::File));
        }
        copy.undone
    };
    let threads = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(8);
    let share = regular.len().div_ceil(threads).max(MANY);
    thread::scope(|scope| {
        // Neighbours stay together: they are in the same directories.
        let mut shares = regular.chunks(share);
        let own = shares.next().unwrap_or_default();
        let others: Vec<_> = shares.map(|share| scope.spawn(|| copy(share))).collect();
        undone.add(copy(own));
        for other in others {
            undone.add(other.join().unwrap_or_default());
        }
    });
    for (file, gone) in replaced {
        if let Some(reason) = undone.reason(file) {
            undone.keep(gone, Change::Gone, reason);
        }
    }
    undone
}

/// Why something was not done.
#[derive(Debug, Clone, Copy)]
enum Reason {
    Moved,
    Refused,
}

impl Undone {
    fn is_empty(&self) -> bool {
        self.moved.is_empty() && self.refused.is_empty()
    }

    fn reason(&self, path: &Relative) -> Option<Reason> {
        match () {
            () if self.moved.contains_key(path) => Some(Reason::Moved),
            () if self.refused.contains_key(path) => Some(Reason::Refused),
            () => None,
        }
    }

    fn keep(&mut self, path: &Relative, change: Change, reason: Reason) {
        let changes = match reason {
            Reason::Moved => &mut self.moved,
            Reason::Refused => &mut self.refused,
        };
        changes.insert(path.clone(), change);
    }

    fn add(&mut self, other: Self) {
        self.moved.extend(other.moved);
        self.refused.extend(other.refused);
        self.error = self.error.take().or(other.error);
    }
}

enum Done {
    Yes,
    /// The source is no longer what it was.
    Moved,
}

struct Copy<'a> {
    files: &'a Files,
    target: &'a Path,
    tree: &'a Tree,
    undone: Undone,
    /// What is below this was not done either: what the container has there may lead elsewhere.
    stuck: Option<(Relative, Reason)>,
    /// The last directory that something was done in: the next change is likely there too.
    open: Option<(PathBuf, Directory)>,
    /// Nothing is left below this path.
    covered: Option<Relative>,
}

impl<'a> Copy<'a> {
    fn new(files: &'a Files, target: &'a Path, tree: &'a Tree) -> Self {
        Self {
            files,
            target,
            tree,
            undone: Undone::default(),
            stuck: None,
            open: None,
            covered: None,
        }
    }

    fn carry(&mut self, path: &Relative, change: Change) {
        if let Some((stuck, reason)) = &self.stuck
            && path.is_within(stuck)
        {
            return self.undone.keep(path, change, *reason);
        }
        let reason = match self.change(&self.tree.absolute(path), path, change) {
            Ok(Done::Yes) => return,
            Ok(Done::Moved) => Reason::Moved,
            Err(error) => {
                let error = error.context(self.at(path).display().to_string());
                self.undone.error.get_or_insert(error);
                Reason::Refused
            }
        };
        self.undone.keep(path, change, reason);
        self.stuck = Some((path.clone(), reason));
    }

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
                let parent = at.parent().unwrap_or(&at);
                if self.is_open(parent) {
                    self.opened(parent)?.remove(&name)?;
                } else if let Some(directory) = self.files.directory(parent)? {
                    directory.remove(&name)?;
                }
                self.covered = Some(path.clone());
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
        // It was something else when it was opened, whatever it is by now.
        Err(error) if is_of_another_kind(&error) => return Ok(None),
        Err(error) => match path.symlink_metadata() {
            Ok(metadata) if metadata.is_file() => return Err(error.into()),
            _ => return Ok(None),
        },
    };
    let metadata = file.metadata()?;
    Ok(metadata.is_file().then_some((file, metadata)))
}

/// A link, a way that is none, a socket.
fn is_of_another_kind(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::LOOP | Errno::NOTDIR | Errno::NXIO))
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
