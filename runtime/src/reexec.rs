//! What `main` calls first: is this process a monitor?

/// Runs the monitor and never returns if this process was started as one.
pub fn check() {}
