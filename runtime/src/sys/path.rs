//! Paths inside a root that others may be changing: openat2, never a joined string.
#![expect(unsafe_code, reason = "the retry loop wants the raw openat2")]

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use super::error::{Error, Result, check};

const NO_XDEV: u64 = 1;
const NO_MAGICLINKS: u64 = 2;
const NO_SYMLINKS: u64 = 4;
const BENEATH: u64 = 8;
const IN_ROOT: u64 = 0x10;

fn openat2(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    mode: u32,
    resolve: u64,
) -> Result<OwnedFd> {
    #[repr(C)]
    struct OpenHow {
        flags: u64,
        mode: u64,
        resolve: u64,
    }
    let call = || format!("openat2({:?}, {:#x})", path.display(), flags.bits());
    let name =
        CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::new(call(), libc::EINVAL))?;
    let how = OpenHow {
        flags: u64::from((flags | OFlags::CLOEXEC).bits()),
        mode: u64::from(mode),
        resolve,
    };
    // A rename anywhere on the machine can make the kernel give up on `..` inside a root.
    let mut tries = 128;
    loop {
        // SAFETY: a terminated string and a structure whose size is given, alive in the call.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_openat2,
                root.as_raw_fd(),
                name.as_ptr(),
                &raw const how,
                size_of::<OpenHow>(),
            )
        };
        match check(fd, call) {
            Ok(fd) => {
                // SAFETY: a new fd, owned by nobody yet.
                return Ok(unsafe { OwnedFd::from_raw_fd(RawFd::try_from(fd).unwrap_or(-1)) });
            }
            Err(error) if error.is(libc::EAGAIN) && tries > 0 => tries -= 1,
            Err(error) if error.is(libc::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Opens a path as if `root` were `/`: symlinks and `..` stay inside, magic links are refused.
pub fn open_in_root(
    root: BorrowedFd<'_>,
    path: impl AsRef<Path>,
    flags: OFlags,
    mode: u32,
) -> Result<OwnedFd> {
    openat2(root, path.as_ref(), flags, mode, IN_ROOT | NO_MAGICLINKS)
}

/// As `open_in_root`, following no symlink at all and staying on one mount: for procfs and for
/// what we have made ourselves.
pub fn open_beneath_strict(
    root: BorrowedFd<'_>,
    path: impl AsRef<Path>,
    flags: OFlags,
) -> Result<OwnedFd> {
    openat2(
        root,
        path.as_ref(),
        flags,
        0,
        BENEATH | NO_XDEV | NO_SYMLINKS | NO_MAGICLINKS,
    )
}

/// Opens a path of the host as a mere place (`O_PATH`), following symlinks.
pub fn open_place(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| Error::from_errno(format!("open({:?}, O_PATH)", path.display()), e))
}

/// What kind of file an fd is.
pub fn file_type(fd: BorrowedFd<'_>) -> Result<FileType> {
    let stat = rustix::fs::fstat(fd).map_err(|e| Error::from_errno("fstat()", e))?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

/// The directory at `path` inside the root, made with all its parents (mode as given, owned by
/// us) where they are missing. Existing symlinks are followed inside the root.
pub fn make_directory_in_root(root: BorrowedFd<'_>, path: &Path, mode: u32) -> Result<OwnedFd> {
    // As many links as the kernel follows.
    make_directories(root, path, mode, 40)
}

fn make_directories(root: BorrowedFd<'_>, path: &Path, mode: u32, links: u32) -> Result<OwnedFd> {
    let place = OFlags::PATH | OFlags::DIRECTORY;
    match open_in_root(root, path, place, 0) {
        Err(error) if error.is(libc::ENOENT) => {}
        other => return other,
    }
    let mut current = open_in_root(root, "/", place, 0)?;
    let mut so_far = PathBuf::from("/");
    for component in path.components() {
        let name = match component {
            Component::Normal(name) => name,
            Component::ParentDir => {
                // Only the textual form is meant here, as for Docker, which cleans paths first.
                so_far.pop();
                current = open_in_root(root, &so_far, place, 0)?;
                continue;
            }
            _ => continue,
        };
        so_far.push(name);
        current = match open_in_root(root, &so_far, place, 0) {
            Ok(next) => next,
            Err(error) if error.is(libc::ENOENT) => {
                make_one_directory(root, &current, name, &so_far, mode, links)?
            }
            Err(error) => return Err(error),
        };
    }
    Ok(current)
}

fn make_one_directory(
    root: BorrowedFd<'_>,
    parent: &OwnedFd,
    name: &OsStr,
    path: &Path,
    mode: u32,
    links: u32,
) -> Result<OwnedFd> {
    match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(mode)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(e) => {
            return Err(Error::from_errno(
                format!("mkdirat({:?})", path.display()),
                e,
            ));
        }
    }
    let place = OFlags::PATH | OFlags::DIRECTORY;
    match rustix::fs::openat(
        parent,
        name,
        place | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Ok(fd) => Ok(fd),
        // A symlink whose target does not exist: that is made, inside the root all the same.
        Err(rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => {
            let target = rustix::fs::readlinkat(parent, name, Vec::new())
                .map_err(|e| Error::from_errno(format!("readlinkat({:?})", path.display()), e))?;
            if links == 0 {
                let call = format!("mkdirat({:?})", path.display());
                return Err(Error::new(call, libc::ELOOP));
            }
            let base = path.parent().unwrap_or(Path::new("/"));
            let target = base.join(OsStr::from_bytes(target.as_bytes()));
            make_directories(root, &target, mode, links - 1)
        }
        Err(e) => Err(Error::from_errno(
            format!("openat({:?})", path.display()),
            e,
        )),
    }
}

/// The file at `path` inside the root as a place to mount on; when nothing is there, an empty
/// file is made, with its parents.
pub fn make_file_in_root(root: BorrowedFd<'_>, path: &Path, mode: u32) -> Result<OwnedFd> {
    make_file(root, path, mode, 40)
}

fn make_file(root: BorrowedFd<'_>, path: &Path, mode: u32, links: u32) -> Result<OwnedFd> {
    match open_in_root(root, path, OFlags::PATH, 0) {
        Err(error) if error.is(libc::ENOENT) => {}
        other => return other,
    }
    let call = |what: &str| format!("{what}({:?})", path.display());
    let parent = make_directory_in_root(root, path.parent().unwrap_or(Path::new("/")), 0o755)?;
    let Some(name) = path.file_name() else {
        return Err(Error::new(call("mknodat"), libc::EISDIR));
    };
    match rustix::fs::mknodat(
        &parent,
        name,
        FileType::RegularFile,
        Mode::from_raw_mode(mode),
        0,
    ) {
        Ok(()) => {}
        // A dangling link (often resolv.conf): what it points to is made, inside the root.
        Err(rustix::io::Errno::EXIST) if links > 0 => {
            if let Ok(target) = rustix::fs::readlinkat(&parent, name, Vec::new()) {
                let base = path.parent().unwrap_or(Path::new("/"));
                let target = base.join(OsStr::from_bytes(target.as_bytes()));
                return make_file(root, &target, mode, links - 1);
            }
        }
        Err(e) => return Err(Error::from_errno(call("mknodat"), e)),
    }
    open_in_root(root, path, OFlags::PATH, 0)
}

/// Reads a regular file of at most `limit` bytes inside a root; never waits on a fifo or device.
/// `None` when it is missing.
pub fn read_in_root(root: BorrowedFd<'_>, path: &Path, limit: usize) -> Result<Option<Vec<u8>>> {
    let place = match open_in_root(root, path, OFlags::PATH, 0) {
        Ok(place) => place,
        Err(error) if error.is(libc::ENOENT) || error.is(libc::ENOTDIR) => return Ok(None),
        Err(error) => return Err(error),
    };
    let call = || format!("read({:?}: not a regular file)", path.display());
    // To open a device may do something by itself.
    if file_type(place.as_fd())? != FileType::RegularFile {
        return Err(Error::new(call(), libc::EINVAL));
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = open_in_root(root, path, flags, 0)?;
    if file_type(fd.as_fd())? != FileType::RegularFile {
        return Err(Error::new(call(), libc::EINVAL));
    }
    let call = || format!("read({:?})", path.display());
    let mut content = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length =
            rustix::io::read(&fd, &mut buffer).map_err(|e| Error::from_errno(call(), e))?;
        if length == 0 {
            return Ok(Some(content));
        }
        content.extend_from_slice(&buffer[..length]);
        if content.len() > limit {
            return Err(Error::new(call(), libc::EFBIG));
        }
    }
}

/// Sets the mode of a name in a directory; EOPNOTSUPP when it is a symlink, which is never followed.
pub fn set_mode_at(directory: BorrowedFd<'_>, name: &OsStr, mode: u32) -> Result<()> {
    /// Linux 6.6, the same number on every architecture.
    const FCHMODAT2: libc::c_long = 452;
    let call = || format!("fchmodat2({:?}, {mode:o})", name.to_string_lossy());
    let text = CString::new(name.as_bytes()).map_err(|_| Error::new(call(), libc::EINVAL))?;
    // SAFETY: a terminated string and numbers.
    let changed = unsafe {
        libc::syscall(
            FCHMODAT2,
            directory.as_raw_fd(),
            text.as_ptr(),
            mode,
            libc::AT_SYMLINK_NOFOLLOW,
        )
    };
    match check(changed, call) {
        Err(error) if error.is(libc::ENOSYS) || error.is(libc::EPERM) => {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let place = rustix::fs::openat(directory, name, flags, Mode::empty())
                .map_err(|e| Error::from_errno(call(), e))?;
            if file_type(place.as_fd())? == FileType::Symlink {
                return Err(Error::new(call(), libc::EOPNOTSUPP));
            }
            set_mode(place.as_fd(), mode)
        }
        other => other.map(drop),
    }
}

/// Sets the mode of what an `O_PATH` fd or any other fd means.
pub fn set_mode(fd: BorrowedFd<'_>, mode: u32) -> Result<()> {
    // fchmod refuses O_PATH fds; the magic link in /proc reaches the same inode.
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    rustix::fs::chmodat(
        rustix::fs::CWD,
        path.as_str(),
        Mode::from_raw_mode(mode),
        AtFlags::empty(),
    )
    .map_err(|e| Error::from_errno(format!("chmod({mode:o})"), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> (tempfile::TempDir, OwnedFd) {
        let directory = tempfile::tempdir().unwrap();
        let fd = open_place(directory.path()).unwrap();
        (directory, fd)
    }

    #[test]
    fn a_symlink_out_of_the_root_stays_inside() {
        let (directory, fd) = root();
        std::os::unix::fs::symlink("/etc", directory.path().join("out")).unwrap();
        std::fs::create_dir(directory.path().join("etc")).unwrap();
        std::fs::write(directory.path().join("etc/marker"), "ours").unwrap();
        let content = read_in_root(fd.as_fd(), Path::new("/out/marker"), 100).unwrap();
        assert_eq!(content.as_deref(), Some(b"ours".as_slice()));
        let missing = read_in_root(fd.as_fd(), Path::new("/out/passwd"), 100).unwrap();
        assert_eq!(missing, None);
    }

    #[test]
    fn missing_parents_are_made_inside_the_root() {
        let (directory, fd) = root();
        make_file_in_root(fd.as_fd(), Path::new("/a/b/c"), 0o644).unwrap();
        assert!(directory.path().join("a/b/c").is_file());
        make_directory_in_root(fd.as_fd(), Path::new("/a/../d/e"), 0o755).unwrap();
        assert!(directory.path().join("d/e").is_dir());
    }

    #[test]
    fn a_dangling_link_is_followed_inside_the_root_only() {
        let (directory, fd) = root();
        std::os::unix::fs::symlink("/no/such/place", directory.path().join("link")).unwrap();
        std::os::unix::fs::symlink("loop", directory.path().join("loop")).unwrap();
        make_directory_in_root(fd.as_fd(), Path::new("/link/x"), 0o755).unwrap();
        assert!(directory.path().join("no/such/place/x").is_dir());
        make_directory_in_root(fd.as_fd(), Path::new("/loop/x"), 0o755).unwrap_err();
        std::os::unix::fs::symlink("../run/real", directory.path().join("no/file")).unwrap();
        make_file_in_root(fd.as_fd(), Path::new("/no/file"), 0o644).unwrap();
        assert!(directory.path().join("run/real").is_file());
        make_file_in_root(fd.as_fd(), Path::new("/loop"), 0o644).unwrap_err();
    }

    #[test]
    fn a_file_in_the_way_is_not_a_directory() {
        let (directory, fd) = root();
        std::fs::write(directory.path().join("f"), "").unwrap();
        let error = make_directory_in_root(fd.as_fd(), Path::new("/f/x"), 0o755).unwrap_err();
        assert!(error.is(libc::ENOTDIR), "{error}");
    }

    #[test]
    fn a_fifo_is_not_waited_for() {
        let (directory, fd) = root();
        let mode = Mode::RUSR | Mode::WUSR;
        let path = directory.path().join("f");
        rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, mode, 0).unwrap();
        let error = read_in_root(fd.as_fd(), Path::new("f"), 4096).unwrap_err();
        assert!(error.is(libc::EINVAL), "{error}");
    }

    #[test]
    fn the_mode_of_a_link_is_not_that_of_its_target() {
        let (directory, fd) = root();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, directory.path().join("link")).unwrap();
        set_mode_at(fd.as_fd(), OsStr::new("file"), 0o640).unwrap();
        let error = set_mode_at(fd.as_fd(), OsStr::new("link"), 0o777).unwrap_err();
        assert!(error.is(libc::EOPNOTSUPP), "{error}");
        let stat = rustix::fs::stat(&file).unwrap();
        assert_eq!(stat.st_mode & 0o7777, 0o640);
    }

    #[test]
    fn a_huge_file_is_refused() {
        let (directory, fd) = root();
        std::fs::write(directory.path().join("f"), vec![b'x'; 5000]).unwrap();
        let error = read_in_root(fd.as_fd(), Path::new("f"), 4096).unwrap_err();
        assert!(error.is(libc::EFBIG));
    }
}
