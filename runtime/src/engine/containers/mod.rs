//! Containers: one verb per file.

use std::os::fd::OwnedFd;
use std::time::Duration;

use jiff::Timestamp;

use super::Engine;
use crate::cancel::Cancel;
use crate::container::Container;
use crate::container::state::State;
use crate::error::{Error, ErrorKind, Result};
use crate::image::Image;
use crate::spec::ContainerSpec;
use crate::store::id::Id;

/// How long `stop` waits before SIGKILL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Grace {
    /// What the container was created with.
    #[default]
    Configured,
    For(Duration),
    Forever,
}

/// How to stop a container.
#[derive(Debug, Clone, Default)]
pub struct StopOptions {
    /// Absent: the container's own.
    pub signal: Option<String>,
    pub grace: Grace,
}

/// How to remove a container.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveOptions {
    /// Kill it first when it runs.
    pub force: bool,
    /// Remove its anonymous volumes too.
    pub volumes: bool,
}

/// Which containers to list; all labels must fit, a label without value must only exist.
#[derive(Debug, Clone, Default)]
pub struct ContainerFilter {
    pub labels: Vec<(String, Option<String>)>,
}

/// What to read of a container's log.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    /// Go on until the container has ended for good.
    pub follow: bool,
    /// Only the last so many records.
    pub tail: Option<usize>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

/// One of the two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// One record of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    pub time: Timestamp,
    pub stream: Stream,
    /// With its newline, unless the record is part of a longer line.
    pub text: Vec<u8>,
}

/// A log being read.
#[derive(Debug)]
pub struct LogReader {}

impl LogReader {
    /// The next record; waits for it when following; `None` at the end.
    ///
    /// # Errors
    /// When the log can't be read; `Cancelled` when `cancel` was.
    pub fn next(&mut self, _cancel: &Cancel) -> Result<Option<LogRecord>> {
        Err(unwritten())
    }
}

/// A subscription to the states of one container.
#[derive(Debug)]
pub struct StateWatch {}

impl StateWatch {
    /// The current state at the first call, then each change as the monitor tells it; `None`
    /// when the container has ended for good and no change can come.
    ///
    /// # Errors
    /// `Cancelled` when `cancel` was; `NotFound` when the container was removed.
    pub fn next(&mut self, _cancel: &Cancel) -> Result<Option<State>> {
        Err(unwritten())
    }
}

/// A further process for a running container.
#[derive(Debug)]
pub struct ExecSpec {
    pub args: Vec<String>,
    /// Added to the container's own.
    pub env: Vec<String>,
    /// Absent: the container's.
    pub user: Option<String>,
    pub working_dir: Option<String>,
    pub privileged: bool,
    pub stdio: ExecStdio,
}

/// The standard streams of such a process.
#[derive(Debug)]
pub enum ExecStdio {
    /// Output is discarded, nobody waits.
    Detached,
    /// Pipes of the caller. Never hand over a terminal: the container could type into it.
    Pipes {
        stdin: OwnedFd,
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
    /// A terminal in the container's own devpts, with its first size.
    Terminal { rows: u16, columns: u16 },
}

/// A running exec.
#[derive(Debug)]
pub struct Exec {}

impl Exec {
    /// The terminal's master side, when one was asked for.
    pub fn take_terminal(&mut self) -> Option<OwnedFd> {
        None
    }

    /// Passes a signal on to the process.
    ///
    /// # Errors
    /// When the monitor is gone.
    pub fn signal(&self, _signal: i32) -> Result<()> {
        Err(unwritten())
    }

    /// Waits for the exit code.
    ///
    /// # Errors
    /// `Cancelled`, or when the monitor died.
    pub fn wait(&mut self, _cancel: &Cancel) -> Result<i32> {
        Err(unwritten())
    }
}

/// Process numbers and command lines, for `top`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessRow {
    pub uid: u32,
    pub pid: u32,
    pub ppid: u32,
    pub command: String,
}

fn unwritten() -> Error {
    Error::new(ErrorKind::Unsupported, "not written yet")
}

impl Engine {
    /// Makes a container from its image; nothing of it runs.
    pub fn create_container(&self, _spec: &ContainerSpec) -> Result<Id> {
        Err(unwritten())
    }

    /// As `create_container`, from an image that need not have a name (build steps).
    pub fn create_container_from(&self, _image: &Image, _spec: &ContainerSpec) -> Result<Id> {
        Err(unwritten())
    }

    /// Starts it and returns once its process runs.
    pub fn start_container(&self, _name: &str) -> Result<()> {
        Err(unwritten())
    }

    /// Asks it to stop, kills it after the grace, returns when it has ended.
    pub fn stop_container(&self, _name: &str, _options: &StopOptions) -> Result<()> {
        Err(unwritten())
    }

    /// Sends a signal (default SIGKILL).
    pub fn kill_container(&self, _name: &str, _signal: Option<&str>) -> Result<()> {
        Err(unwritten())
    }

    /// Stops and starts it.
    pub fn restart_container(&self, _name: &str, _options: &StopOptions) -> Result<()> {
        Err(unwritten())
    }

    /// Freezes all its processes.
    pub fn pause_container(&self, _name: &str) -> Result<()> {
        Err(unwritten())
    }

    /// Thaws them.
    pub fn unpause_container(&self, _name: &str) -> Result<()> {
        Err(unwritten())
    }

    /// Removes it with its writable layer.
    pub fn remove_container(&self, _name: &str, _options: &RemoveOptions) -> Result<()> {
        Err(unwritten())
    }

    /// Gives it another name.
    pub fn rename_container(&self, _name: &str, _new_name: &str) -> Result<()> {
        Err(unwritten())
    }

    /// One container, by id, name, or unique prefix of its id.
    pub fn container(&self, _name: &str) -> Result<Container> {
        Err(unwritten())
    }

    /// Containers in the order of their creation, running or not.
    pub fn containers(&self, _filter: &ContainerFilter) -> Result<Vec<Container>> {
        Err(unwritten())
    }

    /// Subscribes to its states.
    pub fn watch_container(&self, _name: &str) -> Result<StateWatch> {
        Err(unwritten())
    }

    /// Opens its log.
    pub fn container_logs(&self, _name: &str, _query: &LogQuery) -> Result<LogReader> {
        Err(unwritten())
    }

    /// Runs a further process in it.
    pub fn exec(&self, _name: &str, _spec: ExecSpec) -> Result<Exec> {
        Err(unwritten())
    }

    /// Its processes.
    pub fn container_processes(&self, _name: &str) -> Result<Vec<ProcessRow>> {
        Err(unwritten())
    }
}
