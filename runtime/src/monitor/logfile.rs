//! A container's log on disk: Docker's `json-file`, with rotation.
//!
//! One record a line: `{"log":"text\n","stream":"stdout","time":"…Z"}`, key order fixed. The
//! text is made valid UTF-8 (the format can hold nothing else). `local` is written the same
//! way under its own name, with its own defaults: 20 MiB, five files.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use jiff::Timestamp;
use rustix::fs::{Mode, OFlags};

use crate::error::{Context, Error, ErrorKind, Result};
use crate::spec::LogSpec;
use crate::store::id::Id;

/// Bytes gathered before they are written.
const BATCH_BYTES: usize = 32 * 1024;

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
}

impl LogFile {
    /// Opens the log, behind what is there; a torn last line is ended first.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(settings: Settings, path: PathBuf) -> Result<Self> {
        let mut log = Self {
            settings,
            path,
            file: None,
            size: 0,
            batch: Vec::new(),
        };
        if log.settings.keeps {
            if let Some(directory) = log.path.parent() {
                crate::store::document::make_directory(directory)?;
            }
            log.reopen()?;
        }
        Ok(log)
    }

    fn reopen(&mut self) -> Result<()> {
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
        let file = rustix::fs::open(&self.path, flags, Mode::from_raw_mode(0o640))
            .map(File::from)
            .context(|| format!("open log {}", self.path.display()))?;
        self.size = file.metadata()?.len();
        if self.size > 0 {
            let mut last = [0u8];
            std::os::unix::fs::FileExt::read_at(&file, &mut last, self.size - 1)?;
            if last != *b"\n" {
                self.batch.push(b'\n');
            }
        }
        self.file = Some(file);
        Ok(())
    }

    /// Adds a record; `text` has its newline unless it is part of a longer line. A full disk
    /// loses the record, never the container.
    pub fn record(&mut self, stream: &str, text: &[u8], time: Timestamp) {
        if self.file.is_none() {
            return;
        }
        self.rotate_if_full();
        let before = self.batch.len();
        push_record(&mut self.batch, stream, text, time);
        self.size += (self.batch.len() - before) as u64;
        if self.batch.len() >= BATCH_BYTES {
            self.flush();
        }
    }

    /// Hands everything over to the kernel.
    pub fn flush(&mut self) {
        if let Some(file) = &mut self.file {
            // Docker drops messages too when the disk is full; there is nobody to tell.
            let _dropped = file.write_all(&self.batch);
        }
        self.batch.clear();
        if self.batch.capacity() > 2 * BATCH_BYTES {
            self.batch.shrink_to(BATCH_BYTES);
        }
    }

    /// Checked before a record is written, so that none is ever split.
    fn rotate_if_full(&mut self) {
        let Some(limit) = self.settings.max_bytes else {
            return;
        };
        if self.size < limit {
            return;
        }
        self.flush();
        let oldest = self.settings.max_files - 1;
        for number in (0..oldest).rev() {
            // A gap in the numbers is not an error.
            let _absent =
                std::fs::rename(rotated(&self.path, number), rotated(&self.path, number + 1));
        }
        if oldest == 0 {
            let _absent = std::fs::remove_file(&self.path);
        }
        self.size = 0;
        if self.reopen().is_err() {
            self.size = 0;
        }
    }
}

fn push_record(out: &mut Vec<u8>, stream: &str, text: &[u8], time: Timestamp) {
    out.extend_from_slice(b"{\"log\":\"");
    push_json(out, text);
    out.extend_from_slice(b"\",\"stream\":\"");
    out.extend_from_slice(stream.as_bytes());
    out.extend_from_slice(b"\",\"time\":\"");
    // Writing to memory cannot fail.
    let _infallible = write!(out, "{time}");
    out.extend_from_slice(b"\"}\n");
}

/// Go's JSON text: HTML characters and line separators escaped, invalid bytes replaced.
fn push_json(out: &mut Vec<u8>, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            push_char(out, character);
        }
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

fn push_char(out: &mut Vec<u8>, character: char) {
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        '\u{0}'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
            let _infallible = write!(out, "\\u{:04x}", u32::from(character));
        }
        _ => {
            let mut buffer = [0; 4];
            out.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
        }
    }
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
    fn a_record_looks_as_docker_writes_it() {
        let mut out = Vec::new();
        let time = "2026-08-01T12:00:00.12Z".parse().unwrap();
        push_record(&mut out, "stdout", b"<a> \"b\"\t\xff\x1b[0m\n", time);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"log\":\"\\u003ca\\u003e \\\"b\\\"\\t\\ufffd\\u001b[0m\\n\",\"stream\":\"stdout\",\
             \"time\":\"2026-08-01T12:00:00.12Z\"}\n"
        );
    }

    #[test]
    fn a_full_file_is_rotated_before_the_record() {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings::parse(&spec(&[("max-size", "120"), ("max-file", "3")])).unwrap();
        let path = settings.path(directory.path(), &id());
        let mut log = LogFile::open(settings, path.clone()).unwrap();
        for number in 0..8 {
            let text = format!("line {number} {}\n", "x".repeat(40));
            log.record("stdout", text.as_bytes(), Timestamp::UNIX_EPOCH);
        }
        log.flush();
        let lines = |number| {
            std::fs::read_to_string(rotated(&path, number))
                .map(|text| text.lines().count())
                .unwrap_or(0)
        };
        // Two records of about 110 bytes reach the limit of 120.
        assert_eq!([lines(0), lines(1), lines(2), lines(3)], [2, 2, 2, 0]);
    }

    #[test]
    fn one_file_means_that_the_past_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings::parse(&spec(&[("max-size", "1k")])).unwrap();
        let path = settings.path(directory.path(), &id());
        let mut log = LogFile::open(settings, path.clone()).unwrap();
        for _ in 0..100 {
            log.record("stderr", b"some line\n", Timestamp::UNIX_EPOCH);
        }
        log.flush();
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
        let mut log = LogFile::open(settings, path.clone()).unwrap();
        log.record("stdout", b"x\n", Timestamp::UNIX_EPOCH);
        log.flush();
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
