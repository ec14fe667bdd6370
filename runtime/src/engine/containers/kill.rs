//! Kill: a signal, passed on by the monitor.

use crate::container::{Container, documents};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::monitor::control::{Ask, Client};
use crate::spec::signal;

impl Engine {
    /// Sends a signal (default SIGKILL, which is waited for).
    ///
    /// # Errors
    /// `Conflict` when the container does not run.
    pub fn kill_container(&self, name: &str, signal: Option<&str>) -> Result<()> {
        let signal = signal.map_or(Ok(signal::KILL), signal::parse)?;
        let id = self.container_id(name)?;
        let container = self.settled(&id)?;
        let client = if container.state.status.is_active() {
            if signal == signal::KILL {
                documents::mark_stop(self.roots(), &id);
            }
            Client::ask(self.roots(), &id, Ask::Kill { signal }, &[])?
        } else {
            None
        };
        let Some(client) = client else {
            return Err(not_running(&container).context(format!("cannot kill container: {name}")));
        };
        let _gone = self.answer(&id, &client)?;
        if signal == signal::KILL {
            self.wait_until_gone(&id)?;
        }
        Ok(())
    }
}

pub(super) fn not_running(container: &Container) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!("container {} is not running", container.record.id),
    )
}
