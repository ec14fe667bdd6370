//! Looking at the processes of a container through /proc: who belongs to it, who hears a signal.

use std::fs;

use crate::sys::process::Exit;

/// Every process in the same cgroup as `init`, `init` included, in the order of their numbers.
pub fn of_container(init: u32) -> Vec<u32> {
    let Some(cgroup) = cgroup_of(init) else {
        return Vec::new();
    };
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mut pids: Vec<u32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| cgroup_of(*pid).as_ref() == Some(&cgroup))
        .collect();
    pids.sort_unstable();
    pids
}

fn cgroup_of(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()
}

/// What a signal does to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// It catches it, or blocks it to read it (sigwait, signalfd).
    Handles,
    /// The default action, which ends it.
    Dies,
    /// Ignored, or dropped because the process is the first of its pid namespace.
    Nothing,
}

/// How a process would react; a process that is gone reacts with nothing.
pub fn reaction(pid: u32, signal: i32) -> Reaction {
    fs::read_to_string(format!("/proc/{pid}/status"))
        .map_or(Reaction::Nothing, |status| reaction_of(&status, signal))
}

fn reaction_of(status: &str, signal: i32) -> Reaction {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let has = |name: &str| {
        let mask = field(name).and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
        mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
    };
    if has("SigCgt:") || has("SigBlk:") {
        return Reaction::Handles;
    }
    let first_of_namespace = field("NSpid:").is_some_and(|pids| {
        let pids: Vec<&str> = pids.split_whitespace().collect();
        pids.len() > 1 && pids.last() == Some(&"1")
    });
    if has("SigIgn:") || first_of_namespace {
        Reaction::Nothing
    } else {
        Reaction::Dies
    }
}

/// How a process ended that nobody has reaped yet (proc(5), the last field of stat).
pub fn exit_of_zombie(pid: u32) -> Option<Exit> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    exit_in(&stat)
}

fn exit_in(stat: &str) -> Option<Exit> {
    let (_, fields) = stat.rsplit_once(") ")?;
    if !fields.starts_with('Z') {
        return None;
    }
    let status: i32 = fields.split_whitespace().last()?.parse().ok()?;
    Some(match status & 0x7f {
        0 => Exit::Code(status >> 8 & 0xff),
        signal => Exit::Signal(signal),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(nspid: &str, blocked: &str, ignored: &str, caught: &str) -> String {
        format!(
            "Name:\tx\nNSpid:\t{nspid}\nSigBlk:\t{blocked}\nSigIgn:\t{ignored}\nSigCgt:\t{caught}\n"
        )
    }

    #[test]
    fn a_zombie_shows_how_it_ended() {
        assert_eq!(exit_in("7 (a) b) Z 1 7 1024"), Some(Exit::Code(4)));
        assert_eq!(exit_in("7 (sh) Z 1 7 9"), Some(Exit::Signal(9)));
        assert_eq!(exit_in("7 (sh) S 1 7 0"), None);
    }

    #[test]
    fn the_kernel_drops_what_process_one_does_not_handle() {
        let none = "0000000000000000";
        let term = "0000000000004000";
        assert_eq!(
            reaction_of(&status("77\t1", none, none, none), 15),
            Reaction::Nothing
        );
        assert_eq!(
            reaction_of(&status("77\t1", none, none, term), 15),
            Reaction::Handles
        );
        assert_eq!(
            reaction_of(&status("77\t1", term, none, none), 15),
            Reaction::Handles
        );
        assert_eq!(
            reaction_of(&status("77\t5", none, none, none), 15),
            Reaction::Dies
        );
        assert_eq!(
            reaction_of(&status("1", none, term, none), 15),
            Reaction::Nothing
        );
    }
}
