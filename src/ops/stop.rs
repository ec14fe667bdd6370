//! `stop`.

use super::{Context, Error, Result};

/// Not written.
///
/// # Errors
/// Always.
pub fn run(_context: &Context, _services: &[String], _timeout: Option<i64>) -> Result<()> {
    Err(Error::Failed("stop is not part of this ketch yet".into()))
}
