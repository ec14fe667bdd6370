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
        let ask = Ask::Kill { signal };
        let is_final = signal == signal::KILL;
        loop {
            if is_final {
                documents::mark_stop(self.roots(), &id);
            }
            let (client, _) = self.ask_fit(&id, &ask, &[], check).map_err(in_vain)?;
            let is_answered = client.answer(None)?.is_some();
            if !is_final {
                return Ok(());
            }
            // Else the monitor was killed, and not the container: the next one is asked.
            if is_answered || !self.settled(&id)?.state.status.is_active() {
                return self.wait_until_gone(&id).map(drop);
            }
        }
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
