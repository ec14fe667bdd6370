//! The keys that leave a container and let it run: `ctrl-p,ctrl-q`, unless said otherwise.

use std::borrow::Cow;

use super::{Error, Result};

/// A sequence of keys, and how much of it has been typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    sequence: Vec<u8>,
    typed: usize,
}

/// What becomes of typed bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Typed<'a> {
    /// For the program.
    pub(super) bytes: Cow<'a, [u8]>,
    /// The sequence is complete; what came after it is dropped.
    pub(super) left: bool,
}

impl<'a> Typed<'a> {
    /// No key is held back.
    pub(super) fn passed(bytes: &'a [u8]) -> Self {
        Self {
            bytes: Cow::Borrowed(bytes),
            left: false,
        }
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            sequence: vec![0x10, 0x11],
            typed: 0,
        }
    }
}

impl Keys {
    /// Reads `a,ctrl-b,…`: characters, and control characters by their letter.
    ///
    /// # Errors
    /// What is no key, in Docker's words.
    pub fn parse(text: &str) -> Result<Self> {
        let sequence: Option<Vec<u8>> = text.split(',').map(key).collect();
        match sequence {
            Some(sequence) => Ok(Self { sequence, typed: 0 }),
            None => Err(Error::Failed(format!(
                "invalid escape keys ({text}) provided: each is a character or ctrl-<letter>"
            ))),
        }
    }

    /// Takes what was typed. A key that may belong to the sequence is held back until it is
    /// known whether it does.
    pub(super) fn typed<'a>(&mut self, bytes: &'a [u8]) -> Typed<'a> {
        if self.typed == 0 && !bytes.contains(&self.sequence[0]) {
            return Typed::passed(bytes);
        }
        let mut passed = Vec::with_capacity(bytes.len() + self.typed);
        for byte in bytes {
            self.take(*byte, &mut passed);
            if self.typed == self.sequence.len() {
                self.typed = 0;
                return Typed {
                    bytes: passed.into(),
                    left: true,
                };
            }
        }
        Typed {
            bytes: passed.into(),
            left: false,
        }
    }

    fn take(&mut self, byte: u8, passed: &mut Vec<u8>) {
        if byte == self.sequence[self.typed] {
            self.typed += 1;
            return;
        }
        // What was held back was meant for the program, from its start until the rest may still
        // be the beginning of the sequence.
        let mut held = self.sequence[..self.typed].to_vec();
        held.push(byte);
        let fits = |from: usize| self.sequence.starts_with(&held[from..]);
        let kept_from = (1..held.len()).find(|from| fits(*from));
        let kept_from = kept_from.unwrap_or(held.len());
        passed.extend_from_slice(&held[..kept_from]);
        self.typed = held.len() - kept_from;
    }
}

fn key(text: &str) -> Option<u8> {
    if let [byte] = text.as_bytes() {
        return Some(*byte);
    }
    match text.strip_prefix("ctrl-")?.as_bytes() {
        [letter @ b'a'..=b'z'] => Some(letter - b'a' + 1),
        [b'@'] => Some(0),
        [sign @ b'['..=b'_'] => Some(sign - b'@'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &mut Keys, bytes: &[u8]) -> (Vec<u8>, bool) {
        let typed = keys.typed(bytes);
        (typed.bytes.into_owned(), typed.left)
    }

    #[test]
    fn keys_are_characters_and_control_characters() {
        assert_eq!(Keys::parse("ctrl-p,ctrl-q").unwrap(), Keys::default());
        assert_eq!(
            Keys::parse("a,ctrl-@,ctrl-[,ctrl-_").unwrap().sequence,
            [b'a', 0, 27, 31]
        );
        for wrong in ["", "ab", "ctrl-", "ctrl-A", "ctrl-p,", "ctrl-pq"] {
            assert!(Keys::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_sequence_may_come_in_pieces_and_what_is_not_it_is_passed_on() {
        let mut keys = Keys::default();
        assert_eq!(typed(&mut keys, b"ls\r"), (b"ls\r".to_vec(), false));
        assert_eq!(typed(&mut keys, b"a\x10"), (b"a".to_vec(), false));
        assert_eq!(typed(&mut keys, b"\x10"), (b"\x10".to_vec(), false));
        assert_eq!(typed(&mut keys, b"x"), (b"\x10x".to_vec(), false));
        assert_eq!(typed(&mut keys, b"b\x10"), (b"b".to_vec(), false));
        assert_eq!(typed(&mut keys, b"\x11gone"), (Vec::new(), true));
    }

    #[test]
    fn the_beginning_of_the_sequence_may_be_inside_of_it() {
        let mut keys = Keys::parse("a,a,b").unwrap();
        assert_eq!(typed(&mut keys, b"aaab"), (b"a".to_vec(), true));
        assert_eq!(typed(&mut keys, b"aac"), (b"aac".to_vec(), false));
    }
}
