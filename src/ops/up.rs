//! `up`, `create`, `scale`: the project as the files say.

use super::images::Policy;
use super::{Context, Error, Result};
use crate::ui::logs::Style;

/// What the command line says.
#[derive(Debug, Default)]
pub struct Options {
    pub services: Vec<String>,
    pub recreate: Recreate,
    /// `--always-recreate-deps`.
    pub recreate_dependencies: bool,
    /// `-V`.
    pub renew_volumes: bool,
    pub no_deps: bool,
    pub images: Policy,
    pub remove_orphans: bool,
    pub scale: Vec<(String, u32)>,
    /// Seconds; negative: for ever.
    pub timeout: Option<i64>,
    /// False: create only.
    pub start: bool,
    pub wait: bool,
    pub wait_timeout: Option<u64>,
    pub yes: bool,
    /// Absent: return when all is started.
    pub attach: Option<Attach>,
}

/// When existing containers are replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Recreate {
    #[default]
    Diverged,
    Always,
    Never,
}

/// Staying in the foreground.
#[derive(Debug)]
pub struct Attach {
    /// `--attach`; empty: by the files.
    pub only: Vec<String>,
    /// `--no-attach`.
    pub not: Vec<String>,
    /// `--attach-dependencies`.
    pub dependencies: bool,
    pub style: Style,
    pub abort: Abort,
    pub exit_code_from: Option<String>,
}

/// Which end of a container ends the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abort {
    Never,
    OnExit,
    OnFailure,
}

/// Brings the project up.
///
/// # Errors
/// What is wrong with the files; what could not be done.
pub fn run(_context: &Context, _options: Options) -> Result<()> {
    Err(Error::Failed("up is not part of this ketch yet".into()))
}
