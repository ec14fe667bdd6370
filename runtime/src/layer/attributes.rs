//! Owner, mode, times and extended attributes of one directory entry, by its parent's fd.
//!
//! The last component is never followed; the parent is an fd, so no path is walked twice.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{AtFlags, FileType, Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::error::Result;
use crate::sys;

/// Overlayfs' mark of a directory that hides what lies below it.
pub(crate) const OPAQUE: &[u8] = b"trusted.overlay.opaque";

/// What a file, directory or node carries besides its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    pub uid: u32,
    pub gid: u32,
    /// All twelve bits; ignored on symlinks.
    pub mode: u32,
    pub mtime: (i64, u32),
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Attributes {
    /// Those of an entry on disk, with the attributes that layers carry.
    pub fn read(parent: BorrowedFd<'_>, name: &[u8], stat: &Stat) -> Result<Self> {
        Ok(Self {
            uid: stat.st_uid,
            gid: stat.st_gid,
            mode: stat.st_mode & 0o7777,
            mtime: mtime(stat),
            xattrs: xattrs(parent, name)?,
        })
    }

    /// Sets them. The order matters: chown clears the setuid bits and the capabilities.
    pub fn apply(&self, parent: BorrowedFd<'_>, name: &[u8], kind: FileType) -> Result<()> {
        let path = OsStr::from_bytes(name);
        rustix::fs::chownat(
            parent,
            path,
            Some(Uid::from_raw(self.uid)),
            Some(Gid::from_raw(self.gid)),
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
        if kind != FileType::Symlink {
            // Not fchmodat, which follows: what was a directory may be a link by now, made by a
            // later entry of a hostile archive, and lead to any file of the host.
            sys::path::set_mode_at(parent, path, self.mode)?;
        }
        for (key, value) in &self.xattrs {
            set_xattr(parent, name, key, value)?;
        }
        set_mtime(parent, name, self.mtime)
    }

    /// Sets those of a file that was just made, by itself: its name is not looked up again.
    pub fn apply_to_file(&self, file: BorrowedFd<'_>) -> Result<()> {
        rustix::fs::fchown(
            file,
            Some(Uid::from_raw(self.uid)),
            Some(Gid::from_raw(self.gid)),
        )?;
        rustix::fs::fchmod(file, Mode::from_raw_mode(self.mode))?;
        for (key, value) in &self.xattrs {
            if is_carried(key) && !key.contains(&0) {
                let key = OsStr::from_bytes(key);
                bear(rustix::fs::fsetxattr(file, key, value, XattrFlags::empty()))?;
            }
        }
        rustix::fs::futimens(file, &times(self.mtime))?;
        Ok(())
    }
}

/// The time of change of the content.
pub(crate) fn mtime(stat: &Stat) -> (i64, u32) {
    (
        stat.st_mtime,
        u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
    )
}

/// Sets the time of change, of the access too: it would differ at every unpacking otherwise.
pub(crate) fn set_mtime(parent: BorrowedFd<'_>, name: &[u8], mtime: (i64, u32)) -> Result<()> {
    rustix::fs::utimensat(
        parent,
        OsStr::from_bytes(name),
        &times(mtime),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    Ok(())
}

fn times(mtime: (i64, u32)) -> Timestamps {
    let time = Timespec {
        tv_sec: mtime.0,
        tv_nsec: mtime.1.into(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

/// Sets one attribute, unless it is none that a layer may bring.
fn set_xattr(parent: BorrowedFd<'_>, name: &[u8], key: &[u8], value: &[u8]) -> Result<()> {
    if !is_carried(key) || key.contains(&0) {
        return Ok(());
    }
    let flags = XattrFlags::empty();
    bear(rustix::fs::lsetxattr(
        proc_path(parent, name),
        OsStr::from_bytes(key),
        value,
        flags,
    ))
}

/// What this file system or our rights refuse must not fail a whole image.
fn bear(set: Result<(), Errno>) -> Result<()> {
    match set {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// `security.selinux` belongs to the host; `*.overlay.*` are orders to overlayfs, which nobody but
/// us gives (an archive could redirect directories with them).
fn is_carried(key: &[u8]) -> bool {
    (key.starts_with(b"user.") && !key.starts_with(b"user.overlay."))
        || key == b"security.capability"
        || key.starts_with(b"system.posix_acl_")
}

fn xattrs(parent: BorrowedFd<'_>, name: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let path = proc_path(parent, name);
    let list = match rustix::fs::llistxattr_query(&path) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Ok(length) => {
            let mut list = vec![0u8; length];
            let length = rustix::fs::llistxattr(&path, &mut list[..])?;
            list.truncate(length);
            list
        }
        Err(errno) => return Err(errno.into()),
    };
    let mut xattrs = Vec::new();
    for key in list.split(|byte| *byte == 0) {
        if is_carried(key)
            && let Some(value) = xattr(parent, name, key)?
        {
            xattrs.push((key.to_vec(), value));
        }
    }
    xattrs.sort();
    Ok(xattrs)
}

/// One attribute; `None` when absent.
pub(crate) fn xattr(parent: BorrowedFd<'_>, name: &[u8], key: &[u8]) -> Result<Option<Vec<u8>>> {
    let path = proc_path(parent, name);
    // The kernel's limit of a value (xattr(7)).
    let mut value = vec![0u8; 1 << 16];
    match rustix::fs::lgetxattr(&path, OsStr::from_bytes(key), &mut value[..]) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether a directory hides what lies below it.
pub(crate) fn is_opaque(parent: BorrowedFd<'_>, name: &[u8]) -> Result<bool> {
    Ok(xattr(parent, name, OPAQUE)?.is_some_and(|value| value == b"y"))
}

/// Makes a directory hide what lies below it.
pub(crate) fn set_opaque(parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    let path = proc_path(parent, name);
    let key = OsStr::from_bytes(OPAQUE);
    rustix::fs::lsetxattr(path, key, b"y", XattrFlags::empty())?;
    Ok(())
}

/// There is no `lsetxattrat` before Linux 6.13: through /proc the parent is still the fd.
fn proc_path(parent: BorrowedFd<'_>, name: &[u8]) -> std::path::PathBuf {
    let mut path = format!("/proc/self/fd/{}/", parent.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    std::path::PathBuf::from(
        <std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(path),
    )
}

/// Whether an entry is overlayfs' mark for "deleted": a character device 0:0.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_to_overlayfs_are_not_taken_from_archives() {
        assert!(is_carried(b"security.capability"));
        assert!(is_carried(b"user.note"));
        for key in [
            "trusted.overlay.redirect",
            "user.overlay.opaque",
            "security.selinux",
        ] {
            assert!(!is_carried(key.as_bytes()), "{key}");
        }
    }
}
