//! Whether a layer is still what its digest says.
//!
//! Its archive is written again and digested, which covers every file's content; and what the
//! archive says of each entry (kind, owner, mode, time, target) is compared with what is on disk.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Write;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};

use super::archive::{Entry, Kind, Reader};
use super::{attributes, chain, unpack};
use crate::content::digest::Digest;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::store::Roots;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Good,
    /// Its archive can't be written again, so nobody can tell.
    Unknown,
    Damaged(String),
}

/// Reads all of a layer and compares.
pub fn layer(roots: &Roots, chain_id: &Digest) -> Result<Verdict> {
    let found = match super::find(roots, chain_id) {
        Ok(Some(layer)) => layer,
        Ok(None) => return Ok(Verdict::Damaged("is missing".into())),
        Err(error) => return Ok(Verdict::Damaged(error.to_string())),
    };
    if chain::extend(found.parent.as_ref(), &found.diff_id) != *chain_id {
        return Ok(Verdict::Damaged("its record is another layer's".into()));
    }
    if found.unrepeatable {
        return Ok(Verdict::Unknown);
    }
    let (read, write) = std::io::pipe().context(|| "make a pipe".into())?;
    let checked = std::thread::scope(|scope| {
        let compare = scope.spawn(move || entries(roots, chain_id, read));
        let mut write = Unread(write);
        let written = super::write_archive(roots, chain_id, &mut write);
        drop(write);
        let compared = compare
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        written.and(compared)
    });
    Ok(match checked {
        Ok(()) => Verdict::Good,
        Err(error) => Verdict::Damaged(error.to_string()),
    })
}

/// A pipe whose reader may have found damage, and gone: the digest is made all the same.
struct Unread(std::io::PipeWriter);

impl Write for Unread {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            other => other,
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Compares each entry of the archive with what is on disk; of several with one name the last.
fn entries(roots: &Roots, chain_id: &Digest, archive: std::io::PipeReader) -> Result<()> {
    let files = super::directory(roots, chain_id);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(&files, flags, Mode::empty())
        .context(|| format!("open {}", files.display()))?;
    let mut reader = Reader::new(archive);
    let mut directories = BTreeMap::new();
    while let Some(entry) = reader.next_entry()? {
        let path = unpack::clean(&entry.path)?;
        if entry.kind == Kind::Directory {
            directories.insert(path, entry);
        } else {
            compare(&root, &path, &entry).context(|| shown(&path))?;
        }
    }
    for (path, entry) in &directories {
        compare(&root, path, entry).context(|| shown(path))?;
    }
    Ok(())
}

fn shown(path: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(path))
}

fn compare(root: &std::os::fd::OwnedFd, path: &[u8], entry: &Entry) -> Result<()> {
    let (parent_path, name) = unpack::split(path).unwrap_or((b"", b"."));
    if name.starts_with(b".wh.") || unpack::is_left_over(path) {
        // Marks of deletion have another form on disk, and AUFS' left-overs none.
        return Ok(());
    }
    let parent = unpack::open_directory(root.as_fd(), parent_path)
        .map_err(|_| damaged("its directory is missing"))?;
    let stat = rustix::fs::statat(&parent, OsStr::from_bytes(name), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|_| damaged("is missing"))?;
    if entry.kind == Kind::HardLink {
        return Ok(());
    }
    if FileType::from_raw_mode(stat.st_mode) != type_of(entry.kind) {
        return Err(damaged("is of another type"));
    }
    if (stat.st_uid, stat.st_gid) != (entry.uid, entry.gid) {
        return Err(damaged("belongs to another user or group"));
    }
    if entry.kind == Kind::Symlink {
        let target = rustix::fs::readlinkat(&parent, OsStr::from_bytes(name), Vec::new())?;
        return match target.as_bytes() == entry.link {
            true => Ok(()),
            false => Err(damaged("leads elsewhere")),
        };
    }
    if stat.st_mode & 0o7777 != entry.mode {
        return Err(damaged("has another mode"));
    }
    if entry.kind == Kind::File && seconds(&stat) != entry.mtime_seconds {
        return Err(damaged("has another time"));
    }
    Ok(())
}

fn seconds(stat: &Stat) -> i64 {
    attributes::mtime(stat).0
}

fn type_of(kind: Kind) -> FileType {
    match kind {
        Kind::File | Kind::HardLink => FileType::RegularFile,
        Kind::Symlink => FileType::Symlink,
        Kind::Directory => FileType::Directory,
        Kind::Character => FileType::CharacterDevice,
        Kind::Block => FileType::BlockDevice,
        Kind::Fifo => FileType::Fifo,
    }
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Internal, what)
}
