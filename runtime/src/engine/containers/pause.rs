//! Pause and unpause: the container's cgroup is frozen, thawed.

use super::kill::not_running;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::monitor::control::{Ask, Client};

impl Engine {
    /// Freezes all its processes.
    ///
    /// # Errors
    /// `Conflict` when it does not run or is paused already.
    pub fn pause_container(&self, name: &str) -> Result<()> {
        self.ask_running(name, Ask::Pause)
    }

    /// Thaws them.
    ///
    /// # Errors
    /// `Conflict` when it is not paused.
    pub fn unpause_container(&self, name: &str) -> Result<()> {
        self.ask_running(name, Ask::Unpause)
    }

    fn ask_running(&self, name: &str, ask: Ask) -> Result<()> {
        let id = self.container_id(name)?;
        let container = self.settled(&id)?;
        match Client::ask(self.roots(), &id, ask, &[])? {
            Some(client) if container.state.status.is_active() => {
                match self.answer(&id, &client)? {
                    Some(_) => Ok(()),
                    None => Err(Error::new(
                        ErrorKind::Unavailable,
                        format!("the monitor of container {id} did not answer"),
                    )),
                }
            }
            _ => Err(not_running(&container)),
        }
    }
}
