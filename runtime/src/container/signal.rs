//! Pure: signal names as users write them.

use crate::error::{Error, ErrorKind, Result};

/// The numbers of Linux on x86-64 and arm64, as Docker's own table has them.
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

/// SIGKILL, which nothing can catch.
pub const KILL: i32 = 9;
/// SIGTERM, the default request to stop.
pub const TERM: i32 = 15;

// The C library keeps 32 and 33 for itself.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+3`, `RTMAX-2`.
///
/// # Errors
/// `invalid signal: X`, in Docker's words.
pub fn parse(text: &str) -> Result<i32> {
    number(text).ok_or_else(|| Error::new(ErrorKind::Invalid, format!("invalid signal: {text}")))
}

fn number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=RTMAX).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Some(*number);
    }
    if let Some(rest) = name.strip_prefix("RTMIN") {
        return offset(rest, '+', 15).map(|offset| RTMIN + offset);
    }
    let rest = name.strip_prefix("RTMAX")?;
    offset(rest, '-', 14).map(|offset| RTMAX - offset)
}

fn offset(rest: &str, sign: char, most: i32) -> Option<i32> {
    if rest.is_empty() {
        return Some(0);
    }
    let offset: i32 = rest.strip_prefix(sign)?.parse().ok()?;
    (0..=most).contains(&offset).then_some(offset)
}

/// `SIGTERM` for 15; the number itself where there is no name.
pub fn name(signal: i32) -> String {
    match NAMES.iter().find(|(_, number)| *number == signal) {
        Some((name, _)) => format!("SIG{name}"),
        None => signal.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_signal_is_known() {
        for text in ["TERM", "sigterm", "SIGTERM", "15"] {
            assert_eq!(parse(text).unwrap(), 15);
        }
        assert_eq!(parse("RTMIN+3").unwrap(), 37);
        assert_eq!(parse("SIGRTMAX-1").unwrap(), 63);
    }

    #[test]
    fn an_unknown_signal_is_refused_in_dockers_words() {
        for text in ["0", "FOO", "99", "RTMIN+16", ""] {
            assert_eq!(
                parse(text).unwrap_err().to_string(),
                format!("invalid signal: {text}")
            );
        }
    }
}
