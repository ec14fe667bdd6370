//! Talking to the user: stdout for data, stderr for talk; colour and width decided once.
//!
//! Nothing else in the program prints. What is written to stdout can be piped; a reader
//! that went away is an error of its own ([`Unwritten::Closed`]) and ends the program quietly.
//! Everything must read without colour.

pub mod age;
pub mod logs;
pub mod progress;
pub mod prompt;
pub mod status;
pub mod table;
pub mod template;

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use crate::diag::{Diagnostics, Severity, Sources, render};
use progress::{Mode, Progress};

/// Why nothing more can be written to stdout.
#[derive(Debug)]
pub enum Unwritten {
    /// Its reader went away.
    Closed,
    /// A full disk, or its like.
    Failed(io::Error),
}

impl From<io::Error> for Unwritten {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Failed(error),
        }
    }
}

/// `--ansi`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ansi {
    Never,
    Always,
    #[default]
    Auto,
}

/// What the command line, the environment and the terminals say about looks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    pub ansi: Ansi,
    /// `--progress`; absent: by the terminal.
    pub progress: Option<Mode>,
    /// `NO_COLOR` is set and not empty.
    pub no_color: bool,
    pub dry_run: bool,
}

/// The way to the user. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Ui(Arc<Looks>);

#[derive(Debug)]
struct Looks {
    stdout_colour: bool,
    stderr_colour: bool,
    stderr_terminal: bool,
    interactive: bool,
    progress: Mode,
    dry_run: bool,
}

impl Ui {
    /// Looks at the terminals once and settles everything.
    ///
    /// # Errors
    /// When the settings contradict each other, in Compose's words.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let stdout_terminal = io::stdout().is_terminal();
        let stderr_terminal = io::stderr().is_terminal();
        match (settings.progress, settings.ansi) {
            (Some(Mode::Tty), Ansi::Never) => {
                return Err("can't use --progress tty while ANSI support is disabled".into());
            }
            (Some(Mode::Plain), Ansi::Always) => {
                return Err("can't use --progress plain while ANSI support is forced".into());
            }
            _ => {}
        }
        let colour = |terminal: bool| match settings.ansi {
            Ansi::Never => false,
            Ansi::Always => !settings.no_color,
            Ansi::Auto => terminal && !settings.no_color,
        };
        let progress = settings.progress.unwrap_or_else(|| {
            if stderr_terminal && settings.ansi != Ansi::Never {
                Mode::Tty
            } else {
                Mode::Plain
            }
        });
        Ok(Self(Arc::new(Looks {
            stdout_colour: colour(stdout_terminal),
            stderr_colour: colour(stderr_terminal),
            stderr_terminal,
            interactive: io::stdin().is_terminal() && stderr_terminal,
            progress,
            dry_run: settings.dry_run,
        })))
    }

    /// Whether colour may be used on stdout.
    pub fn stdout_colour(&self) -> bool {
        self.0.stdout_colour
    }

    /// Whether someone can answer a question.
    pub fn is_interactive(&self) -> bool {
        self.0.interactive
    }

    /// Data: one line on stdout.
    ///
    /// # Errors
    /// When nobody reads stdout any more, or it is full.
    pub fn line(&self, text: impl Display) -> Result<(), Unwritten> {
        self.data(format!("{text}\n").as_bytes())
    }

    /// Data: bytes on stdout as they are.
    ///
    /// # Errors
    /// When nobody reads stdout any more, or it is full.
    pub fn data(&self, bytes: &[u8]) -> Result<(), Unwritten> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        Ok(out.flush()?)
    }

    /// Bytes of a container's stderr, as they are. Nobody reading them is no reason to stop.
    pub fn error_data(&self, bytes: &[u8]) {
        let mut out = io::stderr().lock();
        let _unread = out.write_all(bytes);
    }

    /// Talk: one line on stderr.
    pub fn talk(&self, text: impl Display) {
        self.error_data(format!("{text}\n").as_bytes());
    }

    /// A warning, as Compose prints it: `WARN[0000] …` on a terminal, a log line elsewhere.
    pub fn warn(&self, text: impl Display) {
        let text = text.to_string();
        match self.0.progress {
            Mode::Json => self.talk(serde_json::json!({"level": "warning", "msg": text})),
            _ if self.0.stderr_colour => {
                self.talk(format_args!("\x1b[33mWARN\x1b[0m[0000] {text}"));
            }
            _ if self.0.stderr_terminal => self.talk(format_args!("WARN[0000] {text}")),
            _ => {
                let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
                self.talk(format_args!("time=\"{now}\" level=warning msg={text:?}"));
            }
        }
    }

    /// A warning of several lines: the first as [`Ui::warn`] has it, the others as they are.
    pub fn warn_at_length(&self, first: &str, rest: &str) {
        if self.0.progress == Mode::Json || rest.is_empty() {
            return self.warn(format_args!("{first}\n{rest}").to_string().trim_end());
        }
        self.warn(first);
        self.talk(rest);
    }

    /// What ended the command.
    pub fn error(&self, text: impl Display) {
        let text = text.to_string();
        if self.0.progress == Mode::Json {
            self.talk(serde_json::json!({"error": true, "message": text}));
        } else {
            self.talk(text);
        }
    }

    /// Pictures of everything found in the user's files.
    pub fn diagnostics(&self, found: &Diagnostics, sources: &Sources) {
        if found.is_empty() {
            return;
        }
        if self.0.progress != Mode::Json {
            self.error_data(render::render(found, sources, self.0.stderr_colour).as_bytes());
            return;
        }
        for diagnostic in found.iter() {
            let text = render::render_line(diagnostic, sources);
            self.talk(match diagnostic.severity {
                Severity::Error => serde_json::json!({"error": true, "message": text}),
                Severity::Warning => serde_json::json!({"level": "warning", "msg": text}),
            });
        }
    }

    /// A picture of work going on, under this title (`Running`).
    pub fn progress(&self, title: &str) -> Progress {
        Progress::new(self.0.progress, title, self.0.stderr_colour, self.0.dry_run)
    }

    /// Work that nobody wants to watch; its errors are shown all the same.
    pub fn quiet_progress(&self) -> Progress {
        Progress::new(Mode::Quiet, "", false, false)
    }
}
