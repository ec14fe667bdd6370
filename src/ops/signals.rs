//! Signals as events: nothing runs inside a handler.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use ketch_runtime::cancel::Cancel;
use ketch_runtime::sys::signal;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};

use super::{Error, Result};

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGQUIT: i32 = 3;
const SIGUSR1: i32 = 10;
const SIGUSR2: i32 = 12;
const SIGTERM: i32 = 15;
const SIGWINCH: i32 = 28;
/// Those that mean something to us.
const OURS: [i32; 3] = [SIGINT, SIGTERM, SIGWINCH];
/// Those that may mean something to a container, unless whoever started us ignores them.
const PASSED_ON: [i32; 4] = [SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2];

/// What signals have done so far. One thread reads them for the whole program.
#[derive(Debug, Clone)]
pub struct Signals {
    first: Cancel,
    second: Cancel,
    /// Somebody acts on the second signal; else it ends the program on the spot.
    second_is_awaited: Arc<AtomicBool>,
    resized: Arc<Mutex<Option<Cancel>>>,
    /// Who is given every signal in place of all that.
    taker: Arc<Mutex<Option<Sender<i32>>>>,
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
            taker: Arc::default(),
        })
    }

    /// Blocks the signals and starts the reader. Must be called before any other thread is made:
    /// threads inherit the mask, and a thread without it would take the default action.
    ///
    /// # Errors
    /// When the kernel gives no signalfd.
    pub fn install() -> Result<Self> {
        let others = PASSED_ON.into_iter().filter(|it| !signal::is_ignored(*it));
        let blocked: Vec<i32> = OURS.into_iter().chain(others).collect();
        let fd = signal::signalfd(&blocked).map_err(ketch_runtime::error::Error::from)?;
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

    /// Every signal from now on but SIGWINCH, for somebody who passes them on; they do nothing
    /// else until the receiver is dropped.
    pub fn taken(&self) -> Receiver<i32> {
        let (sender, receiver) = channel();
        *self.taker.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        receiver
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
        } else if self.is_passed_on(signal) {
            // Somebody else's now.
        } else if signal != SIGINT && signal != SIGTERM {
            die_of(signal);
        } else if !self.first.is_cancelled() {
            self.first.cancel();
        } else if self.second_is_awaited.load(Ordering::SeqCst) && !self.second.is_cancelled() {
            self.second.cancel();
        } else {
            die_of(signal);
        }
    }

    fn is_passed_on(&self, signal: i32) -> bool {
        let taker = self.taker.lock().unwrap_or_else(PoisonError::into_inner);
        taker
            .as_ref()
            .is_some_and(|taker| taker.send(signal).is_ok())
    }
}

/// Ends the program as if the signal had never been blocked.
fn die_of(signal: i32) {
    let _still_blocked = signal::reset();
    let signal = match signal {
        SIGHUP => Signal::HUP,
        SIGQUIT => Signal::QUIT,
        SIGUSR1 => Signal::USR1,
        SIGUSR2 => Signal::USR2,
        SIGTERM => Signal::TERM,
        _ => Signal::INT,
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

    #[test]
    fn who_takes_signals_has_them_all() {
        let signals = Signals::ignored().unwrap();
        let taken = signals.taken();
        for signal in [SIGINT, SIGHUP, SIGINT] {
            signals.take(signal);
            assert_eq!(taken.try_recv(), Ok(signal));
        }
        assert!(!signals.first().is_cancelled());
        drop(taken);
        signals.take(SIGTERM);
        assert!(signals.first().is_cancelled());
    }
}
