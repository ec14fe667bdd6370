//! Watching: the monitor tells each change of state; nothing is polled.

use std::os::fd::AsFd as _;
use std::time::Duration;

use super::find::no_such_container;
use crate::cancel::Cancel;
use crate::container::documents;
use crate::container::state::State;
use crate::engine::Engine;
use crate::error::Result;
use crate::monitor::control::{Ask, Client, Reply, wait_readable};
use crate::store::id::Id;

/// A subscription to the states of one container.
#[derive(Debug)]
pub struct StateWatch {
    engine: Engine,
    id: Id,
    client: Option<Client>,
    /// The generation of the last state that was handed out.
    seen: Option<u64>,
    ended: bool,
}

impl Engine {
    /// Subscribes to its states.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn watch_container(&self, name: &str) -> Result<StateWatch> {
        let id = self.container_id(name)?;
        let mut watch = StateWatch {
            engine: self.clone(),
            id,
            client: None,
            seen: None,
            ended: false,
        };
        watch.connect()?;
        Ok(watch)
    }
}

impl StateWatch {
    /// The current state at the first call, then each change as the monitor tells it; `None`
    /// when the container has ended for good and no change can come.
    ///
    /// # Errors
    /// `Cancelled` when `cancel` was; `NotFound` when the container was removed.
    pub fn next(&mut self, cancel: &Cancel) -> Result<Option<State>> {
        loop {
            if self.ended {
                return Ok(None);
            }
            let state = match &self.client {
                Some(client) => {
                    wait_readable(client.as_fd(), cancel)?;
                    match client.answer(None)? {
                        Some((Reply::State(state), _)) => *state,
                        Some(_) => continue,
                        None => match self.monitor_left()? {
                            Some(state) => state,
                            None => continue,
                        },
                    }
                }
                None => match self.monitor_left()? {
                    Some(state) => state,
                    None => continue,
                },
            };
            if self.seen != Some(state.generation) {
                self.seen = Some(state.generation);
                return Ok(Some(state));
            }
        }
    }

    fn connect(&mut self) -> Result<()> {
        let roots = self.engine.roots();
        loop {
            let container = self.engine.settled(&self.id)?;
            if container.state.status.is_active() {
                self.client = Client::ask(roots, &self.id, Ask::Watch, &[])?;
            } else {
                self.client = None;
            }
            // Without its socket a monitor is about to exit, and may take the container along.
            if self.client.is_some() || !documents::has_monitor(roots, &self.id)? {
                return Ok(());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// There is no monitor (any more): the file has the last word, unless the monitor was killed
    /// and another one takes its place.
    fn monitor_left(&mut self) -> Result<Option<State>> {
        self.connect()?;
        if self.client.is_some() {
            return Ok(None);
        }
        self.ended = true;
        let state = documents::find_state(self.engine.roots(), &self.id)?;
        if state.is_none() && documents::find(self.engine.roots(), &self.id)?.is_none() {
            return Err(no_such_container(self.id.as_str()));
        }
        let state = state.unwrap_or_default();
        if self.seen == Some(state.generation) {
            return Ok(None);
        }
        Ok(Some(state))
    }
}
