//! A container whose monitor was killed: adopted when it still runs, buried when it does not.
//!
//! Every verb that meets such a container does this first, so no orphan is ever left unseen.
//! (A monitor that leaves by itself has written the container's end before.)

use std::os::fd::AsFd as _;

use jiff::Timestamp;

use super::find::no_such_container;
use super::start::Mode;
use crate::container::state::{EndedBy, State, Status};
use crate::container::{Container, documents};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::monitor::cleanup;
use crate::store::id::Id;
use crate::store::lock::{self, Guard, Lock};
use crate::sys;

/// Exit code of a process that died while nobody watched.
const UNKNOWN_EXIT: i32 = 255;

impl Engine {
    /// The container as it really is.
    pub(super) fn settled(&self, id: &Id) -> Result<Container> {
        let container = self.read(id)?;
        self.settle(id, container)
    }

    /// As `settled`, when the documents have just been read.
    pub(super) fn settle(&self, id: &Id, container: Container) -> Result<Container> {
        if !container.state.status.is_active() || documents::has_monitor(self.roots(), id)? {
            return Ok(container);
        }
        let guard = lock::acquire(self.roots(), Lock::Container(id.as_str()))?;
        self.settle_locked(&guard, id)
    }

    /// As `settled`, for who holds the container's lock.
    pub(super) fn settle_locked(&self, guard: &Guard, id: &Id) -> Result<Container> {
        // Under the lock the documents are read again: the monitor may have left by itself, or
        // somebody else may have settled it.
        let container = self.read(id)?;
        if !container.state.status.is_active() || documents::has_monitor(self.roots(), id)? {
            return Ok(container);
        }
        // The lock is held for as long as the new monitor takes over.
        let _held = guard.as_fd();
        if is_alive(&container.state) || container.state.status == Status::Restarting {
            self.run_monitor(id, Mode::Adopt)?;
            return self.read(id);
        }
        self.bury(container)
    }

    fn read(&self, id: &Id) -> Result<Container> {
        documents::find(self.roots(), id)?.ok_or_else(|| no_such_container(id.as_str()))
    }

    /// Neither monitor nor process: writes down the end and takes back what the container held.
    fn bury(&self, mut container: Container) -> Result<Container> {
        let roots = self.roots();
        let errors = cleanup::release(roots, &container.record, &container.state);
        let state = &mut container.state;
        state.status = Status::Exited;
        state.pid = None;
        state.exit_code = UNKNOWN_EXIT;
        state.signal = None;
        state.ended_by = Some(EndedBy::Unseen);
        state.finished_at = Some(Timestamp::now());
        state.endpoints.clear();
        state.ports.clear();
        if let Some(error) = errors.first() {
            state.error = Error::to_string(error);
        }
        documents::write_state(roots, &container.record.id, state)?;
        cleanup::announce(roots, &container.record, "die", Some(UNKNOWN_EXIT));
        Ok(container)
    }
}

/// Whether process 1 is still the one that was started: same boot, same pid, same start time,
/// and no zombie.
fn is_alive(state: &State) -> bool {
    let Some(pid) = state.pid else { return false };
    let same_boot = sys::process::boot_id().is_ok_and(|boot| boot == state.boot_id);
    same_boot
        && sys::process::start_time(pid).is_ok_and(|time| time == state.pid_start_time)
        && !is_zombie(pid)
}

fn is_zombie(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let letter = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    matches!(letter, None | Some('Z' | 'X'))
}
