//! How to write a layer's archive again, byte for byte: all of it that is no file's content, and
//! where the contents lie among the unpacked files.
//!
//! An image names its layers by the digests of their archives, and no two programs write the same
//! archive of the same files. The recipe is kept beside the files, compressed: some tens of bytes
//! for each. Layers that we wrote ourselves need none ([`super::diff`] writes the same again).

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use super::unpack;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::sys;

/// Bytes as they are: their number, and they.
const RAW: u8 = 0;
/// A part of a file: its path in the archive, offset and length.
const CONTENT: u8 = 1;
const END: u8 = 2;

/// So much is gathered before it is written.
const RAW_BYTES: usize = 64 << 10;
/// Longer paths, and longer pieces than we write, are damage.
const PIECE_LIMIT: usize = 1 << 20;
const LEVEL: i32 = 1;

/// Writes a recipe while an archive is read.
pub(crate) struct Recorder {
    out: zstd::stream::write::Encoder<'static, File>,
    raw: Vec<u8>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recorder")
    }
}

impl Recorder {
    /// Onto a new file.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let failed = || format!("create {}", path.display());
        let file = File::create_new(path).context(failed)?;
        let out = zstd::stream::write::Encoder::new(file, LEVEL).context(failed)?;
        Ok(Self {
            out,
            raw: Vec::new(),
        })
    }

    /// The archive goes on with these bytes.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.raw.extend_from_slice(bytes);
        if self.raw.len() >= RAW_BYTES {
            self.flush_raw()?;
        }
        Ok(())
    }

    /// The archive goes on with a part of a file.
    pub(crate) fn content(&mut self, path: &[u8], offset: u64, length: u64) -> io::Result<()> {
        if length == 0 {
            return Ok(());
        }
        self.flush_raw()?;
        self.out.write_all(&[CONTENT])?;
        self.piece(path)?;
        self.out.write_all(&offset.to_le_bytes())?;
        self.out.write_all(&length.to_le_bytes())
    }

    /// The archive is at its end.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.flush_raw()?;
        self.out.write_all(&[END])?;
        self.out.finish()?;
        Ok(())
    }

    fn flush_raw(&mut self) -> io::Result<()> {
        let raw = std::mem::take(&mut self.raw);
        for piece in raw.chunks(PIECE_LIMIT) {
            self.out.write_all(&[RAW])?;
            self.piece(piece)?;
        }
        self.raw = raw;
        self.raw.clear();
        Ok(())
    }

    fn piece(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(bytes)
    }
}

/// Writes the archive of unpacked files by its recipe. Whether it is the right one its digest
/// tells.
pub(crate) fn replay(recipe: &Path, files: &Path, out: &mut impl Write) -> Result<()> {
    let failed = || format!("read {}", recipe.display());
    let file = File::open(recipe).context(failed)?;
    let decoder = zstd::stream::read::Decoder::new(file).context(failed)?;
    let mut recipe = BufReader::new(decoder);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(files, flags, Mode::empty())
        .context(|| format!("open {}", files.display()))?;
    let mut buffer = Vec::new();
    loop {
        let mut kind = [0];
        recipe.read_exact(&mut kind).context(failed)?;
        match kind[0] {
            RAW => {
                piece(&mut recipe, &mut buffer).context(failed)?;
                out.write_all(&buffer)?;
            }
            CONTENT => {
                piece(&mut recipe, &mut buffer).context(failed)?;
                let mut numbers = [0; 16];
                recipe.read_exact(&mut numbers).context(failed)?;
                let (offset, length) = numbers.split_at(8);
                let number = |bytes: &[u8]| {
                    u64::from_le_bytes(bytes.try_into().expect("the half of sixteen bytes"))
                };
                let shown = String::from_utf8_lossy(&buffer).into_owned();
                copy(&root, &buffer, number(offset), number(length), out)
                    .context(|| format!("file {shown:?} of a layer"))?;
            }
            END => return Ok(()),
            _ => return Err(damaged()).context(failed),
        }
    }
}

fn piece(recipe: &mut impl Read, buffer: &mut Vec<u8>) -> Result<()> {
    let mut length = [0; 4];
    recipe.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > PIECE_LIMIT {
        return Err(damaged());
    }
    buffer.resize(length, 0);
    recipe.read_exact(buffer)?;
    Ok(())
}

/// A part of a file below a root that nothing leads out of.
fn copy(
    root: &OwnedFd,
    path: &[u8],
    mut offset: u64,
    length: u64,
    out: &mut impl Write,
) -> Result<()> {
    let path = unpack::clean(path)?;
    let path = OsStr::from_bytes(&path);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW;
    let file = sys::path::open_in_root(root.as_fd(), path, flags, 0)?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
    if kind != FileType::RegularFile {
        return Err(damaged());
    }
    let file = File::from(file);
    let end = offset.checked_add(length).ok_or_else(damaged)?;
    let mut buffer = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(128 << 10)];
    while offset < end {
        let left = usize::try_from(end - offset).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let count = file.read_at(&mut buffer[..wanted], offset)?;
        if count == 0 {
            return Err(Error::new(ErrorKind::Internal, "is shorter than it was"));
        }
        out.write_all(&buffer[..count])?;
        offset += count as u64;
    }
    Ok(())
}

fn damaged() -> Error {
    Error::new(ErrorKind::Internal, "the layer's recipe is damaged")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_recorded_is_written_again() {
        let directory = tempfile::tempdir().unwrap();
        let files = directory.path().join("diff");
        std::fs::create_dir(&files).unwrap();
        std::fs::write(files.join("f"), "0123456789").unwrap();
        let path = directory.path().join("recipe");
        let mut recorder = Recorder::create(&path).unwrap();
        let long = vec![7; RAW_BYTES + 1];
        recorder.raw(b"head").unwrap();
        recorder.raw(&long).unwrap();
        recorder.content(b"./f", 2, 5).unwrap();
        recorder.content(b"nothing", 0, 0).unwrap();
        recorder.raw(b"tail").unwrap();
        recorder.finish().unwrap();
        let mut out = Vec::new();
        replay(&path, &files, &mut out).unwrap();
        assert!(out == [&b"head"[..], &long, b"23456", b"tail"].concat());
        std::fs::write(files.join("f"), "01").unwrap();
        let error = replay(&path, &files, &mut out).unwrap_err();
        assert!(error.to_string().contains("\"./f\""), "{error}");
    }

    #[test]
    fn a_recipe_leads_to_no_file_outside() {
        let directory = tempfile::tempdir().unwrap();
        let files = directory.path().join("diff");
        std::fs::create_dir(&files).unwrap();
        std::fs::write(directory.path().join("secret"), "secret").unwrap();
        std::os::unix::fs::symlink("../secret", files.join("link")).unwrap();
        for (number, name) in ["../secret", "link", "/proc/self/environ"]
            .iter()
            .enumerate()
        {
            let path = directory.path().join(number.to_string());
            let mut recorder = Recorder::create(&path).unwrap();
            recorder.content(name.as_bytes(), 0, 6).unwrap();
            recorder.finish().unwrap();
            let mut out = Vec::new();
            assert!(replay(&path, &files, &mut out).is_err(), "{name}");
            assert!(out.is_empty());
        }
    }
}
