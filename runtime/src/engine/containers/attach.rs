//! Attached to a container: its output as it comes, its input, its end.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use super::AttachSpec;
use super::kill::not_running;
use crate::cancel::Cancel;
use crate::container::Container;
use crate::container::state::Status;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::monitor::control::{Ask, AttachAsk, Client, Reply};
use crate::sys;

/// Attached to a running container. Dropping it leaves the container alone.
#[derive(Debug)]
pub struct Attached {
    client: Client,
    input: Option<OwnedFd>,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    /// What no longer went through the pipes, for each of them in their order; or nothing.
    pub rest: Vec<OwnedFd>,
}

impl Engine {
    /// Attaches to a running container.
    ///
    /// # Errors
    /// `Conflict` when it does not run, in Docker's words.
    pub fn attach_container(&self, name: &str, spec: AttachSpec) -> Result<Attached> {
        let id = self.container_id(name)?;
        let (ask, fds) = ask(spec);
        let (client, container) = self.ask_fit(&id, &ask, &fds, check)?;
        Attached::welcomed(client)?.ok_or_else(|| not_running(&container))
    }

    /// Starts it with somebody attached from its first byte on; one that runs is attached to.
    ///
    /// # Errors
    /// As with [`Engine::start_container`].
    pub fn start_attached(&self, name: &str, spec: AttachSpec) -> Result<Attached> {
        let (ours, theirs) = sys::fd::socket_pair()?;
        let (ask, fds) = ask(spec);
        let borrowed: Vec<BorrowedFd<'_>> = fds.iter().map(|fd| fd.as_fd()).collect();
        let client = Client::over(ours, ask, &borrowed)?;
        self.start_with(name, Some(theirs))?;
        // It was running: nobody has read the question.
        match Attached::welcomed(client)? {
            Some(attached) => Ok(attached),
            None => Err(Error::new(
                ErrorKind::Conflict,
                format!("container {name} was started by somebody else"),
            )),
        }
    }
}

fn ask(spec: AttachSpec) -> (Ask, Vec<OwnedFd>) {
    let ask = Ask::Attach(AttachAsk {
        stdin: spec.stdin,
        stdout: spec.stdout.is_some(),
        stderr: spec.stderr.is_some(),
        size: spec.size,
    });
    let fds = [spec.stdout, spec.stderr].into_iter().flatten().collect();
    (ask, fds)
}

fn check(container: &Container) -> Result<()> {
    let what = match container.state.status {
        Status::Running => return Ok(()),
        Status::Paused => "You cannot attach to a paused container, unpause it first",
        Status::Restarting => {
            "You cannot attach to a restarting container, wait until it is running"
        }
        _ => "You cannot attach to a stopped container, start it first",
    };
    Err(Error::new(ErrorKind::Conflict, what))
}

impl Attached {
    /// `None` when the other side is gone without a word.
    fn welcomed(client: Client) -> Result<Option<Self>> {
        Ok(match client.answer(None)? {
            Some((Reply::Started { .. }, mut fds)) => Some(Self {
                client,
                input: fds.pop(),
            }),
            _ => None,
        })
    }

    /// The terminal, or the other end of the program's stdin; absent when it has none. It does
    /// not block.
    pub fn take_input(&mut self) -> Option<OwnedFd> {
        self.input.take()
    }

    /// Waits for the end of the container's process.
    ///
    /// # Errors
    /// `Cancelled`, or when the monitor died.
    pub fn wait(&self, cancel: &Cancel) -> Result<Ended> {
        match self.client.answer(Some(cancel))? {
            Some((Reply::Exited { code }, rest)) => Ok(Ended { code, rest }),
            _ => Err(Error::new(
                ErrorKind::Internal,
                "the container's monitor died before the container ended",
            )),
        }
    }

    /// Waits until a container with `auto_remove` that has ended is gone.
    ///
    /// # Errors
    /// What keeps it from being removed.
    pub fn removed(&self) -> Result<()> {
        while self.client.answer(None)?.is_some() {}
        Ok(())
    }
}
