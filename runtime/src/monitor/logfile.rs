//! A container's log on disk: Docker's `json-file`, with rotation.
//!
//! `local` is written the same way under its own name, with its own defaults: 20 MiB, five
//! files.
//!
//! No record is lost with a killed monitor, and none is there twice: what is about to be written
//! is noted first (`note`), its bytes are kept until it is (`taken`), and the file's length
//! tells whether it was. The next monitor writes what is missing, to the byte.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use jiff::Timestamp;
use rustix::fs::{Mode, OFlags};

use super::note::{Flight, Note, NoteFile};
use super::records::{self, Stream};
use super::taken::{self, Taken};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::spec::LogSpec;
use crate::store::id::Id;

/// Bytes gathered before they are written.
const BATCH_BYTES: usize = 32 * 1024;
/// How far the log has come, in the run directory.
pub const NOTE: &str = "log.note";

/// What the options of a log driver come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// False for `none`.
    pub keeps: bool,
    pub max_bytes: Option<u64>,
    pub max_files: u32,
    file_name: FileName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileName {
    Json,
    Local,
}

impl Settings {
    /// Reads the options; drivers that we do not have are kept as `json-file`.
    ///
    /// # Errors
    /// `Invalid`, in Docker's words.
    pub fn parse(spec: &LogSpec) -> Result<Self> {
        let mut settings = match spec.driver.as_str() {
            "none" => Self::new(false, None, 1, FileName::Json),
            "local" => Self::new(true, Some(20 << 20), 5, FileName::Local),
            "json-file" | "" => Self::new(true, None, 1, FileName::Json),
            // Somebody else's driver, with options that mean nothing here.
            _ => return Ok(Self::new(true, Some(20 << 20), 5, FileName::Json)),
        };
        settings.read_options(&spec.driver, &spec.options)?;
        Ok(settings)
    }

    fn new(keeps: bool, max_bytes: Option<u64>, max_files: u32, file_name: FileName) -> Self {
        Self {
            keeps,
            max_bytes,
            max_files,
            file_name,
        }
    }

    fn read_options(&mut self, driver: &str, options: &IndexMap<String, String>) -> Result<()> {
        for (key, value) in options {
            match key.as_str() {
                "max-size" => {
                    self.max_bytes = match parse_size(value) {
                        Some(0) | None if value != "-1" => {
                            return Err(invalid("max-size must be a positive number"));
                        }
                        size => size.filter(|_| value != "-1"),
                    };
                }
                "max-file" => {
                    self.max_files = value
                        .parse()
                        .map_err(|_| invalid(format!("invalid value for max-file: {value}")))?;
                    if self.max_files < 1 {
                        return Err(invalid("max-file cannot be less than 1"));
                    }
                }
                "compress" | "labels" | "labels-regex" | "env" | "env-regex" | "tag" | "mode"
                | "max-buffer-size" => {}
                other => {
                    return Err(invalid(format!(
                        "unknown log opt '{other}' for {driver} log driver"
                    )));
                }
            }
        }
        if options.get("compress").is_some_and(|value| value == "true")
            && driver == "json-file"
            && (self.max_files < 2 || self.max_bytes.is_none())
        {
            return Err(invalid(
                "compress cannot be true when max-file is less than 2 or max-size is not set",
            ));
        }
        Ok(())
    }

    /// The file that is written to; rotated ones carry `.1`, the newest, to `.N-1`.
    pub fn path(&self, container: &Path, id: &Id) -> PathBuf {
        container.join("log").join(match self.file_name {
            FileName::Json => format!("{id}-json.log"),
            FileName::Local => "container.log".to_owned(),
        })
    }
}

/// `10m`, `1g`, `500k`, `4096`: Docker's binary units.
fn parse_size(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &lower[digits.len()..] {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    let number: f64 = digits.trim().parse().ok()?;
    if !(0.0..1e15).contains(&number) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked just above"
    )]
    let bytes = (number * f64::from(unit)) as u64;
    Some(bytes)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

/// The path of a rotated file: 0 is the one that is written to.
pub fn rotated(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// The log of a running container, for writing.
#[derive(Debug)]
pub struct LogFile {
    settings: Settings,
    path: PathBuf,
    file: Option<File>,
    size: u64,
    batch: Vec<u8>,
    /// Absent for bytes that no other monitor could read again.
    note_file: Option<NoteFile>,
    /// What it says while nothing is on its way.
    note: Note,
}

impl LogFile {
    /// Opens the log, behind what is there. `run` is where the streams' bytes are kept for
    /// another monitor: what a killed one had begun to write is written to its end.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(settings: Settings, path: PathBuf, run: Option<&Path>) -> Result<Self> {
        let mut log = Self {
            settings,
            path,
            file: None,
            size: 0,
            batch: Vec::new(),
            note_file: None,
            note: Note::default(),
        };
        if log.settings.keeps {
            if let Some(directory) = log.path.parent() {
                crate::store::document::make_directory(directory)?;
            }
            log.reopen()?;
            if let Some(run) = run {
                log.take_over(run);
            }
            log.end_torn_line()?;
        }
        Ok(log)
    }

    fn reopen(&mut self) -> Result<()> {
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
        let file = rustix::fs::open(&self.path, flags, Mode::from_raw_mode(0o640))
            .map(File::from)
            .context(|| format!("open log {}", self.path.display()))?;
        self.size = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    /// Reads the note and finishes what it tells of. Without a note the log is written all the
    /// same, but what is on its way is lost with the monitor.
    fn take_over(&mut self, run: &Path) {
        let Ok((file, note)) = NoteFile::open(&run.join(NOTE)) else {
            return;
        };
        self.note = note;
        if let Some(flight) = self.note.flight.take() {
            self.land(run, &flight);
            self.note.logged[flight.stream as usize] = flight.until;
        }
        if file.write(&self.note).is_ok() {
            self.note_file = Some(file);
        }
    }

    /// Writes what is missing of it. A log of any other length was changed by somebody else;
    /// then nothing is written twice.
    fn land(&mut self, run: &Path, flight: &Flight) {
        let arrived = self.size.checked_sub(flight.base);
        let Some(arrived) = arrived.filter(|arrived| *arrived < flight.length) else {
            return;
        };
        let from = self.note.logged[flight.stream as usize];
        let mut bytes = Vec::new();
        let read = Taken::open(&taken::path(run, flight.stream))
            .and_then(|taken| taken.read(from, flight.until, &mut bytes));
        let mut records = Vec::new();
        records::push_all(&mut records, flight.stream, &bytes, flight.time);
        let is_same = records.len() as u64 == flight.length;
        if let (Ok(()), true, Some(file)) = (read, is_same, &mut self.file) {
            let missing = usize::try_from(arrived).unwrap_or(records.len());
            let _full_disk = file.write_all(&records[missing..]);
            self.size = file.metadata().map_or(self.size, |now| now.len());
        }
    }

    /// After a loss of power the last line may be half there.
    fn end_torn_line(&mut self) -> Result<()> {
        let Some(file) = self.file.as_mut().filter(|_| self.size > 0) else {
            return Ok(());
        };
        let mut last = [0u8];
        std::os::unix::fs::FileExt::read_at(file, &mut last, self.size - 1)?;
        if last != *b"\n" && file.write_all(b"\n").is_ok() {
            self.size += 1;
        }
        Ok(())
    }

    /// How much of a stream is in the log; `None` when nobody keeps account.
    pub fn logged(&self, stream: Stream) -> Option<u64> {
        let accounted = self.note_file.is_some();
        accounted.then(|| self.note.logged[stream as usize])
    }

    /// What lies before this place is never looked at again.
    pub fn skip_to(&mut self, stream: Stream, place: u64) {
        self.note.logged[stream as usize] = place;
        self.write_note();
    }

    fn write_note(&mut self) {
        if let Some(file) = &self.note_file {
            // Then what is on its way is lost with the monitor, and only then.
            let _unwritten = file.write(&self.note);
        }
    }

    /// Adds the whole records among the bytes and returns how many bytes these were. `place` is
    /// where the first one lies in what was taken of the stream; `None` when it is in memory
    /// only. A full disk loses records, never the container.
    pub fn append(&mut self, stream: Stream, place: Option<u64>, bytes: &[u8]) -> usize {
        let time = Timestamp::now();
        let mut done = 0;
        while let Some(length) = records::first(&bytes[done..]) {
            let from = Origin::new(stream, place, done, time);
            self.add(&from, &bytes[done..done + length]);
            done += length;
        }
        self.commit(&Origin::new(stream, place, done, time));
        done
    }

    /// Adds the bytes as a record, whole or not: nothing more comes.
    pub fn append_rest(&mut self, stream: Stream, place: Option<u64>, bytes: &[u8]) {
        if !bytes.is_empty() {
            let time = Timestamp::now();
            self.add(&Origin::new(stream, place, 0, time), bytes);
            self.commit(&Origin::new(stream, place, bytes.len(), time));
        }
    }

    /// Adds a record that lies at `from`, where the batch ends.
    fn add(&mut self, from: &Origin, record: &[u8]) {
        // Checked before a record is written, so that none is ever split.
        let size = self.size + self.batch.len() as u64;
        if self.settings.max_bytes.is_some_and(|limit| size >= limit) {
            self.commit(from);
            self.rotate();
        } else if self.batch.len() >= BATCH_BYTES {
            self.commit(from);
        }
        if self.file.is_some() {
            records::push(&mut self.batch, from.stream, record, from.time);
        }
    }

    /// Hands the batch over to the kernel; `until` is where it ends.
    fn commit(&mut self, until: &Origin) {
        let Some(file) = self.file.as_mut().filter(|_| !self.batch.is_empty()) else {
            return;
        };
        // Somebody may have emptied it.
        let base = file.metadata().map_or(self.size, |now| now.len());
        let length = self.batch.len() as u64;
        if let (Some(note_file), Some(place)) = (&self.note_file, until.place) {
            self.note.flight = Some(Flight {
                stream: until.stream,
                until: place,
                base,
                length,
                time: until.time,
            });
            let _unwritten = note_file.write(&self.note);
            self.note.flight = None;
            self.note.logged[until.stream as usize] = place;
        }
        self.size = base + length;
        if file.write_all(&self.batch).is_err() {
            // Docker drops messages too when the disk is full; there is nobody to tell.
            self.size = keep_whole_records(file, base, &self.batch);
        }
        self.write_note();
        self.batch.clear();
        self.batch.shrink_to(BATCH_BYTES);
    }

    fn rotate(&mut self) {
        let oldest = self.settings.max_files - 1;
        // Up to the first gap: one that a killed monitor left takes what comes before it.
        let is_gap = |number: &u32| !rotated(&self.path, *number).exists();
        let gap = (1..oldest).find(is_gap).unwrap_or(oldest);
        for number in (0..gap).rev() {
            let _absent =
                std::fs::rename(rotated(&self.path, number), rotated(&self.path, number + 1));
        }
        if oldest == 0 {
            let _absent = std::fs::remove_file(&self.path);
        }
        self.size = 0;
        // Then the old file grows on.
        let _refused = self.reopen();
    }
}

/// A place in a stream, and when its bytes came.
struct Origin {
    stream: Stream,
    place: Option<u64>,
    time: Timestamp,
}

impl Origin {
    fn new(stream: Stream, place: Option<u64>, offset: usize, time: Timestamp) -> Self {
        Self {
            stream,
            place: place.map(|place| place + offset as u64),
            time,
        }
    }
}

/// Takes half a record away again; says how long the file is then.
fn keep_whole_records(file: &File, base: u64, batch: &[u8]) -> u64 {
    let size = file.metadata().map_or(base, |now| now.len());
    let written = usize::try_from(size.saturating_sub(base)).unwrap_or(0);
    let written = &batch[..written.min(batch.len())];
    let whole = written.iter().rposition(|byte| *byte == b'\n');
    let size = base + whole.map_or(0, |place| place as u64 + 1);
    let _torn = file.set_len(size);
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(options: &[(&str, &str)]) -> LogSpec {
        LogSpec {
            driver: "json-file".into(),
            options: options
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        }
    }

    fn id() -> Id {
        "a".repeat(64).try_into().unwrap()
    }

    #[test]
    fn a_full_file_is_rotated_before_the_record() {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings::parse(&spec(&[("max-size", "120"), ("max-file", "3")])).unwrap();
        let path = settings.path(directory.path(), &id());
        let mut log = LogFile::open(settings, path.clone(), None).unwrap();
        let text = format!("line {}\n", "x".repeat(40)).repeat(8);
        log.append(Stream::Stdout, None, text.as_bytes());
        let lines = |number| {
            std::fs::read_to_string(rotated(&path, number))
                .map(|text| text.lines().count())
                .unwrap_or(0)
        };
        // Two records of about 110 bytes reach the limit of 120.
        assert_eq!([lines(0), lines(1), lines(2), lines(3)], [2, 2, 2, 0]);
    }

    #[test]
    fn a_rotation_that_was_cut_short_drops_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings::parse(&spec(&[("max-size", "10"), ("max-file", "4")])).unwrap();
        let path = settings.path(directory.path(), &id());
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        // Killed when 2 had become 3 and 1 had become 2.
        for number in [0, 2, 3] {
            std::fs::write(rotated(&path, number), format!("0123456789 {number}\n")).unwrap();
        }
        let mut log = LogFile::open(settings, path.clone(), None).unwrap();
        log.append(Stream::Stdout, None, b"next\n");
        for (number, text) in [(1, "0"), (2, "2"), (3, "3")] {
            let found = std::fs::read_to_string(rotated(&path, number)).unwrap();
            assert_eq!(found, format!("0123456789 {text}\n"));
        }
    }

    /// What the next monitor makes of it when one was killed with this much of two records in
    /// the log, and a third one begun.
    fn resumed(arrived: usize) -> String {
        let directory = tempfile::tempdir().unwrap();
        let run = directory.path();
        let settings = Settings::parse(&spec(&[])).unwrap();
        let path = settings.path(run, &id());
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        std::fs::write(taken::path(run, Stream::Stderr), "before\none\ntwo\nthr").unwrap();
        let mut records = Vec::new();
        let time = Timestamp::UNIX_EPOCH;
        records::push_all(&mut records, Stream::Stderr, b"one\ntwo\n", time);
        let note = Note {
            logged: [0, 7],
            flight: Some(Flight {
                stream: Stream::Stderr,
                until: 15,
                base: 5,
                length: records.len() as u64,
                time,
            }),
        };
        NoteFile::open(&run.join(NOTE))
            .unwrap()
            .0
            .write(&note)
            .unwrap();
        std::fs::write(&path, [b"past\n", &records[..arrived]].concat()).unwrap();
        for _ in 0..2 {
            let log = LogFile::open(settings.clone(), path.clone(), Some(run)).unwrap();
            assert_eq!(log.logged(Stream::Stderr), Some(15));
        }
        let mut log = LogFile::open(settings, path.clone(), Some(run)).unwrap();
        crate::monitor::stdio::log_rest(run, &mut log);
        let text = std::fs::read_to_string(path).unwrap();
        let (written, rest) = text.split_at(5 + records.len());
        assert_eq!(written.as_bytes(), [&b"past\n"[..], &records].concat());
        rest.to_owned()
    }

    #[test]
    fn what_a_killed_monitor_was_writing_is_written_once_and_to_its_end() {
        let mut whole = Vec::new();
        let time = Timestamp::UNIX_EPOCH;
        records::push_all(&mut whole, Stream::Stderr, b"one\ntwo\n", time);
        for arrived in 0..=whole.len() {
            let rest = resumed(arrived);
            assert!(rest.starts_with("{\"log\":\"thr\",\"stream\":\"stderr\""));
            assert_eq!(rest.lines().count(), 1, "{arrived}: {rest}");
        }
    }

    #[test]
    fn a_log_that_somebody_emptied_is_not_filled_again() {
        let directory = tempfile::tempdir().unwrap();
        let run = directory.path();
        let settings = Settings::parse(&spec(&[])).unwrap();
        let path = run.join("log");
        std::fs::write(taken::path(run, Stream::Stdout), "one\ntwo\n").unwrap();
        let mut log = LogFile::open(settings.clone(), path.clone(), Some(run)).unwrap();
        assert_eq!(log.append(Stream::Stdout, Some(0), b"one\n"), 4);
        File::create(&path).unwrap();
        let log = LogFile::open(settings, path.clone(), Some(run)).unwrap();
        assert_eq!(log.logged(Stream::Stdout), Some(4));
        assert_eq!(path.metadata().unwrap().len(), 0);
    }

    #[test]
    fn one_file_means_that_the_past_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings::parse(&spec(&[("max-size", "1k")])).unwrap();
        let path = settings.path(directory.path(), &id());
        let mut log = LogFile::open(settings, path.clone(), None).unwrap();
        for _ in 0..100 {
            log.append(Stream::Stderr, None, b"some line\n");
        }
        assert!(std::fs::metadata(&path).unwrap().len() < 1200);
        assert!(!rotated(&path, 1).exists());
    }

    #[test]
    fn a_torn_line_is_ended_before_the_next_record() {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings::parse(&spec(&[])).unwrap();
        let path = settings.path(directory.path(), &id());
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "{\"log\":\"to").unwrap();
        let mut log = LogFile::open(settings, path.clone(), None).unwrap();
        log.append(Stream::Stdout, None, b"x\n");
        assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 2);
    }

    #[test]
    fn bad_options_are_refused_in_dockers_words() {
        let text =
            |options: &[(&str, &str)]| Settings::parse(&spec(options)).unwrap_err().to_string();
        assert_eq!(
            text(&[("max-size", "0")]),
            "max-size must be a positive number"
        );
        assert_eq!(text(&[("max-file", "0")]), "max-file cannot be less than 1");
        assert_eq!(
            text(&[("x", "1")]),
            "unknown log opt 'x' for json-file log driver"
        );
        assert!(text(&[("compress", "true")]).starts_with("compress cannot be true"));
        assert_eq!(parse_size("1.5k"), Some(1536));
        assert_eq!(parse_size("10MB"), Some(10 << 20));
    }
}
