//! Restart by hand: stop, then start; not the restart policy.

use super::StopOptions;
use crate::engine::Engine;
use crate::error::Result;

impl Engine {
    /// Stops and starts it.
    ///
    /// # Errors
    /// As stop and start.
    pub fn restart_container(&self, name: &str, options: &StopOptions) -> Result<()> {
        let id = self.container_id(name)?;
        self.stop(&id, options, true)?;
        self.start_container(id.as_str())
    }
}
