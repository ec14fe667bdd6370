//! An overlay upper directory → an OCI layer: same content, same bytes.
//!
//! Names in order, parents first; whiteouts and opaque marks in OCI's form; a further name of a
//! file becomes a hard link; times in whole seconds; sockets left out. The root itself is no
//! entry.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};

use super::archive::{Entry, Kind, Writer};
use super::attributes::{self, Attributes};
use crate::error::{Context, Error, ErrorKind, Result};

/// Writes the archive; returns the bytes of its files and the number of its entries.
pub fn write(upper: &Path, out: impl Write) -> Result<(u64, u64)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(upper, flags, Mode::empty())
        .context(|| format!("open {}", upper.display()))?;
    let mut diff = Diff {
        writer: Writer::new(out),
        first_names: BTreeMap::new(),
        bytes: 0,
        entries: 0,
    };
    diff.directory(&root, b"")
        .context(|| format!("archive {}", upper.display()))?;
    diff.writer.finish()?;
    Ok((diff.bytes, diff.entries))
}

struct Diff<W> {
    writer: Writer<W>,
    /// The path under which a file with several names was written.
    first_names: BTreeMap<(u64, u64), Vec<u8>>,
    bytes: u64,
    entries: u64,
}

impl<W: Write> Diff<W> {
    fn directory(&mut self, directory: &OwnedFd, path: &[u8]) -> Result<()> {
        for name in names(directory)? {
            let mut child = path.to_vec();
            child.extend_from_slice(name.as_bytes());
            self.entry(directory, &name, child)?;
        }
        Ok(())
    }

    fn entry(&mut self, parent: &OwnedFd, name: &OsStr, path: Vec<u8>) -> Result<()> {
        let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if attributes::is_whiteout(&stat) {
            return self.mark(&path, b".wh.", name.as_bytes());
        }
        let file_type = FileType::from_raw_mode(stat.st_mode);
        let kind = match file_type {
            FileType::Directory => Kind::Directory,
            FileType::RegularFile => Kind::File,
            FileType::Symlink => Kind::Symlink,
            FileType::CharacterDevice => Kind::Character,
            FileType::BlockDevice => Kind::Block,
            FileType::Fifo => Kind::Fifo,
            FileType::Socket | FileType::Unknown => return Ok(()),
        };
        let mut entry = self.described(parent, name, &stat, path, kind)?;
        match entry.kind {
            Kind::Directory => self.directory_entry(parent, name, &entry),
            Kind::File => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let fd = rustix::fs::openat(parent, name, flags, Mode::empty())?;
                self.bytes += entry.size;
                self.append(&entry, File::from(fd))
            }
            Kind::Symlink => {
                entry.link = rustix::fs::readlinkat(parent, name, Vec::new())?.into_bytes();
                self.append(&entry, std::io::empty())
            }
            _ => self.append(&entry, std::io::empty()),
        }
    }

    fn described(
        &mut self,
        parent: &OwnedFd,
        name: &OsStr,
        stat: &Stat,
        mut path: Vec<u8>,
        kind: Kind,
    ) -> Result<Entry> {
        if kind == Kind::Directory {
            path.push(b'/');
        }
        let found = Attributes::read(parent.as_fd(), name.as_bytes(), stat)?;
        let mut entry = Entry::new(path, kind);
        entry.mode = found.mode;
        entry.uid = found.uid;
        entry.gid = found.gid;
        entry.mtime_seconds = found.mtime.0;
        entry.xattrs = found.xattrs;
        if kind == Kind::File {
            entry.size = u64::try_from(stat.st_size).unwrap_or(0);
        }
        if matches!(kind, Kind::Character | Kind::Block) {
            entry.device = (
                rustix::fs::major(stat.st_rdev),
                rustix::fs::minor(stat.st_rdev),
            );
        }
        if kind != Kind::Directory && stat.st_nlink > 1 {
            let identity = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.first_names.get(&identity) {
                entry.kind = Kind::HardLink;
                entry.link = first.clone();
                entry.size = 0;
                entry.xattrs.clear();
            } else {
                self.first_names.insert(identity, entry.path.clone());
            }
        }
        Ok(entry)
    }

    fn directory_entry(&mut self, parent: &OwnedFd, name: &OsStr, entry: &Entry) -> Result<()> {
        for key in [
            &b"trusted.overlay.redirect"[..],
            b"trusted.overlay.metacopy",
        ] {
            // Both are off in our mounts: with them an upper directory is no diff.
            if attributes::xattr(parent.as_fd(), name.as_bytes(), key)?.is_some() {
                let path = String::from_utf8_lossy(&entry.path);
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("{path} carries {}", String::from_utf8_lossy(key)),
                ));
            }
        }
        self.append(entry, std::io::empty())?;
        if attributes::is_opaque(parent.as_fd(), name.as_bytes())? {
            let mut path = entry.path.clone();
            path.extend_from_slice(b"x");
            self.mark(&path, b".wh..wh..opq", b"")?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let inner = rustix::fs::openat(parent, name, flags, Mode::empty())?;
        self.directory(&inner, &entry.path)
    }

    /// An empty file beside `path`.
    fn mark(&mut self, path: &[u8], prefix: &[u8], name: &[u8]) -> Result<()> {
        let parent = path
            .iter()
            .rposition(|byte| *byte == b'/')
            .map_or(0, |slash| slash + 1);
        let mut marked = path[..parent].to_vec();
        marked.extend_from_slice(prefix);
        marked.extend_from_slice(name);
        let entry = Entry::new(marked, Kind::File);
        self.append(&entry, std::io::empty())
    }

    fn append(&mut self, entry: &Entry, content: impl std::io::Read) -> Result<()> {
        self.entries += 1;
        self.writer.append(entry, content)
    }
}

fn names(directory: &OwnedFd) -> Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::super::archive::Reader;
    use super::*;

    #[test]
    fn a_directory_gives_the_same_archive_twice() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir(root.join("b")).unwrap();
        std::fs::write(root.join("b/2"), "two").unwrap();
        std::fs::write(root.join("a"), "one").unwrap();
        std::fs::hard_link(root.join("a"), root.join("b/1")).unwrap();
        std::os::unix::fs::symlink("a", root.join("c")).unwrap();
        let mut once = Vec::new();
        assert_eq!(write(root, &mut once).unwrap(), (6, 5));
        let mut twice = Vec::new();
        write(root, &mut twice).unwrap();
        assert_eq!(once, twice);
        let mut reader = Reader::new(&once[..]);
        let mut lines = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            lines.push(format!(
                "{:?} {} {}",
                entry.kind,
                String::from_utf8_lossy(&entry.path),
                String::from_utf8_lossy(&entry.link)
            ));
        }
        assert_eq!(
            lines,
            [
                "File a ",
                "Directory b/ ",
                "HardLink b/1 a",
                "File b/2 ",
                "Symlink c a"
            ]
        );
    }
}
