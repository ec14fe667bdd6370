//! What was taken from a container's stream and may not be in its log yet: a file of the run
//! directory, because what a monitor holds in its memory dies with it.
//!
//! splice(2) moves bytes from the FIFO to the end of the file: in one call of the kernel, which
//! SIGKILL does not cut in two. Each byte is therefore in the FIFO or in the file at any time,
//! and the file's length says how many were ever taken. What is in the log is punched out of
//! the file again, so that it takes no more memory than a pipe does.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::SpliceFlags;

use super::records::Stream;
use crate::error::{Context, Result};

/// What is in the log is given back in steps of this many bytes.
const STEP_BYTES: u64 = 64 * 1024;

/// Where it is kept of a stream.
pub fn path(run: &Path, stream: Stream) -> PathBuf {
    run.join(format!("{}.taken", stream.as_str()))
}

/// The bytes of one stream, each at the place that counts from the container's first.
#[derive(Debug)]
pub struct Taken {
    file: OwnedFd,
    end: u64,
    /// Given back up to here.
    forgotten: u64,
}

impl Taken {
    /// Opens it, new or as another monitor left it.
    ///
    /// # Errors
    /// When the run directory refuses.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)
            .context(|| format!("open {}", path.display()))?;
        let end = u64::try_from(rustix::fs::fstat(&file)?.st_size).unwrap_or(0);
        Ok(Self {
            file,
            end,
            forgotten: end / STEP_BYTES * STEP_BYTES,
        })
    }

    /// How many bytes were ever taken.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Takes what is there, at most `most` bytes.
    ///
    /// # Errors
    /// `EAGAIN` when there is nothing; others when the file can't grow: then nothing was taken.
    pub fn take(&mut self, from: impl AsFd, most: usize) -> Result<usize, Errno> {
        let end = Some(&mut self.end);
        rustix::pipe::splice(from, None, &self.file, end, most, SpliceFlags::NONBLOCK)
    }

    /// Adds all bytes from a place on to `out`.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn read_from(&self, place: u64, out: &mut Vec<u8>) -> Result<()> {
        self.read(place, self.end, out)
    }

    /// Adds the bytes between two places to `out`.
    ///
    /// # Errors
    /// When there are fewer, or they can't be read.
    pub fn read(&self, mut place: u64, end: u64, out: &mut Vec<u8>) -> Result<()> {
        let before = out.len();
        let length = usize::try_from(end.saturating_sub(place)).unwrap_or(usize::MAX);
        out.resize(before + length, 0);
        let mut filled = before;
        while filled < out.len() {
            match rustix::io::pread(&self.file, &mut out[filled..], place) {
                Ok(0) => {
                    out.truncate(before);
                    return Err(Errno::NODATA.into());
                }
                Ok(read) => {
                    filled += read;
                    place += read as u64;
                }
                Err(Errno::INTR) => {}
                Err(errno) => {
                    out.truncate(before);
                    return Err(errno.into());
                }
            }
        }
        Ok(())
    }

    /// What lies before this place is in the log.
    pub fn forget(&mut self, place: u64) {
        let until = place / STEP_BYTES * STEP_BYTES;
        if until > self.forgotten {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let length = until - self.forgotten;
            // Where holes are unknown it goes with the container.
            let _kept = rustix::fs::fallocate(&self.file, flags, self.forgotten, length);
            self.forgotten = until;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn each_byte_is_in_the_pipe_or_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stdout.taken");
        let (read, write) = crate::sys::fd::pipe().unwrap();
        let mut taken = Taken::open(&path).unwrap();
        assert_eq!(taken.take(&read, 100), Err(Errno::AGAIN));
        rustix::io::write(&write, b"one two").unwrap();
        assert_eq!(taken.take(&read, 4), Ok(4));
        assert_eq!(taken.take(&read, 100), Ok(3));
        // Another monitor goes on where this one was.
        let mut taken = Taken::open(&path).unwrap();
        rustix::io::write(&write, b" three").unwrap();
        assert_eq!(taken.take(&read, 100), Ok(6));
        let mut bytes = Vec::new();
        taken.read_from(4, &mut bytes).unwrap();
        assert_eq!(bytes, b"two three");
        assert!(taken.read(4, 100, &mut bytes).is_err());
        assert_eq!(bytes, b"two three");
    }

    #[test]
    fn what_is_in_the_log_takes_no_room() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stdout.taken");
        let (read, write) = crate::sys::fd::pipe().unwrap();
        let mut taken = Taken::open(&path).unwrap();
        for _ in 0..64 {
            rustix::io::write(&write, &[b'x'; 32 * 1024]).unwrap();
            taken.take(&read, 64 * 1024).unwrap();
            taken.forget(taken.end());
        }
        let metadata = path.metadata().unwrap();
        assert_eq!(metadata.len(), 2 << 20);
        assert!(metadata.blocks() * 512 <= 2 * STEP_BYTES, "{metadata:?}");
    }
}
