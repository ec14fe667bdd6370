//! A container whose monitor was killed: adopted when it still runs, buried when it does not.
//!
//! Every verb that meets such a container does this first, so no orphan is ever left unseen.
//! (A monitor that leaves by itself has written the container's end before.)

use jiff::Timestamp;

use super::find::no_such_container;
use super::start::Mode;
use crate::container::state::{EndedBy, State, Status};
use crate::container::{Container, documents};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::failpoint::{self, Point};
use crate::monitor::cleanup;
use crate::monitor::control::{Ask, Client, Reply};
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
    pub(super) fn settle(&self, id: &Id, mut container: Container) -> Result<Container> {
        // A monitor of a container that does not run is about to start it, or to leave: perhaps
        // for a command that was killed. Nobody should act on what is over in a moment.
        while !container.state.status.is_active() && documents::has_monitor(self.roots(), id)? {
            self.wait_until_gone(id)?;
            container = self.read(id)?;
        }
        let lock = Lock::Container(id.as_str());
        if container.state.status.is_active() {
            if !documents::has_monitor(self.roots(), id)? {
                let guard = lock::acquire(self.roots(), lock)?;
                container = self.settle_locked(&guard, id)?;
            }
            if documents::may_be_stopping(self.roots(), id) {
                return self.as_told(container);
            }
            return Ok(container);
        }
        let dead = is_dead(container.state.status);
        if !dead && !self.was_killed(id)? {
            return Ok(container);
        }
        // Somebody who holds the lock is about to settle it.
        let Some(guard) = lock::try_acquire(self.roots(), lock)? else {
            return Ok(container);
        };
        let container = self.settle_locked(&guard, id)?;
        if dead && is_dead(container.state.status) {
            // A removal that was killed, or refused: once more.
            let name = container.record.name.clone();
            if cleanup::remove(self.roots(), container.clone(), false).is_err() {
                return Ok(container);
            }
            return Err(no_such_container(&name));
        }
        Ok(container)
    }

    /// The container as its monitor knows it, after everything that it was asked before.
    fn as_told(&self, mut container: Container) -> Result<Container> {
        let id = container.record.id.clone();
        let Some(client) = Client::ask(self.roots(), &id, Ask::Watch, &[])? else {
            return Ok(container);
        };
        match self.answer(&id, &client)? {
            Some((Reply::State(state), _)) => container.state = *state,
            Some(_) => {}
            // It has just ended, or was killed.
            None => return self.settled(&id),
        }
        Ok(container)
    }

    /// Whether the container's last monitor did not come to its end.
    fn was_killed(&self, id: &Id) -> Result<bool> {
        Ok(documents::is_unclean(self.roots(), id) && !documents::has_monitor(self.roots(), id)?)
    }

    /// Removes a container that a killed command had half made or half removed: a directory
    /// without a record that nobody works on. Whether there was one.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(crate) fn discard_half(&self, id: &Id) -> Result<bool> {
        let Some(_guard) = lock::try_acquire(self.roots(), Lock::Container(id.as_str()))? else {
            return Ok(false);
        };
        let is_half = !documents::record_path(self.roots(), id).exists();
        if is_half {
            cleanup::discard(self.roots(), id)?;
        }
        Ok(is_half)
    }

    /// As `settled`, for who holds the container's lock.
    pub(super) fn settle_locked(&self, guard: &Guard, id: &Id) -> Result<Container> {
        // Under the lock the documents are read again: the monitor may have left by itself, or
        // somebody else may have settled it.
        let container = self.read(id)?;
        if documents::has_monitor(self.roots(), id)? {
            return Ok(container);
        }
        if !container.state.status.is_active() {
            if documents::is_unclean(self.roots(), id) {
                return self.take_back(container);
            }
            return Ok(container);
        }
        let between_runs = container.state.status == Status::Restarting;
        if is_alive(&container.state) || (between_runs && is_of_this_boot(&container.state)) {
            self.run_monitor(guard, id, Mode::Adopt, None)?;
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
        cleanup::log_rest(roots, &container.record);
        let errors = cleanup::release(roots, &container.record, &container.state);
        let state = &mut container.state;
        state.status = Status::Exited;
        state.pid = None;
        state.stopping = None;
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
        failpoint::reached(Point::Buried);
        cleanup::announce(
            roots,
            &container.record,
            "die",
            Some(("exitCode", UNKNOWN_EXIT)),
        );
        self.take_back(container)
    }

    /// What the last monitor would have done last: it was killed on the way up, or down.
    fn take_back(&self, container: Container) -> Result<Container> {
        let roots = self.roots();
        let id = &container.record.id;
        cleanup::log_rest(roots, &container.record);
        let _tried_again_by_the_next_start =
            cleanup::release(roots, &container.record, &container.state);
        if container.record.spec.auto_remove && container.state.status == Status::Exited {
            let name = container.record.name.clone();
            cleanup::remove(roots, container, true)?;
            return Err(no_such_container(&name));
        }
        cleanup::remove_sockets(roots, id);
        Ok(container)
    }
}

fn is_dead(status: Status) -> bool {
    matches!(status, Status::Dead | Status::Removing)
}

/// Whether process 1 is still the one that was started: same boot, same pid, same start time,
/// and no zombie.
fn is_alive(state: &State) -> bool {
    let Some(pid) = state.pid else { return false };
    is_of_this_boot(state)
        && sys::process::start_time(pid).is_ok_and(|time| time == state.pid_start_time)
        && !is_zombie(pid)
}

/// A state of another boot tells of what the boot has ended, a wait for the next run included.
fn is_of_this_boot(state: &State) -> bool {
    sys::process::boot_id().is_ok_and(|boot| boot == state.boot_id)
}

fn is_zombie(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let letter = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    matches!(letter, None | Some('Z' | 'X'))
}
