//! What the kernel tells of changed directories (`inotify(7)`).
//!
//! Each directory is watched by itself and by us, so that one that can't be is known at once, and
//! the ones that no rule is about cost nothing.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
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

impl Hints {
    fn add(&mut self, hint: Hint) {
        match self.list.last_mut() {
            Some(last) if last.path == hint.path && last.whole == hint.whole => {
                last.settled = hint.settled;
            }
            _ => self.list.push(hint),
        }
    }
}

/// Whether two paths lead to the same directory.
fn is_same(one: &Path, other: &Path) -> bool {
    let number = |path: &Path| {
        let metadata = path.metadata().ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    number(one).is_some_and(|found| number(other) == Some(found))
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
    /// By the kernel's number, of which a directory has one, however many paths lead to it: by
    /// links, by mounts, or because one was there when it was looked up. A directory that was
    /// renamed is known by its old path until it is watched again, which the hint of its new one
    /// leads to.
    paths: HashMap<i32, Vec<PathBuf>>,
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
            Ok(number) => {
                let paths = self.paths.entry(number).or_default();
                if !paths.iter().any(|path| path == directory) {
                    paths.retain(|path| is_same(path, directory));
                    paths.push(directory.to_owned());
                }
            }
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
            let is_directory = what.contains(ReadFlags::ISDIR);
            let appeared = what.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
            let written = what.intersects(ReadFlags::CREATE | ReadFlags::MODIFY);
            for directory in self.paths.get(&event.wd()).into_iter().flatten() {
                let path = match event.file_name() {
                    Some(name) => directory.join(OsStr::from_bytes(name.to_bytes())),
                    None => directory.clone(),
                };
                hints.add(Hint {
                    path,
                    whole: is_directory && appeared,
                    settled: is_directory || !written,
                });
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

    #[test]
    fn a_directory_is_told_of_by_every_path_that_leads_to_it() {
        let world = tempfile::tempdir().unwrap();
        let root = world.path();
        let (one, link) = (root.join("one"), root.join("link"));
        fs::create_dir(&one).unwrap();
        std::os::unix::fs::symlink("one", &link).unwrap();
        let mut source = Source::new().unwrap();
        source.watch(&one);
        source.watch(&link);
        fs::write(one.join("a"), "x").unwrap();
        let told = shown(&source.read(), root);
        assert!(told.contains(&"one/a".to_owned()), "{told:?}");
        assert!(told.contains(&"link/a".to_owned()), "{told:?}");
        // Paths that lead there no more are forgotten.
        fs::rename(&one, root.join("two")).unwrap();
        source.read();
        source.watch(&root.join("two"));
        fs::remove_file(root.join("two/a")).unwrap();
        assert_eq!(shown(&source.read(), root), ["two/a"]);
    }
}
