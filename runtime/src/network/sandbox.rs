//! Entering a network namespace for a moment and coming back.
//!
//! Sockets belong to the namespace in which they were opened, and `/proc/sys/net` shows that
//! of the thread that opens a file: whoever needs either goes in, opens, and comes back.

use std::os::fd::BorrowedFd;

use crate::error::{Context, Result};
use crate::sys::namespace;

/// Runs `work` inside the namespace. Only the calling thread moves.
///
/// # Errors
/// Those of `work`; and when there is no way in.
pub fn inside<T>(netns: BorrowedFd<'_>, work: impl FnOnce() -> Result<T>) -> Result<T> {
    namespace::within(netns, namespace::NEWNET, work)?
}

/// Writes a setting of the current network namespace, unless it has that value already: a
/// container's /proc/sys may be read-only for us, and right all the same.
pub fn set_sysctl(path: &str, value: &str) -> Result<()> {
    let file = format!("/proc/sys/net/{path}");
    let current = std::fs::read_to_string(&file);
    if current.is_ok_and(|text| text.trim() == value) {
        return Ok(());
    }
    std::fs::write(&file, value).context(|| format!("set net/{path} to {value}"))
}

/// Why [`set_sysctl`] would fail; nothing is written.
pub fn refuses_sysctl(path: &str, value: &str) -> Option<String> {
    let file = format!("/proc/sys/net/{path}");
    let current = std::fs::read_to_string(&file);
    if current.is_ok_and(|text| text.trim() == value) {
        return None;
    }
    // Opening it for writing changes nothing.
    let opened = std::fs::File::options().write(true).open(&file);
    let error = opened.err()?;
    let reason = crate::sys::Error::from_io(format!("open({file})"), &error);
    Some(reason.to_string())
}

/// Whether the current network namespace has IPv6 at all.
pub fn has_ipv6() -> bool {
    std::path::Path::new("/proc/sys/net/ipv6").exists()
}
