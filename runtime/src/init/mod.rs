//! Starting the first process of a container, and further ones: parent and child.
//!
//! Parent and child meet four times, numbered alike in `parent.rs` and `child.rs`:
//! 1 namespaces made; 2 cgroup, limits and network in place; 3 root switched and
//! ready; 4 exec done or failed.

mod child;
mod devices;
mod exec;
mod finish;
mod message;
mod mounts;
mod parent;
mod reaper;
mod rootfs;
mod still;
mod sysctls;
mod user;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use crate::container::record::{Process, Record};

pub use exec::exec;
pub(crate) use finish::user_in;
pub(crate) use parent::new_namespaces;
pub use parent::{Pending, start};
pub(crate) use still::Still;

/// The standard streams of a new process, as the monitor made them.
#[derive(Debug)]
pub enum Stdio {
    /// Write ends of pipes or FIFOs, and a stdin or /dev/null.
    Streams {
        stdin: OwnedFd,
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
    /// A terminal is opened in the container's devpts; its master comes back in [`Child`].
    Terminal { rows: u16, columns: u16 },
}

/// All that the first process needs from outside its record.
#[derive(Debug)]
pub struct StartRequest<'a> {
    pub record: &'a Record,
    /// `Roots::container`: hosts, hostname, resolv.conf (made before); upper, work and the mount
    /// point are made here.
    pub directory: PathBuf,
    /// The layers' directories, lowest first.
    pub layers: Vec<PathBuf>,
    pub stdio: Stdio,
    /// Namespaces to join instead of making them: those of other containers, already opened.
    pub join: JoinedNamespaces,
}

/// Namespaces of other containers, for `network_mode: container:` and its like.
#[derive(Debug, Default)]
pub struct JoinedNamespaces {
    pub net: Option<OwnedFd>,
    pub pid: Option<OwnedFd>,
    pub ipc: Option<OwnedFd>,
    /// With `ipc`: the donor's mount namespace, whose /dev/shm is shown here too.
    pub ipc_mounts: Option<OwnedFd>,
}

/// A running process of a container; the monitor reaps it.
#[derive(Debug)]
pub struct Child {
    pub pid: u32,
    pub pidfd: OwnedFd,
    /// The master side, when a terminal was asked for.
    pub terminal: Option<OwnedFd>,
    /// What was asked for and could not be had.
    pub warnings: Vec<String>,
}

/// A further process in a running container.
#[derive(Debug)]
pub struct ExecRequest<'a> {
    pub record: &'a Record,
    /// Process 1 of the container.
    pub init: BorrowedFd<'a>,
    pub init_pid: u32,
    pub process: Process,
    pub privileged: bool,
    pub stdio: Stdio,
}
