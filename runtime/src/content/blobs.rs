//! Blobs by digest: `sha256/<hex>`. Ingest beside, digest on the way, rename when right.
//!
//! Kept are image configurations (the image's id is their digest) and manifests. The archives of
//! layers are not: a layer lives unpacked, with its diff id, and `save` makes the archive anew.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::digest::{Digest, Digesting, Hasher};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::failpoint::{self, Point};
use crate::store::document;

/// The blobs below one directory (`Roots::blobs`).
#[derive(Debug, Clone)]
pub struct Blobs {
    root: PathBuf,
}

impl Blobs {
    /// The directory is made with the first blob.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where a blob lies, or would.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.directory().join(digest.hex())
    }

    /// Where all of them lie.
    pub fn directory(&self) -> PathBuf {
        self.root.join("sha256")
    }

    /// Whether it is there.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.path(digest).is_file()
    }

    /// Starts a new blob.
    pub fn ingest(&self) -> Result<Ingest> {
        let directory = self.directory();
        document::make_directory(&directory)?;
        let path = document::aside(&directory.join("ingest"))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR)
            .context(|| format!("create {}", path.display()))?;
        Ok(Ingest {
            blobs: self.clone(),
            writer: Some(Digesting::new(File::from(file))),
            path,
        })
    }

    /// Stores these bytes.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        if self.contains(&digest) {
            return Ok(digest);
        }
        let mut ingest = self.ingest()?;
        ingest
            .write_all(bytes)
            .context(|| format!("write blob {digest}"))?;
        ingest.commit(Some(&digest))
    }

    /// Opens a blob for reading; what is read is not verified.
    pub fn open(&self, digest: &Digest) -> Result<File> {
        File::open(self.path(digest)).context(|| format!("open blob {digest}"))
    }

    /// A small blob, verified.
    pub fn read(&self, digest: &Digest, limit_bytes: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open(digest)?
            .take(limit_bytes + 1)
            .read_to_end(&mut bytes)
            .context(|| format!("read blob {digest}"))?;
        if bytes.len() as u64 > limit_bytes {
            let message = format!("blob {digest} is larger than {limit_bytes} bytes");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        if Digest::of(&bytes) != *digest {
            return Err(damaged(digest));
        }
        Ok(bytes)
    }

    /// Reads a blob to its end and compares.
    pub fn verify(&self, digest: &Digest) -> Result<()> {
        let mut file = self.open(digest)?;
        let mut hasher = Hasher::default();
        let mut buffer = vec![0u8; 1 << 16];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                count => hasher.update(&buffer[..count]),
            }
        }
        if hasher.finish() == *digest {
            Ok(())
        } else {
            Err(damaged(digest))
        }
    }

    /// Removes a blob; that there is none is no error.
    pub fn remove(&self, digest: &Digest) -> Result<()> {
        match std::fs::remove_file(self.path(digest)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other.context(|| format!("remove blob {digest}")),
        }
    }
}

fn damaged(digest: &Digest) -> Error {
    Error::new(ErrorKind::Internal, format!("blob {digest} is damaged"))
}

/// A blob being written; dropped without [`Ingest::commit`] it leaves nothing.
#[derive(Debug)]
pub struct Ingest {
    blobs: Blobs,
    /// Absent once committed.
    writer: Option<Digesting<File>>,
    path: PathBuf,
}

impl Ingest {
    /// Puts the blob in its place, if it is the expected one.
    pub fn commit(mut self, expected: Option<&Digest>) -> Result<Digest> {
        let writer = self.writer.take().expect("taken only here");
        let (file, digest, _) = writer.finish();
        if expected.is_some_and(|expected| *expected != digest) {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "content has digest {digest}, expected {}",
                    expected.map_or("", Digest::as_str)
                ),
            ));
        }
        file.sync_all()?;
        failpoint::reached(Point::BlobWritten);
        place(&self.path, &self.blobs.path(&digest)).context(|| format!("store blob {digest}"))?;
        Ok(digest)
    }
}

fn place(from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to)?;
    failpoint::reached(Point::BlobPlaced);
    if let Some(directory) = to.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

impl Write for Ingest {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        self.writer
            .as_mut()
            .expect("absent only once committed")
            .write(buffer)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        // After a commit there is nothing of this name.
        let _gone = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_read_back_and_verified() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Blobs::new(directory.path());
        let digest = blobs.put(b"hello").unwrap();
        assert_eq!(blobs.read(&digest, 5).unwrap(), b"hello");
        assert!(blobs.read(&digest, 4).is_err());
        std::fs::write(blobs.path(&digest), "hullo").unwrap();
        assert!(blobs.read(&digest, 5).is_err());
        assert!(blobs.verify(&digest).is_err());
        blobs.remove(&digest).unwrap();
        assert!(!blobs.contains(&digest));
    }

    #[test]
    fn content_with_another_digest_is_not_kept() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Blobs::new(directory.path());
        let mut ingest = blobs.ingest().unwrap();
        ingest.write_all(b"evil").unwrap();
        assert!(ingest.commit(Some(&Digest::of(b"good"))).is_err());
        let left = std::fs::read_dir(directory.path().join("sha256")).unwrap();
        assert_eq!(left.count(), 0);
    }
}
