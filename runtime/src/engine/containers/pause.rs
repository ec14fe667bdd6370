//! Pause and unpause: the container's cgroup is frozen, thawed.

use super::kill::{check, unanswered};
use crate::engine::Engine;
use crate::error::Result;
use crate::monitor::control::Ask;

impl Engine {
    /// Freezes all its processes.
    ///
    /// # Errors
    /// `Conflict` when it does not run or is paused already.
    pub fn pause_container(&self, name: &str) -> Result<()> {
        self.ask_running(name, &Ask::Pause)
    }

    /// Thaws them.
    ///
    /// # Errors
    /// `Conflict` when it is not paused.
    pub fn unpause_container(&self, name: &str) -> Result<()> {
        self.ask_running(name, &Ask::Unpause)
    }

    fn ask_running(&self, name: &str, ask: &Ask) -> Result<()> {
        let id = self.container_id(name)?;
        let (client, _) = self.ask_fit(&id, ask, &[], check)?;
        match client.answer(None)? {
            Some(_) => Ok(()),
            None => Err(unanswered(&id)),
        }
    }
}
