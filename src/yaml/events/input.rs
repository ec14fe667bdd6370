//! What the YAML library is given to read: the text, without two things that make it panic.
//!
//! It looks past the end of a last line that has no newline, and it gives up on a tag that a
//! comma follows (`[!a, b]`). So a newline is added to the one, and a blank, which is told apart
//! from all others and taken out of values again, to the other. Offsets are those of the text.

use std::borrow::Cow;
use std::io::{BufReader, Chain, Read};

/// Bytes handed over at a time: the library decodes all that it is given at once, at four
/// bytes a letter.
const PIECE: usize = 16 << 10;

/// All blanks of a text whose commas have long runs of tabs before them.
const MOST_ADDED_BYTES: usize = 64 << 20;

/// What the library reads from.
pub(super) type Reader<'a> = BufReader<Chain<&'a [u8], &'a [u8]>>;

/// A text made ready.
#[derive(Debug)]
pub(in crate::yaml) struct Input<'a> {
    text: &'a str,
    /// Where the library's offset 0 is: behind the byte order mark.
    base: usize,
    body: Cow<'a, str>,
    /// Blanks that do not stand before any comma of the text.
    blank: String,
    /// Where they were put, in the body, in order.
    added: Vec<usize>,
}

impl<'a> Input<'a> {
    pub(in crate::yaml) fn new(text: &'a str) -> Self {
        // The library would take other first bytes of U+F000 and up for a broken mark.
        let body = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut input = Self {
            text,
            base: text.len() - body.len(),
            body: Cow::Borrowed(body),
            blank: String::new(),
            added: Vec::new(),
        };
        let commas = commas_behind_tags(body);
        if !commas.is_empty() {
            input.add_blanks(body, &commas);
        }
        input
    }

    fn add_blanks(&mut self, body: &str, commas: &[usize]) {
        // One more than any comma of the text has before it, be it by escapes; as long as what is
        // added stays small.
        let most = (MOST_ADDED_BYTES / commas.len()).max(8);
        let tabs = tabs_before_commas(body) + 1;
        self.blank = "\t".repeat(tabs.clamp(8, most));
        let mut with_blanks = String::with_capacity(body.len() + commas.len() * self.blank.len());
        let mut from = 0;
        for comma in commas {
            with_blanks.push_str(&body[from..*comma]);
            self.added.push(with_blanks.len());
            with_blanks.push_str(&self.blank);
            from = *comma;
        }
        with_blanks.push_str(&body[from..]);
        self.body = Cow::Owned(with_blanks);
    }

    pub(super) fn reader(&self) -> Reader<'_> {
        let newline: &[u8] = if self.lacks_newline() { b"\n" } else { b"" };
        BufReader::with_capacity(PIECE, self.body.as_bytes().chain(newline))
    }

    fn lacks_newline(&self) -> bool {
        !self.body.is_empty() && !self.body.ends_with(['\n', '\r'])
    }

    /// The place in the text of an offset of the library's.
    pub(super) fn offset(&self, index: u64) -> usize {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let before = self.added.partition_point(|at| *at < index);
        let index = index.saturating_sub(before * self.blank.len());
        index.saturating_add(self.base).min(self.text.len())
    }

    /// A scalar's value without what was added; `block`: it is one, and ends at `end`.
    pub(super) fn value(&self, mut value: String, block: bool, end: u64) -> String {
        if !self.added.is_empty() && value.contains(&self.blank) {
            value = value.replace(&format!("{},", self.blank), ",");
        }
        let past_end = usize::try_from(end).is_ok_and(|end| end > self.body.len());
        let last_line = self.body.rsplit('\n').next().unwrap_or_default();
        if block && past_end && self.lacks_newline() && !last_line.trim().is_empty() {
            value.truncate(value.strip_suffix('\n').map_or(value.len(), str::len));
        }
        value
    }

    /// Whether a comma stands at this place of the text, with a blank put before it.
    pub(super) fn is_parted_comma(&self, at: usize) -> bool {
        !self.added.is_empty() && self.text[at.min(self.text.len())..].starts_with(',')
    }
}

/// The longest run of tabs, in all of their spellings, right before a comma.
fn tabs_before_commas(text: &str) -> usize {
    const SPELLINGS: [&str; 6] = ["\\\t", "\t", "\\t", "\\x09", "\\u0009", "\\U00000009"];
    let run = |(comma, _): (usize, &str)| {
        let mut before = &text[..comma];
        let mut tabs = 0;
        while let Some(rest) = SPELLINGS.iter().find_map(|it| before.strip_suffix(it)) {
            before = rest;
            tabs += 1;
        }
        tabs
    };
    text.match_indices(',').map(run).max().unwrap_or(0)
}

/// The commas that end a run of letters which would be a tag's if one began there.
fn commas_behind_tags(text: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let mut commas = Vec::new();
    let mut at = 0;
    while let Some(mark) = text[at..].find('!').map(|found| at + found) {
        let in_tag =
            |byte: &&u8| byte.is_ascii_alphanumeric() || b"-_;/?:@&=+$.!~*'()%".contains(byte);
        let end = mark + bytes[mark..].iter().take_while(in_tag).count();
        if bytes.get(end) == Some(&b',') {
            commas.push(end);
        }
        at = end;
    }
    commas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_are_added_behind_tags_and_taken_out_of_values() {
        let input = Input::new("\u{feff}[!a, 'b !c,d', \t,]");
        let blank = "\t".repeat(8);
        assert_eq!(input.body, format!("[!a{blank}, 'b !c{blank},d', \t,]"));
        let value = input.value(format!("\t, !c{blank},d"), false, 0);
        assert_eq!(value, "\t, !c,d");
        // The places of `!`, of the first comma and of the `d`.
        assert_eq!([1, 11, 27].map(|index| input.offset(index)), [4, 6, 14]);
        assert!(input.is_parted_comma(6) && !input.is_parted_comma(7));
        assert_eq!(Input::new("a: !b c, d").body, "a: !b c, d");
    }

    #[test]
    fn blanks_are_longer_than_any_tabs_that_are_meant() {
        let escaped = format!("\"a{}\\x09\t,b !c,\"", "\\t".repeat(9));
        assert_eq!(Input::new(&escaped).blank.len(), 12);
        assert_eq!(Input::new("\"a\\t,b !c,\"").blank.len(), 8);
    }

    #[test]
    fn a_last_line_gets_a_newline() {
        let read = |text: &str| {
            let mut read = String::new();
            let input = Input::new(text);
            input.reader().read_to_string(&mut read).map(|_| read).ok()
        };
        assert_eq!(read("a").as_deref(), Some("a\n"));
        assert_eq!(read("a\n").as_deref(), Some("a\n"));
        assert_eq!(read("").as_deref(), Some(""));
        let input = Input::new("a: |\n  b");
        assert_eq!(input.value("b\n".into(), true, 9), "b");
        assert_eq!(input.value("b\n".into(), true, 8), "b\n");
    }
}
