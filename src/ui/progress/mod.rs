//! Work going on: one stream of events, four pictures.
//!
//! A [`Progress`] may be cloned into threads. Each event names a resource
//! (`Container app-db-1`) and what happens to it; the picture is a redrawn block on a
//! terminal, a line for each event elsewhere, JSON, or nothing.

mod lines;
mod tty;

use std::fmt;
use std::sync::Arc;

/// `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Tty,
    Plain,
    Json,
    Quiet,
}

/// How far a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Working,
    Done,
    Warning,
    Error,
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::Working => "Working",
            Self::Done => "Done",
            Self::Warning => "Warning",
            Self::Error => "Error",
        }
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `Container app-db-1`, `Network app_default`.
    pub id: String,
    /// `Creating`, `Healthy`.
    pub text: String,
    /// More about it: a reason, a step of a build.
    pub details: String,
    pub status: Status,
}

impl Event {
    /// One without details.
    pub fn new(id: impl Into<String>, text: impl Into<String>, status: Status) -> Self {
        Self {
            id: id.into(),
            text: text.into(),
            details: String::new(),
            status,
        }
    }
}

trait Picture: Send + Sync {
    fn show(&self, event: &Event);
    /// A line of output that belongs to `id` (a build's).
    fn output(&self, id: &str, line: &str);
    /// Whether a later event of a resource takes the place of the earlier one.
    fn is_redrawn(&self) -> bool {
        false
    }
    /// Whether output stays on the screen.
    fn shows_output(&self) -> bool {
        false
    }
    /// Lets something else be printed meanwhile.
    fn above(&self, print: &mut dyn FnMut());
    fn finish(&self);
}

/// Where events go. The picture is complete when the last clone is gone or [`Progress::finish`] is called.
#[derive(Clone)]
pub struct Progress(Arc<dyn Picture>);

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

impl Progress {
    pub(super) fn new(mode: Mode, title: &str, colour: bool, dry_run: bool) -> Self {
        Self(match mode {
            Mode::Tty => Arc::new(tty::Block::new(title, colour, dry_run)),
            Mode::Plain => Arc::new(lines::Plain { dry_run }),
            Mode::Json => Arc::new(lines::Json { dry_run }),
            Mode::Quiet => Arc::new(lines::Quiet),
        })
    }

    /// Shows an event.
    pub fn show(&self, event: &Event) {
        self.0.show(event);
    }

    /// Something has begun.
    pub fn working(&self, id: impl Into<String>, text: &str) {
        self.show(&Event::new(id, text, Status::Working));
    }

    /// Something is finished.
    pub fn done(&self, id: impl Into<String>, text: &str) {
        self.show(&Event::new(id, text, Status::Done));
    }

    /// Something went wrong and the rest goes on.
    pub fn warning(&self, id: impl Into<String>, text: &str) {
        self.show(&Event::new(id, text, Status::Warning));
    }

    /// Something failed.
    pub fn error(&self, id: impl Into<String>, details: impl fmt::Display) {
        self.show(&Event {
            details: details.to_string(),
            ..Event::new(id, "Error", Status::Error)
        });
    }

    /// A line that a step printed.
    pub fn output(&self, id: &str, line: &str) {
        self.0.output(id, line);
    }

    /// Whether a later event of a resource takes the place of the earlier one.
    pub fn is_redrawn(&self) -> bool {
        self.0.is_redrawn()
    }

    /// Whether the lines of [`Progress::output`] stay readable.
    pub fn shows_output(&self) -> bool {
        self.0.shows_output()
    }

    /// Prints something else; a picture that is redrawn moves below it.
    pub fn above(&self, print: &mut dyn FnMut()) {
        self.0.above(print);
    }

    /// Leaves the picture as it is; what comes after is printed below it.
    pub fn finish(&self) {
        self.0.finish();
    }
}
