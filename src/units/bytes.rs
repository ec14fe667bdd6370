//! Sizes: `512m`, `1.5gb`, as docker/go-units reads and prints them.

/// A size in bytes, in multiples of 1024; `-1` stands for "without limit".
///
/// # Errors
/// In words, without the place.
pub fn parse(text: &str) -> Result<i64, String> {
    let invalid = || format!("invalid size: '{text}'");
    if text == "-1" {
        return Ok(-1);
    }
    let end = text
        .rfind(|letter: char| letter.is_ascii_digit() || letter == '.')
        .ok_or_else(invalid)?
        + 1;
    let (number, suffix) = text.split_at(end);
    let value: f64 = if number.starts_with(|letter: char| letter.is_ascii_digit() || letter == '.')
    {
        number.parse().map_err(|_| invalid())?
    } else {
        return Err(invalid());
    };
    let suffix = suffix
        .strip_prefix(' ')
        .unwrap_or(suffix)
        .to_ascii_lowercase();
    let power = match suffix.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return Err(format!("invalid suffix: '{suffix}'")),
    };
    let bytes = value * 1024_f64.powi(power);
    if !bytes.is_finite() || bytes >= 9.2e18 {
        return Err(format!("size out of range: '{text}'"));
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "in range, checked above; fractions of a byte are dropped"
    )]
    let bytes = bytes as i64;
    Ok(bytes)
}

/// As `docker images` prints sizes: powers of 1000, four digits at most (`1.5GB`).
pub fn human(bytes: u64) -> String {
    scaled(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB", "EB"])
}

/// As `docker stats` prints memory: powers of 1024 (`1.5GiB`).
pub fn human_binary(bytes: u64) -> String {
    scaled(
        bytes,
        1024.0,
        &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"],
    )
}

fn scaled(bytes: u64, base: f64, units: &[&str]) -> String {
    #[expect(clippy::cast_precision_loss, reason = "four digits are printed")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    format!("{}{}", four_digits(value), units[unit])
}

/// Go's `%.4g` for values below 1024.
fn four_digits(value: f64) -> String {
    let whole_digits = if value >= 1000.0 {
        4
    } else if value >= 100.0 {
        3
    } else if value >= 10.0 {
        2
    } else {
        1
    };
    let text = format!("{value:.*}", 4 - whole_digits);
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_multiples_of_1024() {
        let rows = [
            ("1024", Ok(1024)),
            ("1.5g", Ok(1_610_612_736)),
            ("512 MB", Ok(536_870_912)),
            ("1KiB", Ok(1024)),
            ("1e3", Ok(1000)),
            ("32b", Ok(32)),
            ("2p", Ok(2_251_799_813_685_248)),
            (".5k", Ok(512)),
            ("-1", Ok(-1)),
            ("-1k", Err("invalid size: '-1k'")),
            ("-2", Err("invalid size: '-2'")),
            ("k", Err("invalid size: 'k'")),
            ("1x", Err("invalid suffix: 'x'")),
            ("1  k", Err("invalid suffix: ' k'")),
            ("9999999p", Err("size out of range: '9999999p'")),
            ("", Err("invalid size: ''")),
        ];
        for (text, expected) in rows {
            assert_eq!(parse(text), expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn sizes_print_with_four_digits() {
        let rows = [
            (0, "0B", "0B"),
            (999, "999B", "999B"),
            (1_500_000, "1.5MB", "1.431MiB"),
            (1_610_612_736, "1.611GB", "1.5GiB"),
            (123_456_789, "123.5MB", "117.7MiB"),
        ];
        for (bytes, decimal, binary) in rows {
            assert_eq!(human(bytes), decimal);
            assert_eq!(human_binary(bytes), binary);
        }
    }
}
