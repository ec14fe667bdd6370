//! The container's standard streams: FIFOs or a terminal, cut into log records.
//!
//! stdout and stderr are FIFOs in the run directory, opened read-write on both sides: the
//! container sees neither EPIPE nor end of file when its monitor dies, and the monitor that
//! adopts it finds what was written in the meantime.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use jiff::Timestamp;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::logfile::LogFile;
use crate::error::{Context, Result};
use crate::init::Stdio;

/// Docker cuts longer lines into records of this size.
const LONGEST_RECORD: usize = 16 * 1024;
/// Reads in a row before the loop looks at others.
const READS_PER_TURN: u32 = 16;

/// One stream of output on its way into the log.
#[derive(Debug)]
pub struct Output {
    fd: OwnedFd,
    stream: &'static str,
    /// What came since the last newline; made when the first byte comes.
    line: Vec<u8>,
    is_terminal: bool,
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
    /// Kept so that an open stdin never ends.
    pub stdin: Option<OwnedFd>,
}

/// Makes the FIFOs (or finds them) and opens both ends.
///
/// # Errors
/// When the run directory refuses.
pub fn open_streams(run: &Path, stdin_open: bool) -> Result<Streams> {
    let (stdout, child_stdout) = open_fifo(&run.join("stdout.fifo"))?;
    let (stderr, child_stderr) = open_fifo(&run.join("stderr.fifo"))?;
    let (stdin, child_stdin) = if stdin_open {
        let (ours, theirs) = open_fifo(&run.join("stdin.fifo"))?;
        (Some(ours), theirs)
    } else {
        (None, null()?)
    };
    Ok(Streams {
        outputs: vec![
            Output::new(stdout, "stdout", false),
            Output::new(stderr, "stderr", false),
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

impl Output {
    fn new(fd: OwnedFd, stream: &'static str, is_terminal: bool) -> Self {
        Self {
            fd,
            stream,
            line: Vec::new(),
            is_terminal,
        }
    }

    /// The master side of the container's terminal: one stream, logged as stdout.
    ///
    /// # Errors
    /// When the descriptor refuses to become non-blocking.
    pub fn terminal(master: OwnedFd) -> Result<Self> {
        let flags = rustix::fs::fcntl_getfl(&master)?;
        rustix::fs::fcntl_setfl(&master, flags | OFlags::NONBLOCK)?;
        Ok(Self::new(master, "stdout", true))
    }

    /// Moves what is there into the log, at most a turn's worth.
    pub fn drain(&mut self, log: &mut LogFile) -> Flow {
        let mut flow = Flow::Open;
        for _ in 0..READS_PER_TURN {
            match self.read_once(log) {
                Ok(true) => {}
                Ok(false) => break,
                Err(Flow::Open) => break,
                Err(Flow::Ended) => {
                    flow = Flow::Ended;
                    break;
                }
            }
        }
        log.flush();
        flow
    }

    /// The container has ended: takes all that is left, and the last line without its newline.
    pub fn finish(&mut self, log: &mut LogFile) {
        while matches!(self.read_once(log), Ok(true)) {}
        if !self.line.is_empty() {
            log.record(self.stream, &self.line, Timestamp::now());
            self.line.clear();
        }
        log.flush();
    }

    /// Whether something was read.
    fn read_once(&mut self, log: &mut LogFile) -> Result<bool, Flow> {
        let before = self.line.len();
        self.line.resize(LONGEST_RECORD, 0);
        let read = rustix::io::read(&self.fd, &mut self.line[before..]);
        let length = *read.as_ref().unwrap_or(&0);
        self.line.truncate(before + length);
        match read {
            Ok(0) => Err(Flow::Ended),
            Ok(_) => {
                self.cut(before, log);
                Ok(true)
            }
            Err(Errno::INTR) => Ok(true),
            Err(Errno::AGAIN) => Ok(false),
            // A master without slaves says EIO.
            Err(_) => Err(if self.is_terminal {
                Flow::Ended
            } else {
                Flow::Open
            }),
        }
    }

    /// Records whole lines; what is as long as a record may be is one without its newline.
    fn cut(&mut self, searched: usize, log: &mut LogFile) {
        let now = Timestamp::now();
        let mut start = 0;
        let mut from = searched;
        while let Some(place) = self.line[from..].iter().position(|byte| *byte == b'\n') {
            let end = from + place + 1;
            log.record(self.stream, &self.line[start..end], now);
            start = end;
            from = end;
        }
        self.line.drain(..start);
        if self.line.len() >= LONGEST_RECORD {
            log.record(self.stream, &self.line, now);
            self.line.clear();
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
        let mut log = LogFile::open(settings, path.clone()).unwrap();
        let streams = open_streams(directory.path(), false).unwrap();
        let Stdio::Streams { stdout, .. } = streams.ends else {
            panic!("not asked for a terminal");
        };
        let mut outputs = streams.outputs;
        for bytes in writes {
            rustix::io::write(&stdout, bytes).unwrap();
            outputs[0].drain(&mut log);
        }
        outputs[0].finish(&mut log);
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
