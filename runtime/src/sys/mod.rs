//! The kernel, with a safe face: the only module with `unsafe` in it.
//!
//! Each function is one system call (or one small protocol on top of one), takes and
//! gives owned or borrowed fds, and fails with an [`Error`] that prints as the call.
//! What rustix offers safely may be used from rustix directly; what is in here is what
//! it lacks, or where the error must name the arguments.

pub mod bpf;
pub mod caps;
pub mod error;
pub mod fd;
pub mod keyring;
pub mod memory;
pub mod mount;
pub mod namespace;
pub mod netlink;
pub mod path;
pub mod process;
pub mod seccomp;
pub mod signal;
pub mod tty;

pub use error::{Error, Result};
