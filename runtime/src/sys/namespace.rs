//! Namespaces: entering, leaving, opening.
#![expect(
    unsafe_code,
    reason = "setns and unshare act on the calling process as a whole"
)]

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::error::{Error, Result, check};

pub const NEWNS: u64 = 0x0002_0000;
pub const NEWCGROUP: u64 = 0x0200_0000;
pub const NEWUTS: u64 = 0x0400_0000;
pub const NEWIPC: u64 = 0x0800_0000;
pub const NEWPID: u64 = 0x2000_0000;
pub const NEWNET: u64 = 0x4000_0000;

/// Names of the namespaces in `flags`, as `/proc/self/ns` has them.
pub fn names_of(flags: u64) -> impl Iterator<Item = &'static str> {
    const NAMES: &[(u64, &str)] = &[
        (NEWNS, "mnt"),
        (NEWCGROUP, "cgroup"),
        (NEWUTS, "uts"),
        (NEWIPC, "ipc"),
        (NEWPID, "pid"),
        (NEWNET, "net"),
    ];
    NAMES
        .iter()
        .filter(move |(flag, _)| flags & flag != 0)
        .map(|(_, name)| *name)
}

/// The same in one word, for messages.
pub fn names(flags: u64) -> String {
    names_of(flags).collect::<Vec<_>>().join("|")
}

/// Enters the namespaces behind `fd`: a namespace file, or a pidfd with several flags. A pid
/// namespace is entered by the children that follow only.
pub fn setns(fd: BorrowedFd<'_>, flags: u64) -> Result<()> {
    check(
        // SAFETY: changes what names mean to this thread, no memory. Namespace flags fit an int.
        i64::from(unsafe { libc::setns(fd.as_raw_fd(), as_int(flags)) }),
        || format!("setns({})", names(flags)),
    )?;
    Ok(())
}

/// Leaves the namespaces for new ones.
pub fn unshare(flags: u64) -> Result<()> {
    // SAFETY: as for `setns`; no flag here unshares memory or fds under running threads.
    check(i64::from(unsafe { libc::unshare(as_int(flags)) }), || {
        format!("unshare({})", names(flags))
    })?;
    Ok(())
}

/// Opens a namespace of a process: `net`, `mnt`, `ipc`, `uts`, `pid`, `cgroup`. The caller makes
/// sure that the pid is still the one it means (its own child, or checked by start time).
pub fn open(pid: u32, name: &str) -> Result<OwnedFd> {
    open_path(&format!("/proc/{pid}/ns/{name}"))
}

/// Opens one of this process' own namespaces.
pub fn open_own(name: &str) -> Result<OwnedFd> {
    // Of the thread, not of the process: tests live in threads with their own namespaces.
    open_path(&format!("/proc/thread-self/ns/{name}"))
}

fn open_path(path: &str) -> Result<OwnedFd> {
    // The standard library opens close-on-exec.
    let file = File::open(path).map_err(|e| Error::from_io(format!("open({path})"), &e))?;
    Ok(file.into())
}

/// Runs `act` inside another namespace and comes back. Only this thread moves.
///
/// # Errors
/// When the namespace can't be entered. Failing to come back ends the process: everything
/// after it would happen in the wrong place.
pub fn within<T>(fd: BorrowedFd<'_>, flag: u64, act: impl FnOnce() -> T) -> Result<T> {
    struct Return(OwnedFd, u64);
    impl Drop for Return {
        fn drop(&mut self) {
            if let Err(error) = setns(self.0.as_fd(), self.1) {
                tracing::error!(%error, "cannot return to our own namespace");
                std::process::abort();
            }
        }
    }
    let name = match flag {
        NEWNET => "net",
        NEWNS => "mnt",
        NEWIPC => "ipc",
        NEWUTS => "uts",
        NEWCGROUP => "cgroup",
        _ => return Err(Error::new("setns(several)", libc::EINVAL)),
    };
    let back = Return(open_own(name)?, flag);
    setns(fd, flag)?;
    let result = act();
    drop(back);
    Ok(result)
}

fn as_int(flags: u64) -> i32 {
    // The highest namespace flag is bit 30.
    i32::try_from(flags).unwrap_or(0)
}
