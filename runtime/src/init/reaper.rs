//! The small init (`init: true`): process 1 stays ours, and the program is its child.
//!
//! It is no second program: after the fork, process 1 closes everything, becomes the
//! container's user with at most CAP_KILL, takes the container's filter, is not dumpable (so
//! that nothing in the container reaches our binary through /proc/1/exe without ptrace
//! rights; the monitor runs from a read-only mount of it besides), and does nothing but
//! forward signals and reap, as tini does.

use std::convert::Infallible;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use super::finish::Finish;
use crate::error::Result;
use crate::sys::process::{self, Exit};
use crate::sys::signal::{self, Set};
use crate::sys::{fd, path};

/// What `ps` shows as process 1.
const NAME: &CStr = c"ketch-init";

/// Signals that mean a fault of our own, and those that the terminal sends to the background.
const NOT_FORWARDED: [i32; 9] = [
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGABRT,
    libc::SIGTRAP,
    libc::SIGSYS,
    libc::SIGTTIN,
    libc::SIGTTOU,
];

/// In process 1: never comes back unless the preparation fails. `child` is the program's pid in
/// the container.
pub(super) fn run(finish: &Finish, root: BorrowedFd<'_>, child: u32) -> Result<Infallible> {
    let forwarded = Set::full().without(&NOT_FORWARDED);
    signal::reset()?;
    signal::set_mask(forwarded)?;
    signal::ignore(libc::SIGTTIN);
    signal::ignore(libc::SIGTTOU);
    let null = path::open_in_root(root, "/dev/null", rustix::fs::OFlags::RDWR, 0)?;
    for number in 0..=2 {
        fd::replace_stdio(null.as_fd(), number)?;
    }
    // Not what it was forked from: /proc/1/cmdline told of the host's directories.
    process::set_name(NAME)?;
    let _cosmetic = process::set_command_line(NAME);
    if finish.custom_filter {
        process::set_no_new_privileges()?;
    } else {
        // Before the rights go, as for the program itself.
        finish.install_filter()?;
    }
    finish.drop_rights(finish.init_capabilities())?;
    fd::close_from(3)?;
    let child = i32::try_from(child).unwrap_or(0);
    loop {
        let signal = signal::wait_for(forwarded).unwrap_or(libc::SIGCHLD);
        if signal != libc::SIGCHLD {
            // It may just have ended; then SIGCHLD is on its way.
            let _ended = process::kill(child, signal);
            continue;
        }
        while let Ok(Some((pid, exit))) = process::reap_any() {
            if i32::try_from(pid) == Ok(child) {
                // What is left dies with the namespace.
                process::exit_now(match exit {
                    Exit::Code(code) => code,
                    Exit::Signal(signal) => 128 + signal,
                });
            }
        }
    }
}
