//! Pure: what a container writes, cut into records, as Docker's `json-file` has them.
//!
//! One record a line: `{"log":"text\n","stream":"stdout","time":"…Z"}`, key order fixed. The
//! text is made valid UTF-8 (the format can hold nothing else). How bytes are cut depends on
//! the bytes alone, never on how they came: the same bytes give the same records again.

use std::io::Write as _;

use jiff::Timestamp;

/// Docker cuts longer lines into records of this size.
pub const LONGEST: usize = 16 * 1024;

/// One of the two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// As records name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// How many of the first bytes make a record: a line with its newline, or as much of a longer
/// one as a record may hold. `None` while the line goes on.
pub fn first(bytes: &[u8]) -> Option<usize> {
    let window = &bytes[..bytes.len().min(LONGEST)];
    match window.iter().position(|byte| *byte == b'\n') {
        Some(place) => Some(place + 1),
        None => (window.len() == LONGEST).then_some(LONGEST),
    }
}

/// Adds all of the bytes, the last of them as a record without its newline.
pub fn push_all(out: &mut Vec<u8>, stream: Stream, mut bytes: &[u8], time: Timestamp) {
    while !bytes.is_empty() {
        let (record, rest) = bytes.split_at(first(bytes).unwrap_or(bytes.len()));
        push(out, stream, record, time);
        bytes = rest;
    }
}

/// Adds one record.
pub fn push(out: &mut Vec<u8>, stream: Stream, text: &[u8], time: Timestamp) {
    out.extend_from_slice(b"{\"log\":\"");
    push_json(out, text);
    out.extend_from_slice(b"\",\"stream\":\"");
    out.extend_from_slice(stream.as_str().as_bytes());
    out.extend_from_slice(b"\",\"time\":\"");
    // Writing to memory cannot fail.
    let _infallible = write!(out, "{time}");
    out.extend_from_slice(b"\"}\n");
}

/// Go's JSON text: HTML characters and line separators escaped, invalid bytes replaced.
fn push_json(out: &mut Vec<u8>, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(place) = rest.find(is_special) {
            let (plain, special) = rest.split_at(place);
            out.extend_from_slice(plain.as_bytes());
            let mut characters = special.chars();
            if let Some(character) = characters.next() {
                push_special(out, character);
            }
            rest = characters.as_str();
        }
        out.extend_from_slice(rest.as_bytes());
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

fn is_special(character: char) -> bool {
    matches!(
        character,
        '"' | '\\' | '\u{0}'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}'
    )
}

fn push_special(out: &mut Vec<u8>, character: char) {
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        other => {
            let _infallible = write!(out, "\\u{:04x}", u32::from(other));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_looks_as_docker_writes_it() {
        let mut out = Vec::new();
        let time = "2026-08-01T12:00:00.12Z".parse().unwrap();
        let text = "<a> \"b\"\té\u{2028}".as_bytes();
        push(
            &mut out,
            Stream::Stdout,
            &[text, b"\xff\x1b[0m\n"].concat(),
            time,
        );
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"log\":\"\\u003ca\\u003e \\\"b\\\"\\té\\u2028\\ufffd\\u001b[0m\\n\",\
             \"stream\":\"stdout\",\"time\":\"2026-08-01T12:00:00.12Z\"}\n"
        );
    }

    #[test]
    fn a_long_line_is_cut_where_docker_cuts_it() {
        let mut line = vec![b'x'; LONGEST + 10];
        assert_eq!(first(&line), Some(LONGEST));
        assert_eq!(first(&line[LONGEST..]), None);
        line[LONGEST - 1] = b'\n';
        assert_eq!(first(&line), Some(LONGEST));
        line[4] = b'\n';
        assert_eq!(first(&line), Some(5));
        assert_eq!(first(&line[..4]), None);
    }
}
