//! What an archive is compressed with, told by its first bytes: media types lie.

use std::io::{BufReader, Cursor, Read};

use flate2::read::MultiGzDecoder;

use crate::error::{Context, Error, ErrorKind, Result};

/// Reads a plain, gzip or zstd stream as its plain content.
pub fn decompress<'a>(mut stream: impl Read + Send + 'a) -> Result<Box<dyn Read + Send + 'a>> {
    let mut head = Vec::with_capacity(6);
    stream
        .by_ref()
        .take(6)
        .read_to_end(&mut head)
        .context(|| "read archive".into())?;
    let kind = detect(&head);
    let whole = BufReader::with_capacity(1 << 16, Cursor::new(head).chain(stream));
    match kind {
        Kind::Plain => Ok(Box::new(whole)),
        // Several members in a row are one stream (pigz, appended archives).
        Kind::Gzip => Ok(Box::new(MultiGzDecoder::new(whole))),
        Kind::Zstd => Ok(Box::new(
            zstd::stream::read::Decoder::with_buffer(whole).context(|| "read archive".into())?,
        )),
        Kind::Unsupported(name) => Err(Error::new(
            ErrorKind::Unsupported,
            format!("archive is compressed with {name}; only gzip and zstd are supported"),
        )),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Gzip,
    Zstd,
    Unsupported(&'static str),
}

fn detect(head: &[u8]) -> Kind {
    match head {
        [0x1f, 0x8b, ..] => Kind::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Kind::Zstd,
        // A skippable frame may come first.
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Kind::Zstd,
        [b'B', b'Z', b'h', ..] => Kind::Unsupported("bzip2"),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Kind::Unsupported("xz"),
        _ => Kind::Plain,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn plain(bytes: &[u8]) -> String {
        let mut text = String::new();
        decompress(bytes)
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        text
    }

    #[test]
    fn each_kind_is_told_by_its_first_bytes() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"content").unwrap();
        let gzip = gzip.finish().unwrap();
        assert_eq!(plain(&gzip), "content");
        assert_eq!(plain(&[gzip.clone(), gzip].concat()), "contentcontent");
        assert_eq!(
            plain(&zstd::encode_all(&b"content"[..], 1).unwrap()),
            "content"
        );
        assert_eq!(plain(b"content"), "content");
        assert_eq!(plain(b""), "");
    }

    #[test]
    fn what_we_cannot_read_is_named() {
        let error = decompress(&b"BZh91AY"[..]).err().unwrap();
        assert!(error.to_string().contains("bzip2"));
    }
}
