//! Containers: one verb per file.
//!
//! A verb resolves the name, *settles* the container (a monitor that died is replaced or
//! cleaned up after), and then changes documents under the container's lock or asks the
//! monitor. Reading verbs only read files.

mod attach;
mod create;
mod exec;
mod files;
mod find;
mod kill;
mod logs;
mod pause;
mod processes;
mod remove;
mod rename;
mod restart;
mod settle;
mod silent;
mod start;
mod stats;
mod stop;
mod watch;

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use jiff::Timestamp;

pub use attach::{Attached, Ended};
pub use exec::Exec;
pub use files::Files;
pub use find::BUILDER_LABEL;
pub use logs::LogReader;
pub use stats::Stats;
pub use watch::StateWatch;

use crate::container::{Container, documents};
use crate::engine::Engine;
use crate::error::Result;
use crate::monitor::control::{Ask, Client, Reply};
pub use crate::monitor::records::Stream;
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

/// One record of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    pub time: Timestamp,
    pub stream: Stream,
    /// With its newline, unless the record is part of a longer line.
    pub text: Vec<u8>,
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

/// What is wanted of a container's own streams.
#[derive(Debug, Default)]
pub struct AttachSpec {
    pub stdin: bool,
    /// Pipes for what it writes; a terminal writes to the first alone.
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
    /// Rows and columns that its terminal begins with.
    pub size: Option<(u16, u16)>,
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

/// One process, for `top`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessRow {
    pub uid: u32,
    pub pid: u32,
    pub ppid: u32,
    /// `pts/0`; absent without one.
    pub terminal: Option<String>,
    /// What it has used so far.
    pub cpu: Duration,
    pub started: Timestamp,
    /// The whole line.
    pub command: String,
}

impl Engine {
    /// Asks the monitor of a container that is fit to be asked. What it says has come when this
    /// returns; a monitor that was killed before it read the question is followed by the next.
    fn ask_fit(
        &self,
        id: &Id,
        ask: &Ask,
        fds: &[OwnedFd],
        check: fn(&Container) -> Result<()>,
    ) -> Result<(Client, Container)> {
        let fds: Vec<BorrowedFd<'_>> = fds.iter().map(|fd| fd.as_fd()).collect();
        loop {
            let container = self.settled(id)?;
            check(&container)?;
            if let Some(client) = Client::ask(self.roots(), id, ask.clone(), &fds)? {
                self.wait_for_word(id, &client)?;
                if client.is_heard()? {
                    return Ok((client, container));
                }
            }
            // It is just leaving, or was killed: the next look tells.
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Waits until the monitor has left: it holds its lock to the very end, and only then may
    /// somebody else touch what it cleaned up.
    ///
    /// False when the container runs and is to run on: a command that was killed may have left
    /// a monitor behind that was just starting it.
    fn wait_until_gone(&self, id: &Id) -> Result<bool> {
        while documents::has_monitor(self.roots(), id)? {
            match Client::ask(self.roots(), id, Ask::Watch, &[])? {
                // States come until the monitor closes the connection by ending.
                Some(client) => {
                    while let Some((reply, _)) = self.answer(id, &client)? {
                        if matches!(reply, Reply::State(state) if state.stays()) {
                            return Ok(false);
                        }
                    }
                }
                // Its socket is gone and its lock is not: it is about to exit.
                None => std::thread::sleep(Duration::from_micros(200)),
            }
        }
        Ok(true)
    }
}
