//! The files of an image without a mount: several layers looked at as overlayfs would show them.
//!
//! For what happens before a container runs: volumes seeded from the image, users and paths
//! looked up by the builder. Symbolic links are followed inside of the image only; every step is
//! one name below an fd, so nothing leads out of the layers.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::attributes::{self, Attributes};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::sys;

/// The kernel's own limit.
const LINK_LIMIT: u32 = 40;

/// Layers, stacked.
#[derive(Debug)]
pub struct Merged {
    /// The roots, topmost first.
    roots: Arc<Vec<OwnedFd>>,
}

/// What stat says of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    pub kind: FileType,
    /// The twelve bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub mtime: (i64, u32),
    pub device: u64,
}

impl Metadata {
    fn of(stat: &Stat) -> Self {
        Self {
            kind: FileType::from_raw_mode(stat.st_mode),
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime: attributes::mtime(stat),
            device: stat.st_rdev,
        }
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind == FileType::Directory
    }
}

/// An entry that was found. It holds no file open: a tree may have more entries than a process
/// may have files.
#[derive(Debug, Clone)]
pub struct Node {
    /// Absolute, without links: where it really lies in the image, and in each layer.
    pub path: PathBuf,
    pub metadata: Metadata,
    stat: Stat,
    roots: Arc<Vec<OwnedFd>>,
    /// The layer that shows it.
    layer: usize,
    /// The layers that a directory is merged of, topmost first; empty for everything else.
    parts: Vec<usize>,
}

impl Node {
    /// Its last name; empty for the root.
    pub fn name(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }

    /// Owner, mode, times and extended attributes.
    pub fn attributes(&self) -> Result<Attributes> {
        let (parent, name) = self.place()?;
        Attributes::read(parent.as_fd(), name.as_bytes(), &self.stat)
            .context(|| format!("read attributes of {}", self.path.display()))
    }

    /// Opens a regular file's content.
    pub fn open(&self) -> Result<File> {
        if self.metadata.kind != FileType::RegularFile {
            let message = format!("{} is not a regular file", self.path.display());
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        self.open_in(self.layer, &self.path, OFlags::RDONLY | OFlags::NONBLOCK)
            .map(File::from)
    }

    /// A symbolic link's text.
    pub fn read_link(&self) -> Result<PathBuf> {
        let (parent, name) = self.place()?;
        let target = rustix::fs::readlinkat(&parent, name, Vec::new())
            .context(|| format!("read link {}", self.path.display()))?;
        Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
    }

    /// Device and inode: the same for names of one file.
    pub fn identity(&self) -> (u64, u64) {
        (self.stat.st_dev, self.stat.st_ino)
    }

    /// Whether it has further names in its layer.
    pub fn has_links(&self) -> bool {
        self.stat.st_nlink > 1
    }

    /// The names in a merged directory with what they are, in the order of the names.
    pub fn entries(&self) -> Result<Vec<Node>> {
        let parts = self.open_parts()?;
        let mut names = BTreeSet::new();
        for (_, part) in &parts {
            names.extend(names_of(part)?);
        }
        let mut entries = Vec::new();
        for name in names {
            entries.extend(self.child_of(&parts, &name)?);
        }
        Ok(entries)
    }

    /// One name in a merged directory, links not followed.
    pub fn child(&self, name: &OsStr) -> Result<Option<Node>> {
        self.child_of(&self.open_parts()?, name)
    }

    fn child_of(&self, parts: &[(usize, OwnedFd)], name: &OsStr) -> Result<Option<Node>> {
        let mut found: Option<Node> = None;
        for (layer, part) in parts {
            let stat = match rustix::fs::statat(part, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT | Errno::NOTDIR) => continue,
                Err(errno) => {
                    return Err(errno)
                        .context(|| format!("stat {}", self.path.join(name).display()));
                }
            };
            if attributes::is_whiteout(&stat) {
                break;
            }
            let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            let node = found.get_or_insert_with(|| Node {
                path: self.path.join(name),
                metadata: Metadata::of(&stat),
                stat,
                roots: Arc::clone(&self.roots),
                layer: *layer,
                parts: Vec::new(),
            });
            if !is_dir || !node.metadata.is_dir() {
                // A file on top hides everything; one below a directory ends it.
                break;
            }
            node.parts.push(*layer);
            if attributes::is_opaque(part.as_fd(), name.as_bytes())? {
                break;
            }
        }
        Ok(found)
    }

    /// The directory in its layer, and its name there.
    fn place(&self) -> Result<(OwnedFd, &OsStr)> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        match (self.path.parent(), self.path.file_name()) {
            (Some(parent), Some(name)) => Ok((self.open_in(self.layer, parent, flags)?, name)),
            _ => Ok((
                self.open_in(self.layer, &self.path, flags)?,
                OsStr::new("."),
            )),
        }
    }

    fn open_parts(&self) -> Result<Vec<(usize, OwnedFd)>> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        self.parts
            .iter()
            .map(|layer| Ok((*layer, self.open_in(*layer, &self.path, flags)?)))
            .collect()
    }

    /// The path holds no links, and the kernel sees to it that it still holds none.
    fn open_in(&self, layer: usize, path: &Path, flags: OFlags) -> Result<OwnedFd> {
        let inside = path.strip_prefix("/").unwrap_or(path);
        let inside = if inside.as_os_str().is_empty() {
            Path::new(".")
        } else {
            inside
        };
        rustix::fs::openat2(
            &self.roots[layer],
            inside,
            flags | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
        )
        .context(|| format!("open {}", path.display()))
    }
}

impl Merged {
    /// Layers' directories, lowest first.
    pub fn new<P: AsRef<Path>>(layers: &[P]) -> Result<Self> {
        let mut roots = Vec::with_capacity(layers.len());
        for layer in layers.iter().rev() {
            let layer = layer.as_ref();
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let root = rustix::fs::open(layer, flags, Mode::empty())
                .context(|| format!("open layer {}", layer.display()))?;
            roots.push(root);
        }
        Ok(Self {
            roots: Arc::new(roots),
        })
    }

    /// No layer at all: nothing is found.
    pub fn empty() -> Self {
        Self {
            roots: Arc::new(Vec::new()),
        }
    }

    /// The root directory; `None` without layers.
    pub fn root(&self) -> Result<Option<Node>> {
        let Some(top) = self.roots.first() else {
            return Ok(None);
        };
        let stat = rustix::fs::statat(top, c".", AtFlags::empty())?;
        Ok(Some(Node {
            path: PathBuf::from("/"),
            metadata: Metadata::of(&stat),
            stat,
            roots: Arc::clone(&self.roots),
            layer: 0,
            parts: (0..self.roots.len()).collect(),
        }))
    }

    /// Finds a path, all links followed.
    pub fn resolve(&self, path: &str) -> Result<Option<Node>> {
        self.walk(path, true)
    }

    /// Finds a path; a link as its last component is itself the answer.
    pub fn resolve_entry(&self, path: &str) -> Result<Option<Node>> {
        self.walk(path, false)
    }

    /// What stat says; links are followed.
    pub fn metadata(&self, path: &str) -> Result<Option<Metadata>> {
        Ok(self.resolve(path)?.map(|node| node.metadata))
    }

    /// Attributes of an entry; the last component is not followed.
    pub fn attributes(&self, path: &str) -> Result<Option<Attributes>> {
        match self.resolve_entry(path)? {
            Some(node) if node.metadata.is_dir() => node.attributes().map(Some),
            _ => Ok(None),
        }
    }

    /// A file's content, if it is a regular one of at most `limit_bytes`; links are followed.
    pub fn read(&self, path: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>> {
        let Some(node) = self.resolve(path)? else {
            return Ok(None);
        };
        let mut content = Vec::new();
        node.open()?
            .take(limit_bytes.saturating_add(1))
            .read_to_end(&mut content)
            .context(|| format!("read {path}"))?;
        if content.len() as u64 > limit_bytes {
            let message = format!("{path} is larger than {limit_bytes} bytes");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        Ok(Some(content))
    }

    /// The names in a directory with what they are; `None` when it is none.
    pub fn read_dir(&self, path: &str) -> Result<Option<Vec<(OsString, Metadata)>>> {
        match self.resolve(path)? {
            Some(node) if node.metadata.is_dir() => Ok(Some(
                node.entries()?
                    .into_iter()
                    .map(|entry| (entry.name().to_owned(), entry.metadata))
                    .collect(),
            )),
            _ => Ok(None),
        }
    }

    /// A link's text; `None` when the path is no link.
    pub fn read_link(&self, path: &str) -> Result<Option<PathBuf>> {
        match self.resolve_entry(path)? {
            Some(node) if node.metadata.kind == FileType::Symlink => node.read_link().map(Some),
            _ => Ok(None),
        }
    }

    fn walk(&self, path: &str, follow_last: bool) -> Result<Option<Node>> {
        let Some(root) = self.root()? else {
            return Ok(None);
        };
        let mut stack = vec![root];
        // Names still to go, the next one last.
        let mut names = components(OsStr::new(path));
        let mut links = 0;
        while let Some(name) = names.pop() {
            if name == ".." {
                if stack.len() > 1 {
                    stack.pop();
                }
                continue;
            }
            let here = stack.last().expect("the root is never popped");
            let Some(node) = here.child(&name)? else {
                return Ok(None);
            };
            if node.metadata.kind != FileType::Symlink || (names.is_empty() && !follow_last) {
                stack.push(node);
                continue;
            }
            links += 1;
            if links > LINK_LIMIT {
                let message = format!("{path}: too many levels of symbolic links");
                return Err(Error::new(ErrorKind::Invalid, message));
            }
            let target = node.read_link()?;
            if target.is_absolute() {
                stack.truncate(1);
            }
            names.extend(components(target.as_os_str()));
        }
        Ok(stack.pop())
    }
}

/// Names in reverse; `.` and empty ones left out.
fn components(path: &OsStr) -> Vec<OsString> {
    path.as_bytes()
        .split(|byte| *byte == b'/')
        .filter(|name| !matches!(*name, b"" | b"."))
        .map(|name| OsStr::from_bytes(name).to_owned())
        .rev()
        .collect()
}

fn open_part(parent: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
}

fn names_of(directory: &OwnedFd) -> Result<Vec<OsString>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let readable = rustix::fs::openat(directory, c".", flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::new(readable)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    Ok(names)
}

/// Copies a merged directory's content into an existing directory of ours, with owners, modes,
/// times, attributes, links and devices.
pub fn copy_content(directory: &Node, into: &Path) -> Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(into, flags, Mode::empty())
        .context(|| format!("open {}", into.display()))?;
    let mut copy = Copy {
        root: root.as_fd(),
        first_names: BTreeMap::new(),
    };
    copy.entries(directory, &root, Path::new(""))
        .context(|| format!("copy {} from the image", directory.path.display()))
}

struct Copy<'a> {
    root: BorrowedFd<'a>,
    /// Where a file with several names came to lie first.
    first_names: BTreeMap<(u64, u64), PathBuf>,
}

impl Copy<'_> {
    fn entries(&mut self, from: &Node, into: &OwnedFd, path: &Path) -> Result<()> {
        for entry in from.entries()? {
            let path = path.join(entry.name());
            self.entry(&entry, into, &path)
                .context(|| path.display().to_string())?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Node, into: &OwnedFd, path: &Path) -> Result<()> {
        let name = entry.name();
        let kind = entry.metadata.kind;
        if kind != FileType::Directory && entry.has_links() {
            if let Some(first) = self.first_names.get(&entry.identity()) {
                // By fd: a running container may have the directory too, and put a link in the way.
                let parent = first
                    .parent()
                    .filter(|parent| !parent.as_os_str().is_empty());
                let parent = sys::path::open_beneath_strict(
                    self.root,
                    parent.unwrap_or(Path::new(".")),
                    OFlags::PATH | OFlags::DIRECTORY,
                )?;
                let first = first.file_name().unwrap_or_default();
                rustix::fs::linkat(&parent, first, into, name, AtFlags::empty())?;
                return Ok(());
            }
            self.first_names.insert(entry.identity(), path.to_owned());
        }
        match kind {
            FileType::Directory => {
                rustix::fs::mkdirat(into, name, Mode::from_raw_mode(0o700))?;
                let inner = open_part(into.as_fd(), name)?;
                self.entries(entry, &inner, path)?;
            }
            FileType::RegularFile => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let fd = rustix::fs::openat(into, name, flags, Mode::RUSR | Mode::WUSR)?;
                std::io::copy(&mut entry.open()?, &mut File::from(fd))?;
            }
            FileType::Symlink => {
                rustix::fs::symlinkat(entry.read_link()?, into, name)?;
            }
            FileType::CharacterDevice | FileType::BlockDevice | FileType::Fifo => {
                rustix::fs::mknodat(into, name, kind, Mode::RUSR, entry.metadata.device)?;
            }
            // A socket without its listener is nothing.
            FileType::Socket | FileType::Unknown => return Ok(()),
        }
        entry
            .attributes()?
            .apply(into.as_fd(), name.as_bytes(), kind)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Layers made of `path` (a directory), `path=content` and `path->target`, lowest first.
    fn layers(texts: &[&[&str]]) -> (tempfile::TempDir, Merged) {
        let directory = tempfile::tempdir().unwrap();
        let mut paths = Vec::new();
        for (number, entries) in texts.iter().enumerate() {
            let layer = directory.path().join(number.to_string());
            std::fs::create_dir(&layer).unwrap();
            for entry in *entries {
                if let Some((path, target)) = entry.split_once("->") {
                    symlink(target, layer.join(path)).unwrap();
                } else if let Some((path, content)) = entry.split_once('=') {
                    std::fs::create_dir_all(layer.join(path).parent().unwrap()).unwrap();
                    std::fs::write(layer.join(path), content).unwrap();
                } else {
                    std::fs::create_dir_all(layer.join(entry)).unwrap();
                }
            }
            paths.push(layer);
        }
        let merged = Merged::new(&paths).unwrap();
        (directory, merged)
    }

    fn read(merged: &Merged, path: &str) -> Option<String> {
        let content = merged.read(path, 100).unwrap()?;
        Some(String::from_utf8(content).unwrap())
    }

    #[test]
    fn the_upper_file_wins_and_directories_merge() {
        let (_directory, merged) = layers(&[&["d/a=low", "d/b=low"], &["d/a=up", "d/c=up"]]);
        assert_eq!(read(&merged, "/d/a").unwrap(), "up");
        assert_eq!(read(&merged, "/d/b").unwrap(), "low");
        let names: Vec<_> = merged.read_dir("d").unwrap().unwrap();
        let names: Vec<_> = names
            .iter()
            .map(|(name, _)| name.to_str().unwrap())
            .collect();
        assert_eq!(names, ["a", "b", "c"]);
    }

    #[test]
    fn a_file_over_a_directory_hides_it() {
        let (_directory, merged) = layers(&[&["x/a=low"], &["x=file"], &["x/b=top"]]);
        assert_eq!(read(&merged, "/x/b").unwrap(), "top");
        assert_eq!(read(&merged, "/x/a"), None);
    }

    #[test]
    fn links_are_followed_inside_of_the_image_only() {
        let (_directory, merged) = layers(&[
            &["run/app=1", "etc/passwd=image"],
            &[
                "var",
                "var/run->/run",
                "up->../../../../etc",
                "abs->/etc/passwd",
                "loop->loop",
            ],
        ]);
        assert_eq!(read(&merged, "/var/run/app").unwrap(), "1");
        let node = merged.resolve("/var/run/app").unwrap().unwrap();
        assert_eq!(node.path, Path::new("/run/app"));
        assert_eq!(read(&merged, "/up/passwd").unwrap(), "image");
        assert_eq!(read(&merged, "abs").unwrap(), "image");
        assert!(merged.resolve("/loop").is_err());
        let link = merged.read_link("/abs").unwrap().unwrap();
        assert_eq!(link, Path::new("/etc/passwd"));
        assert!(merged.resolve("/etc/passwd/x").unwrap().is_none());
    }

    #[test]
    fn entries_hold_no_files_open() {
        let names: Vec<String> = (0..200).map(|number| format!("d/{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (_directory, merged) = layers(&[&names]);
        let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let before = open();
        let entries = merged.resolve("/d").unwrap().unwrap().entries().unwrap();
        assert_eq!(entries.len(), 200);
        // Other tests run beside this one.
        assert!(open() < before + 100);
    }

    #[test]
    fn a_copy_keeps_links_and_modes() {
        let (directory, merged) = layers(&[&["d/e/f=1", "d/s->e/f"]]);
        std::fs::hard_link(
            directory.path().join("0/d/e/f"),
            directory.path().join("0/d/g"),
        )
        .unwrap();
        let out = directory.path().join("out");
        std::fs::create_dir(&out).unwrap();
        copy_content(&merged.resolve("/d").unwrap().unwrap(), &out).unwrap();
        assert_eq!(std::fs::read_link(out.join("s")).unwrap(), Path::new("e/f"));
        use std::os::unix::fs::MetadataExt as _;
        assert_eq!(out.join("g").metadata().unwrap().nlink(), 2);
    }
}
