//! Device nodes: the ones that every container has, and those of the host that it was given.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, makedev, mknodat, symlinkat};

use super::mounts;
use crate::cgroup::devices::{Kind, Rule};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::spec::Resources;
use crate::sys;

/// A node to make in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// Absolute and clean.
    target: String,
    kind: Kind,
    major: u32,
    minor: u32,
    mode: u32,
    uid: u32,
    gid: u32,
    permissions: String,
}

const BASE: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

const LINKS: [(&str, &str); 5] = [
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// The nodes of the host that the container was given; to be called on the host's side.
pub(super) fn of_host(resources: &Resources, privileged: bool) -> Result<Vec<Node>> {
    let mut nodes = Vec::new();
    if privileged {
        walk(Path::new("/dev"), Path::new("/dev"), "rwm", &mut nodes);
    }
    for (source, target, permissions) in &resources.devices {
        let permissions = if permissions.is_empty() {
            "rwm"
        } else {
            permissions
        };
        let missing = |error: &std::io::Error| {
            Error::new(
                ErrorKind::NotFound,
                format!(
                    "error gathering device information while adding custom device {source:?}: {}",
                    sys::error::reason(error.raw_os_error().unwrap_or(libc::EIO))
                ),
            )
        };
        let path = fs::canonicalize(source).map_err(|error| missing(&error))?;
        let target = if target.is_empty() { source } else { target };
        let metadata = fs::metadata(&path).map_err(|error| missing(&error))?;
        if metadata.is_dir() {
            walk(&path, Path::new(target), permissions, &mut nodes);
        } else if let Some(node) = node(&metadata, target, permissions) {
            nodes.push(node);
        } else {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "error gathering device information while adding custom device {source:?}: not a device node"
                ),
            ));
        }
    }
    Ok(nodes)
}

/// What a container may use: the harmless ones, its nodes, and the user's rules.
pub(super) fn rules(resources: &Resources, nodes: &[Node], privileged: bool) -> Result<Vec<Rule>> {
    if privileged {
        return Ok(vec![Rule::parse("a *:* rwm")?]);
    }
    let mut rules = crate::cgroup::devices::default_rules();
    rules.extend(
        nodes
            .iter()
            .map(|node| Rule::device(node.kind, node.major, node.minor, &node.permissions)),
    );
    for text in &resources.device_rules {
        rules.push(Rule::parse(text)?);
    }
    Ok(rules)
}

/// Every device below a directory, with its relative path kept. What can't be read is left out.
fn walk(directory: &Path, target: &Path, permissions: &str, nodes: &mut Vec<Node>) {
    const SKIPPED: [&str; 6] = ["pts", "shm", "fd", "mqueue", ".udev", "console"];
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if SKIPPED.contains(&name) || name.starts_with(".lxc") {
            continue;
        }
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        let below = target.join(name);
        if metadata.is_dir() {
            walk(&path, &below, permissions, nodes);
        } else if let Some(node) = node(&metadata, &below.to_string_lossy(), permissions) {
            nodes.push(node);
        }
    }
}

fn node(metadata: &fs::Metadata, target: &str, permissions: &str) -> Option<Node> {
    let kind = if metadata.file_type().is_char_device() {
        Kind::Char
    } else if metadata.file_type().is_block_device() {
        Kind::Block
    } else {
        return None;
    };
    Some(Node {
        target: mounts::clean(target),
        kind,
        major: rustix::fs::major(metadata.rdev()),
        minor: rustix::fs::minor(metadata.rdev()),
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        permissions: permissions.to_owned(),
    })
}

/// Fills a fresh /dev, by its fd.
pub(super) fn fill(dev: BorrowedFd<'_>) -> Result<()> {
    for (name, major, minor) in BASE {
        mknodat(
            dev,
            name,
            FileType::CharacterDevice,
            Mode::from_raw_mode(0o666),
            makedev(major, minor),
        )
        .context(|| format!("make device /dev/{name}"))?;
    }
    for (name, points_to) in LINKS {
        symlinkat(points_to, dev, name).context(|| format!("make link /dev/{name}"))?;
    }
    if Path::new("/proc/kcore").exists() {
        symlinkat("/proc/kcore", dev, "core").context(|| "make link /dev/core".into())?;
    }
    Ok(())
}

/// Makes the nodes of the host inside the root.
pub(super) fn make(root: BorrowedFd<'_>, nodes: &[Node]) -> Result<()> {
    for node in nodes {
        let path = Path::new(&node.target);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            continue;
        };
        let parent = sys::path::make_directory_in_root(root, parent, 0o755)?;
        let kind = match node.kind {
            Kind::Block => FileType::BlockDevice,
            _ => FileType::CharacterDevice,
        };
        match mknodat(
            &parent,
            name,
            kind,
            Mode::from_raw_mode(node.mode),
            makedev(node.major, node.minor),
        ) {
            // A default device, or one that the image has.
            Err(rustix::io::Errno::EXIST) => continue,
            other => other.context(|| format!("make device {}", node.target))?,
        }
        rustix::fs::chownat(
            &parent,
            name,
            Some(rustix::fs::Uid::from_raw(node.uid)),
            Some(rustix::fs::Gid::from_raw(node.gid)),
            rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
        )
        .context(|| format!("set owner of device {}", node.target))?;
    }
    Ok(())
}

/// Whether the fd is the device that does nothing.
pub(super) fn is_null(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && stat.st_rdev == makedev(1, 3)
    })
}

/// The host's /dev/null as a mount of its own, checked.
pub(super) fn host_null() -> Result<std::os::fd::OwnedFd> {
    let null = sys::path::open_place(Path::new("/dev/null"))?;
    if !is_null(null.as_fd()) {
        return Err(Error::new(
            ErrorKind::Internal,
            "/dev/null of the host is not the null device",
        ));
    }
    Ok(sys::mount::clone_private(null.as_fd(), false)?)
}
