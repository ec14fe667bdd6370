//! A further process: the caller's streams travel to the monitor, which starts and reaps it.

use std::os::fd::OwnedFd;

use super::kill::{not_running, unanswered};
use super::{ExecSpec, ExecStdio};
use crate::cancel::Cancel;
use crate::container::Container;
use crate::container::state::Status;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::monitor::control::{Ask, Client, ExecAsk, ExecNote, ExecStreams, Reply};

/// A running exec. Dropping it leaves the process alone.
#[derive(Debug)]
pub struct Exec {
    client: Client,
    terminal: Option<OwnedFd>,
    exit_code: Option<i32>,
}

impl Engine {
    /// Runs a further process in it; returns once it runs.
    ///
    /// # Errors
    /// `CommandNotFound`, `NotExecutable`; `Conflict` when the container does not run.
    pub fn exec(&self, name: &str, spec: ExecSpec) -> Result<Exec> {
        let id = self.container_id(name)?;
        let (streams, fds) = match spec.stdio {
            ExecStdio::Detached => (ExecStreams::Detached, Vec::new()),
            ExecStdio::Pipes {
                stdin,
                stdout,
                stderr,
            } => (ExecStreams::Passed, vec![stdin, stdout, stderr]),
            ExecStdio::Terminal { rows, columns } => {
                (ExecStreams::Terminal { rows, columns }, Vec::new())
            }
        };
        let ask = Ask::Exec(Box::new(ExecAsk {
            args: spec.args,
            env: spec.env,
            user: spec.user,
            working_dir: spec.working_dir,
            privileged: spec.privileged,
            stdio: streams,
        }));
        let (client, _) = self.ask_fit(&id, &ask, &fds, check)?;
        match client.answer(None)? {
            Some((Reply::Started { .. }, mut fds)) => Ok(Exec {
                client,
                terminal: fds.pop(),
                exit_code: None,
            }),
            // It has ended meanwhile; or its monitor was killed, and perhaps the process runs.
            _ => {
                check(&self.settled(&id)?)?;
                Err(unanswered(&id))
            }
        }
    }
}

fn check(container: &Container) -> Result<()> {
    let id = &container.record.id;
    let message = match container.state.status {
        Status::Running => return Ok(()),
        Status::Paused => {
            format!("Container {id} is paused, unpause the container before exec")
        }
        Status::Restarting => {
            format!("Container {id} is restarting, wait until the container is running")
        }
        Status::Created | Status::Removing | Status::Exited | Status::Dead => {
            return Err(not_running(container));
        }
    };
    Err(Error::new(ErrorKind::Conflict, message))
}

impl Exec {
    /// The terminal's master side, when one was asked for.
    pub fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.terminal.take()
    }

    /// Passes a signal on to the process.
    ///
    /// # Errors
    /// When the monitor is gone.
    pub fn signal(&self, signal: i32) -> Result<()> {
        self.client.note(ExecNote::Signal(signal))
    }

    /// Waits for the exit code.
    ///
    /// # Errors
    /// `Cancelled`, or when the monitor died.
    pub fn wait(&mut self, cancel: &Cancel) -> Result<i32> {
        while self.exit_code.is_none() {
            match self.client.answer(Some(cancel))? {
                Some((Reply::Exited { code }, _)) => self.exit_code = Some(code),
                Some(_) => {}
                None => {
                    return Err(Error::new(
                        ErrorKind::Internal,
                        "the container's monitor died before the process ended",
                    ));
                }
            }
        }
        Ok(self.exit_code.unwrap_or_default())
    }
}
