//! The tar format, read and written as layers need it.
//!
//! Ours, because a general reader splits PAX records at line ends, where binary attributes
//! (file capabilities) may hold one, and reads headers without a limit. Read are ustar, GNU
//! (long names, sparse) and PAX (all of it, sparse 0.1 and 1.0); written are ustar and PAX.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt as _;

use tar::{EntryType, Header};

use super::recipe::Recorder;
use crate::error::{Context, Error, ErrorKind, Result};

const BLOCK: usize = 512;
/// What content is copied through.
const BUFFER: usize = 128 << 10;
/// Extended headers and long names: more than any real one, less than a bomb.
const EXTENSION_LIMIT_BYTES: u64 = 1 << 20;
/// All of those before one entry.
const ENTRY_EXTENSIONS_LIMIT_BYTES: u64 = 4 << 20;
/// Sparse regions of one file.
const SPARSE_LIMIT: usize = 1 << 20;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    HardLink,
    Symlink,
    Directory,
    Character,
    Block,
    Fifo,
}

/// One member of an archive, its content not included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// As written: uncleaned.
    pub path: Vec<u8>,
    /// Of links only.
    pub link: Vec<u8>,
    pub kind: Kind,
    /// All twelve bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime_seconds: i64,
    pub mtime_nanoseconds: u32,
    /// Major and minor, of devices only.
    pub device: (u32, u32),
    /// Of files only; holes included.
    pub size: u64,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    sparse: Sparse,
}

impl Entry {
    /// An entry to write: everything else is zero.
    pub fn new(path: impl Into<Vec<u8>>, kind: Kind) -> Self {
        Self {
            path: path.into(),
            link: Vec::new(),
            kind,
            mode: 0,
            uid: 0,
            gid: 0,
            mtime_seconds: 0,
            mtime_nanoseconds: 0,
            device: (0, 0),
            size: 0,
            xattrs: Vec::new(),
            sparse: Sparse::None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Sparse {
    None,
    /// Offset and length of each stored region.
    Regions(Vec<(u64, u64)>),
    /// PAX 1.0: the list stands before the content.
    InContent,
}

/// Reads an archive, entry by entry.
#[derive(Debug)]
pub struct Reader<R> {
    stream: R,
    /// Content of the current entry that was not read yet.
    remaining: u64,
    padding: u64,
    buffer: Vec<u8>,
    /// Is told all that is no file's content, and where the contents are.
    recorder: Option<Recorder>,
}

impl<R: Read> Reader<R> {
    /// Over a plain stream.
    pub fn new(stream: R) -> Self {
        Self {
            stream,
            remaining: 0,
            padding: 0,
            buffer: Vec::new(),
            recorder: None,
        }
    }

    /// The same, with a recipe of the archive.
    pub(crate) fn recording(stream: R, recorder: Recorder) -> Self {
        Self {
            recorder: Some(recorder),
            ..Self::new(stream)
        }
    }

    /// The recipe at the end of the archive; `None` when it would not lead there.
    pub(crate) fn into_recorder(self) -> Option<Recorder> {
        self.recorder
    }

    /// A file that was written is replaced or removed: no recipe leads to its content any more.
    pub(crate) fn spoil_recipe(&mut self) {
        self.recorder = None;
    }

    fn record(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.recorder {
            Some(recorder) => recorder.raw(bytes),
            None => Ok(()),
        }
    }

    fn record_content(&mut self, entry: &Entry, offset: u64, length: u64) -> Result<()> {
        if let Some(recorder) = &mut self.recorder {
            recorder.content(&entry.path, offset, length)?;
        }
        Ok(())
    }

    /// The next entry; what was not read of the last one is passed over.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        let mut extended = Extended::default();
        let mut extension_bytes = 0u64;
        loop {
            self.skip_content()?;
            let Some(header) = self.header()? else {
                return if extended.is_empty() {
                    Ok(None)
                } else {
                    Err(invalid("archive ends after an extended header"))
                };
            };
            let stored = header.entry_size().map_err(Error::from)?;
            // Headers that describe no entry, one after another, are a bomb of their own.
            extension_bytes = extension_bytes.saturating_add(stored.max(BLOCK as u64));
            let is_extension = matches!(
                header.entry_type(),
                EntryType::GNULongName
                    | EntryType::GNULongLink
                    | EntryType::XHeader
                    | EntryType::XGlobalHeader
            );
            if is_extension && extension_bytes > ENTRY_EXTENSIONS_LIMIT_BYTES {
                return Err(invalid("extended headers are too long"));
            }
            match header.entry_type() {
                EntryType::GNULongName => extended.path = Some(self.extension(stored)?),
                EntryType::GNULongLink => extended.link = Some(self.extension(stored)?),
                EntryType::XHeader => {
                    let records = self.raw_extension(stored)?;
                    extended.take_records(&records)?;
                }
                // Global records concern the archive (a comment, mostly), never one file.
                EntryType::XGlobalHeader => drop(self.raw_extension(stored)?),
                _ => return self.entry(&header, stored, extended).map(Some),
            }
        }
    }

    /// Reads the current entry's content as it is stored.
    pub fn content(&mut self) -> impl Read + '_ {
        Content(self)
    }

    /// Writes the current entry's content to a new file, holes and all.
    pub fn copy_to(&mut self, entry: &Entry, file: &mut File) -> Result<()> {
        let regions = match &entry.sparse {
            Sparse::None => return self.copy_plain(entry, file),
            Sparse::Regions(regions) => regions.clone(),
            Sparse::InContent => self.regions_in_content()?,
        };
        let mut buffer = vec![0u8; 1 << 16];
        let mut end = 0;
        for (offset, mut length) in regions {
            let mut at = offset;
            let region_end = offset.checked_add(length);
            if offset < end || region_end.is_none_or(|region_end| region_end > entry.size) {
                return Err(invalid("sparse regions overlap or exceed their file"));
            }
            self.record_content(entry, offset, length)?;
            while length > 0 {
                let wanted = buffer
                    .len()
                    .min(usize::try_from(length).unwrap_or(usize::MAX));
                Unrecorded(self).read_exact(&mut buffer[..wanted])?;
                file.write_all_at(&buffer[..wanted], at)?;
                at += wanted as u64;
                length -= wanted as u64;
            }
            end = at;
        }
        file.set_len(entry.size)?;
        Ok(())
    }

    /// Piece by piece through a buffer of ours: std's own is small, and the kernel can't splice
    /// what was just decompressed.
    fn copy_plain(&mut self, entry: &Entry, file: &mut File) -> Result<()> {
        let mut copied = 0;
        self.record_content(entry, 0, self.remaining)?;
        while self.remaining > 0 {
            let wanted = usize::try_from(self.remaining).map_or(BUFFER, |left| left.min(BUFFER));
            self.buffer.resize(BUFFER, 0);
            let count = self.stream.read(&mut self.buffer[..wanted])?;
            if count == 0 {
                return Err(invalid("archive ends inside a file"));
            }
            file.write_all(&self.buffer[..count])?;
            self.remaining -= count as u64;
            copied += count as u64;
        }
        if copied == entry.size {
            Ok(())
        } else {
            Err(invalid("archive ends inside a file"))
        }
    }

    /// Reads to the very end, so that a digest of the stream covers all of it.
    pub fn drain(&mut self) -> Result<()> {
        self.pass_over(u64::MAX)?;
        Ok(())
    }

    fn skip_content(&mut self) -> Result<()> {
        let skipped = self.pass_over(self.remaining + self.padding)?;
        if skipped < self.remaining {
            return Err(invalid("archive ends inside a file"));
        }
        self.remaining = 0;
        self.padding = 0;
        Ok(())
    }

    /// Reads so many bytes, or as many as there are.
    fn pass_over(&mut self, most: u64) -> Result<u64> {
        let mut passed = 0;
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(BUFFER, 0);
        while passed < most {
            let wanted = usize::try_from(most - passed).map_or(BUFFER, |left| left.min(BUFFER));
            let count = self.stream.read(&mut buffer[..wanted])?;
            if count == 0 {
                break;
            }
            self.record(&buffer[..count])?;
            passed += count as u64;
        }
        self.buffer = buffer;
        Ok(passed)
    }

    /// The next header block; `None` at a block of zeros or the end.
    fn header(&mut self) -> Result<Option<Header>> {
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        let mut filled = 0;
        while filled < BLOCK {
            match self.stream.read(&mut block[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(invalid("archive ends inside a header")),
                count => filled += count,
            }
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.raw(block)?;
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let sum: u32 = block[..148]
            .iter()
            .chain(&block[156..])
            .map(|byte| u32::from(*byte))
            .sum::<u32>()
            + 8 * 32;
        if header.cksum().ok() != Some(sum) {
            return Err(invalid("not a tar archive (wrong checksum in a header)"));
        }
        Ok(Some(header))
    }

    fn raw_extension(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > EXTENSION_LIMIT_BYTES {
            return Err(invalid("extended header is too long"));
        }
        self.start_content(size);
        let mut bytes = Vec::new();
        Content(self).read_to_end(&mut bytes)?;
        if (bytes.len() as u64) < size {
            return Err(invalid("archive ends inside a header"));
        }
        Ok(bytes)
    }

    /// A GNU long name: ends with a zero byte.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>> {
        let mut bytes = self.raw_extension(size)?;
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        Ok(bytes)
    }

    fn start_content(&mut self, size: u64) {
        self.remaining = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
    }

    fn entry(&mut self, header: &Header, stored: u64, extended: Extended) -> Result<Entry> {
        let path = match extended.path {
            Some(path) => path,
            None => header.path_bytes().into_owned(),
        };
        let shown = String::from_utf8_lossy(&path).into_owned();
        let kind = kind_of(header, &path)
            .ok_or_else(|| invalid(format!("{shown:?} has an unknown type")))?;
        let stored = extended.size.unwrap_or(stored);
        // Links and directories have no content, whatever size old archives give them.
        let has_content = kind == Kind::File;
        if stored > i64::MAX as u64 {
            return Err(invalid(format!("{shown:?} is too large")));
        }
        self.start_content(if has_content { stored } else { 0 });
        let (size, sparse) = if header.entry_type() == EntryType::GNUSparse {
            self.gnu_sparse(header)?
        } else {
            let size = if has_content { stored } else { 0 };
            (extended.real_size.unwrap_or(size), extended.sparse)
        };
        let (mtime_seconds, mtime_nanoseconds) = match extended.mtime {
            Some(mtime) => mtime,
            None => (
                header
                    .mtime()
                    .map_or(0, |time| i64::try_from(time).unwrap_or(0)),
                0,
            ),
        };
        let owner = |pax: Option<u64>, field: std::io::Result<u64>| -> Result<u32> {
            let id = match pax {
                Some(id) => id,
                None => field?,
            };
            u32::try_from(id).map_err(|_| invalid(format!("{shown:?} has an owner out of range")))
        };
        Ok(Entry {
            link: extended
                .link
                .or_else(|| header.link_name_bytes().map(|name| name.into_owned()))
                .unwrap_or_default(),
            kind,
            mode: or_blank(header.mode(), &header.as_old().mode)? & 0o7777,
            uid: owner(extended.uid, or_blank(header.uid(), &header.as_old().uid))?,
            gid: owner(extended.gid, or_blank(header.gid(), &header.as_old().gid))?,
            mtime_seconds,
            mtime_nanoseconds,
            device: (
                header.device_major().ok().flatten().unwrap_or(0),
                header.device_minor().ok().flatten().unwrap_or(0),
            ),
            size,
            xattrs: extended.xattrs,
            sparse,
            path,
        })
    }

    /// The old GNU form: four regions in the header, more in blocks behind it.
    fn gnu_sparse(&mut self, header: &Header) -> Result<(u64, Sparse)> {
        let gnu = header
            .as_gnu()
            .ok_or_else(|| invalid("sparse file without a GNU header"))?;
        let mut regions = Vec::new();
        let mut add = |block: &tar::GnuSparseHeader| -> Result<()> {
            if !block.is_empty() {
                regions.push((block.offset()?, block.length()?));
            }
            if regions.len() > SPARSE_LIMIT {
                return Err(invalid("too many sparse regions"));
            }
            Ok(())
        };
        gnu.sparse.iter().try_for_each(&mut add)?;
        let mut more = gnu.is_extended();
        let mut blocks = 0;
        while more {
            // Empty ones count too: no list may go on for ever.
            blocks += 1;
            if blocks > SPARSE_LIMIT {
                return Err(invalid("too many sparse regions"));
            }
            let mut block = tar::GnuExtSparseHeader::new();
            self.stream.read_exact(block.as_mut_bytes())?;
            self.record(block.as_bytes())?;
            block.sparse.iter().try_for_each(&mut add)?;
            more = block.is_extended();
        }
        Ok((gnu.real_size()?, Sparse::Regions(regions)))
    }

    /// PAX 1.0: numbers on lines of their own, the list padded to whole blocks.
    fn regions_in_content(&mut self) -> Result<Vec<(u64, u64)>> {
        let mut read = 0usize;
        let mut number = |reader: &mut Self| -> Result<u64> {
            let mut text = Vec::new();
            loop {
                let mut byte = [0u8];
                Content(reader).read_exact(&mut byte)?;
                read += 1;
                match byte[0] {
                    b'\n' => break,
                    digit if text.len() < 20 => text.push(digit),
                    _ => return Err(invalid("damaged list of sparse regions")),
                }
            }
            decimal(&text).ok_or_else(|| invalid("damaged list of sparse regions"))
        };
        let count = number(self)?;
        if count > SPARSE_LIMIT as u64 {
            return Err(invalid("too many sparse regions"));
        }
        let mut regions = Vec::new();
        for _ in 0..count {
            let offset = number(self)?;
            regions.push((offset, number(self)?));
        }
        let padding = read.next_multiple_of(BLOCK) - read;
        let mut rest = vec![0u8; padding];
        Content(self).read_exact(&mut rest)?;
        Ok(regions)
    }
}

/// What a member holds, as a part of the recipe.
struct Content<'a, R>(&'a mut Reader<R>);

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = Unrecorded(self.0).read(buffer)?;
        self.0.record(&buffer[..count])?;
        Ok(count)
    }
}

/// What a member holds, for a file.
struct Unrecorded<'a, R>(&'a mut Reader<R>);

impl<R: Read> Read for Unrecorded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let wanted = buffer
            .len()
            .min(usize::try_from(self.0.remaining).unwrap_or(usize::MAX));
        let count = self.0.stream.read(&mut buffer[..wanted])?;
        if count == 0 && wanted > 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        self.0.remaining -= count as u64;
        Ok(count)
    }
}

fn kind_of(header: &Header, path: &[u8]) -> Option<Kind> {
    Some(match header.entry_type() {
        // Before ustar a directory was a file whose name ends so.
        EntryType::Regular if path.ends_with(b"/") => Kind::Directory,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
        EntryType::Link => Kind::HardLink,
        EntryType::Symlink => Kind::Symlink,
        EntryType::Char => Kind::Character,
        EntryType::Block => Kind::Block,
        EntryType::Directory => Kind::Directory,
        EntryType::Fifo => Kind::Fifo,
        _ => return None,
    })
}

/// A number field left blank means zero, as other readers have it.
fn or_blank<T: Default>(number: std::io::Result<T>, field: &[u8]) -> std::io::Result<T> {
    number.or_else(|error| {
        let is_blank = field.iter().all(|byte| matches!(byte, 0 | b' '));
        if is_blank {
            Ok(T::default())
        } else {
            Err(error)
        }
    })
}

/// What extended headers said about the entry that follows them.
#[derive(Debug, Default)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<(i64, u32)>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    real_size: Option<u64>,
    sparse: Sparse,
}

#[expect(
    clippy::derivable_impls,
    reason = "a type's default is said where it matters"
)]
impl Default for Sparse {
    fn default() -> Self {
        Self::None
    }
}

impl Extended {
    fn is_empty(&self) -> bool {
        self.path.is_none() && self.link.is_none() && self.size.is_none() && self.xattrs.is_empty()
    }

    /// `LENGTH KEY=VALUE\n`, where the length counts all of it, so that values may hold anything.
    fn take_records(&mut self, mut records: &[u8]) -> Result<()> {
        let damaged = || invalid("damaged extended header");
        while !records.is_empty() && records[0] != 0 {
            let space = records
                .iter()
                .position(|byte| *byte == b' ')
                .ok_or_else(damaged)?;
            let length = decimal(&records[..space])
                .and_then(|length| usize::try_from(length).ok())
                .filter(|length| *length <= records.len() && *length > space + 1)
                .ok_or_else(damaged)?;
            let record = &records[space + 1..length];
            let record = record.strip_suffix(b"\n").ok_or_else(damaged)?;
            let equals = record
                .iter()
                .position(|byte| *byte == b'=')
                .ok_or_else(damaged)?;
            self.take_record(&record[..equals], &record[equals + 1..])?;
            records = &records[length..];
        }
        Ok(())
    }

    fn take_record(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let number = || decimal(value).ok_or_else(|| invalid("damaged extended header"));
        match key {
            b"path" if self.sparse == Sparse::None => self.path = Some(value.to_vec()),
            b"GNU.sparse.name" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(number()?),
            b"uid" => self.uid = Some(number()?),
            b"gid" => self.gid = Some(number()?),
            b"mtime" => self.mtime = Some(pax_time(value)?),
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => self.real_size = Some(number()?),
            b"GNU.sparse.major" if value == b"1" => self.sparse = Sparse::InContent,
            b"GNU.sparse.map" => self.sparse = Sparse::Regions(sparse_map(value)?),
            b"GNU.sparse.offset" => return Err(invalid("sparse format 0.0 is not supported")),
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

/// PAX 0.1: `offset,length,offset,length`.
fn sparse_map(value: &[u8]) -> Result<Vec<(u64, u64)>> {
    let numbers: Option<Vec<u64>> = value.split(|byte| *byte == b',').map(decimal).collect();
    match numbers {
        Some(numbers) if numbers.len().is_multiple_of(2) => Ok(numbers
            .chunks_exact(2)
            .map(|pair| (pair[0], pair[1]))
            .collect()),
        _ => Err(invalid("damaged list of sparse regions")),
    }
}

/// Strict: digits only.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `1700000000.123456789`, maybe negative; the fraction may have any length.
fn pax_time(value: &[u8]) -> Result<(i64, u32)> {
    let text = std::str::from_utf8(value).unwrap_or("");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole
        .parse()
        .map_err(|_| invalid(format!("damaged time {text:?}")))?;
    let digits: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let nanoseconds: u32 = digits
        .parse()
        .map_err(|_| invalid(format!("damaged time {text:?}")))?;
    Ok(match (whole.starts_with('-'), nanoseconds) {
        (true, 1..) => (seconds.saturating_sub(1), 1_000_000_000 - nanoseconds),
        _ => (seconds, nanoseconds),
    })
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

/// A stream that takes so many bytes and no more.
struct Bounded<'a, W> {
    stream: &'a mut W,
    left: u64,
}

impl<W: Write> Write for Bounded<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if bytes.len() as u64 > self.left {
            return Err(std::io::Error::other("the content is too long"));
        }
        let count = self.stream.write(bytes)?;
        self.left -= count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.flush()
    }
}

/// Writes an archive: same entries, same bytes.
#[derive(Debug)]
pub struct Writer<W> {
    stream: W,
}

impl<W: Write> Writer<W> {
    /// Onto a plain stream.
    pub fn new(stream: W) -> Self {
        Self { stream }
    }

    /// Adds an entry with exactly `entry.size` bytes of content (files; nothing else has any).
    pub fn append(&mut self, entry: &Entry, content: impl Read) -> Result<()> {
        let shown = || String::from_utf8_lossy(&entry.path).into_owned();
        self.header(entry).context(shown)?;
        if entry.kind != Kind::File || entry.size == 0 {
            return Ok(());
        }
        // A file that shrinks meanwhile is an error; one that grows is cut.
        let copied = std::io::copy(&mut content.take(entry.size), &mut self.stream)
            .context(|| format!("archive {}", shown()))?;
        if copied != entry.size {
            let message = format!("archive {}: the file became shorter", shown());
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        self.pad(entry.size)
    }

    /// Adds a file whose content is written, not read: exactly `entry.size` bytes.
    pub(crate) fn append_written(
        &mut self,
        entry: &Entry,
        write: impl FnOnce(&mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        let shown = || String::from_utf8_lossy(&entry.path).into_owned();
        self.header(entry).context(shown)?;
        let mut bounded = Bounded {
            stream: &mut self.stream,
            left: entry.size,
        };
        write(&mut bounded).context(|| format!("archive {}", shown()))?;
        if bounded.left > 0 {
            let message = format!("archive {}: the content is too short", shown());
            return Err(Error::new(ErrorKind::Internal, message));
        }
        self.pad(entry.size)
    }

    /// Ends the archive.
    pub fn finish(mut self) -> Result<W> {
        self.stream.write_all(&[0u8; 2 * BLOCK])?;
        self.stream.flush()?;
        Ok(self.stream)
    }

    fn header(&mut self, entry: &Entry) -> Result<()> {
        let mut header = Header::new_ustar();
        let mut records = Vec::new();
        {
            let fields = header.as_mut_bytes();
            put(&mut fields[..100], &entry.path, "path", &mut records);
            put(&mut fields[157..257], &entry.link, "linkpath", &mut records);
        }
        header.set_entry_type(match entry.kind {
            Kind::File => EntryType::Regular,
            Kind::HardLink => EntryType::Link,
            Kind::Symlink => EntryType::Symlink,
            Kind::Directory => EntryType::Directory,
            Kind::Character => EntryType::Char,
            Kind::Block => EntryType::Block,
            Kind::Fifo => EntryType::Fifo,
        });
        header.set_mode(entry.mode);
        let size = if entry.kind == Kind::File {
            entry.size
        } else {
            0
        };
        // What does not fit into seven or eleven octal digits goes into a record as well.
        let mut number = |value: u64, limit: u64, key: &str| {
            if value < limit {
                return value;
            }
            record(&mut records, key, value.to_string().as_bytes());
            0
        };
        header.set_uid(number(entry.uid.into(), 1 << 21, "uid"));
        header.set_gid(number(entry.gid.into(), 1 << 21, "gid"));
        header.set_size(number(size, 1 << 33, "size"));
        match u64::try_from(entry.mtime_seconds) {
            Ok(seconds) => header.set_mtime(number(seconds, 1 << 33, "mtime")),
            Err(_) => {
                header.set_mtime(0);
                record(
                    &mut records,
                    "mtime",
                    entry.mtime_seconds.to_string().as_bytes(),
                );
            }
        }
        header.set_device_major(entry.device.0)?;
        header.set_device_minor(entry.device.1)?;
        for (name, value) in &entry.xattrs {
            let key = format!("SCHILY.xattr.{}", String::from_utf8_lossy(name));
            record(&mut records, &key, value);
        }
        if !records.is_empty() {
            self.records(&records)?;
        }
        header.set_cksum();
        self.stream.write_all(header.as_bytes())?;
        Ok(())
    }

    fn records(&mut self, records: &[u8]) -> Result<()> {
        let mut header = Header::new_ustar();
        header.as_mut_bytes()[..9].copy_from_slice(b"PaxHeader");
        header.set_entry_type(EntryType::XHeader);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(records.len() as u64);
        header.set_cksum();
        self.stream.write_all(header.as_bytes())?;
        self.stream.write_all(records)?;
        self.pad(records.len() as u64)
    }

    fn pad(&mut self, size: u64) -> Result<()> {
        let padding = size.next_multiple_of(BLOCK as u64) - size;
        let zeros = [0u8; BLOCK];
        self.stream
            .write_all(&zeros[..usize::try_from(padding).expect("less than a block")])?;
        Ok(())
    }
}

/// Puts a name into its field, and into a record when it is too long or not plain ASCII.
fn put(field: &mut [u8], name: &[u8], key: &str, records: &mut Vec<u8>) {
    let fits = name.len() <= field.len();
    let length = name.len().min(field.len());
    field[..length].copy_from_slice(&name[..length]);
    if !fits || !name.is_ascii() {
        record(records, key, name);
    }
}

/// The length counts its own digits.
fn record(records: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} {key}=").as_bytes());
    records.extend_from_slice(value);
    records.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(entries: &[(Entry, &[u8])]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        for (entry, content) in entries {
            writer.append(entry, *content).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn what_is_written_is_read_back_the_same() {
        let mut file = Entry::new("ü/".repeat(90), Kind::File);
        file.size = 3;
        file.mode = 0o4755;
        file.uid = 3_000_000;
        file.mtime_seconds = -5;
        // A line end inside of a value, as file capabilities may have.
        file.xattrs = vec![(b"security.capability".to_vec(), b"\x01\n\x00=\n".to_vec())];
        file.path.extend_from_slice(b"f");
        let mut link = Entry::new("l", Kind::Symlink);
        link.link = vec![b'x'; 300];
        let bytes = written(&[(file.clone(), b"abc"), (link.clone(), b"")]);
        let mut reader = Reader::new(&bytes[..]);
        assert_eq!(reader.next_entry().unwrap().unwrap(), file);
        let mut content = Vec::new();
        reader.content().read_to_end(&mut content).unwrap();
        assert_eq!(content, b"abc");
        assert_eq!(reader.next_entry().unwrap().unwrap(), link);
        assert_eq!(reader.next_entry().unwrap(), None);
    }

    #[test]
    fn the_crate_reads_what_we_write() {
        let mut file = Entry::new("a".repeat(120), Kind::File);
        file.size = 1;
        let bytes = written(&[(file, b"x")]);
        let mut archive = tar::Archive::new(&bytes[..]);
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.path_bytes().len(), 120);
    }

    #[test]
    fn gnu_long_names_are_read() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = Header::new_gnu();
        header.set_size(0);
        header.set_cksum();
        builder
            .append_data(&mut header, "d/".repeat(100) + "f", &b""[..])
            .unwrap();
        let bytes = builder.into_inner().unwrap();
        let entry = Reader::new(&bytes[..]).next_entry().unwrap().unwrap();
        assert_eq!(entry.path.len(), 201);
    }

    #[test]
    fn cut_and_damaged_archives_are_errors() {
        let mut file = Entry::new("f", Kind::File);
        file.size = 600;
        let bytes = written(&[(file, &[7; 600])]);
        let mut reader = Reader::new(&bytes[..700]);
        reader.next_entry().unwrap();
        assert!(reader.next_entry().is_err());
        assert!(Reader::new(&bytes[..100]).next_entry().is_err());
        assert!(Reader::new(&[b'x'; 512][..]).next_entry().is_err());
    }

    #[test]
    fn an_endless_extended_header_is_refused() {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        header.set_size(1 << 30);
        header.set_cksum();
        let error = Reader::new(&header.as_bytes()[..])
            .next_entry()
            .unwrap_err();
        assert!(error.to_string().contains("too long"));
    }

    #[test]
    fn a_sparse_list_that_leaves_its_file_is_refused() {
        let mut writer = Writer::new(Vec::new());
        let mut records = Vec::new();
        record(&mut records, "GNU.sparse.map", b"0,1,1000,500");
        record(&mut records, "GNU.sparse.size", b"1200");
        writer.records(&records).unwrap();
        let mut file = Entry::new("f", Kind::File);
        file.size = 501;
        writer.append(&file, &[1; 501][..]).unwrap();
        let bytes = writer.finish().unwrap();
        let mut reader = Reader::new(&bytes[..]);
        let entry = reader.next_entry().unwrap().unwrap();
        assert_eq!(entry.size, 1200);
        let mut out = tempfile::tempfile().unwrap();
        assert!(reader.copy_to(&entry, &mut out).is_err());
    }

    #[test]
    fn times_before_the_epoch_keep_their_fraction() {
        assert_eq!(pax_time(b"12.5").unwrap(), (12, 500_000_000));
        assert_eq!(pax_time(b"-1.25").unwrap(), (-2, 750_000_000));
        assert!(pax_time(b"x").is_err());
    }

    #[test]
    fn headers_before_an_entry_have_an_end() {
        let mut bytes = Vec::new();
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        header.set_size(1 << 20);
        header.set_path("bomb").unwrap();
        header.set_cksum();
        for _ in 0..8 {
            bytes.extend_from_slice(header.as_bytes());
            let record = format!("{} SCHILY.xattr.user.a=", 1 << 20);
            bytes.extend_from_slice(record.as_bytes());
            bytes.resize(bytes.len() + (1 << 20) - record.len() - 1, b'x');
            bytes.push(b'\n');
        }
        let error = Reader::new(&bytes[..]).next_entry().unwrap_err();
        assert!(error.to_string().contains("too long"), "{error}");
    }

    #[test]
    fn a_list_of_empty_sparse_blocks_has_an_end() {
        struct Endless(Vec<u8>, usize);
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                // The header once, then blocks that only say that there is another one.
                for byte in buffer.iter_mut() {
                    *byte = match self.1 {
                        at if at < BLOCK => self.0[at],
                        at => u8::from((at % BLOCK) == 504),
                    };
                    self.1 += 1;
                }
                Ok(buffer.len())
            }
        }
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::GNUSparse);
        header.set_path("bomb").unwrap();
        header.set_size(0);
        header.as_gnu_mut().unwrap().isextended = [1];
        header.as_gnu_mut().unwrap().realsize = *b"00000000000\0";
        header.set_cksum();
        let mut reader = Reader::new(Endless(header.as_bytes().to_vec(), 0));
        let error = reader.next_entry().unwrap_err();
        assert!(error.to_string().contains("too many sparse"), "{error}");
    }
}
