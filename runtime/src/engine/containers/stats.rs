//! What a container uses: its cgroup's counters, and those of its interfaces.

use std::fs;
use std::time::Instant;

use crate::cgroup::{Cgroup, Usage};
use crate::engine::Engine;
use crate::error::Result;
use crate::spec::NetworkMode;

/// One look at a container. Counters grow; a rate needs two looks.
#[derive(Debug, Clone, Copy)]
pub struct Stats {
    pub at: Instant,
    pub usage: Usage,
    /// The container's limit, else the machine's memory.
    pub memory_limit_bytes: u64,
    pub received_bytes: u64,
    pub sent_bytes: u64,
}

impl Engine {
    /// Looks at its counters; all are zero when it does not run.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn container_stats(&self, name: &str) -> Result<Stats> {
        let id = self.container_id(name)?;
        let container = self.settled(&id)?;
        let spec = &container.record.spec;
        let mut stats = Stats {
            at: Instant::now(),
            usage: Usage::default(),
            memory_limit_bytes: 0,
            received_bytes: 0,
            sent_bytes: 0,
        };
        let Some(pid) = container.state.pid else {
            return Ok(stats);
        };
        stats.usage = Cgroup::of(&id, spec.cgroup_parent.as_deref())?.usage();
        let most = machine_memory();
        let limit = stats.usage.memory_limit_bytes;
        stats.memory_limit_bytes = limit.map_or(most, |limit| limit.min(most));
        if spec.network != NetworkMode::Host {
            let text = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
            (stats.received_bytes, stats.sent_bytes) = traffic(&text);
        }
        Ok(stats)
    }
}

fn machine_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Received and sent bytes of all interfaces but the loopback: `eth0: 1 2 3 …` (proc(5)).
fn traffic(text: &str) -> (u64, u64) {
    let (mut received, mut sent) = (0, 0);
    for line in text.lines() {
        let Some((name, counters)) = line.split_once(':') else {
            continue;
        };
        if name.trim() == "lo" {
            continue;
        }
        let counters: Vec<u64> = counters
            .split_whitespace()
            .filter_map(|number| number.parse().ok())
            .collect();
        received += counters.first().copied().unwrap_or(0);
        sent += counters.get(8).copied().unwrap_or(0);
    }
    (received, sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_is_summed_without_the_loopback() {
        let text = "Inter-|   Receive                |  Transmit\n face |bytes packets\n    \
                    lo: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0\n  eth0: 100 1 0 0 0 0 0 0 200 2 0 0 0 0 0 0\n  \
                    eth1:1 1 0 0 0 0 0 0 2 2 0 0 0 0 0 0\n";
        assert_eq!(traffic(text), (101, 202));
        assert_eq!(traffic(""), (0, 0));
    }
}
