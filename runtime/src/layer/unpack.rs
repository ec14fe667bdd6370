//! An OCI layer (a tar) → a directory in overlayfs' form.
//!
//! Nothing leaves the directory: every parent is opened with openat2(RESOLVE_IN_ROOT), the last
//! component is never followed, and `..` is refused. Whiteouts become what overlayfs knows: a
//! character device 0:0, or the opaque mark.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::archive::{Entry, Kind, Reader};
use super::attributes::{self, Attributes};
use super::merged::Merged;
use crate::error::{Context, Error, ErrorKind, Result};

/// What an archive may hold at most: far above every real image, below what fills a disk unseen.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub entries: u64,
    pub total_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 5_000_000,
            total_bytes: 1 << 40,
        }
    }
}

/// The longest path of the kernel.
const PATH_LIMIT: usize = 4096;

/// Unpacks a plain tar stream into an existing, empty directory; returns the bytes of its files.
/// `lower` are the layers below: directories that the archive does not mention but needs take
/// their attributes from there, as a merged directory shows those of its topmost layer. They are
/// asked for when everything else is done, and may come to be meanwhile.
pub fn unpack<R: Read>(
    archive: &mut Reader<R>,
    directory: &Path,
    lower: impl FnOnce() -> Result<Merged>,
    limits: Limits,
) -> Result<u64> {
    let root = rustix::fs::open(
        directory,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .context(|| format!("open {}", directory.display()))?;
    let mut unpacker = Unpacker {
        root,
        limits,
        entries: 0,
        total_bytes: 0,
        implied: BTreeSet::from([Vec::new()]),
        directory_times: BTreeMap::new(),
        is_root_opaque: false,
        last_parent: None,
    };
    // Until an entry for it or the layers below say otherwise.
    let mode = Mode::from_raw_mode(0o755);
    rustix::fs::chmodat(&unpacker.root, c".", mode, AtFlags::empty())?;
    while let Some(entry) = archive.next_entry()? {
        unpacker
            .entry(archive, &entry)
            .context(|| format!("unpack {:?}", String::from_utf8_lossy(&entry.path)))?;
    }
    unpacker.finish(&lower()?)?;
    Ok(unpacker.total_bytes)
}

struct Unpacker {
    root: OwnedFd,
    limits: Limits,
    entries: u64,
    total_bytes: u64,
    /// Directories that exist only because something lies in them.
    implied: BTreeSet<Vec<u8>>,
    /// Applied at the end: making entries changes them.
    directory_times: BTreeMap<Vec<u8>, (i64, u32)>,
    is_root_opaque: bool,
    /// Entries come directory by directory.
    last_parent: Option<(Vec<u8>, Rc<OwnedFd>)>,
}

impl Unpacker {
    fn entry<R: Read>(&mut self, archive: &mut Reader<R>, entry: &Entry) -> Result<()> {
        self.entries += 1;
        self.total_bytes = self.total_bytes.saturating_add(entry.size);
        if self.entries > self.limits.entries || self.total_bytes > self.limits.total_bytes {
            return Err(invalid("archive is too large"));
        }
        let path = clean(&entry.path)?;
        let Some((parent_path, name)) = split(&path) else {
            return self.root_entry(entry);
        };
        if is_left_over(&path) {
            return Ok(());
        }
        let parent = self.parent(parent_path)?;
        let parent = (*parent).as_fd();
        if name == b".wh..wh..opq" {
            return self.opaque(parent_path);
        }
        if let Some(hidden) = name.strip_prefix(b".wh.") {
            return whiteout(parent, hidden);
        }
        if entry.kind == Kind::File
            && let Some(made) = create_file(parent, name)?
        {
            // Nothing of that name was there: the most frequent case by far.
            return write_file(archive, entry, made);
        }
        let existing = lstat(parent, name)?;
        if entry.kind == Kind::Directory {
            make_directory_entry(parent, name, existing.as_ref())?;
            self.implied.remove(&path);
            self.directory_times
                .insert(path.clone(), (entry.mtime_seconds, entry.mtime_nanoseconds));
            return attributes_of(entry).apply(parent, name, FileType::Directory);
        }
        if entry.kind == Kind::HardLink {
            return self.hard_link(archive, parent, &path, name, &entry.link);
        }
        self.clear(archive, parent, name, &path, existing.as_ref())?;
        if entry.kind == Kind::File {
            let made = create_file(parent, name)?.ok_or(Errno::EXIST)?;
            return write_file(archive, entry, made);
        }
        let kind = make_node(entry, parent, name)?;
        attributes_of(entry).apply(parent, name, kind)
    }

    /// `./` itself.
    fn root_entry(&mut self, entry: &Entry) -> Result<()> {
        if entry.kind != Kind::Directory {
            return Err(invalid("the root is not a directory"));
        }
        self.implied.remove(&Vec::new());
        self.directory_times
            .insert(Vec::new(), (entry.mtime_seconds, entry.mtime_nanoseconds));
        attributes_of(entry).apply(self.root.as_fd(), b".", FileType::Directory)
    }

    /// The directory of an entry, made with its parents when the archive did not.
    fn parent(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>> {
        if let Some((last, fd)) = &self.last_parent
            && last == path
        {
            return Ok(Rc::clone(fd));
        }
        let fd = match open_directory(self.root.as_fd(), path) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR) => self.make_parents(path)?,
            Err(errno) => return Err(errno.into()),
        };
        let fd = Rc::new(fd);
        self.last_parent = Some((path.to_vec(), Rc::clone(&fd)));
        Ok(fd)
    }

    fn make_parents(&mut self, path: &[u8]) -> Result<OwnedFd> {
        let mut parent = open_directory(self.root.as_fd(), b"")?;
        let mut end = 0;
        for name in path.split(|byte| *byte == b'/') {
            end += name.len() + usize::from(end > 0);
            let so_far = &path[..end];
            parent = match open_directory(self.root.as_fd(), so_far) {
                Ok(fd) => fd,
                Err(Errno::NOENT | Errno::NOTDIR) => {
                    if name.starts_with(b".wh.") {
                        return Err(invalid("entries below a whiteout"));
                    }
                    let existing = lstat(parent.as_fd(), name)?;
                    // A link that leads nowhere stays: nothing is made through it.
                    if existing
                        .as_ref()
                        .is_some_and(|stat| kind(stat) == FileType::Symlink)
                    {
                        return Err(invalid("a symbolic link stands in the way"));
                    }
                    make_directory_entry(parent.as_fd(), name, existing.as_ref())?;
                    self.implied.insert(so_far.to_vec());
                    open_directory(self.root.as_fd(), so_far)?
                }
                Err(errno) => return Err(errno.into()),
            };
        }
        Ok(parent)
    }

    fn opaque(&mut self, path: &[u8]) -> Result<()> {
        match split(path) {
            None => {
                // Overlayfs merges roots whatever their marks: see `finish`.
                self.is_root_opaque = true;
                Ok(())
            }
            Some((parent_path, name)) => {
                let parent = open_directory(self.root.as_fd(), parent_path)?;
                attributes::set_opaque(parent.as_fd(), name)
            }
        }
    }

    /// Only to what this archive brought already, and never to what a link hides.
    fn hard_link<R: Read>(
        &mut self,
        archive: &mut Reader<R>,
        parent: BorrowedFd<'_>,
        path: &[u8],
        name: &[u8],
        link: &[u8],
    ) -> Result<()> {
        let target = clean(link)?;
        let shown = || String::from_utf8_lossy(link).into_owned();
        let Some((target_parent, target_name)) = split(&target) else {
            return Err(invalid(format!("hard link to {:?}", shown())));
        };
        if target == path {
            return Ok(());
        }
        let target_parent = open_directory(self.root.as_fd(), target_parent)
            .context(|| format!("hard link to {:?}", shown()))?;
        match lstat(target_parent.as_fd(), target_name)? {
            Some(stat) if kind(&stat) != FileType::Directory && !attributes::is_whiteout(&stat) => {
            }
            _ => {
                let message = format!("hard link to {:?}, which is no earlier entry", shown());
                return Err(invalid(message));
            }
        }
        let existing = lstat(parent, name)?;
        self.clear(archive, parent, name, path, existing.as_ref())?;
        // The flags are empty: linkat does not follow the target's last component.
        rustix::fs::linkat(
            &target_parent,
            OsStr::from_bytes(target_name),
            parent,
            OsStr::from_bytes(name),
            AtFlags::empty(),
        )?;
        Ok(())
    }

    /// Makes room for something that is no directory: a later duplicate replaces the earlier.
    fn clear<R: Read>(
        &mut self,
        archive: &mut Reader<R>,
        parent: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        existing: Option<&Stat>,
    ) -> Result<()> {
        let Some(stat) = existing else {
            return Ok(());
        };
        if matches!(kind(stat), FileType::RegularFile | FileType::Directory) {
            archive.spoil_recipe();
        }
        if kind(stat) != FileType::Directory {
            rustix::fs::unlinkat(parent, OsStr::from_bytes(name), AtFlags::empty())?;
            return Ok(());
        }
        remove_tree(parent, name)?;
        self.last_parent = None;
        let mut prefix = path.to_vec();
        prefix.push(b'/');
        let is_inside = |known: &Vec<u8>| known == path || known.starts_with(&prefix);
        self.implied.retain(|known| !is_inside(known));
        self.directory_times.retain(|known, _| !is_inside(known));
        Ok(())
    }

    /// Attributes of implied directories, then times, the deepest first.
    fn finish(&mut self, lower: &Merged) -> Result<()> {
        if self.is_root_opaque {
            self.hide_root_of(lower)?;
        }
        for path in self.implied.iter().rev() {
            let shown = String::from_utf8_lossy(path);
            let Some(found) = lower.attributes(&shown)? else {
                continue;
            };
            let (parent, name) = match split(path) {
                None => (self.root.try_clone()?, &b"."[..]),
                Some((parent, name)) => match open_directory(self.root.as_fd(), parent) {
                    Ok(parent) => (parent, name),
                    Err(Errno::NOENT | Errno::NOTDIR) => continue,
                    Err(errno) => return Err(errno.into()),
                },
            };
            // Made through a link, it may have been replaced under its other name.
            if lstat(parent.as_fd(), name)?.is_none_or(|stat| kind(&stat) != FileType::Directory) {
                continue;
            }
            found.apply(parent.as_fd(), name, FileType::Directory)?;
        }
        for (path, mtime) in self.directory_times.iter().rev() {
            let (parent, name) = match split(path) {
                None => (self.root.try_clone()?, &b"."[..]),
                Some((parent, name)) => match open_directory(self.root.as_fd(), parent) {
                    Ok(parent) => (parent, name),
                    Err(Errno::NOENT | Errno::NOTDIR) => continue,
                    Err(errno) => return Err(errno.into()),
                },
            };
            match lstat(parent.as_fd(), name)? {
                Some(stat) if kind(&stat) == FileType::Directory => {
                    attributes::set_mtime(parent.as_fd(), name, *mtime)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// An opaque root: a whiteout for each name that lies below.
    fn hide_root_of(&mut self, lower: &Merged) -> Result<()> {
        for (name, _) in lower.read_dir("/")?.unwrap_or_default() {
            whiteout(self.root.as_fd(), name.as_bytes())?;
        }
        Ok(())
    }
}

/// A new, empty file; `None` when the name is taken.
fn create_file(parent: BorrowedFd<'_>, name: &[u8]) -> Result<Option<OwnedFd>> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    match rustix::fs::openat(
        parent,
        OsStr::from_bytes(name),
        flags | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::RUSR | Mode::WUSR,
    ) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::EXIST) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn write_file<R: Read>(archive: &mut Reader<R>, entry: &Entry, made: OwnedFd) -> Result<()> {
    let mut file = File::from(made);
    archive.copy_to(entry, &mut file)?;
    attributes_of(entry).apply_to_file(file.as_fd())
}

/// Makes a link or a device.
fn make_node(entry: &Entry, parent: BorrowedFd<'_>, name: &[u8]) -> Result<FileType> {
    let path = OsStr::from_bytes(name);
    let device = |kind: FileType| -> Result<FileType> {
        let number = rustix::fs::makedev(entry.device.0, entry.device.1);
        rustix::fs::mknodat(parent, path, kind, Mode::RUSR, number)?;
        Ok(kind)
    };
    match entry.kind {
        Kind::Symlink => {
            rustix::fs::symlinkat(OsStr::from_bytes(&entry.link), parent, path)?;
            Ok(FileType::Symlink)
        }
        Kind::Character => device(FileType::CharacterDevice),
        Kind::Block => device(FileType::BlockDevice),
        Kind::Fifo => {
            rustix::fs::mknodat(parent, path, FileType::Fifo, Mode::RUSR, 0)?;
            Ok(FileType::Fifo)
        }
        Kind::File | Kind::Directory | Kind::HardLink => {
            Err(Error::new(ErrorKind::Internal, "made elsewhere"))
        }
    }
}

/// An existing directory keeps its content; one in a whiteout's place hides the lower content.
fn make_directory_entry(
    parent: BorrowedFd<'_>,
    name: &[u8],
    existing: Option<&Stat>,
) -> Result<()> {
    let path = OsStr::from_bytes(name);
    let was_whiteout = match existing {
        Some(stat) if kind(stat) == FileType::Directory => return Ok(()),
        Some(stat) => {
            rustix::fs::unlinkat(parent, path, AtFlags::empty())?;
            attributes::is_whiteout(stat)
        }
        None => false,
    };
    rustix::fs::mkdirat(parent, path, Mode::from_raw_mode(0o755))?;
    // The umask took its part.
    rustix::fs::chmodat(parent, path, Mode::from_raw_mode(0o755), AtFlags::empty())?;
    if was_whiteout {
        attributes::set_opaque(parent, name)?;
    }
    Ok(())
}

/// Deletes a name of lower layers. What this layer itself has of that name stays.
fn whiteout(parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    if matches!(name, b"" | b"." | b"..") {
        return Err(invalid("whiteout without a name"));
    }
    match lstat(parent, name)? {
        None => {
            let path = OsStr::from_bytes(name);
            rustix::fs::mknodat(parent, path, FileType::CharacterDevice, Mode::empty(), 0)?;
            Ok(())
        }
        Some(stat) if kind(&stat) == FileType::Directory => attributes::set_opaque(parent, name),
        Some(_) => Ok(()),
    }
}

fn attributes_of(entry: &Entry) -> Attributes {
    Attributes {
        uid: entry.uid,
        gid: entry.gid,
        mode: entry.mode,
        mtime: (entry.mtime_seconds, entry.mtime_nanoseconds),
        xattrs: entry.xattrs.clone(),
    }
}

/// `/a/./b//c/` → `a/b/c`. The kernel refuses single names over 255 bytes by itself.
pub(super) fn clean(path: &[u8]) -> Result<Vec<u8>> {
    if path.len() > PATH_LIMIT {
        return Err(invalid("path is too long"));
    }
    if path.contains(&0) {
        return Err(invalid("path holds a zero byte"));
    }
    let mut cleaned = Vec::with_capacity(path.len());
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => return Err(invalid("path leaves the archive (..)")),
            name => {
                if !cleaned.is_empty() {
                    cleaned.push(b'/');
                }
                cleaned.extend_from_slice(name);
            }
        }
    }
    Ok(cleaned)
}

/// Parent and last name; `None` for the root.
pub(super) fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.is_empty() {
        return None;
    }
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => Some((&path[..slash], &path[slash + 1..])),
        None => Some((b"", path)),
    }
}

/// `.wh..wh.plnk` and its like, which AUFS left in old images, with all below them.
pub(super) fn is_left_over(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/')
        .any(|name| name.starts_with(b".wh..wh.") && name != b".wh..wh..opq")
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn lstat(parent: BorrowedFd<'_>, name: &[u8]) -> Result<Option<Stat>> {
    match rustix::fs::statat(parent, OsStr::from_bytes(name), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Links on the way are followed, but inside of the root: the kernel sees to it.
pub(super) fn open_directory(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    let mut tries = 128;
    loop {
        let opened = rustix::fs::openat2(
            root,
            OsStr::from_bytes(path),
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV,
        );
        match opened {
            // A rename anywhere makes the kernel give up on a link with `..` in it.
            Err(Errno::AGAIN) if tries > 0 => tries -= 1,
            other => return other,
        }
    }
}

/// Removes a directory of this layer; std's removal walks by fds and follows no links.
fn remove_tree(parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    use std::os::fd::AsRawFd as _;
    let path = Path::new("/proc/self/fd")
        .join(parent.as_raw_fd().to_string())
        .join(OsStr::from_bytes(name));
    std::fs::remove_dir_all(path)?;
    Ok(())
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::super::archive::Writer;
    use super::*;

    /// Entries owned by us, so that no test here needs root.
    fn entry(path: &str, kind: Kind) -> Entry {
        let mut entry = Entry::new(path, kind);
        entry.uid = rustix::process::getuid().as_raw();
        entry.gid = rustix::process::getgid().as_raw();
        entry.mode = 0o755;
        entry
    }

    fn link(path: &str, kind: Kind, target: &str) -> Entry {
        let mut entry = entry(path, kind);
        entry.link = target.into();
        entry
    }

    fn file(path: &str) -> Entry {
        let mut file = entry(path, Kind::File);
        file.size = 4;
        file
    }

    fn unpacked(entries: &[Entry]) -> (tempfile::TempDir, Result<u64>) {
        let mut writer = Writer::new(Vec::new());
        for entry in entries {
            writer.append(entry, &b"evil"[..]).unwrap();
        }
        let bytes = writer.finish().unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("root")).unwrap();
        let result = unpack(
            &mut Reader::new(&bytes[..]),
            &directory.path().join("root"),
            || Ok(Merged::empty()),
            Limits {
                entries: 100,
                total_bytes: 100,
            },
        );
        (directory, result)
    }

    #[test]
    fn dots_and_roots_are_refused_or_cleaned() {
        assert_eq!(clean(b"/./a//b/").unwrap(), b"a/b");
        assert!(clean(b"a/../b").is_err());
        assert!(clean(b"a\0b").is_err());
        assert!(clean(&[b'a'; 5000]).is_err());
    }

    #[test]
    fn an_implied_directory_that_became_a_link_gives_nobody_else_its_mode() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let canary = directory.path().join("canary");
        std::fs::write(&canary, "").unwrap();
        std::fs::set_permissions(&canary, std::fs::Permissions::from_mode(0o600)).unwrap();
        // Below: a/b, for everybody.
        let lower = directory.path().join("lower");
        std::fs::create_dir_all(lower.join("a/b")).unwrap();
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(lower.join("a/b"), open).unwrap();
        // a/b is implied, through a link, and then a link to the canary under its real name.
        let mut writer = Writer::new(Vec::new());
        for entry in [
            entry("c/", Kind::Directory),
            link("a", Kind::Symlink, "c"),
            file("a/b/f"),
            link("c/b", Kind::Symlink, canary.to_str().unwrap()),
        ] {
            writer.append(&entry, &b"evil"[..]).unwrap();
        }
        let bytes = writer.finish().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let result = unpack(
            &mut Reader::new(&bytes[..]),
            &root,
            || Merged::new(&[lower]),
            Limits::default(),
        );
        let mode = canary.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{result:?}");
        assert!(root.join("c/b").is_symlink());
    }

    #[test]
    fn nothing_is_written_through_a_link_that_leaves_the_root() {
        let (directory, result) = unpacked(&[
            link("out", Kind::Symlink, "../outside"),
            link("abs", Kind::Symlink, "/outside"),
            file("out/x"),
        ]);
        assert!(result.is_err(), "the link leads nowhere inside of the root");
        assert!(!directory.path().join("outside").exists());
        // The same with a target that exists on the host, but not in the root.
        let (directory, result) = unpacked(&[link("t", Kind::Symlink, "/tmp"), file("t/ketch-x")]);
        assert!(result.is_err());
        assert!(!Path::new("/tmp/ketch-x").exists());
        drop(directory);
    }

    #[test]
    fn a_link_inside_of_the_root_is_followed_there() {
        let (directory, result) = unpacked(&[
            entry("usr/lib", Kind::Directory),
            link("lib", Kind::Symlink, "/usr/lib"),
            file("lib/x"),
        ]);
        result.unwrap();
        assert!(directory.path().join("root/usr/lib/x").is_file());
    }

    #[test]
    fn a_file_replaces_a_link_and_does_not_follow_it() {
        let (directory, result) = unpacked(&[
            file("target"),
            link("x", Kind::Symlink, "target"),
            file("x"),
        ]);
        result.unwrap();
        let metadata = directory.path().join("root/x").symlink_metadata().unwrap();
        assert!(metadata.is_file());
    }

    #[test]
    fn hard_links_reach_earlier_entries_only() {
        let (_, result) = unpacked(&[link("h", Kind::HardLink, "../../etc/passwd")]);
        assert!(result.is_err());
        let (_, result) = unpacked(&[link("h", Kind::HardLink, "/etc/passwd")]);
        assert!(result.is_err());
        let (directory, result) = unpacked(&[file("a"), link("b/h", Kind::HardLink, "/a")]);
        result.unwrap();
        use std::os::unix::fs::MetadataExt as _;
        let metadata = directory.path().join("root/b/h").metadata().unwrap();
        assert_eq!(metadata.nlink(), 2);
        // A hard link to a link, then a write to it, stays with the link.
        let (directory, result) = unpacked(&[
            link("s", Kind::Symlink, "/etc/passwd"),
            link("h", Kind::HardLink, "s"),
            file("h"),
        ]);
        result.unwrap();
        assert!(
            directory
                .path()
                .join("root/h")
                .symlink_metadata()
                .unwrap()
                .is_file()
        );
    }

    #[test]
    fn limits_hold() {
        let (_, result) = unpacked(&vec![file("a"); 26]);
        assert!(result.unwrap_err().to_string().contains("too large"));
        let (_, result) = unpacked(&vec![entry("a", Kind::Directory); 101]);
        assert!(result.is_err());
    }

    #[test]
    fn whiteouts_need_a_name() {
        for path in [".wh.", ".wh..", ".wh...", "a/.wh."] {
            let (_, result) = unpacked(&[file(path)]);
            assert!(result.is_err(), "{path}");
        }
        let (directory, result) = unpacked(&[file(".wh..wh.plnk/1.2"), file(".wh..wh.aufs")]);
        result.unwrap();
        let left = std::fs::read_dir(directory.path().join("root")).unwrap();
        assert_eq!(left.count(), 0);
    }

    #[test]
    fn directory_times_survive_their_content_and_setuid_its_chown() {
        let mut d = entry("d", Kind::Directory);
        d.mtime_seconds = 1000;
        let mut f = file("d/f");
        f.mode = 0o4755;
        let (directory, result) = unpacked(&[d, f]);
        result.unwrap();
        use std::os::unix::fs::MetadataExt as _;
        let d = directory.path().join("root/d").metadata().unwrap();
        assert_eq!(d.mtime(), 1000);
        let f = directory.path().join("root/d/f").metadata().unwrap();
        assert_eq!(f.mode() & 0o7777, 0o4755);
    }

    #[test]
    fn a_file_takes_the_place_of_a_directory() {
        let (directory, result) = unpacked(&[file("d/e/f"), file("d"), file("z")]);
        result.unwrap();
        assert!(directory.path().join("root/d").is_file());
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(200))]

        /// Any entries in any order, then any bytes of the archive changed: nothing outside of
        /// the root is touched, and nothing panics.
        #[test]
        fn no_archive_leaves_its_root(
            picks in proptest::collection::vec((0usize..5, 0usize..10, 0usize..10), 1..12),
            changes in proptest::collection::vec((proptest::num::usize::ANY, proptest::num::u8::ANY), 0..3),
        ) {
            let names = [
                "a", "a/b", "a/b/c", "../a", "/a", "a/../../canary", "l", "l/x", "l/../x", ".",
            ];
            let targets = ["a", "..", "../..", "/", "/tmp", "../canary", ".", "l", "a/b", "/proc/self/root"];
            let kinds = [Kind::File, Kind::Directory, Kind::Symlink, Kind::HardLink, Kind::Fifo];
            let mut writer = Writer::new(Vec::new());
            for (kind, name, target) in picks {
                let mut entry = link(names[name], kinds[kind], targets[target]);
                if entry.kind == Kind::File {
                    entry.size = 4;
                }
                writer.append(&entry, &b"evil"[..]).unwrap();
            }
            let mut bytes = writer.finish().unwrap();
            for (at, value) in changes {
                let at = at % bytes.len();
                bytes[at] = value;
            }
            let directory = tempfile::tempdir().unwrap();
            let root = directory.path().join("root");
            std::fs::create_dir(&root).unwrap();
            std::fs::write(directory.path().join("canary"), "safe").unwrap();
            let limits = Limits { entries: 100, total_bytes: 1 << 20 };
            let _may_be_refused =
                unpack(&mut Reader::new(&bytes[..]), &root, || Ok(Merged::empty()), limits);
            let canary = std::fs::read(directory.path().join("canary")).unwrap();
            proptest::prop_assert_eq!(canary, b"safe");
            let outside = std::fs::read_dir(directory.path()).unwrap().count();
            proptest::prop_assert_eq!(outside, 2);
        }
    }
}
