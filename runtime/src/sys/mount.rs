//! Mounts, by fd: the calls that came with Linux 5.2, and the old ones where they are needed.
#![expect(unsafe_code, reason = "the new mount calls need raw system calls")]

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use super::error::{Error, Result, check};

pub const ATTR_RDONLY: u64 = 1;
pub const ATTR_NOSUID: u64 = 2;
pub const ATTR_NODEV: u64 = 4;
pub const ATTR_NOEXEC: u64 = 8;
pub const ATTR_NOATIME: u64 = 0x10;
pub const ATTR_STRICTATIME: u64 = 0x20;
/// All bits of the kind of access times.
pub const ATTR_ATIME_MASK: u64 = 0x70;
pub const ATTR_NODIRATIME: u64 = 0x80;

pub const PROPAGATION_UNBINDABLE: u64 = 0x2_0000;
pub const PROPAGATION_PRIVATE: u64 = 0x4_0000;
pub const PROPAGATION_SLAVE: u64 = 0x8_0000;
pub const PROPAGATION_SHARED: u64 = 0x10_0000;

const AT_EMPTY_PATH: libc::c_uint = 0x1000;
const AT_RECURSIVE: libc::c_uint = 0x8000;

fn text(value: &str, call: &str) -> Result<CString> {
    CString::new(value).map_err(|_| Error::new(format!("{call}({value:?})"), libc::EINVAL))
}

fn owned(fd: i64) -> OwnedFd {
    // SAFETY: called with what a system call has just returned as a new fd, owned by nobody.
    unsafe { OwnedFd::from_raw_fd(RawFd::try_from(fd).unwrap_or(-1)) }
}

/// A file system that is being configured.
#[derive(Debug)]
pub struct FsContext {
    fd: OwnedFd,
    kind: String,
}

impl FsContext {
    /// Begins a new file system of this kind: `proc`, `tmpfs`, `overlay`.
    pub fn open(kind: &str) -> Result<Self> {
        const CLOEXEC: u32 = 1;
        let name = text(kind, "fsopen")?;
        // SAFETY: a terminated string and a number.
        let fd = check(
            unsafe { libc::syscall(libc::SYS_fsopen, name.as_ptr(), CLOEXEC) },
            || format!("fsopen({kind:?})"),
        )?;
        Ok(Self {
            fd: owned(fd),
            kind: kind.into(),
        })
    }

    fn config(
        &self,
        command: u32,
        key: Option<&str>,
        value: Option<&str>,
        aux: RawFd,
    ) -> Result<()> {
        let call = || {
            let parts = [Some(self.kind.as_str()), key, value];
            let parts: Vec<&str> = parts.into_iter().flatten().collect();
            format!("fsconfig({})", parts.join(", "))
        };
        let key = key.map(|key| text(key, "fsconfig")).transpose()?;
        let value = value.map(|value| text(value, "fsconfig")).transpose()?;
        let pointer =
            |text: &Option<CString>| text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr());
        // SAFETY: null or terminated strings that live through the call.
        check(
            unsafe {
                libc::syscall(
                    libc::SYS_fsconfig,
                    self.fd.as_raw_fd(),
                    command,
                    pointer(&key),
                    pointer(&value),
                    aux,
                )
            },
            call,
        )
        .map(drop)
        .map_err(|error| match self.complaint() {
            Some(said) => Error::new(format!("{} [{said}]", call()), error.errno()),
            None => error,
        })
    }

    /// What the kernel says about the failure, if anything.
    fn complaint(&self) -> Option<String> {
        let mut buffer = [0; 512];
        let mut said: Option<String> = None;
        // A few lines may be waiting, each for one read; the last one is the best.
        for _ in 0..8 {
            let Ok(length) = rustix::io::read(&self.fd, &mut buffer) else {
                break;
            };
            if length == 0 {
                break;
            }
            let line = String::from_utf8_lossy(&buffer[..length]);
            // "e proc: message": class, a blank, the text.
            said = Some(line.get(2..).unwrap_or(&line).trim().to_owned());
        }
        said
    }

    /// Sets an option that has no value.
    pub fn set_flag(&self, key: &str) -> Result<()> {
        self.config(0, Some(key), None, 0)
    }

    /// Sets an option with a value (of at most 255 bytes).
    pub fn set_string(&self, key: &str, value: &str) -> Result<()> {
        self.config(1, Some(key), Some(value), 0)
    }

    /// Sets an option whose value is an open file.
    pub fn set_fd(&self, key: &str, fd: BorrowedFd<'_>) -> Result<()> {
        self.config(5, Some(key), None, fd.as_raw_fd())
    }

    /// Makes the file system, and a mount of it that is attached nowhere.
    pub fn mount(self, attributes: u64) -> Result<OwnedFd> {
        const CLOEXEC: u32 = 1;
        self.config(6, None, None, 0)?;
        // SAFETY: numbers only.
        let fd = check(
            unsafe { libc::syscall(libc::SYS_fsmount, self.fd.as_raw_fd(), CLOEXEC, attributes) },
            || format!("fsmount({:?})", self.kind),
        )?;
        Ok(owned(fd))
    }
}

/// A new, unattached mount of a kind with options as mount(8) writes them (`key`, `key=value`).
pub fn new_mount(kind: &str, options: &[String], attributes: u64) -> Result<OwnedFd> {
    let context = FsContext::open(kind)?;
    for option in options {
        match option.split_once('=') {
            Some((key, value)) => context.set_string(key, value)?,
            None => context.set_flag(option)?,
        }
    }
    context.mount(attributes)
}

/// A copy that shares no mount events with anybody: what is mounted on it in a container stays
/// there. (A plain copy of a shared mount is its peer, wherever it is attached.)
pub fn clone_private(fd: BorrowedFd<'_>, recursive: bool) -> Result<OwnedFd> {
    let tree = clone_tree(fd, recursive)?;
    let change = Attributes {
        propagation: PROPAGATION_PRIVATE,
        ..Attributes::default()
    };
    set_attributes(tree.as_fd(), change, recursive)?;
    Ok(tree)
}

/// A copy of the mount that `fd` (often O_PATH) lies in, rooted at `fd`, attached nowhere. It
/// shares mount events as the original does.
pub fn clone_tree(fd: BorrowedFd<'_>, recursive: bool) -> Result<OwnedFd> {
    const CLONE: libc::c_uint = 1;
    let flags = CLONE
        | libc::O_CLOEXEC as libc::c_uint
        | AT_EMPTY_PATH
        | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: a terminated empty string and numbers.
    let tree = check(
        unsafe { libc::syscall(libc::SYS_open_tree, fd.as_raw_fd(), c"".as_ptr(), flags) },
        || format!("open_tree({}, clone)", fd.as_raw_fd()),
    )?;
    Ok(owned(tree))
}

/// A program behind a read-only mount of its own, attached nowhere: to be executed through
/// `/proc/self/fd`. Whoever reaches the running program through /proc/PID/exe finds a file system
/// that refuses writes, whatever their rights (CVE-2019-5736). A program of another mount namespace
/// can't be mounted; then it is a sealed copy in memory.
pub fn seal_program(program: &Path) -> Result<OwnedFd> {
    let place = super::path::open_place(program)?;
    let sealed = match clone_private(place.as_fd(), false) {
        Err(error) if error.is(libc::EINVAL) => return copy_sealed(program),
        other => other?,
    };
    let change = Attributes {
        set: ATTR_RDONLY | ATTR_NODEV,
        ..Attributes::default()
    };
    set_attributes(sealed.as_fd(), change, false)?;
    Ok(sealed)
}

fn copy_sealed(program: &Path) -> Result<OwnedFd> {
    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
    let call = || format!("copy({}) to a sealed memfd", program.display());
    let mut from = std::fs::File::open(program).map_err(|e| Error::from_io(call(), &e))?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let copy = memfd_create("ketch", flags).map_err(|e| Error::from_errno(call(), e))?;
    let mut copy = std::fs::File::from(copy);
    std::io::copy(&mut from, &mut copy).map_err(|e| Error::from_io(call(), &e))?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(&copy, seals).map_err(|e| Error::from_errno(call(), e))?;
    Ok(copy.into())
}

/// Attaches the mount `from` at the place that `to` has open.
pub fn attach(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    const F_EMPTY_PATH: libc::c_uint = 4;
    const T_EMPTY_PATH: libc::c_uint = 0x40;
    check(
        // SAFETY: terminated empty strings and numbers.
        unsafe {
            libc::syscall(
                libc::SYS_move_mount,
                from.as_raw_fd(),
                c"".as_ptr(),
                to.as_raw_fd(),
                c"".as_ptr(),
                F_EMPTY_PATH | T_EMPTY_PATH,
            )
        },
        || format!("move_mount({} to {})", from.as_raw_fd(), to.as_raw_fd()),
    )?;
    Ok(())
}

/// A change of a mount's attributes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attributes {
    pub set: u64,
    pub clear: u64,
    /// 0 leaves it.
    pub propagation: u64,
}

/// Changes the mount that `fd` lies in, with all below when asked.
pub fn set_attributes(fd: BorrowedFd<'_>, change: Attributes, recursive: bool) -> Result<()> {
    #[repr(C)]
    struct MountAttr {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    let attr = MountAttr {
        set: change.set,
        clear: change.clear,
        propagation: change.propagation,
        user_namespace: 0,
    };
    let flags = AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    check(
        // SAFETY: the kernel reads the structure, whose size is given.
        unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                fd.as_raw_fd(),
                c"".as_ptr(),
                flags,
                &raw const attr,
                size_of::<MountAttr>(),
            )
        },
        || {
            format!(
                "mount_setattr({}, +{:#x} -{:#x} propagation {:#x})",
                fd.as_raw_fd(),
                change.set,
                change.clear,
                change.propagation
            )
        },
    )?;
    Ok(())
}

/// The old mount(2), for what only it can do: changing the propagation of `/`, and overlays on
/// kernels before 6.5.
pub fn mount(
    source: &str,
    target: &Path,
    kind: Option<&str>,
    flags: u64,
    data: Option<&str>,
) -> Result<()> {
    let shown = target.display().to_string();
    let target = text(&shown, "mount")?;
    let source_text = text(source, "mount")?;
    let kind = kind.map(|kind| text(kind, "mount")).transpose()?;
    let data = data.map(|data| text(data, "mount")).transpose()?;
    let pointer =
        |text: &Option<CString>| text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr());
    // SAFETY: null or terminated strings that live through the call.
    let returned = unsafe {
        libc::mount(
            source_text.as_ptr(),
            target.as_ptr(),
            pointer(&kind),
            flags as libc::c_ulong,
            pointer(&data).cast(),
        )
    };
    check(i64::from(returned), || {
        format!("mount({source:?} on {shown:?}, {flags:#x})")
    })?;
    Ok(())
}

/// Makes every mount of this namespace receive events of its peers and send none.
pub fn make_all_slaves() -> Result<()> {
    mount(
        "none",
        Path::new("/"),
        None,
        libc::MS_REC | libc::MS_SLAVE,
        None,
    )
}

/// Swaps the root: the working directory, a mount point, becomes `/`, and the old root lies on
/// top of it, to be taken away with [`unmount_here`].
pub fn pivot_root_here() -> Result<()> {
    check(
        // SAFETY: terminated strings.
        unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) },
        || "pivot_root(\".\", \".\")".into(),
    )?;
    Ok(())
}

/// Detaches the mount on top of the working directory.
pub fn unmount_here() -> Result<()> {
    check(
        // SAFETY: a terminated string and a number.
        i64::from(unsafe { libc::umount2(c".".as_ptr(), libc::MNT_DETACH) }),
        || "umount(\".\", detach)".into(),
    )?;
    Ok(())
}

/// Detaches whatever is mounted on `path`.
pub fn unmount(path: &Path) -> Result<()> {
    let shown = path.display().to_string();
    let path = text(&shown, "umount")?;
    check(
        // SAFETY: a terminated string and a number; symlinks at the end are not followed.
        i64::from(unsafe {
            libc::umount2(path.as_ptr(), libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW)
        }),
        || format!("umount({shown:?}, detach)"),
    )?;
    Ok(())
}
