//! Pure: signals by the names that users write.

use crate::error::{Error, ErrorKind, Result};

/// Names in Linux' numbering on x86_64 and aarch64.
const NAMES: &[(&str, i32)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// The first real-time signal that programs may use (glibc keeps 32 and 33).
const RTMIN: i32 = 34;
/// The last one.
pub const RTMAX: i32 = 64;

/// SIGKILL, which nothing can catch.
pub const KILL: i32 = 9;
/// SIGTERM, the default request to stop.
pub const TERM: i32 = 15;

/// The number of `SIGTERM`, `term`, `15`, `RTMIN+3`, `SIGRTMAX-1`.
///
/// # Errors
/// `invalid signal: X`, in Docker's words.
pub fn parse(text: &str) -> Result<i32> {
    number(text).ok_or_else(|| Error::new(ErrorKind::Invalid, format!("invalid signal: {text}")))
}

fn number(text: &str) -> Option<i32> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok().filter(|n| (1..=RTMAX).contains(n));
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Some(*number);
    }
    let offset = |rest: &str, sign: char| -> Option<i32> {
        if rest.is_empty() {
            return Some(0);
        }
        let digits = rest.strip_prefix(sign)?;
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        digits.parse().ok()
    };
    if let Some(rest) = name.strip_prefix("RTMIN") {
        return offset(rest, '+')
            .filter(|n| (0..=15).contains(n))
            .map(|n| RTMIN + n);
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        return offset(rest, '-')
            .filter(|n| (0..=14).contains(n))
            .map(|n| RTMAX - n);
    }
    None
}

/// The name with `SIG`: `SIGTERM`, `SIGRTMIN+3`; the bare number when there is none.
pub fn name(number: i32) -> String {
    if let Some((name, _)) = NAMES.iter().find(|(_, known)| *known == number) {
        return format!("SIG{name}");
    }
    match number {
        34 => "SIGRTMIN".into(),
        35..=49 => format!("SIGRTMIN+{}", number - RTMIN),
        50..=63 => format!("SIGRTMAX-{}", RTMAX - number),
        64 => "SIGRTMAX".into(),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_the_field_writes_them() {
        assert_eq!(number("SIGTERM"), Some(15));
        assert_eq!(number("term"), Some(15));
        assert_eq!(number("9"), Some(9));
        assert_eq!(number("RTMIN+3"), Some(37));
        assert_eq!(number("sigrtmax-1"), Some(63));
        assert_eq!(number("RTMAX"), Some(64));
        for wrong in [
            "", "0", "65", "SIG", "RTMIN+16", "RTMIN-1", "RTMIN+", "FOO", "-9", "+9",
        ] {
            assert_eq!(number(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_name_is_read_back_as_its_number() {
        for number in 1..=31 {
            assert_eq!(parse(&name(number)).unwrap(), number);
        }
        assert_eq!(name(37), "SIGRTMIN+3");
        assert_eq!(parse(&name(60)).unwrap(), 60);
        assert_eq!(parse("FOO").unwrap_err().to_string(), "invalid signal: FOO");
    }
}
