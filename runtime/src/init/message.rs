//! What parent and child say to each other over their socket.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::sys::fd::{recv_with_fds, send_with_fds};

/// One message.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Message {
    /// To the child: it is in its cgroup.
    Joined,
    /// To the child, meeting point 2: cgroup, limits and network are in place.
    Go,
    /// To the parent, meeting point 3: everything but the exec is done. A terminal's master comes
    /// along. What follows is the end of the socket (exec done) or `Failed`.
    Ready,
    /// To the parent: why it ended.
    Failed { kind: ErrorKind, text: String },
}

/// Error texts are cut to this length.
const MAX_TEXT: usize = 4096;

/// Sends one message.
pub(super) fn send(socket: &OwnedFd, message: &Message, fds: &[BorrowedFd<'_>]) -> Result<()> {
    let bytes = serde_json::to_vec(message)
        .map_err(|e| Error::with_source(ErrorKind::Internal, "encode message", e))?;
    send_with_fds(socket.as_fd(), &bytes, fds)?;
    Ok(())
}

/// Tells the parent why the child ends.
pub(super) fn send_failure(socket: &OwnedFd, error: &Error) {
    let mut text = error.to_string();
    let end = (0..=MAX_TEXT.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or(0);
    text.truncate(end);
    let message = Message::Failed {
        kind: error.kind(),
        text,
    };
    // Nobody is left to be told about a failure to tell.
    let _parent_gone = send(socket, &message, &[]);
}

/// Receives one message; `None` at the end.
pub(super) fn receive(socket: &OwnedFd) -> Result<Option<(Message, Vec<OwnedFd>)>> {
    // Escapes may make the text longer.
    let mut buffer = vec![0; 8 * MAX_TEXT];
    let (length, fds) = match recv_with_fds(socket.as_fd(), &mut buffer) {
        // The peer has ended without reading all of ours. What it sent is still to be had.
        Err(error) if error.is(libc::ECONNRESET) => recv_with_fds(socket.as_fd(), &mut buffer)?,
        other => other?,
    };
    if length == 0 {
        return Ok(None);
    }
    let message = serde_json::from_slice(&buffer[..length])
        .map_err(|e| Error::with_source(ErrorKind::Internal, "decode message", e))?;
    Ok(Some((message, fds)))
}

/// Docker judges a failed start by its text (spec runtime.md 13.4): the kind that gives the same
/// exit code.
pub(super) fn classify(kind: ErrorKind, text: &str) -> ErrorKind {
    if matches!(kind, ErrorKind::CommandNotFound | ErrorKind::NotExecutable) {
        return kind;
    }
    let lower = text.to_lowercase();
    let has = |words: &str| lower.contains(words);
    if has("permission denied") || has("is a directory") {
        ErrorKind::NotExecutable
    } else if has("not a directory")
        || has("executable file not found")
        || has("no such file or directory")
    {
        ErrorKind::CommandNotFound
    } else {
        kind
    }
}
