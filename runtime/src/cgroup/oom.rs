//! Learning that the kernel killed something in a cgroup for want of memory.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::EventfdFlags;
use rustix::fs::inotify;

use crate::error::{Context, Result};
use crate::failpoint::{self, Point};

/// A subscription; readable when there may be news.
#[derive(Debug)]
pub struct OomWatch {
    fd: OwnedFd,
    /// The file with the counter.
    file: PathBuf,
    seen: u64,
    /// v1: the file that the eventfd is registered for stays open.
    _control: Option<File>,
}

impl OomWatch {
    /// On v2 the file tells by inotify that it changed.
    pub(super) fn v2(directory: &Path) -> Result<Self> {
        let file = directory.join("memory.events");
        failpoint::guard(Point::FileWatch)?;
        let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        inotify::add_watch(&fd, &file, inotify::WatchFlags::MODIFY)
            .context(|| format!("watch {}", file.display()))?;
        Ok(Self {
            fd,
            seen: count(&file).unwrap_or(0),
            file,
            _control: None,
        })
    }

    /// On v1 an eventfd is registered.
    pub(super) fn v1(directory: &Path) -> Result<Self> {
        let file = directory.join("memory.oom_control");
        let control = File::open(&file).context(|| format!("open {}", file.display()))?;
        let fd = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        super::write_file(
            &directory.join("cgroup.event_control"),
            &format!("{} {}", fd.as_raw_fd(), control.as_raw_fd()),
        )?;
        Ok(Self {
            fd,
            seen: count(&file).unwrap_or(0),
            file,
            _control: Some(control),
        })
    }

    /// Takes the news: whether something was killed since the last call. To be called once more
    /// when the process has ended.
    pub fn take(&mut self) -> bool {
        // A removed v1 cgroup wakes us too: only the counter tells.
        let mut buffer = [0; 4096];
        while rustix::io::read(&self.fd, &mut buffer).is_ok_and(|length| length > 0) {}
        let Some(now) = count(&self.file) else {
            return false;
        };
        let grown = now > self.seen;
        self.seen = now;
        grown
    }
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn count(file: &Path) -> Option<u64> {
    let mut text = String::new();
    File::open(file).ok()?.read_to_string(&mut text).ok()?;
    parse_count(&text)
}

/// The line `oom_kill N`, the same in both versions.
fn parse_count(text: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill "))
        .and_then(|number| number.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_found_in_both_files() {
        assert_eq!(
            parse_count("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"),
            Some(3)
        );
        assert_eq!(
            parse_count("low 0\noom 1\noom_kill 2\noom_group_kill 0\n"),
            Some(2)
        );
    }
}
