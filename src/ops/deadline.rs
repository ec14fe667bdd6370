//! A wait with an end: `--wait-timeout`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ketch_runtime::cancel::Cancel;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Context, Result};

/// A token that is cancelled with the command's own, or when the time is up.
#[derive(Debug)]
pub struct Deadline {
    pub cancel: Cancel,
    over: Arc<AtomicBool>,
    done: Cancel,
}

impl Deadline {
    /// Begins to count.
    ///
    /// # Errors
    /// When the process is out of file descriptors.
    pub fn after(context: &Context, timeout: Duration) -> Result<Self> {
        let deadline = Self {
            cancel: Cancel::new()?,
            over: Arc::default(),
            done: Cancel::new()?,
        };
        let (cancel, over, done) = (
            deadline.cancel.clone(),
            Arc::clone(&deadline.over),
            deadline.done.clone(),
        );
        let interrupted = context.cancel.clone();
        thread::spawn(move || {
            let wait = Timespec::try_from(timeout).ok();
            let mut fds = [
                PollFd::new(&interrupted, PollFlags::IN),
                PollFd::new(&done, PollFlags::IN),
            ];
            // The signals are blocked in this thread: nothing interrupts the wait.
            let woken = poll(&mut fds, wait.as_ref());
            if !done.is_cancelled() {
                over.store(matches!(woken, Ok(0)), Ordering::SeqCst);
                cancel.cancel();
            }
        });
        Ok(deadline)
    }

    /// Whether it was the time that ended the wait.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.done.cancel();
    }
}
