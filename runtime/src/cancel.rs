//! Giving up on a wait: one token, cancelled once, seen by every poll.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use crate::error::Result;

/// A token that many waits can watch. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Cancel(Arc<OwnedFd>);

impl Cancel {
    /// A token that nobody has cancelled yet.
    ///
    /// # Errors
    /// When the process is out of file descriptors.
    pub fn new() -> Result<Self> {
        Ok(Self(Arc::new(eventfd(
            0,
            EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK,
        )?)))
    }

    /// Ends every wait that watches this token, now and later.
    pub fn cancel(&self) {
        // The counter can only overflow after 2^64 - 1 calls; then it is already readable.
        let _already_set = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Whether [`Cancel::cancel`] has been called.
    pub fn is_cancelled(&self) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        matches!(
            poll(
                &mut fds,
                Some(&rustix::time::Timespec {
                    tv_sec: 0,
                    tv_nsec: 0
                })
            ),
            Ok(1)
        )
    }
}

impl AsFd for Cancel {
    /// Readable once cancelled: for poll and epoll.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_sees_the_cancellation_for_good() {
        let cancel = Cancel::new().unwrap();
        let seen = cancel.clone();
        assert!(!seen.is_cancelled());
        cancel.cancel();
        assert!(seen.is_cancelled());
        assert!(seen.is_cancelled());
    }
}
