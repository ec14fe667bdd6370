//! The failure of one system call, with its arguments.

use std::fmt;

use crate::error::{Error as CrateError, ErrorKind};

/// A system call that failed: prints as `mount("proc" on "/proc"): operation not permitted (EPERM)`.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    call: String,
    errno: i32,
}

/// What a wrapper returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failure of `call` (with its arguments, as it should be read) with this errno.
    pub fn new(call: impl Into<String>, errno: i32) -> Self {
        Self {
            call: call.into(),
            errno,
        }
    }

    /// As `new`, with the errno that the C library keeps for this thread.
    pub fn last(call: impl Into<String>) -> Self {
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
        Self::new(call, errno)
    }

    /// From a rustix call.
    pub fn from_errno(call: impl Into<String>, errno: rustix::io::Errno) -> Self {
        Self::new(call, errno.raw_os_error())
    }

    /// From a call of the standard library; an error that is not the kernel's counts as EIO.
    pub fn from_io(call: impl Into<String>, error: &std::io::Error) -> Self {
        Self::new(call, error.raw_os_error().unwrap_or(libc::EIO))
    }

    /// The number that the kernel gave.
    pub fn errno(&self) -> i32 {
        self.errno
    }

    /// Whether the kernel gave this number.
    pub fn is(&self, errno: i32) -> bool {
        self.errno == errno
    }

    /// The words for the errno, in lower case: `permission denied`.
    pub fn reason(&self) -> String {
        reason(self.errno)
    }
}

/// The words for an errno, in lower case, as Go (and so Docker) prints them.
pub fn reason(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    let text = text
        .split_once(" (os error")
        .map_or(text.as_str(), |(words, _)| words);
    text.to_lowercase()
}

/// The name of an errno, as manual pages write it.
pub fn errno_name(errno: i32) -> &'static str {
    const NAMES: &[(i32, &str)] = &[
        (libc::EPERM, "EPERM"),
        (libc::ENOENT, "ENOENT"),
        (libc::ESRCH, "ESRCH"),
        (libc::EINTR, "EINTR"),
        (libc::EIO, "EIO"),
        (libc::ENXIO, "ENXIO"),
        (libc::E2BIG, "E2BIG"),
        (libc::ENOEXEC, "ENOEXEC"),
        (libc::EBADF, "EBADF"),
        (libc::ECHILD, "ECHILD"),
        (libc::EAGAIN, "EAGAIN"),
        (libc::ENOMEM, "ENOMEM"),
        (libc::EACCES, "EACCES"),
        (libc::EFAULT, "EFAULT"),
        (libc::EBUSY, "EBUSY"),
        (libc::EEXIST, "EEXIST"),
        (libc::EXDEV, "EXDEV"),
        (libc::ENODEV, "ENODEV"),
        (libc::ENOTDIR, "ENOTDIR"),
        (libc::EISDIR, "EISDIR"),
        (libc::EINVAL, "EINVAL"),
        (libc::ENFILE, "ENFILE"),
        (libc::EMFILE, "EMFILE"),
        (libc::ENOTTY, "ENOTTY"),
        (libc::ETXTBSY, "ETXTBSY"),
        (libc::EFBIG, "EFBIG"),
        (libc::ENOSPC, "ENOSPC"),
        (libc::EROFS, "EROFS"),
        (libc::EMLINK, "EMLINK"),
        (libc::EPIPE, "EPIPE"),
        (libc::ERANGE, "ERANGE"),
        (libc::ENAMETOOLONG, "ENAMETOOLONG"),
        (libc::ENOSYS, "ENOSYS"),
        (libc::ENOTEMPTY, "ENOTEMPTY"),
        (libc::ELOOP, "ELOOP"),
        (libc::EOVERFLOW, "EOVERFLOW"),
        (libc::EOPNOTSUPP, "EOPNOTSUPP"),
        (libc::EADDRINUSE, "EADDRINUSE"),
        (libc::EADDRNOTAVAIL, "EADDRNOTAVAIL"),
        (libc::ENETDOWN, "ENETDOWN"),
        (libc::ENETUNREACH, "ENETUNREACH"),
        (libc::ECONNRESET, "ECONNRESET"),
        (libc::ECONNREFUSED, "ECONNREFUSED"),
        (libc::ETIMEDOUT, "ETIMEDOUT"),
        (libc::ESTALE, "ESTALE"),
        (libc::EDQUOT, "EDQUOT"),
        (libc::EKEYREVOKED, "EKEYREVOKED"),
    ];
    NAMES
        .iter()
        .find(|(number, _)| *number == errno)
        .map_or("", |(_, name)| name)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, self.reason())?;
        match errno_name(self.errno) {
            "" => write!(f, " (errno {})", self.errno),
            name => write!(f, " ({name})"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

impl From<Error> for CrateError {
    fn from(error: Error) -> Self {
        // The class is the one that the standard library gives to the errno.
        let class = CrateError::from(std::io::Error::from_raw_os_error(error.errno)).kind();
        let kind = match error.errno {
            libc::EPERM | libc::EROFS => ErrorKind::Denied,
            libc::ENOSYS | libc::EOPNOTSUPP => ErrorKind::Unsupported,
            _ => class,
        };
        CrateError::new(kind, error.to_string())
    }
}

/// What a call returned, or the error it left behind.
pub(super) fn check(returned: i64, call: impl FnOnce() -> String) -> Result<i64> {
    if returned < 0 {
        return Err(Error::last(call()));
    }
    Ok(returned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_the_call_with_words_and_name() {
        let error = Error::new("mount(\"proc\" on \"/proc\", nosuid)", libc::EPERM);
        assert_eq!(
            error.to_string(),
            "mount(\"proc\" on \"/proc\", nosuid): operation not permitted (EPERM)"
        );
    }

    #[test]
    fn keeps_the_class_of_the_errno() {
        let error: CrateError = Error::new("openat(\"/x\")", libc::ENOENT).into();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error: CrateError = Error::new("setns(net)", libc::EPERM).into();
        assert_eq!(error.kind(), ErrorKind::Denied);
    }
}
