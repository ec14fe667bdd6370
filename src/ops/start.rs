//! `start`.

use super::{Context, Error, Result};

/// What to start.
#[derive(Debug)]
pub struct Options {
    pub services: Vec<String>,
    pub wait: bool,
    pub wait_timeout: Option<u64>,
}

/// Not written.
///
/// # Errors
/// Always.
pub fn run(_context: &Context, _options: &Options) -> Result<()> {
    Err(Error::Failed("start is not part of this ketch yet".into()))
}
