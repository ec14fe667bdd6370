//! What cgroups this machine has: v1, hybrid or v2, found once, then a value.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Context, Result};

/// One mounted v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// Several when they are mounted together; `name=systemd` for one without controllers.
    pub(crate) controllers: Vec<String>,
    /// Where our cgroups go below: the root of what is mounted.
    pub(crate) mount: PathBuf,
}

impl Hierarchy {
    pub(crate) fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|known| known == controller)
    }
}

/// Everything that is mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    pub(crate) v1: Vec<Hierarchy>,
    /// The v2 tree; on hybrid machines it has few controllers or none.
    pub(crate) v2: Option<PathBuf>,
    /// The controllers that v2 offers at its mounted root.
    pub(crate) v2_controllers: Vec<String>,
}

impl Layout {
    /// Looks at this machine.
    pub fn detect() -> Result<Self> {
        const MOUNTS: &str = "/proc/self/mountinfo";
        let text = fs::read_to_string(MOUNTS).context(|| format!("read {MOUNTS}"))?;
        let mut layout = parse_mounts(&text);
        if let Some(root) = &layout.v2 {
            let path = root.join("cgroup.controllers");
            layout.v2_controllers = fs::read_to_string(path)
                .unwrap_or_default()
                .split_ascii_whitespace()
                .map(str::to_owned)
                .collect();
        }
        Ok(layout)
    }

    /// Whether limits go to v2 files: there is no v1 hierarchy at all.
    pub fn is_unified(&self) -> bool {
        self.v1.is_empty() && self.v2.is_some()
    }

    /// Whether there is no cgroup at all.
    pub fn is_empty(&self) -> bool {
        self.v1.is_empty() && self.v2.is_none()
    }

    /// Whether limits of this controller can be kept.
    pub fn offers(&self, controller: &str) -> bool {
        self.controller_root(controller).is_some()
    }

    /// Whether devices can be refused: by the controller of v1, or by a program in the v2 tree.
    pub fn restricts_devices(&self) -> bool {
        self.hierarchy("devices").is_some() || self.v2.is_some()
    }

    pub(crate) fn hierarchy(&self, controller: &str) -> Option<&Hierarchy> {
        self.v1.iter().find(|hierarchy| hierarchy.has(controller))
    }

    /// The directory where a controller's cgroups lie, and whether it is v2.
    pub(crate) fn controller_root(&self, controller: &str) -> Option<(&Path, bool)> {
        if let Some(hierarchy) = self.hierarchy(controller) {
            return Some((&hierarchy.mount, false));
        }
        let offered = self.v2_controllers.iter().any(|known| known == controller);
        self.v2
            .as_deref()
            .filter(|_| offered)
            .map(|root| (root, true))
    }
}

/// Controllers that may stand among a v1 mount's options.
const CONTROLLERS: &[&str] = &[
    "cpu",
    "cpuacct",
    "cpuset",
    "memory",
    "devices",
    "freezer",
    "blkio",
    "pids",
    "hugetlb",
    "net_cls",
    "net_prio",
    "perf_event",
    "rdma",
    "misc",
];

fn parse_mounts(mountinfo: &str) -> Layout {
    let mut layout = Layout::default();
    for line in mountinfo.lines() {
        // "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw": mount point is field 5; what
        // follows the lone dash is type, source, options of the file system.
        let Some((before, after)) = line.split_once(" - ") else {
            continue;
        };
        let Some(point) = before.split(' ').nth(4) else {
            continue;
        };
        let mut after = after.split(' ');
        let kind = after.next().unwrap_or("");
        let options = after.nth(1).unwrap_or("");
        // Others may be mounted elsewhere, for a container for example; ours are in one place.
        if !point.starts_with("/sys/fs/cgroup") {
            continue;
        }
        match kind {
            "cgroup2" if layout.v2.is_none() => layout.v2 = Some(PathBuf::from(point)),
            "cgroup" => {
                let controllers: Vec<String> = options
                    .split(',')
                    .filter(|option| CONTROLLERS.contains(option) || option.starts_with("name="))
                    .map(str::to_owned)
                    .collect();
                let known = controllers
                    .first()
                    .is_some_and(|first| layout.hierarchy(first).is_some());
                if !controllers.is_empty() && !known {
                    layout.v1.push(Hierarchy {
                        controllers,
                        mount: PathBuf::from(point),
                    });
                }
            }
            _ => {}
        }
    }
    layout
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn a_hybrid_machine_has_both() {
        let layout = parse_mounts(HYBRID);
        assert!(!layout.is_unified());
        assert_eq!(layout.v1.len(), 2);
        assert_eq!(
            layout.controller_root("cpuacct"),
            Some((Path::new("/sys/fs/cgroup/cpu,cpuacct"), false))
        );
        assert_eq!(
            layout.v2.as_deref(),
            Some(Path::new("/sys/fs/cgroup/unified"))
        );
        assert_eq!(layout.controller_root("memory"), None);
    }

    #[test]
    fn a_unified_machine_has_one_tree() {
        let layout = parse_mounts(
            "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
        );
        assert!(layout.is_unified());
    }
}
