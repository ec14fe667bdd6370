//! Pure: capability names, Docker's default set, adding and dropping.

use crate::error::{Error, ErrorKind, Result};
use crate::spec::SecuritySpec;

/// Names by number.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What a container has unless told otherwise.
const DEFAULT: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// A set of capabilities, a bit for each number.
pub type Mask = u64;

/// The number of a capability: with or without `CAP_`, any case.
pub fn number(name: &str) -> Option<u32> {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    let index = NAMES.iter().position(|known| *known == bare)?;
    u32::try_from(index).ok()
}

/// Everything that a kernel with this last capability has.
pub fn all(last: u32) -> Mask {
    if last >= 63 {
        u64::MAX
    } else {
        (1 << (last + 1)) - 1
    }
}

/// Docker's default set.
pub fn default_set() -> Mask {
    DEFAULT
        .iter()
        .filter_map(|name| number(name))
        .fold(0, |set, number| set | 1 << number)
}

/// The container's capabilities: default, minus drops, plus adds; `ALL` as Docker reads it. What
/// the kernel does not know is left out.
///
/// # Errors
/// `Invalid` for a name that is no capability.
pub fn resolve(security: &SecuritySpec, last: u32) -> Result<Mask> {
    let (add_all, add) = parse_list(&security.cap_add, "CapAdd")?;
    let (drop_all, drop) = parse_list(&security.cap_drop, "CapDrop")?;
    let everything = all(last);
    let chosen = if security.privileged {
        everything
    } else if add_all {
        everything & !drop
    } else if drop_all {
        add
    } else {
        (default_set() & !drop) | add
    };
    Ok(chosen & everything)
}

/// Whether `ALL` is in the list, and the set of the others.
fn parse_list(names: &[String], field: &str) -> Result<(bool, Mask)> {
    let mut everything = false;
    let mut set = 0;
    for name in names {
        if name.eq_ignore_ascii_case("all") || name.eq_ignore_ascii_case("cap_all") {
            everything = true;
            continue;
        }
        let Some(number) = number(name) else {
            let upper = name.to_ascii_uppercase();
            let shown = if upper.starts_with("CAP_") {
                upper
            } else {
                format!("CAP_{upper}")
            };
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("invalid {field}: unknown capability: \"{shown}\""),
            ));
        };
        set |= 1 << number;
    }
    Ok((everything, set))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(add: &[&str], drop: &[&str]) -> Mask {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let security = SecuritySpec {
            cap_add: own(add),
            cap_drop: own(drop),
            ..SecuritySpec::default()
        };
        resolve(&security, 40).unwrap()
    }

    #[test]
    fn the_default_set_is_dockers() {
        assert_eq!(resolved(&[], &[]), 0xa804_25fb);
    }

    #[test]
    fn all_can_be_added_and_dropped() {
        assert_eq!(resolved(&["ALL"], &["net_raw"]), all(40) & !(1 << 13));
        assert_eq!(resolved(&["CAP_CHOWN"], &["all"]), 1);
        assert_eq!(resolved(&["chown"], &["CHOWN"]) & 1, 1);
    }

    #[test]
    fn an_unknown_name_is_told_as_docker_does() {
        let security = SecuritySpec {
            cap_add: vec!["fly".into()],
            ..SecuritySpec::default()
        };
        assert_eq!(
            resolve(&security, 40).unwrap_err().to_string(),
            "invalid CapAdd: unknown capability: \"CAP_FLY\""
        );
    }
}
