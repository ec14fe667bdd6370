//! SIGINT, SIGTERM and SIGWINCH as events: nothing runs inside a handler.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use ketch_runtime::cancel::Cancel;
use ketch_runtime::sys::signal;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};

use super::{Error, Result};

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;
const SIGWINCH: i32 = 28;

/// What signals have done so far. One thread reads them for the whole program.
#[derive(Debug, Clone)]
pub struct Signals {
    first: Cancel,
    second: Cancel,
    /// Somebody acts on the second signal; else it ends the program on the spot.
    second_is_awaited: Arc<AtomicBool>,
    resized: Arc<Mutex<Option<Cancel>>>,
}

impl Signals {
    /// Tokens that no signal cancels: for commands without anything to give up, which signals
    /// end as they end any program.
    ///
    /// # Errors
    /// When the process is out of file descriptors.
    pub fn ignored() -> Result<Self> {
        Ok(Self {
            first: Cancel::new()?,
            second: Cancel::new()?,
            second_is_awaited: Arc::default(),
            resized: Arc::default(),
        })
    }

    /// Blocks the signals and starts the reader. Must be called before any other thread is made:
    /// threads inherit the mask, and a thread without it would take the default action.
    ///
    /// # Errors
    /// When the kernel gives no signalfd.
    pub fn install() -> Result<Self> {
        let fd = signal::signalfd(&[SIGINT, SIGTERM, SIGWINCH])
            .map_err(ketch_runtime::error::Error::from)?;
        let signals = Self::ignored()?;
        let seen = signals.clone();
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || seen.read(&fd))
            .map_err(|error| Error::Failed(format!("signal thread: {error}")))?;
        Ok(signals)
    }

    /// Cancelled by the first SIGINT or SIGTERM.
    pub fn first(&self) -> Cancel {
        self.first.clone()
    }

    /// Cancelled by the second one, which then does nothing else.
    pub fn second(&self) -> Cancel {
        self.second_is_awaited.store(true, Ordering::SeqCst);
        self.second.clone()
    }

    /// A token that the next change of the terminal's size cancels.
    ///
    /// # Errors
    /// When the process is out of file descriptors.
    pub fn next_resize(&self) -> Result<Cancel> {
        let token = Cancel::new()?;
        *self.resized.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        Ok(token)
    }

    fn read(&self, fd: &OwnedFd) {
        loop {
            let mut fds = [PollFd::new(fd, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
            while let Ok(Some(received)) = signal::read_signalfd(fd.as_fd()) {
                self.take(received.signal);
            }
        }
    }

    fn take(&self, signal: i32) {
        if signal == SIGWINCH {
            let listener = self
                .resized
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some(token) = listener {
                token.cancel();
            }
        } else if !self.first.is_cancelled() {
            self.first.cancel();
        } else if self.second_is_awaited.load(Ordering::SeqCst) && !self.second.is_cancelled() {
            self.second.cancel();
        } else {
            die_of(signal);
        }
    }
}

/// Ends the program as if the signal had never been blocked.
fn die_of(signal: i32) {
    let _still_blocked = signal::reset();
    let signal = if signal == SIGTERM {
        Signal::TERM
    } else {
        Signal::INT
    };
    let _still_alive = kill_process(getpid(), signal);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_signal_is_told_from_the_first() {
        let signals = Signals::ignored().unwrap();
        signals.take(SIGINT);
        assert!(signals.first().is_cancelled());
        let second = signals.second();
        assert!(!second.is_cancelled());
        signals.take(SIGTERM);
        assert!(second.is_cancelled());
        let resize = signals.next_resize().unwrap();
        signals.take(SIGWINCH);
        assert!(resize.is_cancelled());
    }
}
