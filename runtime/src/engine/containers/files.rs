//! A running container's files, through its own mounts.
//!
//! Nothing of the container runs for it, and nothing of it is trusted: every path is resolved by
//! the kernel inside the container's root (`openat2(2)`, `RESOLVE_IN_ROOT`), and what is put or
//! removed is a name in a directory that is held open.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::kill::not_running;
use crate::engine::Engine;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::init;
use crate::store::id::Id;
use crate::sys;

/// The root of a container while one run of it lasts.
#[derive(Debug)]
pub struct Files {
    root: OwnedFd,
    /// Who new files belong to: the container's user, where it names one.
    user: Option<(u32, u32)>,
    /// The run: another one has other mounts.
    pid: u32,
}

/// A directory in a container that is held open: its names are put and removed without another
/// look at the path.
#[derive(Debug)]
pub struct Directory(OwnedFd);

/// What a file has besides its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileAttributes {
    /// The twelve bits of permissions.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds and nanoseconds since 1970.
    pub modified: (i64, u32),
}

/// A kernel's block of data at once.
const CHUNK: usize = 128 * 1024;

impl Engine {
    /// Opens the files of a running container.
    ///
    /// # Errors
    /// `Conflict` when it does not run; a user that its own files do not know.
    pub fn files(&self, name: &str) -> Result<Files> {
        let id = self.container_id(name)?;
        let container = self.settled(&id)?;
        let Some(pid) = container.state.pid else {
            return Err(not_running(&container));
        };
        let root = sys::path::open_place(Path::new(&format!("/proc/{pid}/root")));
        // The number may have become another process' since: then this is not its root.
        if sys::process::start_time(pid).ok() != Some(container.state.pid_start_time) {
            return Err(not_running(&container));
        }
        let root = root.context(|| format!("open the files of {}", container.record.name))?;
        let process = &container.record.process;
        let user = match process.user.is_empty() {
            true => None,
            false => Some(init::user_in(&process.user, root.as_fd())?),
        };
        Ok(Files { root, user, pid })
    }

    /// Whether the container is still in the run that these files were opened in.
    pub fn is_current(&self, id: &Id, files: &Files) -> bool {
        self.container(id.as_str())
            .is_ok_and(|container| container.state.pid == Some(files.pid))
    }
}

impl Files {
    /// The container's user, where it names one.
    pub fn user(&self) -> Option<(u32, u32)> {
        self.user
    }

    /// A directory, made with its parents where it is missing; symlinks are followed inside the
    /// root.
    ///
    /// # Errors
    /// Something else in its place.
    pub fn make_directory(&self, path: &Path) -> Result<Directory> {
        let made = sys::path::make_directory_in_root(self.root.as_fd(), path, 0o755)
            .context(|| format!("make directory {}", path.display()))?;
        // As a place it can't be written to.
        readable(made.as_fd(), OsStr::new("."))
            .map(Directory)
            .context(|| format!("open {}", path.display()))
    }

    /// A directory; `None` when there is none.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn directory(&self, path: &Path) -> Result<Option<Directory>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match sys::path::open_in_root(self.root.as_fd(), path, flags, 0) {
            Ok(fd) => Ok(Some(Directory(fd))),
            Err(error) if error.is(libc::ENOENT) || error.is(libc::ENOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn readable(at: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

impl Directory {
    /// Puts a regular file in place of whatever has the name, in one step: a reader sees the old
    /// one or the new one. Only what is itself a mount (a file that was bound there) is written
    /// in place.
    ///
    /// # Errors
    /// A disk that is full, a file system that is read-only.
    pub fn put_file(
        &self,
        name: &OsStr,
        content: &mut File,
        attributes: FileAttributes,
    ) -> Result<()> {
        let mut made = Made::file(self.fd())?;
        copy(content, &made.file).map_err(Error::from)?;
        set(made.file.as_fd(), attributes)?;
        match self.replace(&mut made.name, name) {
            Err(Errno::BUSY) => {}
            other => return Ok(other?),
        }
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let bound = File::from(rustix::fs::openat(self.fd(), name, flags, Mode::empty())?);
        if !bound.metadata().map_err(Error::from)?.is_file() {
            return Err(Errno::BUSY.into());
        }
        io::Seek::rewind(content).map_err(Error::from)?;
        bound.set_len(0).map_err(Error::from)?;
        copy(content, &bound).map_err(Error::from)
    }

    /// Puts a symlink in place of whatever has the name.
    ///
    /// # Errors
    /// As with [`Directory::put_file`].
    pub fn put_link(&self, name: &OsStr, target: &Path, owner: (u32, u32)) -> Result<()> {
        let mut made = Unnamed::made(self.fd(), |name| {
            rustix::fs::symlinkat(target, self.fd(), name)
        })?;
        let (uid, gid) = ids(owner);
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(self.fd(), made.name.as_str(), uid, gid, flags)?;
        Ok(self.replace(&mut made, name)?)
    }

    /// Puts a directory in place of anything else that has the name; one that is there stays.
    ///
    /// # Errors
    /// As with [`Directory::put_file`].
    pub fn put_directory(&self, name: &OsStr, attributes: FileAttributes) -> Result<Self> {
        let made = rustix::fs::mkdirat(self.fd(), name, Mode::RWXU);
        let directory = match (made, readable(self.fd(), name)) {
            (Err(errno), _) if errno != Errno::EXIST => return Err(errno.into()),
            (_, Ok(directory)) => directory,
            (_, Err(Errno::NOTDIR | Errno::LOOP)) => {
                self.remove(name)?;
                rustix::fs::mkdirat(self.fd(), name, Mode::RWXU)?;
                readable(self.fd(), name)?
            }
            (_, Err(errno)) => return Err(errno.into()),
        };
        set(directory.as_fd(), attributes)?;
        Ok(Self(directory))
    }

    /// Removes a name and all below it, as `rm -rf` does; what is missing is no error.
    ///
    /// # Errors
    /// A mount in the way, a file system that is read-only.
    pub fn remove(&self, name: &OsStr) -> Result<()> {
        match rustix::fs::unlinkat(self.fd(), name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(errno) => return Err(errno.into()),
        }
        // Walks by descriptors and follows nothing.
        let path = PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd())).join(name);
        match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Its names, in no order.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn names(&self) -> Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(self.fd())? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
        }
        Ok(names)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Gives what was made its name; a directory that has it is removed first.
    fn replace(&self, made: &mut Unnamed<'_>, name: &OsStr) -> Result<(), Errno> {
        let rename = || rustix::fs::renameat(self.fd(), made.name.as_str(), self.fd(), name);
        match rename() {
            Err(Errno::ISDIR | Errno::EXIST | Errno::NOTEMPTY) => {
                self.remove(name).map_err(|_| Errno::BUSY)?;
                rename()?;
            }
            other => other?,
        }
        made.is_renamed = true;
        Ok(())
    }
}

/// A name that is taken away again, unless what has it was renamed.
struct Unnamed<'a> {
    directory: BorrowedFd<'a>,
    name: String,
    is_renamed: bool,
}

struct Made<'a> {
    name: Unnamed<'a>,
    file: File,
}

impl<'a> Made<'a> {
    fn file(directory: BorrowedFd<'a>) -> Result<Self> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = None;
        let name = Unnamed::made(directory, |name| {
            let mode = Mode::RUSR | Mode::WUSR;
            file = Some(rustix::fs::openat(directory, name, flags, mode)?);
            Ok(())
        })?;
        match file {
            Some(file) => Ok(Self {
                name,
                file: file.into(),
            }),
            None => Err(Error::new(ErrorKind::Internal, "no file was made")),
        }
    }
}

impl<'a> Unnamed<'a> {
    fn made(
        directory: BorrowedFd<'a>,
        mut make: impl FnMut(&str) -> Result<(), Errno>,
    ) -> Result<Self> {
        loop {
            let id = Id::random()?;
            let name = format!(".ketch-{}", id.short());
            match make(&name) {
                Ok(()) => {
                    return Ok(Self {
                        directory,
                        name,
                        is_renamed: false,
                    });
                }
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl Drop for Unnamed<'_> {
    fn drop(&mut self) {
        if self.is_renamed {
            return;
        }
        let _gone_with_its_directory =
            rustix::fs::unlinkat(self.directory, self.name.as_str(), AtFlags::empty());
    }
}

fn ids((uid, gid): (u32, u32)) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
}

fn set(fd: BorrowedFd<'_>, attributes: FileAttributes) -> Result<()> {
    let (uid, gid) = ids((attributes.uid, attributes.gid));
    // The owner first: a change of it takes away what the mode may give.
    rustix::fs::fchown(fd, uid, gid)?;
    rustix::fs::fchmod(fd, Mode::from_raw_mode(attributes.mode & 0o7777))?;
    let time = Timespec {
        tv_sec: attributes.modified.0,
        tv_nsec: attributes.modified.1.into(),
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    Ok(rustix::fs::futimens(fd, &times)?)
}

/// The kernel copies what it can without us; small files are one read and one write.
fn copy(from: &mut File, to: &File) -> io::Result<()> {
    let mut to = to;
    let mut buffer = [0; CHUNK];
    let first = from.read(&mut buffer)?;
    to.write_all(&buffer[..first])?;
    if first == CHUNK {
        io::copy(from, &mut to)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    fn open(path: &Path) -> Directory {
        Directory(File::open(path).unwrap().into())
    }

    fn attributes() -> FileAttributes {
        FileAttributes {
            mode: 0o640,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            modified: (1_000_000, 5),
        }
    }

    #[test]
    fn what_is_put_takes_the_place_of_anything_and_leaves_nothing_else() {
        let world = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "untouched").unwrap();
        let directory = open(world.path());
        let source = outside.path().join("source");
        std::fs::write(&source, "new").unwrap();
        std::fs::create_dir_all(world.path().join("dir/below")).unwrap();
        std::fs::write(world.path().join("file"), "old").unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), world.path().join("link"))
            .unwrap();
        for name in ["absent", "dir", "file", "link"] {
            let mut content = File::open(&source).unwrap();
            directory
                .put_file(name.as_ref(), &mut content, attributes())
                .unwrap();
            let path = world.path().join(name);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "new", "{name}");
            let metadata = path.symlink_metadata().unwrap();
            assert_eq!(metadata.permissions().mode() & 0o7777, 0o640);
            assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (1_000_000, 5));
        }
        let secret = std::fs::read_to_string(outside.path().join("secret")).unwrap();
        assert_eq!(secret, "untouched");

        let owner = (attributes().uid, attributes().gid);
        directory
            .put_link("file".as_ref(), Path::new("/x"), owner)
            .unwrap();
        assert_eq!(
            std::fs::read_link(world.path().join("file")).unwrap(),
            Path::new("/x")
        );
        // A link to a directory is no directory.
        std::os::unix::fs::symlink(outside.path(), world.path().join("away")).unwrap();
        let inner = directory
            .put_directory("away".as_ref(), attributes())
            .unwrap();
        let mut content = File::open(&source).unwrap();
        inner
            .put_file("secret".as_ref(), &mut content, attributes())
            .unwrap();
        let secret = std::fs::read_to_string(outside.path().join("secret")).unwrap();
        assert_eq!(secret, "untouched");
        directory.remove("away".as_ref()).unwrap();
        directory.remove("nothing".as_ref()).unwrap();
        let mut names = directory.names().unwrap();
        names.sort();
        let names: Vec<_> = names.iter().map(|name| OsStr::from_bytes(name)).collect();
        assert_eq!(names, ["absent", "dir", "file", "link"]);
    }

    #[test]
    fn a_large_file_arrives_whole() {
        let world = tempfile::tempdir().unwrap();
        let source = world.path().join("source");
        let bytes: Vec<u8> = (0..CHUNK * 3 + 17).map(|at| at.to_le_bytes()[0]).collect();
        std::fs::write(&source, &bytes).unwrap();
        let mut content = File::open(&source).unwrap();
        open(world.path())
            .put_file("copy".as_ref(), &mut content, attributes())
            .unwrap();
        assert!(std::fs::read(world.path().join("copy")).unwrap() == bytes);
    }
}
