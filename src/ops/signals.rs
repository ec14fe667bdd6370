//! SIGINT, SIGTERM and SIGWINCH as events: nothing runs inside a handler.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use ketch_runtime::cancel::Cancel;
use ketch_runtime::sys::signal;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::{Error, Result};

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;
const SIGWINCH: i32 = 28;

/// What signals have done so far. One thread reads them for the whole program.
#[derive(Debug, Clone)]
pub struct Signals {
    first: Cancel,
    second: Cancel,
    resized: Arc<Mutex<Option<Cancel>>>,
}

impl Signals {
    /// Blocks the signals and starts the reader. Must be called before any other thread is made:
    /// threads inherit the mask, and a thread without it would take the default action.
    ///
    /// # Errors
    /// When the kernel gives no signalfd.
    pub fn install() -> Result<Self> {
        let fd = signal::signalfd(&[SIGINT, SIGTERM, SIGWINCH])
            .map_err(ketch_runtime::error::Error::from)?;
        let signals = Self {
            first: Cancel::new()?,
            second: Cancel::new()?,
            resized: Arc::default(),
        };
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

    /// Cancelled by the second one.
    pub fn second(&self) -> Cancel {
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
        } else if self.first.is_cancelled() {
            self.second.cancel();
        } else {
            self.first.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_signal_is_told_from_the_first() {
        let signals = Signals {
            first: Cancel::new().unwrap(),
            second: Cancel::new().unwrap(),
            resized: Arc::default(),
        };
        signals.take(SIGINT);
        assert!(signals.first().is_cancelled());
        assert!(!signals.second().is_cancelled());
        signals.take(SIGTERM);
        assert!(signals.second().is_cancelled());
        let resize = signals.next_resize().unwrap();
        signals.take(SIGWINCH);
        assert!(resize.is_cancelled());
    }
}
