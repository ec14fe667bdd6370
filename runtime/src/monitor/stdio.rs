//! The container's standard streams: FIFOs or a terminal, on their way into the log.
//!
//! stdout and stderr are FIFOs in the run directory, opened read-write on both sides: the
//! container sees neither EPIPE nor end of file when its monitor dies, and the monitor that
//! adopts it finds what was written in the meantime, and what was taken and not logged
//! (`taken`). A terminal dies with its monitor, and the container with it: nothing is kept of
//! what was on its way then.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::audience::Audience;
use super::logfile::LogFile;
use super::records::{LONGEST, Stream};
use super::taken::{self, Taken};
use crate::error::{Context, Result};
use crate::init::Stdio;
use crate::sys;

/// How much is taken at once: what a FIFO holds.
const MOST_BYTES: usize = 64 * 1024;
/// How often in a row before the loop looks at others.
const FILLS_PER_TURN: u32 = 4;

/// One stream of output on its way into the log.
#[derive(Debug)]
pub struct Output {
    fd: OwnedFd,
    stream: Stream,
    is_terminal: bool,
    /// Absent when nobody could go on after this monitor.
    taken: Option<Taken>,
    /// What is not in the log yet: between two turns, the begin of a record.
    pending: Vec<u8>,
}

/// Whether more may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Open,
    /// Nobody can write any more (a terminal without processes).
    Ended,
}

/// Both ends of the streams of a container without terminal.
#[derive(Debug)]
pub struct Streams {
    pub outputs: Vec<Output>,
    /// For the container.
    pub ends: Stdio,
    /// Kept so that an open stdin never ends, or not before somebody has been attached to it.
    pub stdin: Option<OwnedFd>,
}

/// What the container reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    Null,
    /// Never ends.
    Open,
    /// Ends with its writers.
    Once,
}

/// Makes the FIFOs (or finds them) and opens both ends.
///
/// # Errors
/// When the run directory refuses.
pub fn open_streams(run: &Path, input: Input) -> Result<Streams> {
    let (stdout, child_stdout) = open_fifo(&run.join("stdout.fifo"))?;
    let (stderr, child_stderr) = open_fifo(&run.join("stderr.fifo"))?;
    let (stdin, child_stdin) = match input {
        Input::Null => (None, null()?),
        Input::Open => {
            let (ours, theirs) = open_fifo(&run.join("stdin.fifo"))?;
            (Some(ours), theirs)
        }
        Input::Once => {
            let (theirs, ours) = sys::fd::pipe()?;
            (Some(ours), theirs)
        }
    };
    Ok(Streams {
        outputs: vec![
            Output::new(stdout, Stream::Stdout),
            Output::new(stderr, Stream::Stderr),
        ],
        ends: Stdio::Streams {
            stdin: child_stdin,
            stdout: child_stdout,
            stderr: child_stderr,
        },
        stdin,
    })
}

/// Two open files on one FIFO: ours does not block, the container's does.
fn open_fifo(path: &Path) -> Result<(OwnedFd, OwnedFd)> {
    match rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno).context(|| format!("create {}", path.display())),
    }
    let open = |more| {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | more;
        rustix::fs::open(path, flags, Mode::empty()).context(|| format!("open {}", path.display()))
    };
    Ok((open(OFlags::NONBLOCK)?, open(OFlags::empty())?))
}

/// The host's /dev/null.
///
/// # Errors
/// When the host has none.
pub fn null() -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    rustix::fs::open("/dev/null", flags, Mode::empty()).context(|| "open /dev/null".into())
}

/// Writes what dead monitors had taken of the streams of a dead container and not logged.
pub fn log_rest(run: &Path, log: &mut LogFile) {
    for stream in Stream::ALL {
        let (Some(logged), Ok(taken)) =
            (log.logged(stream), Taken::open(&taken::path(run, stream)))
        else {
            continue;
        };
        let mut bytes = Vec::new();
        if taken.read_from(logged, &mut bytes).is_ok() {
            let done = log.append(stream, Some(logged), &bytes);
            log.append_rest(stream, Some(logged + done as u64), &bytes[done..]);
        }
    }
}

impl Output {
    fn new(fd: OwnedFd, stream: Stream) -> Self {
        Self {
            fd,
            stream,
            is_terminal: false,
            taken: None,
            pending: Vec::new(),
        }
    }

    /// The master side of the container's terminal: one stream, logged as stdout.
    ///
    /// # Errors
    /// When the descriptor refuses to become non-blocking.
    pub fn terminal(master: OwnedFd) -> Result<Self> {
        let flags = rustix::fs::fcntl_getfl(&master)?;
        rustix::fs::fcntl_setfl(&master, flags | OFlags::NONBLOCK)?;
        Ok(Self {
            is_terminal: true,
            ..Self::new(master, Stream::Stdout)
        })
    }

    /// Goes on where the last monitor was, and from now on loses nothing with this one. Where
    /// the run directory has no room the container is served without that.
    pub fn keep_taken(&mut self, run: &Path, log: &mut LogFile) {
        let Some(logged) = log.logged(self.stream).filter(|_| !self.is_terminal) else {
            return;
        };
        let Ok(taken) = Taken::open(&taken::path(run, self.stream)) else {
            return;
        };
        let read = taken.read_from(logged, &mut self.pending);
        if logged > taken.end() || read.is_err() {
            log.skip_to(self.stream, taken.end());
        }
        self.taken = Some(taken);
        self.log_records(log);
    }

    pub fn stream(&self) -> Stream {
        self.stream
    }

    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Moves what is there into the log and to those who listen, at most a turn's worth.
    pub fn drain(&mut self, log: &mut LogFile, audience: &mut Audience) -> Flow {
        let mut flow = Flow::Open;
        for _ in 0..FILLS_PER_TURN {
            if audience.is_behind(self.stream) {
                break;
            }
            match self.fill(log, audience) {
                Ok(0) => break,
                Ok(_) => self.log_records(log),
                Err(ended) => {
                    flow = ended;
                    break;
                }
            }
        }
        if self.pending.len() < LONGEST {
            self.pending.shrink_to(LONGEST);
        }
        flow
    }

    /// The container has ended: takes all that is left, and the last line without its newline.
    pub fn finish(&mut self, log: &mut LogFile, audience: &mut Audience) {
        while matches!(self.fill(log, audience), Ok(1..)) {
            self.log_records(log);
        }
        log.append_rest(self.stream, self.place(), &self.pending);
        self.pending.clear();
    }

    /// Where what is pending lies in what was taken.
    fn place(&self) -> Option<u64> {
        let taken = self.taken.as_ref()?;
        Some(taken.end() - self.pending.len() as u64)
    }

    /// Adds to what is pending and tells it; says how many bytes came.
    fn fill(&mut self, log: &mut LogFile, audience: &mut Audience) -> Result<usize, Flow> {
        let before = self.pending.len();
        let length = self.take(log)?;
        audience.hear(self.stream, &self.pending[before..]);
        Ok(length)
    }

    fn take(&mut self, log: &mut LogFile) -> Result<usize, Flow> {
        let Some(taken) = &mut self.taken else {
            return self.read();
        };
        let before = taken.end();
        match taken.take(&self.fd, MOST_BYTES) {
            Ok(length) if taken.read_from(before, &mut self.pending).is_ok() => Ok(length),
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            // No room: on without it, and what is pending is not for the next monitor either.
            Ok(_) | Err(_) => {
                log.skip_to(self.stream, taken.end());
                self.taken = None;
                self.read()
            }
        }
    }

    fn read(&mut self) -> Result<usize, Flow> {
        let before = self.pending.len();
        self.pending.resize(before + LONGEST, 0);
        let read = rustix::io::read(&self.fd, &mut self.pending[before..]);
        let length = *read.as_ref().unwrap_or(&0);
        self.pending.truncate(before + length);
        match read {
            Ok(0) => Err(Flow::Ended),
            Ok(length) => Ok(length),
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            // A master without slaves says EIO.
            Err(_) if self.is_terminal => Err(Flow::Ended),
            Err(_) => Err(Flow::Open),
        }
    }

    fn log_records(&mut self, log: &mut LogFile) {
        let done = log.append(self.stream, self.place(), &self.pending);
        self.pending.drain(..done);
        let place = self.place();
        if let (Some(taken), Some(place)) = (&mut self.taken, place) {
            taken.forget(place);
        }
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::logfile::Settings;
    use crate::spec::LogSpec;

    fn logged(writes: &[&[u8]]) -> String {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings::parse(&LogSpec::default()).unwrap();
        let path = directory.path().join("log");
        let run = directory.path();
        let mut log = LogFile::open(settings, path.clone(), Some(run)).unwrap();
        let streams = open_streams(run, Input::Null).unwrap();
        let mut nobody = Audience::default();
        let Stdio::Streams { stdout, .. } = streams.ends else {
            panic!("not asked for a terminal");
        };
        let mut outputs = streams.outputs;
        outputs[0].keep_taken(run, &mut log);
        for bytes in writes {
            rustix::io::write(&stdout, bytes).unwrap();
            outputs[0].drain(&mut log, &mut nobody);
        }
        outputs[0].finish(&mut log, &mut nobody);
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_line_may_come_in_pieces_and_several_at_once() {
        let text = logged(&[b"a", b"b\nc\n", b"\nrest"]);
        let texts: Vec<&str> = text
            .lines()
            .map(|line| line.split("\",\"stream").next().unwrap())
            .collect();
        assert_eq!(
            texts,
            [
                "{\"log\":\"ab\\n",
                "{\"log\":\"c\\n",
                "{\"log\":\"\\n",
                "{\"log\":\"rest"
            ]
        );
    }

    #[test]
    fn a_long_line_is_cut_where_docker_cuts_it() {
        let text = logged(&[&[b'x'; 20_000], b"y\n"]);
        let lengths: Vec<usize> = text.lines().map(|line| line.matches('x').count()).collect();
        assert_eq!(lengths, [16 * 1024, 20_000 - 16 * 1024]);
    }
}
