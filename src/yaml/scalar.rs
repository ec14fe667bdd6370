//! What an unquoted scalar means: YAML's core schema as Docker (Go's yaml) reads it.

use super::Resolved;

/// What a plain scalar is.
#[derive(Debug, Clone, PartialEq)]
pub enum Plain {
    Null,
    /// Its text, as it stands.
    String,
    /// Another type, and the text that stands for it where a string is wanted.
    Typed(Resolved, String),
}

/// A plain scalar's meaning.
pub fn resolve_plain(text: &str) -> Plain {
    let typed = match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "true" | "True" | "TRUE" => Some((Resolved::Bool(true), "true".to_owned())),
        "false" | "False" | "FALSE" => Some((Resolved::Bool(false), "false".to_owned())),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Some(float(f64::INFINITY)),
        "-.inf" | "-.Inf" | "-.INF" => Some(float(f64::NEG_INFINITY)),
        ".nan" | ".NaN" | ".NAN" => Some(float(f64::NAN)),
        _ => match text.as_bytes()[0] {
            b'.' => resolve_float(text).map(float),
            b'0'..=b'9' | b'+' | b'-' => resolve_number(text),
            _ => None,
        },
    };
    typed.map_or(Plain::String, |(resolved, text)| {
        Plain::Typed(resolved, text)
    })
}

fn resolve_number(text: &str) -> Option<(Resolved, String)> {
    if let Some(printed) = timestamp(text) {
        return Some((Resolved::Timestamp, printed));
    }
    let plain = text.replace('_', "");
    if let Some(value) = integer(&plain).filter(|_| !is_failed_octal(&plain)) {
        return Some((Resolved::Integer(value), value.to_string()));
    }
    resolve_float(&plain).map(float)
}

/// `08` begins like an octal number and is none: Go tries on, and takes it for a float.
fn is_failed_octal(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    digits.starts_with('0')
        && digits.bytes().all(|digit| digit.is_ascii_digit())
        && digits.contains(['8', '9'])
}

fn float(value: f64) -> (Resolved, String) {
    (Resolved::Float(value), print_float(value))
}

/// An integer in Go's notations, of at most 64 bits; `08` counts as 8 as it does in Docker.
pub fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = if let Some(rest) = lower.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (2, rest)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (8, rest)
    } else if lower.len() > 1
        && lower.starts_with('0')
        && lower.bytes().all(|digit| (b'0'..b'8').contains(&digit))
    {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, radix).ok()?;
    let value = if negative { -magnitude } else { magnitude };
    (i128::from(i64::MIN)..=i128::from(u64::MAX))
        .contains(&value)
        .then_some(value)
}

/// A float in YAML's notation (`1.5`, `.5`, `1e3`) that fits.
pub fn resolve_float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    if let Some(exponent) = exponent {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        if exponent.is_empty() || !digits(exponent) {
            return None;
        }
    }
    text.parse::<f64>().ok().filter(|value| value.is_finite())
}

/// As Go's `%v` prints it: the shortest digits, with an exponent below 1e-4 and from 1e6 on.
pub fn print_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    if (1e-4..1e6).contains(&value.abs()) {
        return value.to_string();
    }
    exponent_form(value)
}

fn exponent_form(value: f64) -> String {
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// A date or a date with a time, printed as Go prints it.
fn timestamp(text: &str) -> Option<String> {
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some((&text[at..=at], &text[at + 1..]))),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if year.len() != 4 || parts.next().is_some() {
        return None;
    }
    let date = jiff::civil::Date::new(
        i16::try_from(number(year, 4)?).ok()?,
        i8::try_from(number(month, 2)?).ok()?,
        i8::try_from(number(day, 2)?).ok()?,
    )
    .ok()?;
    let Some((separator, time)) = time else {
        return Some(format!("{date} 00:00:00 +0000 UTC"));
    };
    let (clock, zone) = if separator == " " {
        (time, "+0000 UTC".to_owned())
    } else if let Some(clock) = time.strip_suffix('Z') {
        (clock, "+0000 UTC".to_owned())
    } else {
        let at = time.rfind(['+', '-'])?;
        let (hours, minutes) = time[at + 1..].split_once(':')?;
        if hours.len() != 2 || minutes.len() != 2 {
            return None;
        }
        let offset = format!(
            "{}{:02}{:02}",
            &time[at..=at],
            number(hours, 2)?,
            number(minutes, 2)?
        );
        (&time[..at], format!("{offset} {offset}"))
    };
    Some(format!("{date} {} {zone}", clock_time(clock)?))
}

fn clock_time(clock: &str) -> Option<String> {
    let (whole, fraction) = match clock.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (clock, None),
    };
    let mut parts = whole.split(':');
    let hour = number(parts.next()?, 2).filter(|hour| *hour < 24)?;
    let minute = number(parts.next()?, 2).filter(|minute| *minute < 60)?;
    let second = number(parts.next()?, 2).filter(|second| *second < 60)?;
    if parts.next().is_some() {
        return None;
    }
    let mut printed = format!("{hour:02}:{minute:02}:{second:02}");
    if let Some(fraction) = fraction {
        number(fraction, 9)?;
        let fraction = fraction.trim_end_matches('0');
        if !fraction.is_empty() {
            printed.push('.');
            printed.push_str(fraction);
        }
    }
    Some(printed)
}

fn number(text: &str, most_digits: usize) -> Option<u32> {
    let fits = !text.is_empty()
        && text.len() <= most_digits
        && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_docker_says() {
        let rows = [
            ("0755", "int 493"),
            ("0o755", "int 493"),
            ("0x1F", "int 31"),
            ("0b101", "int 5"),
            ("08", "float 8"),
            ("08080", "float 8080"),
            ("00", "int 0"),
            ("-0", "int 0"),
            ("+1", "int 1"),
            ("1_000", "int 1000"),
            ("1__0", "int 10"),
            ("0777", "int 511"),
            ("9223372036854775808", "int 9223372036854775808"),
            ("18446744073709551616", "float 1.8446744073709552e+19"),
            ("100000000000000000000000", "float 1e+23"),
            ("_1", "string _1"),
            ("0x", "string 0x"),
            ("0o8", "string 0o8"),
            ("22:22", "string 22:22"),
            ("1:30:00", "string 1:30:00"),
            ("1.0", "float 1"),
            ("1.10", "float 1.1"),
            (".5", "float 0.5"),
            ("1e3", "float 1000"),
            ("0.1e-400", "float 0"),
            ("1e400", "string 1e400"),
            ("1e3.5", "string 1e3.5"),
            (".inf", "float +Inf"),
            ("-.inf", "float -Inf"),
            (".nan", "float NaN"),
            ("2001-12-14", "date 2001-12-14 00:00:00 +0000 UTC"),
            (
                "2001-12-14T21:59:43.10-05:00",
                "date 2001-12-14 21:59:43.1 -0500 -0500",
            ),
            ("2001-13-14", "string 2001-13-14"),
            ("True", "bool true"),
            ("tRue", "string tRue"),
            ("yes", "string yes"),
            ("off", "string off"),
            ("y", "string y"),
            ("=", "string ="),
            ("-", "string -"),
            (".", "string ."),
            ("1.2.3", "string 1.2.3"),
            ("~", "null"),
            ("", "null"),
            ("NULL", "null"),
            ("nULL", "string nULL"),
        ];
        for (text, expected) in rows {
            let seen = match resolve_plain(text) {
                Plain::Null => "null".to_owned(),
                Plain::String => format!("string {text}"),
                Plain::Typed(Resolved::Bool(_), text) => format!("bool {text}"),
                Plain::Typed(Resolved::Integer(_), text) => format!("int {text}"),
                Plain::Typed(Resolved::Float(_), text) => format!("float {text}"),
                Plain::Typed(Resolved::Timestamp, text) => format!("date {text}"),
                Plain::Typed(Resolved::String, text) => format!("odd {text}"),
            };
            assert_eq!(seen, expected, "{text}");
        }
    }

    #[test]
    fn floats_print_as_go_prints_them() {
        let rows = [
            (1e6, "1e+06"),
            (123_456_789.0, "1.23456789e+08"),
            (100_000.0, "100000"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (1234.5, "1234.5"),
            (-2.0, "-2"),
        ];
        for (value, expected) in rows {
            assert_eq!(print_float(value), expected);
        }
    }
}
