//! Kill: a signal, passed on by the monitor.

use crate::container::{Container, documents};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::monitor::control::Ask;
use crate::spec::signal;
use crate::store::id::Id;

impl Engine {
    /// Sends a signal (default SIGKILL, which is waited for).
    ///
    /// # Errors
    /// `Conflict` when the container does not run.
    pub fn kill_container(&self, name: &str, signal: Option<&str>) -> Result<()> {
        let signal = signal.map_or(Ok(signal::KILL), signal::parse)?;
        let id = self.container_id(name)?;
        let in_vain = |error: Error| error.context(format!("cannot kill container: {name}"));
        check(&self.settled(&id)?).map_err(in_vain)?;
        if signal == signal::KILL {
            documents::mark_stop(self.roots(), &id);
        }
        let ask = Ask::Kill { signal };
        let (client, _) = self.ask_fit(&id, &ask, &[], check).map_err(in_vain)?;
        let answer = client.answer(None)?;
        if signal == signal::KILL {
            if answer.is_none() && self.settled(&id)?.state.status.is_active() {
                // The monitor was killed, and not the container.
                return self.kill_container(name, None);
            }
            self.wait_until_gone(&id)?;
        }
        Ok(())
    }
}

/// Whether there is something to kill, to freeze or to thaw.
pub(super) fn check(container: &Container) -> Result<()> {
    match container.state.status.is_active() {
        true => Ok(()),
        false => Err(not_running(container)),
    }
}

pub(super) fn not_running(container: &Container) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!("container {} is not running", container.record.id),
    )
}

pub(super) fn unanswered(id: &Id) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!("the monitor of container {id} did not answer"),
    )
}
