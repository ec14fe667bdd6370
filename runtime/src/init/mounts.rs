//! Pure: a record to the list of its mounts, in the order in which they are made.

use std::path::PathBuf;

use crate::container::record::{Mount, Record, Source};
use crate::error::{Error, ErrorKind, Result};
use crate::spec::{Namespace, Propagation};
use crate::sys::mount::{
    ATTR_ATIME_MASK, ATTR_NOATIME, ATTR_NODEV, ATTR_NODIRATIME, ATTR_NOEXEC, ATTR_NOSUID,
    ATTR_RDONLY, ATTR_STRICTATIME,
};

/// One mount to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// Absolute and clean.
    pub(super) target: String,
    pub(super) what: What,
    /// As mount_setattr(2) has them.
    pub(super) attributes: u64,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Proc,
    Sysfs,
    Mqueue,
    Devpts,
    /// The directory of devices, to be filled.
    Dev,
    Cgroup,
    /// Options of the file system itself; without `mode=` a directory's own mode is taken over.
    Tmpfs {
        options: Vec<String>,
    },
    /// `subpath` is looked up inside `source`.
    Bind {
        source: PathBuf,
        subpath: Option<String>,
        recursive: bool,
        propagation: Propagation,
    },
    /// The /dev/shm of the container whose IPC namespace is shared.
    DonorShm,
    /// A file in memory.
    File {
        content: Vec<u8>,
        mode: u32,
        uid: u32,
        gid: u32,
    },
}

/// Everything about the file tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) masked: Vec<&'static str>,
    pub(super) read_only_paths: Vec<&'static str>,
    /// The root itself, at the end.
    pub(super) read_only_root: bool,
}

const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

const READ_ONLY: &[&str] = &[
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// What may be mounted below /proc: fakes of files with numbers about the machine.
const BELOW_PROC: &[&str] = &[
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

const SHM_BYTES: u64 = 64 << 20;

/// Plans the mounts. `directory` holds the container's network files.
pub(super) fn plan(record: &Record, directory: &std::path::Path) -> Result<Plan> {
    let security = &record.spec.security;
    let mut steps = defaults(record);
    let mut user: Vec<Step> = record.mounts.iter().map(user_step).collect::<Result<_>>()?;
    // The user's mount replaces a default one; one on /dev replaces all below it.
    steps.retain(|default| {
        !user.iter().any(|step| {
            step.target == default.target
                || (step.target == "/dev" && default.target.starts_with("/dev/"))
        })
    });
    // Parents before children; else the user's order.
    user.sort_by_key(|step| step.target.split('/').count());
    let network_files = [
        ("resolv.conf", "/etc/resolv.conf"),
        ("hostname", "/etc/hostname"),
        ("hosts", "/etc/hosts"),
    ];
    let taken = |target: &str| user.iter().any(|step| step.target == target);
    let files: Vec<Step> = network_files
        .into_iter()
        .filter(|(_, target)| !taken(target))
        .map(|(name, target)| Step {
            target: target.into(),
            what: What::Bind {
                source: directory.join(name),
                subpath: None,
                recursive: false,
                propagation: Propagation::Rprivate,
            },
            attributes: if record.spec.read_only {
                ATTR_RDONLY
            } else {
                0
            },
        })
        .collect();
    steps.extend(user);
    steps.extend(files);
    let confined = !security.privileged && !security.system_paths_unconfined;
    Ok(Plan {
        steps,
        masked: if confined {
            MASKED.to_vec()
        } else {
            Vec::new()
        },
        read_only_paths: if confined {
            READ_ONLY.to_vec()
        } else {
            Vec::new()
        },
        read_only_root: record.spec.read_only,
    })
}

fn defaults(record: &Record) -> Vec<Step> {
    let security = &record.spec.security;
    let step = |target: &str, what, attributes| Step {
        target: target.into(),
        what,
        attributes,
    };
    let quiet = ATTR_NOSUID | ATTR_NOEXEC | ATTR_NODEV;
    let system = if security.privileged {
        quiet
    } else {
        quiet | ATTR_RDONLY
    };
    let shm = match &security.ipc {
        Namespace::Host => What::Bind {
            source: "/dev/shm".into(),
            subpath: None,
            recursive: false,
            propagation: Propagation::Rprivate,
        },
        Namespace::Container(_) => What::DonorShm,
        Namespace::Private | Namespace::Shareable => What::Tmpfs {
            options: vec![
                "mode=1777".into(),
                format!("size={}", record.spec.shm_size_bytes.unwrap_or(SHM_BYTES)),
            ],
        },
    };
    vec![
        step("/proc", What::Proc, quiet),
        step("/dev", What::Dev, ATTR_NOSUID | ATTR_STRICTATIME),
        step("/dev/pts", What::Devpts, ATTR_NOSUID | ATTR_NOEXEC),
        step("/sys", What::Sysfs, system),
        step("/sys/fs/cgroup", What::Cgroup, system),
        step("/dev/mqueue", What::Mqueue, quiet),
        step("/dev/shm", shm, quiet),
    ]
}

fn user_step(mount: &Mount) -> Result<Step> {
    let target = clean(&mount.target);
    let invalid = |why: &str| {
        Err(Error::new(
            ErrorKind::Invalid,
            format!("invalid mount target {:?}: {why}", mount.target),
        ))
    };
    if target == "/" {
        return invalid("destination can't be '/'");
    }
    if target.starts_with("/proc/") && !BELOW_PROC.contains(&target.as_str()) {
        return invalid("inside /proc");
    }
    if target == "/proc" && !matches!(mount.source, Source::Bind { .. }) {
        return invalid("only a proc file system may be mounted on /proc");
    }
    let read_only = if mount.read_only { ATTR_RDONLY } else { 0 };
    let (what, attributes) = match &mount.source {
        Source::Bind {
            path,
            propagation,
            recursive,
        } => (
            What::Bind {
                source: path.clone(),
                subpath: None,
                recursive: *recursive,
                propagation: *propagation,
            },
            read_only,
        ),
        Source::Volume { path, subpath, .. } => (
            What::Bind {
                source: path.clone(),
                subpath: subpath.clone(),
                recursive: true,
                propagation: Propagation::Rprivate,
            },
            read_only,
        ),
        Source::Tmpfs { options } => {
            let (attributes, options) = split_tmpfs_options(options);
            (What::Tmpfs { options }, attributes | read_only)
        }
        Source::File {
            content,
            mode,
            uid,
            gid,
        } => (
            What::File {
                content: content.clone(),
                mode: *mode,
                uid: *uid,
                gid: *gid,
            },
            read_only | ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC,
        ),
    };
    Ok(Step {
        target,
        what,
        attributes,
    })
}

/// Takes options of mount(8) apart: flags of the mount, and what the file system is told.
fn split_tmpfs_options(options: &[String]) -> (u64, Vec<String>) {
    let mut attributes = ATTR_NOEXEC | ATTR_NOSUID | ATTR_NODEV;
    let mut rest = Vec::new();
    for option in options.iter().flat_map(|option| option.split(',')) {
        match option {
            "ro" => attributes |= ATTR_RDONLY,
            "rw" => attributes &= !ATTR_RDONLY,
            "exec" => attributes &= !ATTR_NOEXEC,
            "noexec" => attributes |= ATTR_NOEXEC,
            "suid" => attributes &= !ATTR_NOSUID,
            "nosuid" => attributes |= ATTR_NOSUID,
            "dev" => attributes &= !ATTR_NODEV,
            "nodev" => attributes |= ATTR_NODEV,
            "noatime" => attributes = attributes & !ATTR_ATIME_MASK | ATTR_NOATIME,
            "strictatime" => attributes = attributes & !ATTR_ATIME_MASK | ATTR_STRICTATIME,
            "atime" | "relatime" | "norelatime" | "nostrictatime" => {
                attributes &= !ATTR_ATIME_MASK;
            }
            "nodiratime" => attributes |= ATTR_NODIRATIME,
            "diratime" => attributes &= !ATTR_NODIRATIME,
            // Nothing to a file system in memory that nobody else sees.
            "" | "sync" | "async" | "dirsync" | "mand" | "nomand" | "private" | "rprivate"
            | "shared" | "rshared" | "slave" | "rslave" | "unbindable" | "runbindable"
            | "defaults" => {}
            other => rest.push(other.to_owned()),
        }
    }
    (attributes, rest)
}

/// The path without empty, `.` and `..` parts, beginning with a slash.
pub(super) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tmpfs_options_are_told_apart_and_later_ones_win() {
        let options = |text: &str| split_tmpfs_options(&[text.to_owned()]);
        assert_eq!(
            options("size=64m,exec,mode=0700"),
            (
                ATTR_NOSUID | ATTR_NODEV,
                vec!["size=64m".into(), "mode=0700".into()]
            )
        );
        assert_eq!(
            options("ro,rw,ro"),
            (ATTR_NOEXEC | ATTR_NOSUID | ATTR_NODEV | ATTR_RDONLY, vec![])
        );
    }

    #[test]
    fn paths_are_cleaned_and_never_leave_the_root() {
        assert_eq!(clean("/a//b/../c/."), "/a/c");
        assert_eq!(clean("../../x"), "/x");
        assert_eq!(clean("/"), "/");
    }

    fn tmpfs(target: &str) -> Mount {
        Mount {
            target: target.into(),
            read_only: false,
            source: Source::Tmpfs { options: vec![] },
        }
    }

    #[test]
    fn nothing_is_mounted_over_the_root_or_into_proc() {
        for wrong in ["/", "/a/..", "/proc", "/proc/self", "/proc/../proc/sys"] {
            assert_eq!(
                user_step(&tmpfs(wrong)).unwrap_err().kind(),
                ErrorKind::Invalid,
                "{wrong}"
            );
        }
        assert!(user_step(&tmpfs("/proc/cpuinfo")).is_ok());
        assert!(user_step(&tmpfs("/processes")).is_ok());
    }
}
