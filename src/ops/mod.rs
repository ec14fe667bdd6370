//! What the commands do: one verb per file, each a story told forward.
//!
//! An operation is given a [`Context`], decides with the pure half, acts through the
//! executor or the engine, and talks through `ui`. It returns an error or has reported
//! it, never both.

pub mod aftermath;
pub mod attach;
pub mod build;
pub mod config;
pub mod containers;
pub mod cp;
pub mod deadline;
pub mod detach_keys;
pub mod down;
pub mod events;
pub mod exec;
pub mod explain;
pub mod filter;
pub mod images;
pub mod kill;
pub mod logs;
pub mod ls;
pub mod pause;
pub mod perform;
pub mod port;
pub mod ps;
pub mod pull;
pub mod push;
pub mod registry;
pub mod restart;
pub mod rm;
pub mod run;
pub mod scope;
pub mod signals;
pub mod start;
pub mod stats;
pub mod stop;
pub mod store;
mod terminal;
pub mod top;
pub mod up;
pub mod volumes;
pub mod wait;
pub mod watch;
pub mod why;

#[cfg(test)]
mod testing;

use std::sync::{Mutex, PoisonError};

use ketch_runtime::cancel::Cancel;
use ketch_runtime::engine::Engine;
use ketch_runtime::store::lock::{self, Guard, Lock};

use crate::diag::{Diagnostic, Diagnostics, Sources};
use crate::executor::{DiskFiles, EngineBackend};
use crate::loader::{self, Failed, Loaded};
use crate::ui::{Ui, Unwritten};
use signals::Signals;

/// What every operation is given.
#[derive(Debug)]
pub struct Context {
    pub engine: Engine,
    pub ui: Ui,
    /// Cancelled by the first SIGINT or SIGTERM.
    pub cancel: Cancel,
    pub signals: Signals,
    /// How the project is found; operations add which services they want.
    pub project: loader::Options,
    /// Where what concerns registries is written down.
    pub registry: ketch_runtime::registry::settings::Settings,
    pub dry_run: bool,
    /// By this name; its words are then Docker's too.
    pub called_docker: bool,
    /// The project's lock, between planning and the first start.
    pub turn: Mutex<Option<Guard>>,
    /// At most so many operations at once; `None`: no limit.
    pub parallel: Option<usize>,
}

/// Why a command ended without success.
#[derive(Debug)]
pub enum Error {
    /// The user's files: every picture is still to be shown.
    Invalid(Box<Failed>),
    Engine(ketch_runtime::error::Error),
    /// In words that are complete; Compose's own where scripts look for them.
    Failed(String),
    /// Everything has been said already.
    Reported,
    /// The code of a container is the command's.
    ExitedWith(i32),
    Interrupted,
    /// Nobody reads stdout any more.
    Closed,
}

/// The result of every operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<ketch_runtime::error::Error> for Error {
    fn from(error: ketch_runtime::error::Error) -> Self {
        Self::Engine(error)
    }
}

impl From<Unwritten> for Error {
    fn from(unwritten: Unwritten) -> Self {
        match unwritten {
            Unwritten::Closed => Self::Closed,
            Unwritten::Failed(error) => {
                let error = ketch_runtime::error::Error::from(error);
                Self::Failed(format!("write standard output: {error}"))
            }
        }
    }
}

impl Error {
    /// What was found after loading, at its places.
    pub fn invalid(diagnostics: Diagnostics, sources: &Sources) -> Self {
        Self::Invalid(Box::new(Failed {
            diagnostics,
            sources: sources.clone(),
        }))
    }

    /// One thing that was found after loading.
    pub fn diagnostic(diagnostic: Diagnostic, sources: &Sources) -> Self {
        let mut diagnostics = Diagnostics::default();
        diagnostics.push(diagnostic);
        Self::invalid(diagnostics, sources)
    }
}

impl Context {
    /// Loads the project with these services and what they need (empty: all), and says what
    /// should be said about its files.
    ///
    /// # Errors
    /// Everything that is wrong with the files.
    pub fn load(&self, services: &[String]) -> Result<Loaded> {
        self.load_with(&loader::Options {
            services: services.to_vec(),
            ..self.project.clone()
        })
    }

    /// Loads the project as these options say.
    ///
    /// # Errors
    /// Everything that is wrong with the files.
    pub fn load_with(&self, options: &loader::Options) -> Result<Loaded> {
        self.load_from(&DiskFiles::default(), options)
    }

    /// The same with files that may have been read before: standard input can be read only once.
    ///
    /// # Errors
    /// Everything that is wrong with the files.
    pub fn load_from(&self, files: &DiskFiles, options: &loader::Options) -> Result<Loaded> {
        match loader::load(files, options) {
            Ok(loaded) => {
                self.ui.diagnostics(&loaded.warnings, &loaded.sources);
                Ok(loaded)
            }
            Err(failed) => Err(Error::Invalid(Box::new(failed))),
        }
    }

    /// Waits until no other command is making things of this project.
    ///
    /// # Errors
    /// When the run root can't be written.
    pub fn take_turn(&self, project: &str) -> Result<()> {
        if self.dry_run {
            return Ok(());
        }
        self.end_turn();
        let guard = lock::acquire(self.engine.roots(), Lock::Group(project))?;
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard);
        Ok(())
    }

    /// Lets the next command go on.
    pub fn end_turn(&self) {
        drop(
            self.turn
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
    }

    /// The executor's hands; they keep the turn until everything is created.
    pub fn backend(&self) -> EngineBackend {
        let turn = self
            .turn
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        EngineBackend::new(self.engine.clone()).holding(turn)
    }

    /// How many operations may run at once, as the executor counts: 0 is no bound.
    pub fn parallelism(&self) -> usize {
        self.parallel.unwrap_or(0)
    }
}

/// Whether a variable of Compose's own says yes.
pub(crate) fn is_set(value: Option<&String>) -> bool {
    value.is_some_and(|value| {
        matches!(
            value.to_ascii_lowercase().as_str(),
            "1" | "t" | "true" | "yes" | "y"
        )
    })
}
