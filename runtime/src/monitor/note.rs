//! What a monitor writes down before it writes to the log, so that the next one knows how far
//! it came: how much of each stream is in the log, and which records are on their way.
//!
//! The log itself says whether those have arrived: it has one writer, so its length does.

use std::os::fd::OwnedFd;
use std::path::Path;

use jiff::Timestamp;
use rustix::fs::{Mode, OFlags};

use super::records::Stream;
use crate::error::{Context, Result};

/// The form of the note, in its first bytes.
const FORM: u64 = u64::from_le_bytes(*b"ketchlog");
const FIELDS: usize = 8;
/// In the place of a stream: nothing is on its way.
const NONE: u64 = u64::MAX;

/// How far the log has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Note {
    /// Of each stream, how many bytes are in the log.
    pub logged: [u64; 2],
    pub flight: Option<Flight>,
}

/// Records that are just being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flight {
    pub stream: Stream,
    /// They are the bytes of the stream from what is logged up to here.
    pub until: u64,
    /// The log's length before them.
    pub base: u64,
    /// How long they are in the log.
    pub length: u64,
    pub time: Timestamp,
}

/// The file in the run directory.
#[derive(Debug)]
pub struct NoteFile(OwnedFd);

/// So aligned that it lies in one page: the kernel then copies all of it or, when the monitor is
/// killed before, nothing.
#[repr(align(64))]
struct Bytes([u8; FIELDS * 8]);

impl NoteFile {
    /// Opens it with what it says; a new one says that nothing is logged.
    ///
    /// # Errors
    /// When the run directory refuses.
    pub fn open(path: &Path) -> Result<(Self, Note)> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)
            .context(|| format!("open {}", path.display()))?;
        let mut bytes = Bytes([0; FIELDS * 8]);
        let read = rustix::io::pread(&file, &mut bytes.0, 0)?;
        let note = (read == bytes.0.len())
            .then(|| decode(&bytes))
            .flatten()
            .unwrap_or_default();
        Ok((Self(file), note))
    }

    /// Writes it down.
    ///
    /// # Errors
    /// When there is no room for a new file's first page.
    pub fn write(&self, note: &Note) -> Result<()> {
        rustix::io::pwrite(&self.0, &encode(note).0, 0)?;
        Ok(())
    }
}

fn encode(note: &Note) -> Bytes {
    let [stdout, stderr] = note.logged;
    let mut fields = [FORM, stdout, stderr, NONE, 0, 0, 0, 0];
    if let Some(flight) = &note.flight {
        let nanoseconds = i64::try_from(flight.time.as_nanosecond()).unwrap_or(0);
        fields[3] = flight.stream as u64;
        fields[4] = flight.until;
        fields[5] = flight.base;
        fields[6] = flight.length;
        fields[7] = nanoseconds.cast_unsigned();
    }
    let mut bytes = Bytes([0; FIELDS * 8]);
    for (place, field) in bytes.0.chunks_exact_mut(8).zip(fields) {
        place.copy_from_slice(&field.to_le_bytes());
    }
    bytes
}

fn decode(bytes: &Bytes) -> Option<Note> {
    let mut fields = [0; FIELDS];
    for (field, place) in fields.iter_mut().zip(bytes.0.as_chunks().0) {
        *field = u64::from_le_bytes(*place);
    }
    let [form, stdout, stderr, stream, until, base, length, time] = fields;
    if form != FORM {
        return None;
    }
    let stream = Stream::ALL.into_iter().find(|one| *one as u64 == stream);
    let time = Timestamp::from_nanosecond(i128::from(time.cast_signed())).ok()?;
    Some(Note {
        logged: [stdout, stderr],
        flight: stream.map(|stream| Flight {
            stream,
            until,
            base,
            length,
            time,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written_and_a_new_one_says_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.note");
        let (file, mut note) = NoteFile::open(&path).unwrap();
        assert_eq!(note, Note::default());
        note.logged = [7, 1 << 40];
        file.write(&note).unwrap();
        assert_eq!(NoteFile::open(&path).unwrap().1, note);
        note.flight = Some(Flight {
            stream: Stream::Stderr,
            until: 9,
            base: 1 << 33,
            length: 100,
            time: "2026-08-01T12:00:00.123456789Z".parse().unwrap(),
        });
        file.write(&note).unwrap();
        assert_eq!(NoteFile::open(&path).unwrap().1, note);
        std::fs::write(&path, [1; 64]).unwrap();
        assert_eq!(NoteFile::open(&path).unwrap().1, Note::default());
    }
}
