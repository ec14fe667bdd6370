//! `rm`.

use super::{Context, Error, Result};

/// What to remove.
#[derive(Debug)]
pub struct Options {
    pub services: Vec<String>,
    pub force: bool,
    pub stop: bool,
    pub volumes: bool,
}

/// Not written.
///
/// # Errors
/// Always.
pub fn run(_context: &Context, _options: &Options) -> Result<()> {
    Err(Error::Failed("rm is not part of this ketch yet".into()))
}
