//! The block that Compose's users know: a title with a count, a line for each resource, redrawn in place.
//!
//! The cursor always stands below the block, at the left: whoever prints next, even after
//! we were killed, finds a clean line. Each redraw is one write.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indexmap::IndexMap;

use super::{Event, Picture, Status};
use crate::ui::age;

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const REDRAW: Duration = Duration::from_millis(100);

/// The block. A thread of its own turns the spinners until the block is finished.
pub(super) struct Block(Arc<Mutex<Lines>>);

struct Lines {
    title: String,
    colour: bool,
    dry_run: bool,
    by_id: IndexMap<String, Line>,
    begun: Instant,
    /// How many lines stand on the screen above the cursor.
    drawn: usize,
    finished: bool,
}

struct Line {
    event: Event,
    begun: Instant,
    ended: Option<Instant>,
    /// The last line that the step printed.
    tail: String,
}

impl Block {
    pub(super) fn new(title: &str, colour: bool, dry_run: bool) -> Self {
        Self(Arc::new(Mutex::new(Lines {
            title: title.to_owned(),
            colour,
            dry_run,
            by_id: IndexMap::new(),
            begun: Instant::now(),
            drawn: 0,
            finished: false,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        // A panic elsewhere leaves at worst an old picture.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Picture for Block {
    fn show(&self, event: &Event) {
        let mut lines = self.lock();
        if lines.by_id.is_empty() {
            lines.begun = Instant::now();
            turn(Arc::clone(&self.0));
        }
        lines.take(event);
        lines.redraw();
    }

    fn output(&self, id: &str, text: &str) {
        if let Some(line) = self.lock().by_id.get_mut(id) {
            line.tail = text.trim_end().to_owned();
        }
    }

    fn is_redrawn(&self) -> bool {
        true
    }

    fn above(&self, print: &mut dyn FnMut()) {
        let mut lines = self.lock();
        lines.erase();
        print();
        lines.redraw();
    }

    fn finish(&self) {
        let mut lines = self.lock();
        if !lines.finished {
            lines.redraw();
            lines.finished = true;
        }
    }
}

impl Lines {
    fn take(&mut self, event: &Event) {
        let now = Instant::now();
        let line = self.by_id.entry(event.id.clone()).or_insert_with(|| Line {
            event: event.clone(),
            begun: now,
            ended: None,
            tail: String::new(),
        });
        if event.status == Status::Working {
            // A resource that is taken up again (created, then started) counts its time anew.
            if line.ended.take().is_some() {
                line.begun = now;
            }
        } else {
            line.ended = Some(now);
            line.tail.clear();
        }
        line.event = event.clone();
    }

    fn redraw(&mut self) {
        if self.finished || self.by_id.is_empty() {
            return;
        }
        let (rows, columns) = screen();
        let picture = self.picture(Instant::now(), rows, columns);
        let mut out = String::new();
        if self.drawn > 0 {
            let _in_memory = write!(out, "\x1b[{}A\r", self.drawn);
        }
        for line in &picture {
            out.push_str(line);
            out.push_str("\x1b[K\n");
        }
        // Fewer lines than before (the screen became smaller): what is left below goes.
        out.push_str("\x1b[J");
        self.drawn = picture.len();
        let _unread = std::io::stderr().write_all(out.as_bytes());
    }

    fn erase(&mut self) {
        if self.drawn > 0 && !self.finished {
            let text = format!("\x1b[{}A\r\x1b[J", self.drawn);
            let _unread = std::io::stderr().write_all(text.as_bytes());
            self.drawn = 0;
        }
    }

    /// The title and as many lines as the screen has room for; those at work come first to be shown.
    fn picture(&self, now: Instant, rows: usize, columns: usize) -> Vec<String> {
        let ended = self
            .by_id
            .values()
            .filter(|line| line.ended.is_some())
            .count();
        let mark = if self.dry_run { " DRY-RUN MODE -" } else { "" };
        let title = format!("[+]{mark} {} {ended}/{}", self.title, self.by_id.len());
        let title = if ended == self.by_id.len() {
            paint(self.colour, "34", &title)
        } else {
            title
        };
        let mut picture = vec![title];

        let room = rows.saturating_sub(2).max(1);
        let names = self
            .by_id
            .keys()
            .map(|id| id.chars().count())
            .max()
            .unwrap_or(0);
        let hidden = if self.by_id.len() > room {
            self.by_id.len() - (room - 1)
        } else {
            0
        };
        let mut to_hide = hidden;
        let turn = now.duration_since(self.begun).as_millis() / REDRAW.as_millis();
        for line in self.by_id.values() {
            if to_hide > 0 && line.event.status == Status::Done {
                to_hide -= 1;
                continue;
            }
            if picture.len() > self.by_id.len() - hidden {
                break;
            }
            picture.push(line.picture(now, turn, names, columns, self.colour));
        }
        if hidden > 0 {
            picture.push(format!(" ... {hidden} more"));
        }
        picture
    }
}

impl Line {
    /// ` ✔ Container app-db-1  Healthy      0.5s`.
    fn picture(
        &self,
        now: Instant,
        turn: u128,
        names: usize,
        columns: usize,
        colour: bool,
    ) -> String {
        let (mark, ansi) = match self.event.status {
            Status::Working => {
                let turn = usize::try_from(turn % SPINNER.len() as u128).unwrap_or(0);
                (SPINNER[turn], "32")
            }
            Status::Done => ("✔", "32"),
            Status::Warning => ("!", "33"),
            Status::Error => ("✘", "31"),
        };
        let elapsed = age::tenths(self.ended.unwrap_or(now).duration_since(self.begun));
        let details = if self.tail.is_empty() {
            &self.event.details
        } else {
            &self.tail
        };
        let mut text = format!("{:names$}  {}", self.event.id, self.event.text);
        if !details.is_empty() {
            text.push(' ');
            text.extend(
                details
                    .chars()
                    .map(|c| if c.is_control() { ' ' } else { c }),
            );
        }
        // One column stays free: a full line would move the cursor on some terminals.
        let room = columns.saturating_sub(3 + 1 + elapsed.len() + 1);
        let text: String = text.chars().take(room).collect();
        let gap = " ".repeat(room - text.chars().count() + 1);
        let text = if self.event.status == Status::Error {
            paint(colour, ansi, &text)
        } else {
            text
        };
        format!(
            " {} {text}{gap}{}",
            paint(colour, ansi, mark),
            paint(colour, "34", &elapsed)
        )
    }
}

fn paint(colour: bool, ansi: &str, text: &str) -> String {
    if colour {
        format!("\x1b[{ansi}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// Rows and columns of the terminal.
fn screen() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(rustix::stdio::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            (usize::from(size.ws_row), usize::from(size.ws_col))
        }
        _ => (24, 80),
    }
}

/// Redraws until the block is finished; the thread ends by itself.
fn turn(lines: Arc<Mutex<Lines>>) {
    thread::spawn(move || {
        loop {
            thread::sleep(REDRAW);
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.finished {
                break;
            }
            if lines.by_id.values().any(|line| line.ended.is_none()) {
                lines.redraw();
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(events: &[(&str, &str, Status)]) -> Lines {
        let mut lines = Lines {
            title: "Running".into(),
            colour: false,
            dry_run: false,
            by_id: IndexMap::new(),
            begun: Instant::now(),
            drawn: 0,
            finished: false,
        };
        for (id, text, status) in events {
            lines.take(&Event::new(*id, *text, *status));
        }
        lines
    }

    #[test]
    fn the_time_stands_at_the_right_edge() {
        let lines = lines(&[
            ("Container app-db-1", "Healthy", Status::Done),
            ("Network app", "Creating", Status::Working),
        ]);
        assert_eq!(
            lines.picture(lines.begun, 24, 50),
            [
                "[+] Running 1/2",
                " ✔ Container app-db-1  Healthy               0.0s",
                " ⠋ Network app         Creating              0.0s",
            ]
        );
    }

    #[test]
    fn a_small_screen_hides_what_is_done() {
        let lines = lines(&[
            ("a", "Created", Status::Done),
            ("b", "Creating", Status::Working),
            ("c", "Created", Status::Done),
            ("d", "Created", Status::Done),
        ]);
        let picture = lines.picture(lines.begun, 4, 40);
        assert_eq!(picture.len(), 3, "{picture:?}");
        assert!(picture[1].contains(" b  Creating"), "{picture:?}");
        assert_eq!(picture[2], " ... 3 more");
    }

    #[test]
    fn no_line_is_wider_than_the_screen() {
        let lines = lines(&[(
            "Container with-a-long-name-1",
            "Recreating",
            Status::Working,
        )]);
        for line in lines.picture(lines.begun, 24, 30) {
            assert!(line.chars().count() < 30, "{line:?}");
        }
    }
}
