//! The thread that moves bytes between us and registries; callers wait for it as for a file.
//!
//! Whatever is waited for ends when the caller gives up ([`Cancel`]).

use std::future::Future;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

use crate::cancel::Cancel;
use crate::error::{Context, Error, ErrorKind, Result};

/// Running threads; ended and joined when dropped.
#[derive(Debug)]
pub(super) struct Io {
    handle: Handle,
    cancelled: watch::Receiver<bool>,
    /// Ends both threads.
    stop: Cancel,
    done: Option<watch::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Io {
    /// Starts the thread, and another that knows when the caller gives up.
    pub(super) fn new(cancel: Option<Cancel>) -> Result<Self> {
        let failed = || "start the threads for registries".into();
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .context(failed)?;
        let (tell, cancelled) = watch::channel(false);
        let (done, mut is_done) = watch::channel(());
        let mut io = Self {
            handle: runtime.handle().clone(),
            cancelled,
            stop: Cancel::new()?,
            done: Some(done),
            threads: Vec::new(),
        };
        let run = move || {
            // An error says that the other end is gone: the same.
            let _done = runtime.block_on(is_done.changed());
        };
        io.threads.push(spawn(run).context(failed)?);
        if let Some(cancel) = cancel {
            let stop = io.stop.clone();
            let watch = move || {
                if wait_for_either(&cancel, &stop) {
                    // Nobody listens: nothing to end.
                    let _told = tell.send(true);
                }
            };
            io.threads.push(spawn(watch).context(failed)?);
        }
        Ok(io)
    }

    /// Waits for something, unless the caller gives up.
    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        let mut cancelled = self.cancelled.clone();
        self.handle.block_on(async {
            let gave_up = async {
                if cancelled.wait_for(|gave_up| *gave_up).await.is_err() {
                    // Nobody can give up any more.
                    std::future::pending::<()>().await;
                }
            };
            either(work, gave_up)
                .await
                .ok_or_else(|| Error::new(ErrorKind::Cancelled, "cancelled"))
        })
    }

    /// The same with a limit; `None` when it is reached.
    pub(super) fn wait_for<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Result<Option<T>> {
        self.wait(async { tokio::time::timeout(limit, work).await.ok() })
    }

    /// Lets time pass: between two tries.
    pub(super) fn pause(&self, time: Duration) -> Result<()> {
        self.wait(async { tokio::time::sleep(time).await })
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        self.stop.cancel();
        drop(self.done.take());
        for thread in self.threads.drain(..) {
            // They have nothing that can panic, and nobody to tell.
            let _ended = thread.join();
        }
    }
}

fn spawn(run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("registry".into())
        .spawn(run)
}

/// Whether the first was cancelled; false when only the second was.
fn wait_for_either(first: &Cancel, second: &Cancel) -> bool {
    loop {
        let mut fds = [first, second].map(|token| PollFd::new(token, PollFlags::IN));
        match poll(&mut fds, None) {
            Ok(_) => return !fds[0].revents().is_empty(),
            Err(Errno::INTR) => {}
            // No kernel refuses to poll two descriptors.
            Err(_) => return false,
        }
    }
}

/// The first's output, or `None` when the second ends before it.
async fn either<T>(first: impl Future<Output = T>, second: impl Future<Output = ()>) -> Option<T> {
    let mut first = std::pin::pin!(first);
    let mut second = std::pin::pin!(second);
    std::future::poll_fn(move |context| {
        if let std::task::Poll::Ready(output) = first.as_mut().poll(context) {
            return std::task::Poll::Ready(Some(output));
        }
        second.as_mut().poll(context).map(|()| None)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gives_up_waits_no_longer() {
        let cancel = Cancel::new().unwrap();
        let io = Io::new(Some(cancel.clone())).unwrap();
        assert_eq!(io.wait(async { 7 }).unwrap(), 7);
        let canceller = std::thread::spawn(move || cancel.cancel());
        let error = io.wait(std::future::pending::<()>()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        canceller.join().unwrap();
        // And so does who asks later.
        assert!(io.pause(Duration::from_secs(3600)).is_err());
    }

    #[test]
    fn a_limit_ends_a_wait() {
        let io = Io::new(None).unwrap();
        let waited = io.wait_for(Duration::from_millis(1), std::future::pending::<()>());
        assert_eq!(waited.unwrap(), None);
    }
}
