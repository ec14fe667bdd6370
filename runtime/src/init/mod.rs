//! Starting the first process of a container, and further ones: parent and child.
//!
//! Parent and child meet four times, numbered alike in `parent.rs` and `child.rs`:
//! 1 namespaces made; 2 cgroup, limits and network in place; 3 root switched and
//! ready; 4 exec done or failed.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use crate::container::record::{Process, Record};
use crate::error::{Error, ErrorKind, Result};

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
    /// `Roots::container`: hosts, hostname, resolv.conf (made before), upper, work.
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
}

/// A process that has its namespaces and cgroup and waits before meeting point 2: the network
/// can be set up now. Dropping it kills the process and removes the cgroup.
#[derive(Debug)]
pub struct Pending {}

impl Pending {
    /// The container's network namespace.
    pub fn network_namespace(&self) -> BorrowedFd<'_> {
        unimplemented_start()
    }

    /// Lets the process go on to its exec; returns once exec is done, or why it failed
    /// (`CommandNotFound` 127, `NotExecutable` 126, else 128).
    pub fn release(self) -> Result<Child> {
        Err(Error::new(ErrorKind::Unsupported, "not written yet"))
    }
}

fn unimplemented_start() -> ! {
    panic!("not written yet")
}

/// A running process of a container; the monitor reaps it.
#[derive(Debug)]
pub struct Child {
    pub pid: u32,
    pub pidfd: OwnedFd,
    /// The master side, when a terminal was asked for.
    pub terminal: Option<OwnedFd>,
}

/// Starts the first process up to meeting point 1. The caller must be single-threaded.
pub fn start(_request: StartRequest<'_>) -> Result<Pending> {
    Err(Error::new(ErrorKind::Unsupported, "not written yet"))
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

/// Starts it; returns once exec is done. The caller must be single-threaded and becomes the
/// parent of the process.
pub fn exec(_request: ExecRequest<'_>) -> Result<Child> {
    Err(Error::new(ErrorKind::Unsupported, "not written yet"))
}
