//! What a container uses, as its cgroup counts it.

use std::fs;
use std::path::Path;

use super::Cgroup;

/// Counters since the container's start, and what it has now. Zero where nothing counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub cpu_ns: u64,
    /// Without what the kernel could drop at once: inactive pages of files.
    pub memory_bytes: u64,
    /// Absent: none.
    pub memory_limit_bytes: Option<u64>,
    pub pids: u64,
    /// Absent: none.
    pub pids_limit: Option<u64>,
    pub read_bytes: u64,
    pub written_bytes: u64,
}

/// Takes counters from a directory.
type Reader = fn(&Path, &mut Usage);

/// Which controller counts what, in a v1 hierarchy and in v2.
const READERS: [(&str, Reader, Reader); 5] = [
    ("cpuacct", cpu_v1, cpu_v2),
    ("memory", memory_v1, memory_v2),
    ("pids", pids, pids),
    ("blkio", io_v1, io_v2),
    ("io", io_v1, io_v2),
];

impl Cgroup {
    /// Reads all counters; one whose controller is missing is zero.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        // v2 counts time without any controller.
        if let Some(directory) = self.v2_directory() {
            cpu_v2(&directory, &mut usage);
        }
        for (controller, v1, v2) in READERS {
            let root = self.layout.controller_root(controller);
            if let (Some((_, is_v2)), Some(directory)) = (root, self.directory_of(controller)) {
                let read = if is_v2 { v2 } else { v1 };
                read(&directory, &mut usage);
            }
        }
        usage
    }
}

fn read(directory: &Path, file: &str) -> String {
    fs::read_to_string(directory.join(file)).unwrap_or_default()
}

fn number(directory: &Path, file: &str) -> Option<u64> {
    read(directory, file).trim().parse().ok()
}

/// A line `name number` of a file of them.
fn field(text: &str, name: &str) -> u64 {
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|it| it.trim().parse().ok()).unwrap_or(0)
}

fn cpu_v1(directory: &Path, usage: &mut Usage) {
    usage.cpu_ns = number(directory, "cpuacct.usage").unwrap_or(0);
}

fn cpu_v2(directory: &Path, usage: &mut Usage) {
    usage.cpu_ns = field(&read(directory, "cpu.stat"), "usage_usec").saturating_mul(1000);
}

fn memory_v1(directory: &Path, usage: &mut Usage) {
    let used = number(directory, "memory.usage_in_bytes").unwrap_or(0);
    let droppable = field(&read(directory, "memory.stat"), "total_inactive_file");
    usage.memory_bytes = used.saturating_sub(droppable);
    // No limit is the largest number of whole pages.
    usage.memory_limit_bytes =
        number(directory, "memory.limit_in_bytes").filter(|limit| *limit < 1 << 62);
}

fn memory_v2(directory: &Path, usage: &mut Usage) {
    let used = number(directory, "memory.current").unwrap_or(0);
    let droppable = field(&read(directory, "memory.stat"), "inactive_file");
    usage.memory_bytes = used.saturating_sub(droppable);
    usage.memory_limit_bytes = number(directory, "memory.max");
}

fn pids(directory: &Path, usage: &mut Usage) {
    usage.pids = number(directory, "pids.current").unwrap_or(0);
    usage.pids_limit = number(directory, "pids.max");
}

fn io_v1(directory: &Path, usage: &mut Usage) {
    let text = read(directory, "blkio.throttle.io_service_bytes_recursive");
    (usage.read_bytes, usage.written_bytes) = io_of_v1(&text);
}

/// Lines `8:0 Read 4096`, and a `Total` at the end.
fn io_of_v1(text: &str) -> (u64, u64) {
    let (mut read, mut written) = (0, 0);
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [_, kind, number] = words[..] {
            let number: u64 = number.parse().unwrap_or(0);
            match kind {
                "Read" => read += number,
                "Write" => written += number,
                _ => {}
            }
        }
    }
    (read, written)
}

fn io_v2(directory: &Path, usage: &mut Usage) {
    (usage.read_bytes, usage.written_bytes) = io_of_v2(&read(directory, "io.stat"));
}

/// Lines `8:0 rbytes=4096 wbytes=0 rios=1 …`.
fn io_of_v2(text: &str) -> (u64, u64) {
    let (mut read, mut written) = (0, 0);
    for word in text.split_whitespace() {
        match word.split_once('=') {
            Some(("rbytes", number)) => read += number.parse().unwrap_or(0),
            Some(("wbytes", number)) => written += number.parse().unwrap_or(0),
            _ => {}
        }
    }
    (read, written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_both_versions_are_understood() {
        let directory = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| fs::write(directory.path().join(file), text).unwrap();
        write("cpuacct.usage", "123456\n");
        write("cpu.stat", "usage_usec 7\nuser_usec 5\n");
        write("memory.usage_in_bytes", "5000\n");
        write("memory.current", "6000\n");
        write(
            "memory.stat",
            "inactive_file 1000\ntotal_inactive_file 2000\n",
        );
        write("memory.limit_in_bytes", "9223372036854771712\n");
        write("memory.max", "max\n");
        write("pids.current", "3\n");
        write("pids.max", "100\n");
        let mut usage = Usage::default();
        cpu_v1(directory.path(), &mut usage);
        memory_v1(directory.path(), &mut usage);
        pids(directory.path(), &mut usage);
        assert_eq!((usage.cpu_ns, usage.memory_bytes), (123_456, 3000));
        assert_eq!((usage.memory_limit_bytes, usage.pids), (None, 3));
        assert_eq!(usage.pids_limit, Some(100));
        cpu_v2(directory.path(), &mut usage);
        memory_v2(directory.path(), &mut usage);
        assert_eq!((usage.cpu_ns, usage.memory_bytes), (7000, 5000));
        assert_eq!(usage.memory_limit_bytes, None);
        let v1 = "8:0 Read 10\n8:0 Write 20\n8:16 Read 1\n8:0 Total 30\nTotal 31\n";
        assert_eq!(io_of_v1(v1), (11, 20));
        let v2 = "8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=1 wbytes=0\n";
        assert_eq!(io_of_v2(v2), (11, 20));
        assert_eq!(io_of_v2(""), (0, 0));
    }
}
