//! Between our standard streams and a program in a container.
//!
//! The container is never given our own terminal or files: bytes are carried between ours and
//! pipes, or the terminal that the engine made in the container's own devpts.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{self, OptionalActions, Termios, Winsize};

use super::Result;
use super::detach_keys::{Keys, Typed};
use super::signals::Signals;
use crate::ui::Unwritten;

/// How long output may still come after the process ended: something it left behind may hold a pipe.
const LAST_OUTPUT: Duration = Duration::from_secs(2);

/// What is said when the keys to leave were typed.
pub(super) const LEFT_BY_KEYS: &str = "read escape sequence";

/// Rows and columns of our terminal, when there is one that knows.
pub(super) fn size() -> Option<(u16, u16)> {
    let size = termios::tcgetwinsize(rustix::stdio::stdin()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

/// Carries our stdin to a program until either side ends, or the keys to leave are typed: then
/// `left` is called. Nothing waits for this thread: a read of stdin can't be taken back, and the
/// process ends with the command.
pub(super) fn carry_input(
    to: impl Write + Send + 'static,
    keys: Option<Keys>,
    left: impl FnOnce() + Send + 'static,
) {
    let (mut to, mut keys) = (to, keys);
    thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut buffer = [0; 16 * 1024];
        while let Ok(read @ 1..) = stdin.read(&mut buffer) {
            let typed = match &mut keys {
                Some(keys) => keys.typed(&buffer[..read]),
                None => Typed::passed(&buffer[..read]),
            };
            if to.write_all(&typed.bytes).is_err() {
                break;
            }
            if typed.left {
                return left();
            }
        }
    });
}

/// Carries what a program writes until it ends.
///
/// # Errors
/// When ours can't be written.
pub(super) fn carry_output(
    from: impl Read,
    mut to: impl FnMut(&[u8]) -> Result<(), Unwritten>,
) -> Result<(), Unwritten> {
    let mut from = from;
    let mut buffer = [0; 16 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => to(&buffer[..read])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A terminal whose other side is gone gives EIO.
            Err(_) => return Ok(()),
        }
    }
}

/// Waits for the last of the output. A reader that went away is the program's own affair.
///
/// # Errors
/// When ours could not be written.
pub(super) fn wait_for_output(
    ended: &Receiver<Result<(), Unwritten>>,
    streams: usize,
) -> Result<()> {
    for _ in 0..streams {
        match ended.recv_timeout(LAST_OUTPUT) {
            Ok(Err(failed @ Unwritten::Failed(_))) => return Err(failed.into()),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    Ok(())
}

/// Tells the container's terminal whenever ours changes its size.
pub(super) fn follow_size(signals: Signals, terminal: OwnedFd) {
    thread::spawn(move || {
        while let Ok(resized) = signals.next_resize() {
            let mut fds = [PollFd::new(&resized, PollFlags::IN)];
            if let Err(error) = poll(&mut fds, None)
                && error != rustix::io::Errno::INTR
            {
                break;
            }
            if let Ok(size) = termios::tcgetwinsize(rustix::stdio::stdin())
                && termios::tcsetwinsize(&terminal, size).is_err()
            {
                break;
            }
        }
    });
}

/// Gives a terminal the size of ours, by way of another one: its program draws anew.
pub(super) fn redraw(terminal: impl AsFd) {
    let Some((rows, columns)) = size() else {
        return;
    };
    for rows in [rows.saturating_add(1), rows] {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let _gone_with_its_program = termios::tcsetwinsize(&terminal, size);
    }
}

/// A descriptor that does not block, because others have it too, as one that does.
pub(super) struct Patient(pub(super) OwnedFd);

impl Write for Patient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match rustix::io::write(&self.0, bytes) {
                Ok(written) => return Ok(written),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    let mut fds = [PollFd::new(&self.0, PollFlags::OUT)];
                    match poll(&mut fds, None) {
                        Ok(_) | Err(rustix::io::Errno::INTR) => {}
                        Err(errno) => return Err(errno.into()),
                    }
                }
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Our terminal passes every byte on as it is, until this is dropped.
pub(super) struct Raw(Option<Termios>);

impl Raw {
    pub(super) fn enter() -> Self {
        let stdin = rustix::stdio::stdin();
        let Ok(before) = termios::tcgetattr(stdin) else {
            return Self(None);
        };
        let mut raw = before.clone();
        raw.make_raw();
        match termios::tcsetattr(stdin, OptionalActions::Now, &raw) {
            Ok(()) => Self(Some(before)),
            Err(_) => Self(None),
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let stdin = rustix::stdio::stdin();
            let _gone_with_the_terminal = termios::tcsetattr(stdin, OptionalActions::Drain, before);
        }
    }
}
