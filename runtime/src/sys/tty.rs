//! Terminals: a pair in a given devpts, sizes, the controlling terminal.
#![expect(unsafe_code, reason = "TIOCGPTPEER and TIOCSCTTY are not in rustix")]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::termios::Winsize;

use super::error::{Error, Result, check};

const DEVPTS_MAGIC: i64 = 0x1cd1;

/// A new terminal: master and slave. `devpts` is the root of a devpts mount, and the pair lives
/// there. The slave comes from the master itself, so no path in the container is trusted.
pub fn open_pair(devpts: BorrowedFd<'_>) -> Result<(OwnedFd, OwnedFd)> {
    let master = rustix::fs::openat(
        devpts,
        "ptmx",
        OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        Mode::empty(),
    )
    .map_err(|e| Error::from_errno("openat(devpts, \"ptmx\")", e))?;
    verify_devpts(master.as_fd())?;
    let slave = peer(master.as_fd())?;
    verify_devpts(slave.as_fd())?;
    Ok((master, slave))
}

/// Whether an open file lies on a devpts.
pub fn is_on_devpts(fd: BorrowedFd<'_>) -> Result<bool> {
    let stat = rustix::fs::fstatfs(fd).map_err(|e| Error::from_errno("fstatfs(pty)", e))?;
    Ok(stat.f_type as i64 == DEVPTS_MAGIC)
}

fn verify_devpts(fd: BorrowedFd<'_>) -> Result<()> {
    if !is_on_devpts(fd)? {
        return Err(Error::new("fstatfs(pty: not on devpts)", libc::EPERM));
    }
    Ok(())
}

fn peer(master: BorrowedFd<'_>) -> Result<OwnedFd> {
    const TIOCGPTPEER: libc::Ioctl = 0x5441;
    const TIOCSPTLCK: libc::Ioctl = 0x4004_5431;
    let unlocked: libc::c_int = 0;
    check(
        // SAFETY: TIOCSPTLCK reads one int.
        i64::from(unsafe { libc::ioctl(master.as_raw_fd(), TIOCSPTLCK, &raw const unlocked) }),
        || "ioctl(TIOCSPTLCK)".into(),
    )?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes flags and returns a new fd, which is ours alone.
    unsafe {
        let fd = check(
            i64::from(libc::ioctl(master.as_raw_fd(), TIOCGPTPEER, flags)),
            || "ioctl(TIOCGPTPEER)".into(),
        )?;
        Ok(OwnedFd::from_raw_fd(i32::try_from(fd).unwrap_or(-1)))
    }
}

/// Tells the terminal (by its master or slave) its size; the foreground group gets SIGWINCH.
pub fn set_size(fd: BorrowedFd<'_>, rows: u16, columns: u16) -> Result<()> {
    rustix::termios::tcsetwinsize(
        fd,
        Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        },
    )
    .map_err(|e| Error::from_errno(format!("ioctl(TIOCSWINSZ, {rows}x{columns})"), e))
}

/// The terminal's size: rows and columns.
pub fn size(fd: BorrowedFd<'_>) -> Result<(u16, u16)> {
    let size =
        rustix::termios::tcgetwinsize(fd).map_err(|e| Error::from_errno("ioctl(TIOCGWINSZ)", e))?;
    Ok((size.ws_row, size.ws_col))
}

/// Makes `slave` the controlling terminal; the caller must lead a session without one.
pub fn make_controlling(slave: BorrowedFd<'_>) -> Result<()> {
    check(
        // SAFETY: TIOCSCTTY takes an int; 0 steals from nobody.
        i64::from(unsafe { libc::ioctl(slave.as_raw_fd(), libc::TIOCSCTTY, 0) }),
        || "ioctl(TIOCSCTTY)".into(),
    )?;
    Ok(())
}
