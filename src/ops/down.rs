//! `down`: stops and removes what `up` made.

use super::{Context, Error, Result};

/// What to take down.
#[derive(Debug, Default)]
pub struct Options {
    /// Empty: everything.
    pub services: Vec<String>,
    pub remove_orphans: bool,
    pub images: Option<Images>,
    /// Seconds; negative: for ever.
    pub timeout: Option<i64>,
    pub volumes: bool,
}

/// `--rmi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Images {
    /// Those without a name of the user's.
    Local,
    All,
}

/// Takes the project down.
///
/// # Errors
/// What could not be removed.
pub fn run(_context: &Context, _options: &Options) -> Result<()> {
    Err(Error::Failed("down is not part of this ketch yet".into()))
}
