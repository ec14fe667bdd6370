//! Small damage to a text, the same for the same number.

/// A sequence of numbers that look random (xorshift64*).
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The sequence of this number.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `end`; 0 when that is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % end).unwrap_or(0)
    }

    /// One of them.
    pub(crate) fn one_of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// What means something somewhere.
const WORDS: &[&str] = &[
    "$",
    "${",
    "${A:-",
    "}",
    "$$",
    "*a",
    "&a ",
    "<<: ",
    "!reset ",
    "!override ",
    "!!str ",
    "!!int ",
    "- ",
    ": ",
    ":",
    "? ",
    "| ",
    ">-\n",
    "---\n",
    "...\n",
    "[",
    "]",
    "{",
    "}",
    ",",
    "'",
    "\"",
    "#",
    "\t",
    "\r\n",
    "\u{feff}",
    "\0",
    "é",
    "~",
    "null",
    "true",
    "0755",
    "1e3",
    "-1",
    "1-65535",
    "65536",
    "18446744073709551616",
    "1000000000",
    ".inf",
    "2001-12-14",
    "10s",
    "1h30m",
    "1.5gb",
    "80:80",
    "[::1]:80:80",
    "/a:/b:ro",
    "../..",
    "~/x",
    "service:s",
    "extends: ",
    "include: ",
    "services:\n",
    "depends_on: ",
    "profiles: [p]\n",
    "x-a: ",
    "env_file: .env\n",
    "build: .\n",
    "scale: 3\n",
    "a=b",
];

/// The text with one to four changes; `other` lends lines.
pub(crate) fn mutated(text: &str, other: &str, random: &mut Random) -> String {
    let mut text = text.to_owned();
    for _ in 0..=random.below(4) {
        text = match random.below(8) {
            0 => without_line(&text, random),
            1 => with_line(&text, line(other, random), random),
            2 => with_line(&text, line(&text, random), random),
            3 => reindented(&text, random),
            4 => cut(&text, random),
            5 => without_piece(&text, random),
            _ => with_word(&text, random),
        };
    }
    text
}

fn border(text: &str, random: &mut Random) -> usize {
    let mut at = random.below(text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn line<'a>(text: &'a str, random: &mut Random) -> &'a str {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    if lines.is_empty() {
        ""
    } else {
        random.one_of::<&str>(&lines)
    }
}

fn line_start(text: &str, random: &mut Random) -> usize {
    let at = border(text, random);
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

fn without_line(text: &str, random: &mut Random) -> String {
    let start = line_start(text, random);
    let end = text[start..]
        .find('\n')
        .map_or(text.len(), |newline| start + newline + 1);
    format!("{}{}", &text[..start], &text[end..])
}

fn with_line(text: &str, line: &str, random: &mut Random) -> String {
    let start = line_start(text, random);
    format!("{}{line}{}", &text[..start], &text[start..])
}

fn reindented(text: &str, random: &mut Random) -> String {
    let start = line_start(text, random);
    match text[start..].strip_prefix("  ") {
        Some(rest) if random.below(2) == 0 => format!("{}{rest}", &text[..start]),
        _ => with_line(text, "  ", random),
    }
}

fn cut(text: &str, random: &mut Random) -> String {
    text[..border(text, random)].to_owned()
}

fn without_piece(text: &str, random: &mut Random) -> String {
    let (one, two) = (border(text, random), border(text, random));
    let (start, end) = (one.min(two), one.max(two));
    let mut end = end.min(start + random.below(12));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{}", &text[..start], &text[end.max(start)..])
}

fn with_word(text: &str, random: &mut Random) -> String {
    let at = border(text, random);
    format!("{}{}{}", &text[..at], random.one_of(WORDS), &text[at..])
}
