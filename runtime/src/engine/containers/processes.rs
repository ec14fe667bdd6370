//! The processes of a container, read from /proc: those in the cgroup of its process 1.

use std::fs;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::ProcessRow;
use super::kill::not_running;
use crate::engine::Engine;
use crate::error::Result;
use crate::monitor::processes;

impl Engine {
    /// Its processes, with the host's numbers.
    ///
    /// # Errors
    /// `Conflict` when it does not run.
    pub fn container_processes(&self, name: &str) -> Result<Vec<ProcessRow>> {
        let id = self.container_id(name)?;
        let container = self.settled(&id)?;
        let Some(init) = container.state.pid else {
            return Err(not_running(&container));
        };
        let boot = boot_time();
        Ok(processes::of_container(init)
            .into_iter()
            .filter_map(|pid| row(pid, boot))
            .collect())
    }
}

/// When this host started; the kernel counts from there.
fn boot_time() -> Timestamp {
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = uptime.split_whitespace().next();
    let seconds = seconds.and_then(|text| text.parse().ok());
    let uptime = SignedDuration::try_from_secs_f64(seconds.unwrap_or(0.0));
    let now = Timestamp::now();
    now.checked_sub(uptime.unwrap_or_default()).unwrap_or(now)
}

/// `None` when it has ended in the meantime.
fn row(pid: u32, boot: Timestamp) -> Option<ProcessRow> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let arguments = String::from_utf8_lossy(&arguments);
    let words: Vec<&str> = arguments.split_terminator('\0').collect();
    let command = if words.is_empty() {
        format!("[{}]", field("Name").unwrap_or_default())
    } else {
        words.join(" ")
    };
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let hertz = rustix::param::clock_ticks_per_second().max(1);
    let Times {
        terminal,
        cpu,
        started,
    } = times(&stat, hertz)?;
    Some(ProcessRow {
        uid: field("Uid")?.split_whitespace().nth(1)?.parse().ok()?,
        pid,
        ppid: field("PPid")?.parse().ok()?,
        terminal,
        cpu,
        started: boot.checked_add(started).unwrap_or(boot),
        command,
    })
}

/// What `/proc/PID/stat` says of it.
#[derive(Debug, PartialEq)]
struct Times {
    terminal: Option<String>,
    cpu: Duration,
    /// After boot.
    started: Duration,
}

fn times(stat: &str, hertz: u64) -> Option<Times> {
    // The name, in parentheses, may hold anything. proc(5) counts from 1: the state is field 3.
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let ticks = |ticks: u64| Duration::from_millis(ticks.saturating_mul(1000) / hertz);
    Some(Times {
        terminal: terminal(number(7)?),
        cpu: ticks(number(14)? + number(15)?),
        started: ticks(number(22)?),
    })
}

/// The name of a terminal by its device number.
fn terminal(device: u64) -> Option<String> {
    let major = device >> 8 & 0xfff;
    let minor = (device & 0xff) | (device >> 12 & 0xf_ff00);
    match major {
        136..=143 => Some(format!("pts/{}", (major - 136) * 256 + minor)),
        4 if minor < 64 => Some(format!("tty{minor}")),
        4 => Some(format!("ttyS{}", minor - 64)),
        5 if minor == 1 => Some("console".into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_tells_terminal_and_times() {
        let stat = "77 (a) b) S 1 77 77 34818 77 4194560 100 0 0 0 150 50 0 0 20 0 1 0 12345 1 1";
        assert_eq!(
            times(stat, 100),
            Some(Times {
                terminal: Some("pts/2".into()),
                cpu: Duration::from_secs(2),
                started: Duration::from_millis(123_450),
            })
        );
        assert_eq!(times("77 (a) S 1", 100), None);
        assert_eq!(terminal(0), None);
        assert_eq!(terminal(0x401), Some("tty1".into()));
        assert_eq!(terminal(0x440), Some("ttyS0".into()));
    }
}
