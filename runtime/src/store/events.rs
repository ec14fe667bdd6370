//! What happened, a JSON line each, for `events`.
//!
//! A line is one write to a file opened for appending, so lines of several processes never
//! mix. At four MiB the file is turned over to `events.1`.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};

use indexmap::IndexMap;
use jiff::Timestamp;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::lock::{self, Lock};
use super::{Roots, document};
use crate::error::{Context, Result};
use crate::failpoint::{self, Point};

const TURN_OVER_BYTES: u64 = 4 << 20;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub time: Timestamp,
    /// `container`, `image`, `network`, `volume`.
    pub kind: String,
    /// Docker's word: `create`, `start`, `die`, `health_status: healthy`.
    pub action: String,
    /// Id of the thing (a volume's name).
    pub id: String,
    /// What Docker adds: `name`, `image`, `exitCode`, the labels.
    #[serde(default)]
    pub attributes: IndexMap<String, String>,
}

/// Adds a line.
pub fn append(roots: &Roots, event: &Event) -> Result<()> {
    let path = roots.events();
    let mut line = serde_json::to_vec(event).map_err(std::io::Error::from)?;
    line.push(b'\n');
    let open = || {
        rustix::fs::open(
            &path,
            OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC,
            Mode::RUSR | Mode::WUSR,
        )
    };
    let file = match open() {
        Err(rustix::io::Errno::NOENT) => {
            document::make_directory(roots.data())?;
            open()
        }
        other => other,
    };
    let file = file.context(|| format!("append to {}", path.display()))?;
    // One write, never a loop: half a line must not be continued behind another's.
    rustix::io::write(&file, &line).context(|| format!("append to {}", path.display()))?;
    failpoint::reached(Point::EventAppended);
    let size_bytes = File::from(file).metadata()?.len();
    if size_bytes > TURN_OVER_BYTES {
        turn_over(roots)?;
    }
    Ok(())
}

fn turn_over(roots: &Roots) -> Result<()> {
    let Some(_held) = lock::try_acquire(roots, Lock::Events)? else {
        return Ok(());
    };
    let path = roots.events();
    // Another may have done it between our write and the lock.
    if std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() > TURN_OVER_BYTES) {
        std::fs::rename(&path, path.with_extension("1"))?;
    }
    Ok(())
}

/// Reads events from a place on; asking again later gives those that came since.
#[derive(Debug)]
pub struct Reader {
    roots: Roots,
    current: Option<BufReader<File>>,
    /// The older file, still to be read.
    older: Option<BufReader<File>>,
    /// A line whose end had not been written yet.
    partial: Vec<u8>,
}

impl Reader {
    /// From the oldest event that is kept.
    pub fn from_start(roots: &Roots) -> Result<Self> {
        let older = open_to_read(&roots.events().with_extension("1"))?;
        Ok(Self {
            roots: roots.clone(),
            current: None,
            older,
            partial: Vec::new(),
        })
    }

    /// Only what comes from now on.
    pub fn from_now(roots: &Roots) -> Result<Self> {
        let mut current = open_to_read(&roots.events())?;
        if let Some(file) = &mut current {
            file.seek(SeekFrom::End(0))?;
        }
        Ok(Self {
            roots: roots.clone(),
            current,
            older: None,
            partial: Vec::new(),
        })
    }

    /// The next event; `None` when there is none yet. Damaged lines are passed over.
    pub fn next_event(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(older) = &mut self.older {
                match next_line(older, &mut self.partial)? {
                    Some(event) => return Ok(Some(event)),
                    None => {
                        self.older = None;
                        self.partial.clear();
                    }
                }
            }
            if self.current.is_none() {
                self.current = open_to_read(&self.roots.events())?;
            }
            let Some(current) = &mut self.current else {
                return Ok(None);
            };
            if let Some(event) = next_line(current, &mut self.partial)? {
                return Ok(Some(event));
            }
            if !is_turned_over(current.get_ref(), &self.roots)? {
                return Ok(None);
            }
            // Read what was written between our last look and the turn-over, then go on.
            self.older = self.current.take();
        }
    }
}

fn open_to_read(path: &std::path::Path) -> Result<Option<BufReader<File>>> {
    match File::open(path) {
        Ok(file) => Ok(Some(BufReader::new(file))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(|| format!("read {}", path.display())),
    }
}

fn next_line(file: &mut BufReader<File>, partial: &mut Vec<u8>) -> Result<Option<Event>> {
    loop {
        file.read_until(b'\n', partial)?;
        if partial.last() != Some(&b'\n') {
            return Ok(None);
        }
        let event = serde_json::from_slice(partial).ok();
        partial.clear();
        if event.is_some() {
            return Ok(event);
        }
    }
}

fn is_turned_over(open: &File, roots: &Roots) -> Result<bool> {
    let ours = rustix::fs::fstat(open)?;
    Ok(match rustix::fs::stat(roots.events()) {
        Ok(there) => there.st_ino != ours.st_ino || there.st_dev != ours.st_dev,
        Err(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(action: &str) -> Event {
        Event {
            time: Timestamp::UNIX_EPOCH,
            kind: "container".into(),
            action: action.into(),
            id: "a".repeat(64),
            attributes: IndexMap::new(),
        }
    }

    #[test]
    fn a_reader_goes_on_over_a_turn_over() {
        let directory = tempfile::tempdir().unwrap();
        let roots = Roots::new(directory.path().join("data"), directory.path().join("run"));
        append(&roots, &event("create")).unwrap();
        let mut all = Reader::from_start(&roots).unwrap();
        let mut new = Reader::from_now(&roots).unwrap();
        append(&roots, &event("start")).unwrap();
        assert_eq!(all.next_event().unwrap().unwrap().action, "create");
        assert_eq!(new.next_event().unwrap().unwrap().action, "start");
        assert!(new.next_event().unwrap().is_none());
        std::fs::rename(roots.events(), roots.events().with_extension("1")).unwrap();
        append(&roots, &event("die")).unwrap();
        assert_eq!(all.next_event().unwrap().unwrap().action, "start");
        assert_eq!(all.next_event().unwrap().unwrap().action, "die");
        assert_eq!(new.next_event().unwrap().unwrap().action, "die");
    }
}
