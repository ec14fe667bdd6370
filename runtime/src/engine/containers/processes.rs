//! The processes of a container, read from /proc: those in the cgroup of its process 1.

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
        Ok(processes::of_container(init)
            .into_iter()
            .filter_map(row)
            .collect())
    }
}

/// `None` when it has ended in the meantime.
fn row(pid: u32) -> Option<ProcessRow> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let arguments = String::from_utf8_lossy(&arguments);
    let words: Vec<&str> = arguments.split_terminator('\0').collect();
    let command = if words.is_empty() {
        format!("[{}]", field("Name").unwrap_or_default())
    } else {
        words.join(" ")
    };
    Some(ProcessRow {
        uid: field("Uid")?.split_whitespace().nth(1)?.parse().ok()?,
        pid,
        ppid: field("PPid")?.parse().ok()?,
        command,
    })
}
