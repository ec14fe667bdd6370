//! `ctl.sock`: what commands ask of a monitor, and what it answers. Both ends.
//!
//! A SOCK_SEQPACKET socket, 0600 in a 0700 directory; one JSON message a packet, file
//! descriptors beside it where streams are passed on. The first message of a connection
//! carries the version of the protocol, because a monitor goes on running the program it
//! was started with.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::sockopt::Timeout;
use rustix::net::{AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::Uid;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cancel::Cancel;
use crate::container::state::State;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::store::Roots;
use crate::store::id::Id;
use crate::sys;

/// The form of the messages.
pub const VERSION: u32 = 1;
/// No message is longer: five probe results, each byte escaped, are the largest part.
const LONGEST: usize = 192 * 1024;

/// How long a question may wait for room in the monitor's queue.
const LONGEST_SEND: Duration = Duration::from_secs(5);

/// The first message of a connection.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    pub version: u32,
    pub ask: Ask,
}

/// What a command wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Answered when the container has ended.
    Stop {
        signal: i32,
        /// Absent: wait for ever.
        grace: Option<Duration>,
        /// It will be started again: do not remove it, whatever `auto_remove` says.
        keep: bool,
    },
    /// Answered at once; for SIGKILL when the container has ended.
    Kill {
        signal: i32,
    },
    Pause,
    Unpause,
    /// Answered with the state, and again at each change.
    Watch,
    /// The record was rewritten (another name).
    Reload,
    /// Answered with `Started` and then `Exited`.
    Exec(Box<ExecAsk>),
    /// The same for the container's own process.
    Attach(AttachAsk),
}

/// A further process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecAsk {
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub user: Option<String>,
    pub working_dir: Option<String>,
    pub privileged: bool,
    pub stdio: ExecStreams,
}

/// Its standard streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecStreams {
    Detached,
    /// Three file descriptors come with the request.
    Passed,
    /// The master comes with `Started`.
    Terminal {
        rows: u16,
        columns: u16,
    },
}

/// Who is shown what the container writes, and types into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachAsk {
    /// Its standard input, or the terminal, comes with `Started`.
    pub stdin: bool,
    /// For each a pipe comes with the request, and with `Exited` a file of what did not go
    /// through the pipe; or no file at all.
    pub stdout: bool,
    pub stderr: bool,
    /// Rows and columns that the terminal begins with.
    pub size: Option<(u16, u16)>,
}

/// What follows `Exec` on the same connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecNote {
    Signal(i32),
}

/// What the monitor answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    Done,
    Failed { kind: ErrorKind, message: String },
    State(Box<State>),
    Started { pid: u32 },
    Exited { code: i32 },
}

impl Reply {
    /// An error as it travels.
    pub fn failed(error: &Error) -> Self {
        Self::Failed {
            kind: error.kind(),
            message: error.to_string(),
        }
    }

    /// An error that has travelled, or what else was answered.
    ///
    /// # Errors
    /// What the monitor failed with.
    pub fn into_result(self) -> Result<Self> {
        match self {
            Self::Failed { kind, message } => Err(Error::new(kind, message)),
            other => Ok(other),
        }
    }
}

/// The socket's address, however long the path of the run root is: the kernel's limit is 107
/// bytes, so the directory is named by its open descriptor.
fn address(directory: BorrowedFd<'_>) -> Result<SocketAddrUnix> {
    use std::os::fd::AsRawFd as _;
    let path = format!("/proc/self/fd/{}/ctl.sock", directory.as_raw_fd());
    Ok(SocketAddrUnix::new(path)?)
}

fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).context(|| format!("open {}", path.display()))
}

fn socket(flags: SocketFlags) -> Result<OwnedFd> {
    let flags = flags | SocketFlags::CLOEXEC;
    Ok(rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        flags,
        None,
    )?)
}

/// Opens the monitor's end. A socket left behind by a dead monitor is replaced: the caller
/// holds the container's monitor lock.
///
/// # Errors
/// When the socket cannot be made.
pub fn listen(roots: &Roots, id: &Id) -> Result<OwnedFd> {
    let path = roots.container_run(id);
    let _absent = std::fs::remove_file(path.join("ctl.sock"));
    let directory = open_directory(&path)?;
    let listener = socket(SocketFlags::NONBLOCK)?;
    rustix::net::bind(&listener, &address(directory.as_fd())?)?;
    rustix::fs::chmod(path.join("ctl.sock"), Mode::RUSR | Mode::WUSR)?;
    rustix::net::listen(&listener, 64)?;
    Ok(listener)
}

/// Takes the next connection; `None` when there is none, or it was a stranger's.
///
/// # Errors
/// When the socket is broken.
pub fn accept(listener: BorrowedFd<'_>) -> Result<Option<OwnedFd>> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let connection = match rustix::net::accept_with(listener, flags) {
        Ok(connection) => connection,
        Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let trusted = trusts(peer(&connection)?, rustix::process::geteuid());
    Ok(trusted.then_some(connection))
}

/// Whether a monitor of this owner listens to that caller.
fn trusts(caller: Uid, owner: Uid) -> bool {
    caller.is_root() || caller == owner
}

fn peer(socket: &OwnedFd) -> Result<Uid> {
    Ok(rustix::net::sockopt::socket_peercred(socket)?.uid)
}

/// Sends one message.
///
/// # Errors
/// `Unavailable` when the other side reads too slowly or is gone.
pub fn send<T: Serialize>(
    socket: BorrowedFd<'_>,
    message: &T,
    fds: &[BorrowedFd<'_>],
) -> Result<()> {
    let bytes = serde_json::to_vec(message)
        .map_err(|error| Error::with_source(ErrorKind::Internal, "write a message", error))?;
    sys::fd::send_with_fds(socket, &bytes, fds)
        .map_err(|error| Error::with_source(ErrorKind::Unavailable, "send to the peer", error))
}

/// What came in.
#[derive(Debug)]
pub enum Received<T> {
    Message(T, Vec<OwnedFd>),
    /// The other side is gone.
    Closed,
    /// Nothing now.
    Later,
}

/// Reads one message.
///
/// # Errors
/// When it is no message of ours.
pub fn receive<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> Result<Received<T>> {
    let mut buffer = vec![0; LONGEST];
    let (length, fds) = match sys::fd::recv_with_fds(socket, &mut buffer) {
        Ok(received) => received,
        Err(error) if error.is(libc::EAGAIN) => return Ok(Received::Later),
        Err(error) if error.is(libc::ECONNRESET) => return Ok(Received::Closed),
        Err(error) => return Err(error.into()),
    };
    if length == 0 {
        return Ok(Received::Closed);
    }
    let message = serde_json::from_slice(&buffer[..length])
        .map_err(|error| Error::with_source(ErrorKind::Invalid, "unreadable message", error))?;
    Ok(Received::Message(message, fds))
}

/// A reply with its file descriptors; `None` when the monitor has closed the connection.
pub type Answer = Option<(Reply, Vec<OwnedFd>)>;

/// The command's end of a connection.
#[derive(Debug)]
pub struct Client {
    socket: OwnedFd,
}

impl Client {
    /// Connects and asks; `None` when there is no monitor.
    ///
    /// # Errors
    /// When the socket refuses for another reason.
    pub fn ask(roots: &Roots, id: &Id, ask: Ask, fds: &[BorrowedFd<'_>]) -> Result<Option<Self>> {
        let Ok(directory) = open_directory(&roots.container_run(id)) else {
            return Ok(None);
        };
        let socket = socket(SocketFlags::empty())?;
        // A monitor that takes nothing for so long will not take it later either.
        let most = Some(LONGEST_SEND);
        rustix::net::sockopt::set_socket_timeout(&socket, Timeout::Send, most)?;
        match rustix::net::connect(&socket, &address(directory.as_fd())?) {
            Ok(()) => {}
            Err(Errno::NOENT | Errno::CONNREFUSED) => return Ok(None),
            Err(Errno::AGAIN) => {
                let what = "the container's monitor takes no more questions";
                return Err(Error::new(ErrorKind::TimedOut, what));
            }
            Err(errno) => return Err(Error::from(errno).context("connect to the monitor")),
        }
        // It would close the connection without a word, as one does that comes to its end.
        if !trusts(rustix::process::geteuid(), peer(&socket)?) {
            let what = "the container belongs to another user";
            return Err(Error::new(ErrorKind::Denied, what));
        }
        match Self::over(socket, ask, fds) {
            Ok(client) => Ok(Some(client)),
            // It ended between our knocking and our asking.
            Err(error) if error.kind() == ErrorKind::Unavailable => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks over a connection that there is.
    ///
    /// # Errors
    /// `Unavailable` when the other side is gone.
    pub fn over(socket: OwnedFd, ask: Ask, fds: &[BorrowedFd<'_>]) -> Result<Self> {
        let request = Request {
            version: VERSION,
            ask,
        };
        send(socket.as_fd(), &request, fds)?;
        Ok(Self { socket })
    }

    /// Sends what follows.
    ///
    /// # Errors
    /// When the monitor is gone.
    pub fn note(&self, note: ExecNote) -> Result<()> {
        send(self.socket.as_fd(), &note, &[])
    }

    /// Waits for an answer, but not longer than this; `None` when none came.
    ///
    /// # Errors
    /// What the monitor answered.
    pub fn answer_within(&self, most: Duration) -> Result<Option<Answer>> {
        match self.wait_within(most)? {
            true => self.answer(None).map(Some),
            false => Ok(None),
        }
    }

    /// Whether there is an answer within this time, or the end of the connection.
    ///
    /// # Errors
    /// When the kernel refuses to wait.
    pub fn wait_within(&self, most: Duration) -> Result<bool> {
        let timeout = Timespec {
            tv_sec: i64::try_from(most.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(most.subsec_nanos()),
        };
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) => Ok(false),
            Ok(_) => Ok(true),
            Err(Errno::INTR) => self.wait_within(most),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Whether the monitor has read what it was asked; waits until it answers or is gone.
    ///
    /// One that was killed before has done nothing of it, and who asks may ask its successor.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn is_heard(&self) -> Result<bool> {
        loop {
            let mut first = [0_u8];
            match rustix::net::recv(&self.socket, &mut first, RecvFlags::PEEK) {
                Ok(_) => return Ok(true),
                // A socket that is closed with something unread in it tells the other side.
                Err(Errno::CONNRESET) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// The monitor's process.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn monitor_pid(&self) -> Result<u32> {
        let peer = rustix::net::sockopt::socket_peercred(&self.socket)?;
        Ok(peer.pid.as_raw_nonzero().get().unsigned_abs())
    }

    /// Waits for an answer; `None` when the monitor has closed the connection.
    ///
    /// # Errors
    /// `Cancelled`; or what the monitor answered.
    pub fn answer(&self, cancel: Option<&Cancel>) -> Result<Answer> {
        if let Some(cancel) = cancel {
            wait_readable(self.socket.as_fd(), cancel)?;
        }
        match receive::<Reply>(self.socket.as_fd())? {
            Received::Message(reply, fds) => Ok(Some((reply.into_result()?, fds))),
            Received::Closed | Received::Later => Ok(None),
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Waits until `fd` can be read.
///
/// # Errors
/// `Cancelled` when that comes first.
pub fn wait_readable(fd: BorrowedFd<'_>, cancel: &Cancel) -> Result<()> {
    loop {
        let mut fds = [
            PollFd::new(cancel, PollFlags::IN),
            PollFd::from_borrowed_fd(fd, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        if !fds[0].revents().is_empty() {
            return Err(Error::new(ErrorKind::Cancelled, "cancelled"));
        }
        if !fds[1].revents().is_empty() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_travels_with_its_version_and_an_error_keeps_its_kind() {
        let directory = tempfile::tempdir().unwrap();
        // Longer than a socket's address may be.
        let run = directory.path().join("r".repeat(100));
        let roots = Roots::new(directory.path(), run);
        let id = Id::random().unwrap();
        assert!(Client::ask(&roots, &id, Ask::Pause, &[]).unwrap().is_none());

        std::fs::create_dir_all(roots.container_run(&id)).unwrap();
        let listener = listen(&roots, &id).unwrap();
        let socket = roots.container_run(&id).join("ctl.sock");
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&socket.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "nobody else may ask");
        let client = Client::ask(&roots, &id, Ask::Kill { signal: 9 }, &[])
            .unwrap()
            .unwrap();
        let connection = accept(listener.as_fd()).unwrap().unwrap();
        let Received::Message(request, _) = receive::<Request>(connection.as_fd()).unwrap() else {
            panic!("nothing came");
        };
        assert_eq!(request.version, VERSION);
        assert_eq!(request.ask, Ask::Kill { signal: 9 });
        let error = Error::new(ErrorKind::Conflict, "it is paused");
        send(connection.as_fd(), &Reply::failed(&error), &[]).unwrap();
        drop(connection);
        assert_eq!(client.answer(None).unwrap_err().kind(), ErrorKind::Conflict);
        assert!(client.answer(None).unwrap().is_none());
    }
}
