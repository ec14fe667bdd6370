//! Who is shown what the container writes as it comes: the other ends of `attach`.
//!
//! Each listener reads from a pipe. One that does not read holds the container up, as a terminal
//! that has been stopped holds up its program: nothing is lost and nothing piles up here. One
//! that is gone is forgotten.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, OFlags};
use rustix::io::Errno;

use super::records::Stream;
use crate::error::Result;

/// All listeners of one container.
#[derive(Debug, Default)]
pub struct Audience {
    listeners: Vec<Listener>,
}

/// One stream on its way to one client.
#[derive(Debug)]
pub struct Listener {
    /// The client's connection.
    pub connection: u64,
    /// What it is waited for with, while it is behind.
    pub token: Option<u64>,
    stream: Stream,
    pipe: OwnedFd,
    /// What it did not take yet.
    late: Vec<u8>,
    gone: bool,
}

impl Audience {
    /// Adds a listener.
    ///
    /// # Errors
    /// When its pipe refuses to become non-blocking.
    pub fn join(&mut self, connection: u64, stream: Stream, pipe: OwnedFd) -> Result<()> {
        let flags = rustix::fs::fcntl_getfl(&pipe)?;
        rustix::fs::fcntl_setfl(&pipe, flags | OFlags::NONBLOCK)?;
        self.listeners.push(Listener {
            connection,
            token: None,
            stream,
            pipe,
            late: Vec::new(),
            gone: false,
        });
        Ok(())
    }

    /// Gives all of a stream's listeners what was written.
    pub fn hear(&mut self, stream: Stream, bytes: &[u8]) {
        for listener in &mut self.listeners {
            if listener.stream == stream {
                listener.hear(bytes);
            }
        }
    }

    /// Whether somebody has to read before more is taken from the container.
    pub fn is_behind(&self, stream: Stream) -> bool {
        self.listeners
            .iter()
            .any(|listener| listener.stream == stream && listener.is_behind())
    }

    /// The pipe that is waited for with this token can take more, or nobody reads it any more.
    pub fn ready(&mut self, token: u64) {
        for listener in &mut self.listeners {
            if listener.token == Some(token) {
                let late = std::mem::take(&mut listener.late);
                listener.hear(&late);
            }
        }
    }

    /// All of them, to be waited for or no longer.
    pub fn listeners(&mut self) -> impl Iterator<Item = &mut Listener> {
        self.listeners.iter_mut()
    }

    /// Those whose reader is gone, and those of this connection.
    pub fn leave(&mut self, connection: Option<u64>) -> Vec<Listener> {
        self.listeners
            .extract_if(.., |listener| {
                listener.gone || Some(listener.connection) == connection
            })
            .collect()
    }
}

impl Listener {
    pub fn is_behind(&self) -> bool {
        !self.late.is_empty() && !self.gone
    }

    fn hear(&mut self, bytes: &[u8]) {
        let mut left = bytes;
        // Behind is behind: nothing overtakes.
        while self.late.is_empty() && !self.gone && !left.is_empty() {
            match rustix::io::write(&self.pipe, left) {
                Ok(written) => left = &left[written..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => self.gone = true,
            }
        }
        if !self.gone {
            self.late.extend_from_slice(left);
        }
    }

    /// What it did not take, as a file: the monitor waits for nobody when the container has ended.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn rest(&self) -> Result<OwnedFd> {
        let memory = rustix::fs::memfd_create("rest", MemfdFlags::CLOEXEC)?;
        let mut file = File::from(memory);
        file.write_all(&self.late)
            .and_then(|()| file.rewind())
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        Ok(file.into())
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_slow_reader_holds_up_its_stream_and_gets_all_of_it() {
        let mut audience = Audience::default();
        let (read, write) = crate::sys::fd::pipe().unwrap();
        audience.join(1, Stream::Stdout, write).unwrap();
        let sent: Vec<u8> = (0..200_000u32).map(|at| at.to_le_bytes()[0]).collect();
        audience.hear(Stream::Stdout, &sent[..150_000]);
        audience.hear(Stream::Stdout, &sent[150_000..]);
        assert!(audience.is_behind(Stream::Stdout) && !audience.is_behind(Stream::Stderr));

        let mut got = vec![0; 4096];
        let mut from = File::from(read);
        from.read_exact(&mut got).unwrap();
        audience.listeners().next().unwrap().token = Some(7);
        audience.ready(7);
        let left = audience.leave(Some(1)).remove(0);
        let rest = left.rest().unwrap();
        drop(left);
        from.read_to_end(&mut got).unwrap();
        File::from(rest).read_to_end(&mut got).unwrap();
        assert!(got == sent);
    }

    #[test]
    fn who_is_gone_holds_nobody_up() {
        let mut audience = Audience::default();
        let (read, write) = crate::sys::fd::pipe().unwrap();
        audience.join(1, Stream::Stderr, write).unwrap();
        drop(read);
        audience.hear(Stream::Stderr, b"x");
        assert!(!audience.is_behind(Stream::Stderr));
        assert_eq!(audience.leave(None).len(), 1);
    }
}
