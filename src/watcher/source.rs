//! What the kernel tells of changed directories (`inotify(7)`).
//!
//! Each directory is watched by itself and by us, so that one that can't be is known at once, and
//! the ones that no rule is about cost nothing.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use ketch_runtime::failpoint::{self, Point};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

/// Where to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    pub path: PathBuf,
    /// Look at all below it too: it is new.
    pub whole: bool,
    /// A file that may still be written to is not settled.
    pub settled: bool,
}

/// What came out of a reading.
#[derive(Debug, Default)]
pub struct Hints {
    pub list: Vec<Hint>,
    /// The kernel could not keep all: look at everything.
    pub lost: bool,
}

/// Why the kernel does not tell of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    Watches,
    Instances,
}

impl Limit {
    /// What to do about it.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Watches => {
                "too many directories are watched on this machine: raise the limit with \
                 `sysctl fs.inotify.max_user_watches=524288`"
            }
            Self::Instances => {
                "too many programs watch files on this machine: raise the limit with \
                 `sysctl fs.inotify.max_user_instances=512`"
            }
        }
    }
}

/// Directories that are watched.
#[derive(Debug)]
pub struct Source {
    inotify: Option<OwnedFd>,
    /// By the kernel's number. A directory that was renamed is known by its old path until it
    /// is watched again, which the hint of its new one leads to.
    paths: HashMap<i32, PathBuf>,
    limit: Option<Limit>,
}

impl Source {
    /// # Errors
    /// When the kernel gives none for another reason than a limit.
    pub fn new() -> Result<Self, Errno> {
        let flags = CreateFlags::CLOEXEC | CreateFlags::NONBLOCK;
        let inotify = failpoint::guard(Point::FileWatch).and_then(|()| inotify::init(flags));
        let (inotify, limit) = match inotify {
            Ok(fd) => (Some(fd), None),
            Err(Errno::MFILE | Errno::NFILE) => (None, Some(Limit::Instances)),
            Err(errno) => return Err(errno),
        };
        Ok(Self {
            inotify,
            paths: HashMap::new(),
            limit,
        })
    }

    /// Why not everything is watched, and must be looked at now and then instead.
    pub fn limit(&self) -> Option<Limit> {
        self.limit
    }

    /// Tells of a directory's entries from now on. One that is gone again is no error.
    pub fn watch(&mut self, directory: &Path) {
        let Some(inotify) = &self.inotify else { return };
        let flags = WatchFlags::ATTRIB
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MODIFY
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        let watch = failpoint::guard(Point::DirectoryWatch)
            .and_then(|()| inotify::add_watch(inotify, directory, flags));
        match watch {
            Ok(number) => drop(self.paths.insert(number, directory.to_owned())),
            Err(Errno::NOSPC | Errno::NOMEM) => self.limit = Some(Limit::Watches),
            Err(_) => {}
        }
    }

    /// All that has come since the last time.
    pub fn read(&mut self) -> Hints {
        let mut hints = Hints::default();
        let Some(inotify) = &self.inotify else {
            return hints;
        };
        let mut buffer = [MaybeUninit::uninit(); 64 * 1024];
        let mut reader = Reader::new(inotify, &mut buffer);
        // EAGAIN is the end of what there is.
        while let Ok(event) = reader.next() {
            let what = event.events();
            if what.contains(ReadFlags::QUEUE_OVERFLOW) {
                hints.lost = true;
            }
            if what.contains(ReadFlags::IGNORED) {
                self.paths.remove(&event.wd());
                continue;
            }
            let Some(directory) = self.paths.get(&event.wd()) else {
                continue;
            };
            let path = match event.file_name() {
                Some(name) => directory.join(OsStr::from_bytes(name.to_bytes())),
                None => directory.clone(),
            };
            let is_directory = what.contains(ReadFlags::ISDIR);
            let appeared = what.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
            let written = what.intersects(ReadFlags::CREATE | ReadFlags::MODIFY);
            let hint = Hint {
                path,
                whole: is_directory && appeared,
                settled: is_directory || !written,
            };
            match hints.list.last_mut() {
                Some(last) if last.path == hint.path && last.whole == hint.whole => {
                    last.settled = hint.settled;
                }
                _ => hints.list.push(hint),
            }
        }
        hints
    }

    /// Readable when something has come; absent when the kernel tells nothing.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// `name`, `+` for all below it, `~` for one that is still written.
    fn shown(hints: &Hints, root: &Path) -> Vec<String> {
        let show = |hint: &Hint| {
            let path = hint.path.strip_prefix(root).unwrap().display();
            let (whole, open) = (hint.whole, !hint.settled);
            format!(
                "{path}{}{}",
                if whole { "+" } else { "" },
                if open { "~" } else { "" }
            )
        };
        hints.list.iter().map(show).collect()
    }

    #[test]
    fn saves_renames_and_new_directories_are_told() {
        let world = tempfile::tempdir().unwrap();
        let root = world.path();
        let mut source = Source::new().unwrap();
        source.watch(root);
        source.watch(&root.join("absent"));
        fs::write(root.join("a"), "x").unwrap();
        assert_eq!(shown(&source.read(), root), ["a"]);
        let open = fs::File::create(root.join("b")).unwrap();
        assert_eq!(shown(&source.read(), root), ["b~"]);
        drop(open);
        fs::rename(root.join("a"), root.join("c")).unwrap();
        fs::create_dir(root.join("d")).unwrap();
        std::os::unix::fs::symlink("x", root.join("l")).unwrap();
        fs::remove_file(root.join("b")).unwrap();
        assert_eq!(
            shown(&source.read(), root),
            ["b", "a", "c", "d+", "l~", "b"]
        );
        // To look is no change.
        fs::read(root.join("c")).unwrap();
        assert_eq!(shown(&source.read(), root), [""; 0]);
        assert_eq!(source.limit(), None);
    }
}
