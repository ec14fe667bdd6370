//! Reading ahead: a second thread decompresses and digests a stream while this one writes files.
//!
//! Both take about as long, so that an archive is unpacked in half of the time. The pieces go
//! round in a ring of few, which bounds what is held in memory.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use crate::content::digest::{Digest, Digesting};

const PIECE_BYTES: usize = 256 << 10;
const PIECES: usize = 4;

/// The end of the one who writes files: a stream as any other.
#[derive(Debug)]
pub(crate) struct Ahead {
    filled: Receiver<io::Result<Vec<u8>>>,
    used: Sender<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
}

/// The end of the one who reads ahead.
#[derive(Debug)]
pub(crate) struct Filler {
    filled: SyncSender<io::Result<Vec<u8>>>,
    used: Receiver<Vec<u8>>,
}

/// Both ends.
pub(crate) fn pair() -> (Ahead, Filler) {
    let (filled, to_read) = sync_channel(PIECES);
    let (used, to_fill) = channel();
    for _ in 0..PIECES {
        // The other end is right here.
        let _kept = used.send(Vec::new());
    }
    let ahead = Ahead {
        filled: to_read,
        used,
        piece: Vec::new(),
        at: 0,
    };
    let filler = Filler {
        filled,
        used: to_fill,
    };
    (ahead, filler)
}

impl Filler {
    /// Reads to the end, or until nobody wants more; returns the digest of what was read, and how
    /// much that was.
    pub(crate) fn run(self, stream: impl Read) -> (Digest, u64) {
        let mut stream = Digesting::new(stream);
        while let Ok(mut piece) = self.used.recv() {
            piece.resize(PIECE_BYTES, 0);
            let filled = fill(&mut stream, &mut piece);
            let is_last = !matches!(filled, Ok(PIECE_BYTES));
            let filled = filled.map(|count| {
                piece.truncate(count);
                piece
            });
            if self.filled.send(filled).is_err() || is_last {
                break;
            }
        }
        let (_, digest, bytes) = stream.finish();
        (digest, bytes)
    }
}

/// As many bytes as there are and fit.
fn fill(stream: &mut impl Read, piece: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < piece.len() {
        match stream.read(&mut piece[count..]) {
            Ok(0) => break,
            Ok(read) => count += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() {
            // The filler has ended: so has the stream.
            let Ok(next) = self.filled.recv() else {
                return Ok(0);
            };
            let used = std::mem::replace(&mut self.piece, next?);
            self.at = 0;
            // A filler that has ended needs none.
            let _unused = self.used.send(used);
        }
        let count = buffer.len().min(self.piece.len() - self.at);
        buffer[..count].copy_from_slice(&self.piece[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives few bytes at a time, and fails at a place.
    struct Fails {
        left: usize,
    }

    impl Read for Fails {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.left == 0 {
                return Err(io::Error::other("broken here"));
            }
            let count = buffer.len().min(self.left).min(1000);
            self.left -= count;
            Ok(count)
        }
    }

    #[test]
    fn every_byte_comes_once_and_is_digested() {
        for length in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, 9 * PIECE_BYTES + 7] {
            let bytes: Vec<u8> = (0..=250).cycle().take(length).collect();
            let (mut ahead, filler) = pair();
            let (read, digest) = std::thread::scope(|scope| {
                let filler = scope.spawn(|| filler.run(&bytes[..]));
                let mut read = Vec::new();
                ahead.read_to_end(&mut read).unwrap();
                (read, filler.join().unwrap())
            });
            assert!(read == bytes, "{length}");
            assert_eq!(digest, (Digest::of(&bytes), bytes.len() as u64));
        }
    }

    #[test]
    fn an_error_comes_to_the_reader() {
        let (mut ahead, filler) = pair();
        let error = std::thread::scope(|scope| {
            scope.spawn(|| filler.run(Fails { left: 3_000_000 }));
            ahead.read_to_end(&mut Vec::new()).unwrap_err()
        });
        assert_eq!(error.to_string(), "broken here");
    }

    #[test]
    fn who_reads_no_further_stops_the_filler() {
        let (mut ahead, filler) = pair();
        std::thread::scope(|scope| {
            scope.spawn(|| filler.run(io::repeat(7)));
            ahead.read_exact(&mut [0; 10]).unwrap();
            drop(ahead);
        });
    }
}
