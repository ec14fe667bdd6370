//! Reading a log: over its rotated files, from the end when asked, and on as it grows.
//!
//! Damaged records (half-written, or zeros after the loss of power) are passed over.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use serde::Deserialize;

use super::{LogQuery, LogRecord, Stream};
use crate::cancel::Cancel;
use crate::engine::Engine;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::monitor::control::{Ask, Client};
use crate::monitor::logfile::{Settings, rotated};
use crate::store::changes::Changes;
use crate::store::id::Id;

/// Bytes looked at in one step backwards.
const STEP_BYTES: u64 = 64 * 1024;
/// How often the newest file may be missing before it is believed.
const MOST_LOOKS: u32 = 200;
/// A log being read.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    max_files: u32,
    /// Oldest first.
    files: VecDeque<File>,
    current: Option<BufReader<File>>,
    /// A line whose end has not been written yet.
    partial: Vec<u8>,
    /// Records before the first one at or after this are skipped.
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    follow: Option<Follow>,
    /// Nothing more is written: what is there now is all.
    complete: bool,
}

#[derive(Debug)]
struct Follow {
    engine: Engine,
    id: Id,
    changes: Changes,
    /// Closed by the monitor when the container has ended for good.
    monitor: Option<Client>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    time: Timestamp,
}

impl Engine {
    /// Opens its log.
    ///
    /// # Errors
    /// When the container's driver keeps none.
    pub fn container_logs(&self, name: &str, query: &LogQuery) -> Result<LogReader> {
        let id = self.container_id(name)?;
        let container = self.settled(&id)?;
        let settings = Settings::parse(&container.record.spec.log)?;
        if !settings.keeps {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "configured logging driver does not support reading",
            ));
        }
        let path = settings.path(&self.roots().container(&id), &id);
        // Subscribed before the files are looked at, so that nothing falls between.
        let follow = if query.follow && container.state.status.is_active() {
            Some(Follow::new(self, &id, &path)?)
        } else {
            None
        };
        let mut reader = LogReader {
            files: open_files(&path, settings.max_files)?,
            path,
            max_files: settings.max_files,
            current: None,
            partial: Vec::new(),
            since: query.since,
            until: query.until,
            complete: follow.is_none(),
            follow,
        };
        if let Some(tail) = query.tail {
            keep_tail(&mut reader.files, tail)?;
        }
        Ok(reader)
    }
}

/// What exists now, oldest first.
///
/// Rotation moves files to higher numbers while we look. Looked at from the newest on, none
/// escapes: one that moves is met a second time, which its identity tells. Only when a whole
/// rotation fell between is the order in doubt, and then we look again.
fn open_files(path: &Path, max_files: u32) -> Result<VecDeque<File>> {
    let mut missing = 0;
    loop {
        let mut files: VecDeque<File> = VecDeque::new();
        let mut seen = Vec::new();
        for number in 0..max_files {
            let Some(file) = find_file(&rotated(path, number))? else {
                continue;
            };
            let ours = identity(&file)?;
            if !seen.contains(&ours) {
                seen.push(ours);
                files.push_front(file);
            }
        }
        let newest = find_file(path)?.map(|file| identity(&file)).transpose()?;
        if files.is_empty() || (newest.is_some() && newest.as_ref() == seen.first()) {
            return Ok(files);
        }
        if newest.is_none() {
            // In the middle of a rotation there is no newest file. It stays so when the monitor
            // was killed there; then the order is not in doubt.
            missing += 1;
            if missing == MOST_LOOKS {
                return Ok(files);
            }
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

fn find_file(path: &Path) -> Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(|| format!("read {}", path.display())),
    }
}

/// Leaves the last `tail` records: older files are dropped, the first one kept starts late.
fn keep_tail(files: &mut VecDeque<File>, tail: usize) -> Result<()> {
    let mut wanted = tail;
    let mut first = files.len();
    while first > 0 {
        first -= 1;
        let file = &mut files[first];
        let (place, found) = place_of_last(file, wanted)?;
        file.seek(SeekFrom::Start(place))?;
        wanted -= found;
        if wanted == 0 {
            break;
        }
    }
    files.drain(..first);
    Ok(())
}

/// Where the last `count` lines begin, and how many there are up to `count`.
fn place_of_last(file: &File, count: usize) -> Result<(u64, usize)> {
    let size = file.metadata()?.len();
    if count == 0 {
        return Ok((size, 0));
    }
    let mut buffer = vec![0; usize::try_from(STEP_BYTES).unwrap_or(4096)];
    // The newline at the very end closes the last line; it begins none.
    let mut end = size.saturating_sub(1);
    let mut found = 0;
    while end > 0 {
        let start = end.saturating_sub(STEP_BYTES);
        let length = usize::try_from(end - start).unwrap_or(0);
        file.read_exact_at(&mut buffer[..length], start)?;
        for place in (0..length).rev() {
            if buffer[place] == b'\n' {
                found += 1;
                if found == count {
                    return Ok((start + place as u64 + 1, count));
                }
            }
        }
        end = start;
    }
    Ok((0, if size == 0 { 0 } else { found + 1 }))
}

impl LogReader {
    /// The next record; waits for it when following; `None` at the end.
    ///
    /// # Errors
    /// When the log can't be read; `Cancelled` when `cancel` was.
    pub fn next(&mut self, cancel: &Cancel) -> Result<Option<LogRecord>> {
        loop {
            if cancel.is_cancelled() {
                return Err(Error::new(ErrorKind::Cancelled, "cancelled"));
            }
            if self.read_line()? {
                let record = parse(&self.partial);
                self.partial.clear();
                let Some(record) = record else { continue };
                if self.since.is_some_and(|since| record.time < since) {
                    continue;
                }
                self.since = None;
                if self.until.is_some_and(|until| record.time > until) {
                    return Ok(None);
                }
                return Ok(Some(record));
            }
            if self.next_file()? {
                continue;
            }
            match &mut self.follow {
                Some(follow) if !self.complete => {
                    // At the end one last look, rotated files included.
                    self.complete = !follow.wait(cancel)?;
                }
                _ => return Ok(None),
            }
        }
    }

    /// Whether a whole line is in `partial`.
    fn read_line(&mut self) -> Result<bool> {
        let Some(current) = &mut self.current else {
            return Ok(false);
        };
        current
            .read_until(b'\n', &mut self.partial)
            .context(|| format!("read {}", self.path.display()))?;
        Ok(self.partial.last() == Some(&b'\n'))
    }

    /// Goes on to the next newer file, if there is one.
    fn next_file(&mut self) -> Result<bool> {
        if self.files.is_empty() && self.follow.is_some() {
            self.files = self.newer_files()?;
            // There is a newer one, so the writer has left ours: only now is its end its end.
            if !self.files.is_empty() && self.current.is_some() && self.has_more()? {
                self.files.clear();
                return Ok(true);
            }
        }
        match self.files.pop_front() {
            Some(file) => {
                self.current = Some(BufReader::new(file));
                self.partial.clear();
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Whether the current file has grown since its end was met.
    fn has_more(&mut self) -> Result<bool> {
        let Some(current) = &mut self.current else {
            return Ok(false);
        };
        Ok(!current.fill_buf()?.is_empty())
    }

    /// The files that came after the current one, by its place among them now.
    fn newer_files(&self) -> Result<VecDeque<File>> {
        let mut files = open_files(&self.path, self.max_files)?;
        let Some(current) = &self.current else {
            return Ok(files);
        };
        let ours = identity(current.get_ref())?;
        let mut place = None;
        for (number, file) in files.iter().enumerate() {
            if identity(file)? == ours {
                place = Some(number);
            }
        }
        if let Some(place) = place {
            files.drain(..=place);
        }
        Ok(files)
    }
}

fn identity(file: &File) -> Result<(u64, u64)> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

fn parse(line: &[u8]) -> Option<LogRecord> {
    // Zeros after a loss of power stand before the next record on its line.
    let start = line.iter().position(|byte| *byte != 0)?;
    let line: Line<'_> = serde_json::from_slice(&line[start..]).ok()?;
    Some(LogRecord {
        time: line.time,
        stream: if line.stream == "stderr" {
            Stream::Stderr
        } else {
            Stream::Stdout
        },
        text: line.log.into_owned().into_bytes(),
    })
}

impl Follow {
    fn new(engine: &Engine, id: &Id, path: &Path) -> Result<Self> {
        let directory = path.parent().unwrap_or(path);
        crate::store::document::make_directory(directory)?;
        Ok(Self {
            changes: Changes::of(directory)?,
            engine: engine.clone(),
            id: id.clone(),
            monitor: Client::ask(engine.roots(), id, Ask::Watch, &[])?,
        })
    }

    /// Waits until there may be more; false when the container has ended for good.
    fn wait(&mut self, cancel: &Cancel) -> Result<bool> {
        let Some(monitor) = &self.monitor else {
            return self.reconnect();
        };
        let mut fds = vec![
            PollFd::new(cancel, PollFlags::IN),
            PollFd::from_borrowed_fd(monitor.as_fd(), PollFlags::IN),
        ];
        let changes = self.changes.fd();
        fds.extend(changes.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        match poll(&mut fds, self.changes.patience().as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let told = !fds[1].revents().is_empty();
        self.changes.take();
        if told && monitor.answer(None)?.is_none() {
            return self.reconnect();
        }
        Ok(true)
    }

    /// The monitor has gone: with its container, or (killed) before it.
    fn reconnect(&mut self) -> Result<bool> {
        let active = match self.engine.settled(&self.id) {
            Ok(container) => container.state.status.is_active(),
            // Removed: the log ends, without an error.
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if active {
            self.monitor = Client::ask(self.engine.roots(), &self.id, Ask::Watch, &[])?;
        }
        Ok(active)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(directory: &std::path::Path, files: &[&str], query: &LogQuery) -> LogReader {
        let path = directory.join("x-json.log");
        for (number, text) in files.iter().rev().enumerate() {
            let number = u32::try_from(number).unwrap();
            std::fs::write(rotated(&path, number), text).unwrap();
        }
        let mut reader = LogReader {
            files: open_files(&path, 5).unwrap(),
            path,
            max_files: 5,
            current: None,
            partial: Vec::new(),
            since: query.since,
            until: query.until,
            follow: None,
            complete: true,
        };
        if let Some(tail) = query.tail {
            keep_tail(&mut reader.files, tail).unwrap();
        }
        reader
    }

    fn texts(mut reader: LogReader) -> String {
        let cancel = Cancel::new().unwrap();
        let mut all = Vec::new();
        while let Some(record) = reader.next(&cancel).unwrap() {
            all.extend(record.text);
        }
        String::from_utf8(all).unwrap()
    }

    fn line(text: &str, second: u32) -> String {
        format!(
            "{{\"log\":\"{text}\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:{second:02}Z\"}}\n"
        )
    }

    #[test]
    fn the_tail_reaches_over_rotated_files() {
        let directory = tempfile::tempdir().unwrap();
        let older = [line("a", 1), line("b", 2)].concat();
        let newer = [line("c", 3), line("d", 4)].concat();
        let read = |tail| {
            let query = LogQuery {
                tail,
                ..LogQuery::default()
            };
            texts(reader(directory.path(), &[&older, &newer], &query))
        };
        assert_eq!(read(None), "a\nb\nc\nd\n");
        assert_eq!(read(Some(3)), "b\nc\nd\n");
        assert_eq!(read(Some(2)), "c\nd\n");
        assert_eq!(read(Some(1)), "d\n");
        assert_eq!(read(Some(0)), "");
        assert_eq!(read(Some(9)), "a\nb\nc\nd\n");
    }

    #[test]
    fn since_skips_to_its_first_hit_and_until_ends() {
        let directory = tempfile::tempdir().unwrap();
        // The clock went back once: after the first hit nothing is skipped.
        let text = [line("a", 1), line("b", 5), line("c", 2), line("d", 9)].concat();
        let query = LogQuery {
            since: Some("2026-01-01T00:00:03Z".parse().unwrap()),
            until: Some("2026-01-01T00:00:08Z".parse().unwrap()),
            ..LogQuery::default()
        };
        assert_eq!(texts(reader(directory.path(), &[&text], &query)), "b\nc\n");
    }

    #[test]
    fn damaged_records_are_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let text = [
            line("a", 1),
            "{\"log\":\"half\n".into(),
            format!("\0\0\0{}", line("b", 2)),
            "{\"log\":\"torn".into(),
        ]
        .concat();
        let query = LogQuery::default();
        assert_eq!(texts(reader(directory.path(), &[&text], &query)), "a\nb\n");
    }
}
