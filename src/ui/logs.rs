//! Output of several containers at once: `web-1  | hello`.
//!
//! Whoever reads the logs hands over records in any cutting; this end makes whole lines
//! of them, puts the name in front, and keeps colours and widths.

use std::collections::HashMap;

use jiff::Timestamp;
use ketch_runtime::engine::containers::{LogRecord, Stream};

use super::{Ui, Unwritten};

/// Cyan, yellow, green, magenta, blue, then their bright forms, as Compose cycles them.
const COLOURS: [&str; 10] = [
    "36", "33", "32", "35", "34", "36;1", "33;1", "32;1", "35;1", "34;1",
];
/// A line without end is handed on in pieces of this size.
const LONGEST_LINE: usize = 1 << 20;

/// How lines look.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style {
    pub no_colour: bool,
    pub no_prefix: bool,
    pub timestamps: bool,
    /// Containers' stderr goes to ours (`up`); else everything goes to stdout (`logs`).
    pub split_streams: bool,
}

/// Prints lines of many containers.
#[derive(Debug)]
pub struct Printer {
    ui: Ui,
    style: Style,
    width: usize,
    names: Vec<String>,
    /// What has come of a line so far, by container and stream.
    pending: HashMap<(usize, bool), Vec<u8>>,
}

impl Printer {
    /// A printer; widths start with these names and grow.
    pub fn new(ui: &Ui, style: Style, names: &[String]) -> Self {
        let mut printer = Self {
            ui: ui.clone(),
            style,
            width: 0,
            names: Vec::new(),
            pending: HashMap::new(),
        };
        for name in names {
            printer.index(name);
        }
        printer
    }

    /// Prints a record of this container, as far as it completes a line.
    ///
    /// # Errors
    /// When nobody reads stdout any more, or it is full.
    pub fn record(&mut self, name: &str, record: &LogRecord) -> Result<(), Unwritten> {
        let index = self.index(name);
        let to_stderr = record.stream == Stream::Stderr;
        let pending = self.pending.entry((index, to_stderr)).or_default();
        pending.extend_from_slice(&record.text);
        let whole = match pending.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if pending.len() >= LONGEST_LINE => pending.len(),
            None => return Ok(()),
        };
        let text: Vec<u8> = pending.drain(..whole).collect();
        self.print(index, to_stderr, Some(record.time), &text)
    }

    /// Ends a line that the container did not end itself.
    ///
    /// # Errors
    /// When nobody reads stdout any more, or it is full.
    pub fn flush(&mut self, name: &str) -> Result<(), Unwritten> {
        let index = self.index(name);
        for to_stderr in [false, true] {
            if let Some(text) = self.pending.remove(&(index, to_stderr))
                && !text.is_empty()
            {
                self.print(index, to_stderr, None, &text)?;
            }
        }
        Ok(())
    }

    fn print(
        &mut self,
        index: usize,
        to_stderr: bool,
        time: Option<Timestamp>,
        text: &[u8],
    ) -> Result<(), Unwritten> {
        let mut out = Vec::with_capacity(text.len() + 32);
        for line in text
            .strip_suffix(b"\n")
            .unwrap_or(text)
            .split(|byte| *byte == b'\n')
        {
            if !self.style.no_prefix {
                let colour = !self.style.no_colour && self.ui.stdout_colour();
                let colour = colour.then(|| COLOURS[index % COLOURS.len()]);
                out.extend_from_slice(prefix(&self.names[index], self.width, colour).as_bytes());
            }
            if self.style.timestamps
                && let Some(time) = time
            {
                out.extend_from_slice(format!("{} ", nanoseconds(time)).as_bytes());
            }
            out.extend_from_slice(line);
            out.push(b'\n');
        }
        if to_stderr && self.style.split_streams {
            self.ui.error_data(&out);
            Ok(())
        } else {
            self.ui.data(&out)
        }
    }

    fn index(&mut self, name: &str) -> usize {
        if let Some(index) = self.names.iter().position(|known| known == name) {
            return index;
        }
        self.names.push(name.to_owned());
        self.width = self.width.max(name.chars().count());
        self.names.len() - 1
    }
}

/// The name padded to the widest so far and one more, the bar, a space.
fn prefix(name: &str, width: usize, colour: Option<&str>) -> String {
    let text = format!("{name:<width$}  | ");
    match colour {
        Some(colour) => format!("\x1b[{colour}m{text}\x1b[0m"),
        None => text,
    }
}

/// RFC 3339 with nine digits, as the engine writes log times.
pub fn nanoseconds(time: Timestamp) -> String {
    format!("{time:.9}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_aligned_to_the_longest_name() {
        assert_eq!(prefix("web-1", 5, None), "web-1  | ");
        assert_eq!(prefix("db-1", 5, None), "db-1   | ");
        assert_eq!(prefix("db-1", 4, Some("36")), "\x1b[36mdb-1  | \x1b[0m");
    }

    #[test]
    fn times_have_nine_digits() {
        let time = Timestamp::from_second(0).unwrap();
        assert_eq!(nanoseconds(time), "1970-01-01T00:00:00.000000000Z");
    }
}
