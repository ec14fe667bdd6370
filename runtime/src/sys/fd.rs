//! Owned fds: pipes and sockets closed at exec, fds over sockets, closing ranges, OFD locks.
#![expect(
    unsafe_code,
    reason = "close_range, dup2 and fcntl locks are not in rustix"
)]

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use rustix::io::{IoSlice, IoSliceMut};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use rustix::pipe::PipeFlags;

use super::error::{Error, Result, check};

/// How many fds one message may carry (the kernel allows 253).
pub const MAX_FDS: usize = 16;

/// A pipe, read end first, both closed at exec.
pub fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|e| Error::from_errno("pipe2()", e))
}

/// A connected pair of sockets that keep message boundaries, both closed at exec.
pub fn socket_pair() -> Result<(OwnedFd, OwnedFd)> {
    rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(|e| Error::from_errno("socketpair(seqpacket)", e))
}

/// Sends one message with fds; the receiver gets duplicates. No SIGPIPE: a closed peer is EPIPE.
pub fn send_with_fds(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Error::new("sendmsg(too many fds)", libc::EINVAL));
    }
    loop {
        match rustix::net::sendmsg(
            socket,
            &[IoSlice::new(bytes)],
            &mut control,
            SendFlags::NOSIGNAL,
        ) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(Error::from_errno("sendmsg()", e)),
        }
    }
}

/// Receives one message; zero bytes without fds means that the peer has closed.
pub fn recv_with_fds(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let length = loop {
        match rustix::net::recvmsg(
            socket,
            &mut [IoSliceMut::new(buffer)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        ) {
            Ok(message) => break message.bytes,
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(Error::from_errno("recvmsg()", e)),
        }
    };
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    Ok((length, fds))
}

/// Closes every fd from `first` on, whoever owns it: for a process that has only just begun, or is
/// about to exec or to become a bare init, whose Rust values are never dropped.
pub fn close_from(first: u32) -> Result<()> {
    check(
        // SAFETY: takes numbers only. Values that own those fds must not be used or dropped
        // afterwards; the callers have none yet, or exec, loop for ever or `_exit`.
        unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) },
        || format!("close_range({first}..)"),
    )?;
    Ok(())
}

/// Closes everything from fd 3 on but `kept`, which is moved to 3 and closed at exec. Values that
/// own the closed fds must not be used or dropped any more.
pub fn keep_only(kept: OwnedFd) -> Result<OwnedFd> {
    let old = kept.into_raw_fd();
    if old != 3 {
        check(
            // SAFETY: whatever fd 3 was is closed by contract; see `close_from`.
            i64::from(unsafe { libc::dup3(old, 3, libc::O_CLOEXEC) }),
            || format!("dup3({old}, 3)"),
        )?;
    }
    close_from(4)?;
    // SAFETY: fd 3 is the duplicate made above, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(3) })
}

/// Puts a duplicate of `fd` in the place of a standard stream (0, 1 or 2), open across exec.
pub fn replace_stdio(fd: BorrowedFd<'_>, number: RawFd) -> Result<()> {
    debug_assert!((0..=2).contains(&number));
    if fd.as_raw_fd() == number {
        // dup2 onto itself would leave the close-on-exec flag as it is.
        check(
            // SAFETY: fcntl with a number; the fd is borrowed and so open.
            i64::from(unsafe { libc::fcntl(number, libc::F_SETFD, 0) }),
            || format!("fcntl({number}, F_SETFD)"),
        )?;
        return Ok(());
    }
    check(
        // SAFETY: fds 0 to 2 are not owned by any Rust value of ours (the standard streams).
        i64::from(unsafe { libc::dup2(fd.as_raw_fd(), number) }),
        || format!("dup2({}, {number})", fd.as_raw_fd()),
    )?;
    Ok(())
}

/// A duplicate that is closed at exec.
pub fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(fd, 3)
        .map_err(|e| Error::from_errno(format!("dup({})", fd.as_raw_fd()), e))
}

fn whole_file(kind: libc::c_int) -> libc::flock {
    // SAFETY: flock is plain integers, for which zero is a valid value (l_pid must be 0 for
    // OFD locks; offset and length 0 mean the whole file).
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::c_short::try_from(kind).unwrap_or(0);
    lock.l_whence = 0;
    lock
}

/// Takes the write lock of the open file behind `fd`, if nobody else has it. It lasts as long
/// as any duplicate of this open file, in any process, is open.
pub fn try_lock_ofd(fd: BorrowedFd<'_>) -> Result<bool> {
    let lock = whole_file(libc::F_WRLCK);
    // SAFETY: `lock` is a valid flock for the time of the call; the kernel only reads it.
    let returned = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
    match check(i64::from(returned), || {
        format!("fcntl({}, F_OFD_SETLK)", fd.as_raw_fd())
    }) {
        Ok(_) => Ok(true),
        Err(error) if error.is(libc::EAGAIN) || error.is(libc::EACCES) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether another open file holds a lock on the same file. (The kernel does not say who: OFD
/// locks have no pid.)
pub fn ofd_lock_held(fd: BorrowedFd<'_>) -> Result<bool> {
    let mut lock = whole_file(libc::F_WRLCK);
    // SAFETY: `lock` is a valid flock that the kernel may overwrite during the call.
    let returned = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
    check(i64::from(returned), || {
        format!("fcntl({}, F_OFD_GETLK)", fd.as_raw_fd())
    })?;
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn fds_travel_with_their_message() {
        let (here, there) = socket_pair().unwrap();
        let (read, write) = pipe().unwrap();
        send_with_fds(here.as_fd(), b"take this", &[write.as_fd()]).unwrap();
        drop(write);
        let mut buffer = [0; 64];
        let (length, mut fds) = recv_with_fds(there.as_fd(), &mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"take this");
        rustix::io::write(fds.pop().unwrap(), b"x").unwrap();
        assert_eq!(rustix::io::read(&read, &mut buffer).unwrap(), 1);
        drop(here);
        assert_eq!(recv_with_fds(there.as_fd(), &mut buffer).unwrap().0, 0);
    }

    #[test]
    fn a_lock_is_seen_by_another_open_file_and_ends_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let open = || {
            std::fs::OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(&path)
                .unwrap()
        };
        let (first, second) = (open(), open());
        assert!(!ofd_lock_held(second.as_fd()).unwrap());
        assert!(try_lock_ofd(first.as_fd()).unwrap());
        assert!(ofd_lock_held(second.as_fd()).unwrap());
        assert!(!try_lock_ofd(second.as_fd()).unwrap());
        drop(first);
        assert!(!ofd_lock_held(second.as_fd()).unwrap());
    }
}
