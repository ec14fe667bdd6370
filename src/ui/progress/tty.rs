//! The block that Compose's users know: a title with a count, a line for each resource, redrawn in place.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Event, Picture, Status};
use crate::ui::age;

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const REDRAW: Duration = Duration::from_millis(100);

/// The block. A thread of its own turns the spinners until the block is finished.
pub(super) struct Block(Arc<Shared>);

struct Shared {
    title: String,
    colour: bool,
    dry_run: bool,
    bars: MultiProgress,
    lines: Mutex<Lines>,
    finished: AtomicBool,
}

#[derive(Default)]
struct Lines {
    /// The title's; made with the first event, so that work without events leaves no trace.
    head: Option<ProgressBar>,
    by_id: IndexMap<String, Line>,
    started: Option<Instant>,
}

struct Line {
    bar: ProgressBar,
    event: Event,
    started: Instant,
    ended: Option<Instant>,
    /// The last line that the step printed.
    tail: String,
}

impl Block {
    pub(super) fn new(title: &str, colour: bool, dry_run: bool) -> Self {
        Self(Arc::new(Shared {
            title: title.to_owned(),
            colour,
            dry_run,
            bars: MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(20)),
            lines: Mutex::default(),
            finished: AtomicBool::new(false),
        }))
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Picture for Block {
    fn show(&self, event: &Event) {
        let shared = &self.0;
        let mut lines = shared.lock();
        if lines.head.is_none() {
            lines.head = Some(shared.bars.add(bar()));
            lines.started = Some(Instant::now());
            turn(Arc::clone(shared));
        }
        let line = lines.by_id.entry(event.id.clone()).or_insert_with(|| Line {
            bar: shared.bars.add(bar()),
            event: event.clone(),
            started: Instant::now(),
            ended: None,
            tail: String::new(),
        });
        // A resource that is taken up again (created, then started) counts its time anew.
        if event.status == Status::Working && line.ended.take().is_some() {
            line.started = Instant::now();
        }
        if event.status != Status::Working {
            line.ended = Some(Instant::now());
            line.tail.clear();
        }
        line.event = event.clone();
        shared.draw(&lines);
    }

    fn output(&self, id: &str, text: &str) {
        if let Some(line) = self.0.lock().by_id.get_mut(id) {
            line.tail = text.trim_end().to_owned();
        }
    }

    fn above(&self, print: &mut dyn FnMut()) {
        self.0.bars.suspend(print);
    }

    fn finish(&self) {
        let shared = &self.0;
        if shared.finished.swap(true, Ordering::SeqCst) {
            return;
        }
        let lines = shared.lock();
        shared.draw(&lines);
        for line in lines.by_id.values() {
            line.bar.abandon();
        }
        if let Some(head) = &lines.head {
            head.abandon();
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Lines> {
        // A panic elsewhere leaves at worst an old picture.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(&self, lines: &Lines) {
        let done = lines
            .by_id
            .values()
            .filter(|line| line.ended.is_some())
            .count();
        let width = console_width();
        if let Some(head) = &lines.head {
            let mark = if self.dry_run { " DRY-RUN MODE -" } else { "" };
            let text = format!("[+]{mark} {} {done}/{}", self.title, lines.by_id.len());
            let text = if done == lines.by_id.len() {
                paint(self.colour, "34", &text)
            } else {
                text
            };
            head.set_message(text);
        }
        let turns = lines
            .started
            .map_or(0, |start| start.elapsed().as_millis() / REDRAW.as_millis());
        let names = lines
            .by_id
            .keys()
            .map(|id| id.chars().count())
            .max()
            .unwrap_or(0);
        for line in lines.by_id.values() {
            line.bar
                .set_message(picture(line, turns, names, width, self.colour));
        }
    }
}

/// ` ✔ Container app-db-1  Healthy      0.5s`.
fn picture(line: &Line, turns: u128, names: usize, width: usize, colour: bool) -> String {
    let (mark, ansi) = match line.event.status {
        Status::Working => {
            let turn = usize::try_from(turns % SPINNER.len() as u128).unwrap_or(0);
            (SPINNER[turn], "32")
        }
        Status::Done => ("✔", "32"),
        Status::Warning => ("!", "33"),
        Status::Error => ("✘", "31"),
    };
    let elapsed = line
        .ended
        .unwrap_or_else(Instant::now)
        .duration_since(line.started);
    let elapsed = age::tenths(elapsed);
    let details = if line.tail.is_empty() {
        &line.event.details
    } else {
        &line.tail
    };
    let mut text = format!("{:names$}  {}", line.event.id, line.event.text);
    let used = 3 + text.chars().count();
    let room = width.saturating_sub(used + elapsed.len() + 2);
    if !details.is_empty() && room > 4 {
        let details: String = details.chars().take(room - 1).collect();
        text.push(' ');
        text.push_str(&details);
    }
    let gap = width
        .saturating_sub(3 + text.chars().count() + elapsed.len() + 1)
        .max(1);
    format!(
        " {} {}{}{}",
        paint(colour, ansi, mark),
        if line.event.status == Status::Error {
            paint(colour, ansi, &text)
        } else {
            text
        },
        " ".repeat(gap),
        paint(colour, "34", &elapsed)
    )
}

fn paint(colour: bool, ansi: &str, text: &str) -> String {
    if colour {
        format!("\x1b[{ansi}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg}").expect("the template is well formed");
    ProgressBar::new_spinner().with_style(style)
}

fn console_width() -> usize {
    rustix::termios::tcgetwinsize(rustix::stdio::stderr())
        .ok()
        .filter(|size| size.ws_col > 0)
        .map_or(80, |size| usize::from(size.ws_col))
}

/// Redraws until the block is finished; the thread ends by itself.
fn turn(shared: Arc<Shared>) {
    std::thread::spawn(move || {
        while !shared.finished.load(Ordering::SeqCst) {
            shared.draw(&shared.lock());
            std::thread::sleep(REDRAW);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_stands_at_the_right_edge() {
        let now = Instant::now();
        let line = Line {
            bar: ProgressBar::hidden(),
            event: Event::new("Container app-db-1", "Healthy", Status::Done),
            started: now,
            ended: Some(now + Duration::from_millis(500)),
            tail: String::new(),
        };
        assert_eq!(
            picture(&line, 0, 20, 50, false),
            " ✔ Container app-db-1    Healthy             0.5s"
        );
    }
}
