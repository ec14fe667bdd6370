//! What `main` calls first: is this process a monitor?

use std::ffi::OsString;

use crate::failpoint::{self, Role};
use crate::monitor::entry;

/// Runs the monitor and never returns if this process was started as one. To be called before
/// anything else is set up: the monitor has one thread, and every page it touches is paid for
/// once for each container.
pub fn check() {
    let mut args = std::env::args_os();
    if args.next().is_some_and(|name| name == entry::ARGV0) {
        failpoint::arm(Role::Monitor);
        let args: Vec<OsString> = args.collect();
        entry::run(&args);
        crate::sys::process::exit_now(0);
    }
    failpoint::arm(Role::Command);
}
