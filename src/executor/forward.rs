//! Passing a cancellation on to someone who waits for one thing only.

use std::thread::{Scope, ScopedJoinHandle};

use ketch_runtime::cancel::Cancel;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// A thread that calls a function when a [`Cancel`] comes, until it is told to end.
pub(super) struct Forwarder<'scope> {
    ended: Cancel,
    _thread: ScopedJoinHandle<'scope, ()>,
}

impl<'scope> Forwarder<'scope> {
    /// `None` when the process is out of file descriptors: then there is no early end.
    pub(super) fn spawn(
        scope: &'scope Scope<'scope, '_>,
        from: &'scope Cancel,
        pass_on: impl FnOnce() + Send + 'scope,
    ) -> Option<Self> {
        let ended = Cancel::new().ok()?;
        let seen = ended.clone();
        let thread = scope.spawn(move || {
            wait_for_either(from, &seen);
            if from.is_cancelled() {
                pass_on();
            }
        });
        Some(Self {
            ended,
            _thread: thread,
        })
    }
}

impl Drop for Forwarder<'_> {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

fn wait_for_either(one: &Cancel, other: &Cancel) {
    let mut fds = [
        PollFd::new(one, PollFlags::IN),
        PollFd::new(other, PollFlags::IN),
    ];
    while let Err(Errno::INTR) = poll(&mut fds, None) {}
}
