//! Start: our own binary is executed anew as the container's monitor, and says one line.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::container::state::Status;
use crate::engine::Engine;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::failpoint::{self, Point};
use crate::monitor::control::Reply;
use crate::monitor::entry::{ADOPT, ARGV0, START};
use crate::store::id::Id;
use crate::store::lock::{self, Guard, Lock};
use crate::sys;

/// What a new monitor does first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Start,
    /// The container runs; its monitor is dead.
    Adopt,
}

impl Engine {
    /// Starts it and returns once its process runs. A running container is left alone.
    ///
    /// # Errors
    /// In Docker's words: a port that is taken (the container stays `created`), a program
    /// that is not found; what failed is also kept in the container's state.
    pub fn start_container(&self, name: &str) -> Result<()> {
        self.start_with(name, None)
    }

    /// The same for a caller that waits at the other end of a socket for what the monitor says.
    pub(super) fn start_with(&self, name: &str, caller: Option<OwnedFd>) -> Result<()> {
        let id = self.container_id(name)?;
        let guard = lock::acquire(self.roots(), Lock::Container(id.as_str()))?;
        let container = loop {
            // The monitor of the last run may still be stopping it, or cleaning up; one that a
            // killed command had started may still be starting.
            let gone = self.wait_until_gone(&id)?;
            let container = self.settle_locked(&guard, &id)?;
            let active = container.state.status.is_active();
            if container.state.stays() || (gone && !active) {
                break container;
            }
        };
        match container.state.status {
            Status::Paused => {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    "cannot start a paused container, try unpause instead",
                ));
            }
            Status::Running | Status::Restarting => return Ok(()),
            Status::Removing | Status::Dead => {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    "container is marked for removal and cannot be started",
                ));
            }
            Status::Created | Status::Exited => {}
        }
        self.run_monitor(&guard, &id, Mode::Start, caller)
    }

    /// Starts a monitor and waits for its word. The container's lock is the monitor's too until
    /// then: were we killed, nobody would take the container for one that nobody starts.
    pub(super) fn run_monitor(
        &self,
        guard: &Guard,
        id: &Id,
        mode: Mode,
        caller: Option<OwnedFd>,
    ) -> Result<()> {
        let (read, write) = sys::fd::pipe()?;
        let lock = sys::fd::duplicate(guard.as_fd())?;
        self.spawn_monitor(id, mode, [lock, write], caller)?;
        failpoint::reached(Point::MonitorSpawned);
        let mut line = Vec::new();
        File::from(read)
            .read_to_end(&mut line)
            .context(|| "wait for the monitor".into())?;
        failpoint::reached(Point::MonitorHeard);
        match serde_json::from_slice::<Reply>(&line) {
            Ok(reply) => reply.into_result().map(drop),
            Err(_) => Err(Error::new(
                ErrorKind::Internal,
                format!("the monitor of {} died without a word", id.short()),
            )),
        }
    }

    /// The lock is the monitor's standard input and the pipe its standard output, until it has said
    /// its line. It leaves our session by itself.
    fn spawn_monitor(
        &self,
        id: &Id,
        mode: Mode,
        [lock, word]: [OwnedFd; 2],
        caller: Option<OwnedFd>,
    ) -> Result<()> {
        // Processes of the container are forks of the monitor until they exec: none of them may
        // reach the binary itself. Where mounts are refused there are no containers either.
        let sealed = sys::mount::seal_program(self.program())
            .context(|| format!("seal {}", self.program().display()))?;
        let program = PathBuf::from(format!("/proc/self/fd/{}", sealed.as_raw_fd()));
        let mut child = Command::new(program)
            .arg0(ARGV0)
            .arg(match mode {
                Mode::Start => START,
                Mode::Adopt => ADOPT,
            })
            .arg(self.roots().data())
            .arg(self.roots().run())
            .arg(id.as_str())
            .env_clear()
            .envs(failpoint::environment())
            .current_dir("/")
            .stdin(Stdio::from(lock))
            .stdout(Stdio::from(word))
            .stderr(caller.map_or_else(Stdio::null, Stdio::from))
            .spawn()
            .context(|| format!("start a monitor from {}", self.program().display()))?;
        // A caller that lives on must not collect zombies. Nobody waits for this thread.
        let reaper = std::thread::Builder::new()
            .name("reaper".into())
            .stack_size(64 * 1024);
        let _detached = reaper.spawn(move || child.wait());
        Ok(())
    }
}
