//! One run of a health check: a further process in the container and what it prints.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::OFlags;

use super::stdio;
use crate::container::record::{Process, Record};
use crate::error::{Error, ErrorKind, Result};
use crate::init::{self, ExecRequest, Stdio};
use crate::sys;

/// Docker keeps this much of both streams.
const KEPT_BYTES: usize = 4096;

/// A running health check.
#[derive(Debug)]
pub struct Probe {
    pub id: u64,
    pub pid: u32,
    pidfd: OwnedFd,
    output: OwnedFd,
    kept: Vec<u8>,
    more: bool,
}

impl Probe {
    /// Starts the container's health check: its user, directory and variables, no stdin, both
    /// streams in one pipe.
    ///
    /// # Errors
    /// When it cannot be started; that counts as a failure with this text.
    pub fn start(id: u64, record: &Record, init: BorrowedFd<'_>, init_pid: u32) -> Result<Self> {
        let Some(check) = &record.health else {
            return Err(Error::new(ErrorKind::Internal, "no health check"));
        };
        let (output, write) = sys::fd::pipe()?;
        rustix::fs::fcntl_setfl(&output, OFlags::NONBLOCK)?;
        let request = ExecRequest {
            record,
            init,
            init_pid,
            process: Process {
                args: check.args.clone(),
                tty: false,
                stdin_open: false,
                stdin_once: false,
                ..record.process.clone()
            },
            privileged: false,
            stdio: Stdio::Streams {
                stdin: stdio::null()?,
                stdout: sys::fd::duplicate(write.as_fd())?,
                stderr: write,
            },
        };
        let child = init::exec(request)?;
        Ok(Self {
            id,
            pid: child.pid,
            pidfd: child.pidfd,
            output,
            kept: Vec::new(),
            more: false,
        })
    }

    /// Reads what is there, so that the program never waits for us. Whether the pipe is still
    /// open.
    pub fn drain(&mut self) -> bool {
        let mut buffer = [0u8; 1024];
        loop {
            match rustix::io::read(&self.output, &mut buffer) {
                Ok(0) => return false,
                Ok(length) => {
                    let room = KEPT_BYTES - self.kept.len();
                    self.kept.extend_from_slice(&buffer[..length.min(room)]);
                    self.more |= length > room;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return true,
            }
        }
    }

    /// SIGKILL to the process and its group.
    pub fn kill(&self) {
        // It may lead a group of its own; gone already is as good.
        if let Ok(pid) = i32::try_from(self.pid) {
            let _no_group = sys::process::kill(-pid, libc::SIGKILL);
        }
        let _gone = sys::process::pidfd_send_signal(self.pidfd.as_fd(), libc::SIGKILL);
    }

    /// What it printed, once it has ended.
    pub fn into_output(mut self) -> String {
        self.drain();
        let mut text = String::from_utf8_lossy(&self.kept).into_owned();
        if self.more {
            text.push_str("...");
        }
        text
    }
}

impl AsFd for Probe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }
}
