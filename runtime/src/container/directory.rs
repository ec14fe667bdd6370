//! A directory that is held open: its names are read, put and removed without another look at
//! the path, and nothing of what it holds is followed or trusted.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Stat, StatxAttributes, StatxFlags, Timespec,
    Timestamps, Uid,
};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};

/// See the module.
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

/// What has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub kind: FileKind,
    pub attributes: FileAttributes,
    pub size: u64,
    /// Its device and inode, when it has other names too.
    pub shared: Option<(u64, u64)>,
}

/// Kinds of files that can be copied, and the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    File,
    Directory,
    Link,
    /// A device, a socket, a pipe.
    Other,
}

/// What is made has a name of its own until it is whole; one that is taken is passed over.
static NEXT: AtomicU64 = AtomicU64::new(0);
/// Files up to this are one read and one write.
const CHUNK: usize = 16 * 1024;

impl Found {
    fn of(stat: &Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => FileKind::File,
            FileType::Directory => FileKind::Directory,
            FileType::Symlink => FileKind::Link,
            _ => FileKind::Other,
        };
        let is_shared = kind == FileKind::File && stat.st_nlink > 1;
        Self {
            kind,
            attributes: FileAttributes {
                mode: stat.st_mode & 0o7777,
                uid: stat.st_uid,
                gid: stat.st_gid,
                modified: (
                    stat.st_mtime,
                    u32::try_from(stat.st_mtime_nsec).unwrap_or_default(),
                ),
            },
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            shared: is_shared.then_some((stat.st_dev, stat.st_ino)),
        }
    }
}

fn readable(at: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

impl From<OwnedFd> for Directory {
    /// Of a directory that is open for reading.
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
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
        let made = Made::file(self.fd(), attributes.mode)?;
        copy(content, &made.file).map_err(Error::from)?;
        set(made.file.as_fd(), attributes)?;
        match self.place(made, name) {
            Err(Errno::BUSY) => {}
            other => return Ok(other?),
        }
        let bound = self.emptied(name)?;
        io::Seek::rewind(content).map_err(Error::from)?;
        copy(content, &bound).map_err(Error::from)
    }

    /// The same with content that comes from elsewhere.
    ///
    /// # Errors
    /// As with [`Directory::put_file`]; a content that can't be read.
    pub fn put_content(
        &self,
        name: &OsStr,
        mut content: impl io::Read,
        attributes: FileAttributes,
    ) -> Result<()> {
        // Asked first: what comes from elsewhere can be read only once.
        if self.is_mount(name)? {
            io::copy(&mut content, &mut self.emptied(name)?)?;
            return Ok(());
        }
        let mut made = Made::file(self.fd(), attributes.mode)?;
        io::copy(&mut content, &mut made.file)?;
        set(made.file.as_fd(), attributes)?;
        Ok(self.place(made, name)?)
    }

    /// Gives itself these attributes.
    ///
    /// # Errors
    /// When they can't be had.
    pub fn set(&self, attributes: FileAttributes) -> Result<()> {
        set(self.fd(), attributes)
    }

    /// The same directory once more.
    ///
    /// # Errors
    /// When there are no more descriptors.
    pub fn duplicate(&self) -> Result<Self> {
        Ok(Self(rustix::io::fcntl_dupfd_cloexec(&self.0, 3)?))
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

    /// Removes a name and all below it, as `rm -rf` does; what is missing is no error. A mount
    /// stays, without what was in it.
    ///
    /// # Errors
    /// `EBUSY`: a mount in the way; a file system that is read-only.
    pub fn remove(&self, name: &OsStr) -> Result<()> {
        let mut removal = Removal {
            top: self,
            way: Vec::new(),
            met_mount: false,
        };
        removal.enter(name.to_owned())?;
        while let Some(level) = removal.way.last_mut() {
            match level.left.pop() {
                Some(name) => removal.enter(name)?,
                None => removal.leave()?,
            }
        }
        match removal.met_mount {
            true => Err(Errno::BUSY.into()),
            false => Ok(()),
        }
    }

    /// What has a name, or nothing. Whether something is mounted there has to be asked: the kernel
    /// keeps a mount from being removed or replaced only where it is one in our own mount
    /// namespace (rename(2), `EBUSY`); in the container's it would take it away.
    fn glance(&self, name: &OsStr) -> Result<Option<Glance>, Errno> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        match rustix::fs::statx(self.fd(), name, flags, StatxFlags::TYPE) {
            Ok(found) => Ok(Some(Glance {
                is_directory: FileType::from_raw_mode(found.stx_mode.into()) == FileType::Directory,
                is_mount: found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    fn is_mount(&self, name: &OsStr) -> Result<bool, Errno> {
        Ok(self.glance(name)?.is_some_and(|found| found.is_mount))
    }

    /// A regular file that is written in place, because it is a mount.
    fn emptied(&self, name: &OsStr) -> Result<File> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let bound = File::from(rustix::fs::openat(self.fd(), name, flags, Mode::empty())?);
        if !bound.metadata().map_err(Error::from)?.is_file() {
            return Err(Errno::BUSY.into());
        }
        bound.set_len(0).map_err(Error::from)?;
        Ok(bound)
    }

    /// Removes anything but a directory (`EISDIR`) and a mount (`EBUSY`).
    fn unlink(&self, name: &OsStr) -> Result<(), Errno> {
        match self.glance(name)? {
            None => return Ok(()),
            Some(found) if found.is_directory => return Err(Errno::ISDIR),
            Some(found) if found.is_mount => return Err(Errno::BUSY),
            Some(_) => {}
        }
        match rustix::fs::unlinkat(self.fd(), name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            other => other,
        }
    }

    /// Removes a directory that is empty, and no mount.
    fn remove_empty(&self, name: &OsStr) -> Result<(), Errno> {
        if self.is_mount(name)? {
            return Err(Errno::BUSY);
        }
        match rustix::fs::unlinkat(self.fd(), name, AtFlags::REMOVEDIR) {
            Err(Errno::NOENT) => Ok(()),
            other => other,
        }
    }

    /// A directory that is still there.
    fn below(&self, name: &OsStr) -> Result<Option<Self>, Errno> {
        match readable(self.fd(), name) {
            Ok(directory) => Ok(Some(Self(directory))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Its names, in order.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn names(&self) -> Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(self.fd())? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
        }
        names.sort();
        Ok(names)
    }

    /// What has a name; `None`: nothing. A symlink is one.
    ///
    /// # Errors
    /// When it can't be looked at.
    pub fn look(&self, name: &OsStr) -> Result<Option<Found>> {
        match rustix::fs::statat(self.fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Found::of(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// What it is itself.
    ///
    /// # Errors
    /// When it can't be looked at.
    pub fn look_at_itself(&self) -> Result<Found> {
        Ok(Found::of(&rustix::fs::fstat(self.fd())?))
    }

    /// A directory in it.
    ///
    /// # Errors
    /// When it is none (any more).
    pub fn directory(&self, name: &OsStr) -> Result<Self> {
        Ok(Self(readable(self.fd(), name)?))
    }

    /// A regular file in it, to be read; never waits for a pipe or a device.
    ///
    /// # Errors
    /// When it is none (any more).
    pub fn open(&self, name: &OsStr) -> Result<File> {
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(self.fd(), name, flags, Mode::empty())?);
        match file.metadata().map_err(Error::from)?.is_file() {
            true => Ok(file),
            false => Err(Error::new(ErrorKind::Invalid, "not a regular file")),
        }
    }

    /// Where a symlink in it leads.
    ///
    /// # Errors
    /// When it is none (any more).
    pub fn read_link(&self, name: &OsStr) -> Result<PathBuf> {
        let target = rustix::fs::readlinkat(self.fd(), name, Vec::new())?;
        Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
    }

    /// Gives a file in it another name, which must be free or is replaced.
    ///
    /// # Errors
    /// When there can be none.
    pub fn put_hard_link(&self, name: &OsStr, to: (&Self, &OsStr)) -> Result<()> {
        self.remove(name)?;
        Ok(rustix::fs::linkat(
            to.0.fd(),
            to.1,
            self.fd(),
            name,
            AtFlags::empty(),
        )?)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Gives a file that was made its name, in place of whatever has it.
    fn place(&self, made: Made<'_>, name: &OsStr) -> Result<(), Errno> {
        let link_to =
            |name: &OsStr| rustix::fs::linkat(&made.file, "", self.fd(), name, AtFlags::EMPTY_PATH);
        let mut named = match made.name {
            Some(named) => named,
            None => match link_to(name) {
                // Only a rename replaces.
                Err(Errno::EXIST) => Unnamed::made(self.fd(), |name| link_to(name.as_ref()))?,
                other => return other,
            },
        };
        self.replace(&mut named, name)
    }

    /// Gives what was made its name; a directory that has it is removed first. `EBUSY`: a mount.
    fn replace(&self, made: &mut Unnamed<'_>, name: &OsStr) -> Result<(), Errno> {
        let made_name = made.name.as_str();
        let rename =
            |flags| rustix::fs::renameat_with(self.fd(), made_name, self.fd(), name, flags);
        match rename(RenameFlags::NOREPLACE) {
            // Where the flag is not known, the name may be free as well.
            Err(Errno::EXIST | Errno::INVAL) => {}
            other => {
                other?;
                made.is_renamed = true;
                return Ok(());
            }
        }
        if self.is_mount(name)? {
            return Err(Errno::BUSY);
        }
        match rename(RenameFlags::empty()) {
            Err(Errno::ISDIR | Errno::EXIST | Errno::NOTEMPTY) => {
                self.remove(name).map_err(|_| Errno::BUSY)?;
                rename(RenameFlags::empty())?;
            }
            other => other?,
        }
        made.is_renamed = true;
        Ok(())
    }
}

/// What has a name, at a glance.
#[derive(Debug, Clone, Copy)]
struct Glance {
    is_directory: bool,
    is_mount: bool,
}

/// A walk that takes away what it comes by.
struct Removal<'a> {
    top: &'a Directory,
    /// The directories on the way down.
    way: Vec<Level>,
    met_mount: bool,
}

struct Level {
    directory: Directory,
    /// What is left in it.
    left: Vec<OsString>,
    name: OsString,
}

impl Removal<'_> {
    fn at(&self) -> &Directory {
        self.way.last().map_or(self.top, |level| &level.directory)
    }

    /// Removes a name, or goes down into it.
    fn enter(&mut self, name: OsString) -> Result<()> {
        match self.at().unlink(&name) {
            Ok(()) => {}
            Err(Errno::ISDIR) => {
                if let Some(directory) = self.at().below(&name)? {
                    let left = directory.names()?;
                    self.way.push(Level {
                        directory,
                        left,
                        name,
                    });
                }
            }
            Err(Errno::BUSY) => self.met_mount = true,
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
    }

    /// Removes the directory that nothing is left in, and is in the one above.
    fn leave(&mut self) -> Result<()> {
        let Some(Level { name, .. }) = self.way.pop() else {
            return Ok(());
        };
        match self.at().remove_empty(&name) {
            Err(Errno::BUSY) => self.met_mount = true,
            // One that holds a mount is held by it.
            Err(Errno::NOTEMPTY | Errno::EXIST) if self.met_mount => {}
            other => other?,
        }
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
    file: File,
    /// Absent while it has none at all, and goes with us.
    name: Option<Unnamed<'a>>,
}

impl<'a> Made<'a> {
    /// With that mode already, as far as it gives nobody another's rights.
    fn file(directory: BorrowedFd<'a>, mode: u32) -> Result<Self, Errno> {
        let mode = Mode::from_raw_mode(mode & 0o777);
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(directory, ".", flags | OFlags::TMPFILE, mode) {
            Ok(file) => {
                return Ok(Self {
                    file: file.into(),
                    name: None,
                });
            }
            // A file system without, or a kernel (open(2), `O_TMPFILE`).
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {}
            Err(errno) => return Err(errno),
        }
        let flags = flags | OFlags::CREATE | OFlags::EXCL;
        let mut file = None;
        let name = Unnamed::made(directory, |name| {
            file = Some(rustix::fs::openat(directory, name, flags, mode)?);
            Ok(())
        })?;
        match file {
            Some(file) => Ok(Self {
                file: file.into(),
                name: Some(name),
            }),
            None => Err(Errno::NOENT),
        }
    }
}

impl<'a> Unnamed<'a> {
    fn made(
        directory: BorrowedFd<'a>,
        mut make: impl FnMut(&str) -> Result<(), Errno>,
    ) -> Result<Self, Errno> {
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!(".ketch-{}-{number}", std::process::id());
            match make(&name) {
                Ok(()) => {
                    return Ok(Self {
                        directory,
                        name,
                        is_renamed: false,
                    });
                }
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
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
    let mode = attributes.mode & 0o7777;
    let now = rustix::fs::fstat(fd)?;
    // The owner first: a change of it takes away what the mode may give.
    if (now.st_uid, now.st_gid) != (attributes.uid, attributes.gid) {
        rustix::fs::fchown(fd, uid, gid)?;
    }
    if now.st_mode & 0o7777 != mode || mode & 0o6000 != 0 {
        rustix::fs::fchmod(fd, Mode::from_raw_mode(mode))?;
    }
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
        assert_eq!(
            directory.names().unwrap(),
            ["absent", "dir", "file", "link"]
        );
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
