//! A monitor that does not answer: somebody has stopped it, or it is stuck in the kernel.
//!
//! Nobody waits for it for ever. It is killed, which its container survives; the next look
//! adopts that, with the log and the exit code, as after any other death of a monitor.

use std::os::fd::AsFd as _;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::container::documents;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::monitor::control::{Answer, Ask, Client};
use crate::spec::signal;
use crate::store::id::Id;
use crate::store::lock::{self, Lock};
use crate::sys;

/// A container may take its time to stop: after this one we ask whether the monitor listens.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// The answer to that comes at once, unless the machine has no breath left, or a container holds
/// up what enters it: for that the monitor itself waits ten seconds.
const PATIENCE: Duration = Duration::from_secs(12);
/// How long a killed monitor may take to be gone.
const LAST_WAIT: Timespec = Timespec {
    tv_sec: 5,
    tv_nsec: 0,
};

impl Engine {
    /// Waits for an answer for as long as the monitor listens at all; `None` when it is gone,
    /// or had to be killed.
    pub(super) fn answer(&self, id: &Id, client: &Client) -> Result<Answer> {
        match self.wait_for_word(id, client)? {
            true => client.answer(None),
            false => Ok(None),
        }
    }

    /// Waits for an answer, or for the end of the connection; false when the monitor did not
    /// listen and was killed.
    pub(super) fn wait_for_word(&self, id: &Id, client: &Client) -> Result<bool> {
        while !client.wait_within(FIRST_WAIT)? {
            if !self.listens(id)? {
                self.replace_monitor(id, client)?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the monitor says anything. One that is gone has said it by that.
    fn listens(&self, id: &Id) -> Result<bool> {
        match Client::ask(self.roots(), id, Ask::Watch, &[]) {
            Ok(Some(client)) => Ok(client.answer_within(PATIENCE)?.is_some()),
            Ok(None) => Ok(true),
            // Its queue is full, and stays so.
            Err(error) if error.kind() == ErrorKind::TimedOut => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn replace_monitor(&self, id: &Id, client: &Client) -> Result<()> {
        let pid = client.monitor_pid()?;
        let Ok(monitor) = sys::process::pidfd_open(pid) else {
            return Ok(());
        };
        // Only now is it sure that the number is still the monitor's.
        if !documents::has_monitor(self.roots(), id)? {
            return Ok(());
        }
        sys::process::pidfd_send_signal(monitor.as_fd(), signal::KILL)?;
        let mut fds = [PollFd::new(&monitor, PollFlags::IN)];
        if poll(&mut fds, Some(&LAST_WAIT))? == 0 {
            return Err(Error::new(
                ErrorKind::TimedOut,
                format!(
                    "the monitor of container {} (process {pid}) neither answers nor ends",
                    id.short()
                ),
            ));
        }
        self.note_replacement(id)
    }

    /// So that the command can tell. Who holds the container's lock goes without.
    fn note_replacement(&self, id: &Id) -> Result<()> {
        let roots = self.roots();
        let Some(_guard) = lock::try_acquire(roots, Lock::Container(id.as_str()))? else {
            return Ok(());
        };
        let state = documents::find_state(roots, id)?;
        if let Some(mut state) = state.filter(|state| state.status.is_active())
            && !documents::has_monitor(roots, id)?
        {
            state.monitor_replaced = true;
            documents::write_state(roots, id, &mut state)?;
        }
        Ok(())
    }
}
