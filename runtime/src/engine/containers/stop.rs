//! Stop: asked of the monitor, which answers when the container has ended.

use std::time::Duration;

use super::{Grace, StopOptions};
use crate::container::{Container, documents};
use crate::engine::Engine;
use crate::error::Result;
use crate::failpoint::{self, Point};
use crate::monitor::control::{Ask, Client};
use crate::spec::signal;
use crate::store::id::Id;
use crate::store::lock::{self, Lock};

impl Engine {
    /// Asks it to stop, kills it after the grace, returns when it has ended. One that does not
    /// run is left alone.
    ///
    /// # Errors
    /// When even SIGKILL did not end it.
    pub fn stop_container(&self, name: &str, options: &StopOptions) -> Result<()> {
        let id = self.container_id(name)?;
        self.stop(&id, options, false)
    }

    /// `keep`: it is going to be started again.
    pub(super) fn stop(&self, id: &Id, options: &StopOptions, keep: bool) -> Result<()> {
        loop {
            let container = self.settled(id)?;
            if !container.state.status.is_active() {
                if self.wait_until_gone(id)? && !self.is_started(id)? {
                    return Ok(());
                }
                // It has just been started.
                continue;
            }
            let signal = match &options.signal {
                Some(text) => signal::parse(text)?,
                None => container.record.stop.signal,
            };
            let ask = Ask::Stop {
                signal,
                grace: grace(&container, options.grace),
                keep,
            };
            documents::mark_stop(self.roots(), id);
            // No monitor: it has just ended by itself. No answer: it was killed, and the next
            // look adopts its container.
            if let Some(client) = Client::ask(self.roots(), id, ask, &[])? {
                failpoint::reached(Point::StopSent);
                let has_ended = self.answer(id, &client)?.is_some();
                failpoint::reached(Point::StopAnswered);
                if has_ended {
                    // Who starts it from now on comes after us.
                    return self.wait_until_gone(id).map(drop);
                }
            }
        }
    }

    /// Whether it runs, once nobody is about to start it.
    fn is_started(&self, id: &Id) -> Result<bool> {
        let guard = lock::acquire(self.roots(), Lock::Container(id.as_str()))?;
        let status = self.settle_locked(&guard, id)?.state.status;
        Ok(status.is_active() || documents::has_monitor(self.roots(), id)?)
    }
}

fn grace(container: &Container, grace: Grace) -> Option<Duration> {
    match grace {
        Grace::Configured => container.record.stop.grace,
        Grace::For(duration) => Some(duration),
        Grace::Forever => None,
    }
}
