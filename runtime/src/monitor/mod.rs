//! The keeper of one container: one process, one thread, one epoll loop.
//!
//! It owns the container's life: standard streams and log, reaping and exit code, stop with
//! grace, restart policy, health, the resolver inside the namespace, the user side of
//! published ports, `state.json`. [`machine`] decides, [`driver`] does.

pub mod health;
pub mod machine;

pub mod records;
pub mod taken;
pub mod note;
pub mod logfile;
pub mod processes;
pub mod audience;
pub mod stdio;

pub mod cleanup;
pub mod control;
pub mod probe;

pub mod dns;
pub mod proxy;

pub mod spawn;

pub mod driver;
pub mod entry;
