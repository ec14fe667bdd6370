//! Remove: everything of the container that is on disk.

use super::{Grace, RemoveOptions, StopOptions};
use crate::container::documents;
use crate::container::state::Status;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::monitor::cleanup;
use crate::store::id::Id;
use crate::store::lock::{self, Lock};

impl Engine {
    /// Removes it with its writable layer.
    ///
    /// # Errors
    /// `Conflict` when it runs and `force` was not asked for.
    pub fn remove_container(&self, name: &str, options: &RemoveOptions) -> Result<()> {
        let id = self.container_id(name)?;
        loop {
            let container = self.settled(&id)?;
            let status = container.state.status;
            if status.is_active() && !options.force {
                return Err(refused(&container.record.name, status));
            }
            let kill = StopOptions {
                signal: Some("KILL".into()),
                grace: Grace::Configured,
            };
            if status.is_active() {
                self.stop(&id, &kill, true)?;
            }
            if self.wait_until_gone(&id)? && self.remove_stopped(&id, options.volumes)? {
                return Ok(());
            }
            // It has just been started.
        }
    }

    /// False when somebody has started it.
    fn remove_stopped(&self, id: &Id, volumes: bool) -> Result<bool> {
        let guard = lock::acquire(self.roots(), Lock::Container(id.as_str()))?;
        let container = match self.settle_locked(&guard, id) {
            // Somebody else was quicker.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
            other => other?,
        };
        if container.state.status.is_active() || documents::has_monitor(self.roots(), id)? {
            return Ok(false);
        }
        cleanup::remove(self.roots(), container, volumes)?;
        Ok(true)
    }
}

fn refused(name: &str, status: Status) -> Error {
    let why = match status {
        Status::Paused => "container is paused and must be unpaused first".to_owned(),
        status => {
            format!("container is {status}: stop the container before removing or force remove")
        }
    };
    Error::new(
        ErrorKind::Conflict,
        format!("cannot remove container \"/{name}\": {why}"),
    )
}
