//! The same as a tar archive on our own streams: `cp … -`, `cp - …`.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use ketch_runtime::container::directory::{Directory, FileAttributes, FileKind, Found};
use ketch_runtime::engine::containers::Files;
use ketch_runtime::error::Error as EngineError;
use ketch_runtime::layer::archive::{Entry, Kind, Reader, Writer};

use super::super::{Error, Result};
use super::rules::Source;
use super::tree::Owner;

/// What everything in an archive is a multiple of.
pub(super) const BLOCK: u64 = 512;

/// Its part of an archive.
pub(super) fn size_of(found: &Found) -> u64 {
    let content = match found.kind {
        FileKind::File => found.size.div_ceil(BLOCK) * BLOCK,
        _ => 0,
    };
    BLOCK + content
}

/// Writes what has a name to stdout.
///
/// # Errors
/// What can't be read; a reader that is gone.
pub(super) fn write(from: &Directory, name: &OsStr, source: &Source) -> Result<u64> {
    let base = match source.content_only {
        true => PathBuf::from("."),
        false => PathBuf::from(name),
    };
    let mut archive = Archive {
        writer: Writer::new(io::stdout().lock()),
        written: HashMap::new(),
    };
    archive.named(from, name, &base)?;
    archive
        .writer
        .finish()?
        .flush()
        .map_err(EngineError::from)?;
    Ok(0)
}

struct Archive<W> {
    writer: Writer<W>,
    /// The first name of what has several.
    written: HashMap<(u64, u64), Vec<u8>>,
}

impl<W: io::Write> Archive<W> {
    fn named(&mut self, from: &Directory, name: &OsStr, path: &Path) -> Result<()> {
        let Some(found) = from.look(name)? else {
            return Ok(());
        };
        let bytes = path.as_os_str().as_bytes().to_vec();
        match found.kind {
            FileKind::Directory => {
                let below = from.directory(name)?;
                let path_bytes = [&bytes, &b"/"[..]].concat();
                let entry = entry(path_bytes, Kind::Directory, &found);
                self.writer.append(&entry, io::empty())?;
                for name in below.names()? {
                    self.named(&below, &name, &path.join(&name))?;
                }
            }
            FileKind::Link => {
                let mut entry = entry(bytes, Kind::Symlink, &found);
                entry.link = from.read_link(name)?.as_os_str().as_bytes().to_vec();
                self.writer.append(&entry, io::empty())?;
            }
            FileKind::File => {
                let first = found.shared.and_then(|shared| self.written.get(&shared));
                if let Some(first) = first {
                    let mut entry = entry(bytes, Kind::HardLink, &found);
                    entry.link.clone_from(first);
                    self.writer.append(&entry, io::empty())?;
                    return Ok(());
                }
                let content = from.open(name)?;
                let mut entry = entry(bytes.clone(), Kind::File, &found);
                // A file that is written to meanwhile is as long as it was.
                entry.size = content.metadata().map_err(EngineError::from)?.len();
                let padded = content.chain(io::repeat(0)).take(entry.size);
                self.writer.append(&entry, padded)?;
                if let Some(shared) = found.shared {
                    self.written.insert(shared, bytes);
                }
            }
            FileKind::Other => {}
        }
        Ok(())
    }
}

fn entry(path: Vec<u8>, kind: Kind, found: &Found) -> Entry {
    let mut entry = Entry::new(path, kind);
    entry.mode = found.attributes.mode;
    entry.uid = found.attributes.uid;
    entry.gid = found.attributes.gid;
    (entry.mtime_seconds, entry.mtime_nanoseconds) = found.attributes.modified;
    entry
}

/// Unpacks stdin below a directory of a container. Names in it lead nowhere else.
///
/// # Errors
/// What is no archive; what can't be written.
pub(super) fn read(files: &Files, target: &Path, owner: Owner) -> Result<u64> {
    let mut reader = Reader::new(io::stdin().lock());
    while let Some(entry) = reader.next_entry()? {
        let path = clean(&entry.path);
        let attributes = owner.of(FileAttributes {
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            modified: (entry.mtime_seconds, entry.mtime_nanoseconds),
        });
        let Some(name) = path.file_name() else {
            continue;
        };
        let parent = target.join(path.parent().unwrap_or(Path::new("")));
        let directory = files.make_directory(&parent)?;
        match entry.kind {
            Kind::Directory => drop(directory.put_directory(name, attributes)?),
            Kind::File => directory.put_content(name, reader.content(), attributes)?,
            Kind::Symlink => {
                let link = Path::new(OsStr::from_bytes(&entry.link));
                directory.put_link(name, link, (attributes.uid, attributes.gid))?;
            }
            Kind::HardLink => {
                let link = clean(&entry.link);
                let from = link.parent().unwrap_or(Path::new(""));
                let wrong = || {
                    let shown = link.display();
                    Error::Failed(format!("{}: no file {shown} to link to", path.display()))
                };
                let from = files.directory(&target.join(from))?.ok_or_else(wrong)?;
                let first = link.file_name().ok_or_else(wrong)?;
                directory.put_hard_link(name, (&from, first))?;
            }
            // Devices and pipes are not made by way of a copy.
            Kind::Character | Kind::Block | Kind::Fifo => {}
        }
    }
    Ok(0)
}

/// The path without what would lead out.
fn clean(path: &[u8]) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(path)).components() {
        match component {
            Component::Normal(name) => cleaned.push(name),
            Component::ParentDir => drop(cleaned.pop()),
            _ => {}
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        for (path, cleaned) in [
            (&b"./a/b"[..], "a/b"),
            (b"/etc/passwd", "etc/passwd"),
            (b"../../etc", "etc"),
            (b"a/../../b", "b"),
            (b"./", ""),
        ] {
            assert_eq!(clean(path), Path::new(cleaned));
        }
    }
}
