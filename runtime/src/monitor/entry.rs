//! The first and the last line of a monitor's life.
//!
//! Started as `ketch-monitor start|adopt DATA RUN ID` with the container's lock as standard input
//! and a pipe as standard output; where standard error is a socket, somebody is attached from the
//! first byte on. It says one line there (started, or why not), lets go of the
//! lock, and then belongs to nobody: its own session, no standard streams, no signals from
//! anybody's terminal.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{FileType, OFlags};

use super::control::{self, Reply};
use super::driver::Driver;
use super::stdio;
use crate::container::documents;
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint::{self, Point};
use crate::store::Roots;
use crate::store::id::Id;
use crate::sys;

/// The name under which our binary is a monitor.
pub const ARGV0: &str = "ketch-monitor";
/// Start the container's process.
pub const START: &str = "start";
/// Take over a container that runs.
pub const ADOPT: &str = "adopt";

/// Runs a monitor to its end. `args` begin after the name.
pub fn run(args: &[OsString]) {
    // Whoever started us reads the reason from the pipe; there is nobody else to tell.
    let Ok(mut word) = detach() else { return };
    failpoint::reached(Point::MonitorDetached);
    if let Err(error) = keep(args, &mut word) {
        word.say(&Reply::failed(&error));
    }
}

/// The line that the caller waits for, said once.
#[derive(Debug)]
pub struct Word {
    pipe: Option<OwnedFd>,
    /// The container's lock: the caller's and ours as long as there is nothing to say.
    lock: Option<OwnedFd>,
    /// Who asked before there was a socket to connect to.
    caller: Option<OwnedFd>,
}

impl Word {
    /// The first connection, given once.
    pub fn take_caller(&mut self) -> Option<OwnedFd> {
        self.caller.take()
    }

    /// Says it; later calls say nothing.
    pub fn say(&mut self, reply: &Reply) {
        drop(self.lock.take());
        if let Some(pipe) = self.pipe.take() {
            let line = serde_json::to_vec(reply).unwrap_or_default();
            // The caller may have been killed; the container does not depend on it.
            let _nobody_listens = File::from(pipe).write_all(&line);
        }
    }
}

/// Leaves the caller's session and streams; keeps the pipe and the lock.
fn detach() -> Result<Word> {
    // Whatever the caller had open is none of our business, and nobody must wait for us to close it.
    sys::fd::close_from(3)?;
    let word = Word {
        pipe: Some(sys::fd::duplicate(std::io::stdout().as_fd())?),
        lock: Some(sys::fd::duplicate(std::io::stdin().as_fd())?),
        caller: caller()?,
    };
    let null = stdio::null()?;
    for number in 0..=2 {
        sys::fd::replace_stdio(null.as_fd(), number)?;
    }
    sys::process::setsid()?;
    sys::process::set_umask(0o022);
    sys::process::become_subreaper()?;
    // A question of the container to its resolver takes a file, and so does each connection to
    // a published port: nobody may use up what is needed to stop the container.
    if let Ok((_, most)) = sys::process::get_limit(0, "nofile") {
        let _as_it_was = sys::process::set_limit(0, "nofile", most, most);
    }
    Ok(word)
}

fn caller() -> Result<Option<OwnedFd>> {
    let stderr = std::io::stderr();
    let mode = rustix::fs::fstat(stderr.as_fd())?.st_mode;
    if !FileType::from_raw_mode(mode).is_socket() {
        return Ok(None);
    }
    let caller = sys::fd::duplicate(stderr.as_fd())?;
    let flags = rustix::fs::fcntl_getfl(&caller)?;
    rustix::fs::fcntl_setfl(&caller, flags | OFlags::NONBLOCK)?;
    Ok(Some(caller))
}

fn keep(args: &[OsString], word: &mut Word) -> Result<()> {
    let [mode, data, run, id] = args else {
        return Err(Error::new(ErrorKind::Invalid, "not for use by hand"));
    };
    let roots = Roots::new(data, run);
    let id = Id::try_from(id.to_string_lossy().into_owned())?;
    let Some(lock) = documents::become_monitor(&roots, &id)? else {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("container {id} has a monitor already"),
        ));
    };
    failpoint::reached(Point::MonitorLocked);
    let container = documents::find(&roots, &id)?
        .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("No such container: {id}")))?;
    let listener = control::listen(&roots, &id)?;
    failpoint::reached(Point::MonitorListening);
    let mut driver = Driver::new(roots, container, listener)?;
    failpoint::reached(Point::LogOpened);
    driver.run(mode == ADOPT, word)?;
    // Held to here: whoever sees the lock free finds everything cleaned up.
    drop(lock);
    Ok(())
}
