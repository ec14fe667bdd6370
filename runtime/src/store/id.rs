//! Ids: 64 lower-case hex digits, as Docker gives them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// The id of a container or network. Always 64 lower-case hex digits, so it may be part of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id(String);

impl Id {
    /// A new one from the kernel's random source; never one whose short form reads as a number.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn random() -> Result<Self> {
        loop {
            let mut bytes = [0u8; 32];
            rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
            let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            if !text.as_bytes()[..12].iter().all(u8::is_ascii_digit) {
                return Ok(Self(text));
            }
        }
    }

    /// All 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, as people see it.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl TryFrom<String> for Id {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let is_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
        if text.len() == 64 && text.as_bytes().iter().all(is_hex) {
            Ok(Self(text))
        } else {
            Err(Error::new(
                ErrorKind::Invalid,
                format!("invalid id {text:?}"),
            ))
        }
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether `name` may name a container or a volume: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
pub fn is_valid_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.len() >= 2
        && bytes[0].is_ascii_alphanumeric()
        && bytes[1..]
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hex_of_the_right_length_is_an_id() {
        let id = Id::random().unwrap();
        assert_eq!(Id::try_from(id.as_str().to_owned()).unwrap(), id);
        assert!(Id::try_from("../../etc/passwd".to_owned()).is_err());
        assert!(Id::try_from("A".repeat(64)).is_err());
    }

    #[test]
    fn names_start_with_a_letter_or_digit_and_have_two_characters() {
        assert!(is_valid_name("app-db-1"));
        assert!(!is_valid_name("a"));
        assert!(!is_valid_name("-db"));
        assert!(!is_valid_name("a/b"));
    }
}
