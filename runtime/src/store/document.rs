//! A JSON file: always whole, whoever reads it and whenever the machine stops.
//!
//! Written beside its place (mode 0600) and renamed over it. Nothing is locked here:
//! who changes a document that others change too holds its lock (`super::lock`).

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::failpoint::{self, Point};

/// No document of ours is anywhere near as large; a larger file is not ours.
const LIMIT_BYTES: u64 = 256 << 20;

/// What a written document must outlive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The end of this process. No fsync: for what is only true until a reboot anyway.
    Crash,
    /// The end of the power supply: file and directory are flushed.
    PowerLoss,
}

/// Reads a document that must be there.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    match find(path)? {
        Some(value) => Ok(value),
        None => Err(Error::new(
            ErrorKind::NotFound,
            format!("read {}: no such file", path.display()),
        )),
    }
}

/// Reads a document that may be absent.
pub fn find<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let Some(bytes) = find_bytes(path)? else {
        return Ok(None);
    };
    match serde_json::from_slice(&bytes) {
        Ok(value) => Ok(Some(value)),
        Err(error) => Err(damaged(path, error)),
    }
}

/// Writes a document in place of the old one, if any.
pub fn write<T: Serialize>(path: &Path, value: &T, durability: Durability) -> Result<()> {
    let mut bytes = serde_json::to_vec(value).map_err(|error| {
        let what = format!("write {}", path.display());
        Error::with_source(ErrorKind::Internal, what, error)
    })?;
    bytes.push(b'\n');
    write_bytes(path, &bytes, 0o600, durability)
}

/// Reads (or starts with the default), changes and writes a document; unchanged on an error.
/// The caller holds the lock.
pub fn update<T, R>(
    path: &Path,
    durability: Durability,
    change: impl FnOnce(&mut T) -> Result<R>,
) -> Result<R>
where
    T: Serialize + DeserializeOwned + Default,
{
    let mut value = find(path)?.unwrap_or_default();
    let answer = change(&mut value)?;
    write(path, &value, durability)?;
    Ok(answer)
}

/// Like [`find`], for a document that carries the version of its form; a newer one is refused,
/// so that an older ketch never misreads or shortens it.
pub fn find_versioned<T: DeserializeOwned>(path: &Path, version: u64) -> Result<Option<T>> {
    let Some(mut value) = find::<Value>(path)? else {
        return Ok(None);
    };
    let written = value
        .as_object_mut()
        .and_then(|object| object.shift_remove("version"))
        .and_then(|version| version.as_u64())
        .unwrap_or(0);
    if written > version {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "read {}: written by a newer ketch (version {written}, this one knows {version})",
                path.display()
            ),
        ));
    }
    match serde_json::from_value(value) {
        Ok(value) => Ok(Some(value)),
        Err(error) => Err(damaged(path, error)),
    }
}

/// Like [`write`], with the version of its form in front. `value` must be a struct or a map.
pub fn write_versioned<T: Serialize>(
    path: &Path,
    version: u64,
    value: &T,
    durability: Durability,
) -> Result<()> {
    let mut document = serde_json::Map::new();
    document.insert("version".into(), version.into());
    match serde_json::to_value(value) {
        Ok(Value::Object(fields)) => document.extend(fields),
        Ok(_) => {
            let message = format!("write {}: not an object", path.display());
            return Err(Error::new(ErrorKind::Internal, message));
        }
        Err(error) => {
            let message = format!("write {}", path.display());
            return Err(Error::with_source(ErrorKind::Internal, message, error));
        }
    }
    write(path, &document, durability)
}

/// Puts any content in a file's place, whole. Missing parent directories are made, 0700.
pub fn write_bytes(path: &Path, content: &[u8], mode: u32, durability: Durability) -> Result<()> {
    write_aside(path, content, mode, durability).context(|| format!("write {}", path.display()))
}

/// Makes a directory and its missing parents, 0700.
pub fn make_directory(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .context(|| format!("create {}", path.display()))
}

fn find_bytes(path: &Path) -> Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context(|| format!("read {}", path.display())),
    };
    let mut bytes = Vec::new();
    file.take(LIMIT_BYTES)
        .read_to_end(&mut bytes)
        .context(|| format!("read {}", path.display()))?;
    Ok(Some(bytes))
}

fn damaged(path: &Path, error: serde_json::Error) -> Error {
    let message = format!("read {}: damaged document", path.display());
    Error::with_source(ErrorKind::Internal, message, error)
}

fn write_aside(path: &Path, content: &[u8], mode: u32, durability: Durability) -> Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let aside = aside(path)?;
    let file = match create(&aside, mode) {
        Err(rustix::io::Errno::NOENT) => {
            make_directory(directory)?;
            create(&aside, mode)
        }
        other => other,
    };
    let mut file = file?;
    let written = fill(&mut file, content, mode, durability).and_then(|()| {
        failpoint::reached(Point::DocumentAside);
        Ok(rustix::fs::rename(&aside, path)?)
    });
    if written.is_err() {
        // The error that counts is the first one; a left-over has a name nobody reads.
        let _left_over = std::fs::remove_file(&aside);
    }
    written?;
    failpoint::reached(Point::DocumentPlaced);
    if durability == Durability::PowerLoss {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

fn fill(file: &mut File, content: &[u8], mode: u32, durability: Durability) -> Result<()> {
    file.write_all(content)?;
    // The umask is the caller's; the mode is ours.
    rustix::fs::fchmod(&*file, Mode::from_raw_mode(mode))?;
    if durability == Durability::PowerLoss {
        file.sync_all()?;
    }
    Ok(())
}

fn create(path: &Path, mode: u32) -> rustix::io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(path, flags, Mode::from_raw_mode(mode)).map(File::from)
}

/// Where a file is written before it is renamed to `path`: `.NAME.<8 hex digits: our pid><8 more>`.
/// Same directory, so that the rename is one step; the pid, so that one whose writer was killed can
/// be told ([`is_abandoned`]).
pub fn aside(path: &Path) -> Result<PathBuf> {
    let mut random = [0u8; 4];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    let (pid, random) = (std::process::id(), u32::from_ne_bytes(random));
    name.push(format!(".{pid:08x}{random:08x}"));
    Ok(path.with_file_name(name))
}

/// Whether this is a file at such a place whose process was killed before it was whole.
pub fn is_abandoned(file_name: &str) -> bool {
    writer(file_name).is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
}

/// Removes what killed writers had begun in a directory. The caller holds the lock that every
/// writer there holds, so that nobody is at work, even where a killed process still has its pid.
pub fn remove_unfinished(directory: &Path) -> Result<()> {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_name().to_str().and_then(writer).is_some() {
            remove_if_there(&entry.path())?;
        }
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Whose file this is that was to become a document: the pid in the name that `aside` gave it.
fn writer(file_name: &str) -> Option<u64> {
    let (_, digits) = file_name.strip_prefix('.')?.rsplit_once('.')?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    (digits.len() == 16).then_some(number >> 32)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/er/doc.json");
        write(&path, &vec![1, 2], Durability::PowerLoss).unwrap();
        write(&path, &vec![3], Durability::Crash).unwrap();
        assert_eq!(read::<Vec<u32>>(&path).unwrap(), [3]);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        let entries = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(entries, 1);
    }

    #[test]
    fn a_damaged_document_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("doc.json");
        std::fs::write(&path, "{").unwrap();
        let error = read::<Value>(&path).unwrap_err().to_string();
        assert!(error.contains("doc.json: damaged document"), "{error}");
        let missing = read::<Value>(&directory.path().join("none")).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_failed_update_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("doc.json");
        update(&path, Durability::Crash, |list: &mut Vec<u8>| {
            list.push(1);
            Ok(())
        })
        .unwrap();
        let refused: Result<()> = update(&path, Durability::Crash, |list: &mut Vec<u8>| {
            list.push(2);
            Err(Error::new(ErrorKind::Conflict, "no"))
        });
        assert!(refused.is_err());
        assert_eq!(read::<Vec<u8>>(&path).unwrap(), [1]);
    }

    #[test]
    fn unfinished_files_go_and_documents_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("doc.json");
        write(&path, &1, Durability::Crash).unwrap();
        // Its pid is ours: whether it is dead can't be told from outside of the lock.
        let unfinished = aside(&path).unwrap();
        std::fs::write(&unfinished, "").unwrap();
        assert!(!is_abandoned(
            unfinished.file_name().unwrap().to_str().unwrap()
        ));
        std::fs::write(directory.path().join(".hidden"), "").unwrap();
        remove_unfinished(directory.path()).unwrap();
        remove_unfinished(&directory.path().join("none")).unwrap();
        assert!(!unfinished.exists() && path.exists());
        assert!(directory.path().join(".hidden").exists());
    }

    #[test]
    fn a_newer_version_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("doc.json");
        let value = std::collections::BTreeMap::from([("a".to_owned(), 1)]);
        write_versioned(&path, 2, &value, Durability::Crash).unwrap();
        assert_eq!(find_versioned(&path, 2).unwrap(), Some(value));
        let error = find_versioned::<Value>(&path, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}
