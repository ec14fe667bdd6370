//! Ranges: ports (`8000-8010`), CPU sets (`0-3,7`).

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// `80` or `8000-8010`; ports are 0 to 65535, where 0 asks for a free one.
///
/// # Errors
/// In Docker's words, without the place.
pub fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| -> Result<u16, String> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits
            .then(|| text.parse().ok())
            .flatten()
            .ok_or_else(|| format!("invalid port: {text:?}"))
    };
    let (first, last) = (port(first)?, port(last)?);
    if last < first {
        return Err(format!("invalid range specified for port: {text}"));
    }
    Ok(first..=last)
}

/// The CPUs of a list such as `0-3,7`.
///
/// # Errors
/// In words, without the place.
pub fn parse_cpu_set(text: &str) -> Result<BTreeSet<u16>, String> {
    let invalid = || format!("invalid CPU set {text:?}: it is written like `0-3,7`");
    let mut set = BTreeSet::new();
    for part in text.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let cpu = |text: &str| text.trim().parse::<u16>().ok().filter(|cpu| *cpu < 8192);
        let (first, last) = (
            cpu(first).ok_or_else(invalid)?,
            cpu(last).ok_or_else(invalid)?,
        );
        if last < first {
            return Err(invalid());
        }
        set.extend(first..=last);
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_ranges() {
        let rows = [
            ("80", Ok(80..=80)),
            ("8000-8010", Ok(8000..=8010)),
            ("70000", Err("invalid port: \"70000\"")),
            ("", Err("invalid port: \"\"")),
            ("+80", Err("invalid port: \"+80\"")),
            ("90-80", Err("invalid range specified for port: 90-80")),
        ];
        for (text, expected) in rows {
            assert_eq!(parse_ports(text), expected.map_err(str::to_owned));
        }
    }

    #[test]
    fn cpu_sets() {
        assert_eq!(
            parse_cpu_set("0-2,7, 9").map(Vec::from_iter),
            Ok(vec![0, 1, 2, 7, 9])
        );
        for text in ["", "3-1", "a", "1,,2"] {
            assert!(parse_cpu_set(text).is_err(), "{text}");
        }
    }
}
