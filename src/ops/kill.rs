//! `kill`.

use super::{Context, Error, Result};

/// Not written.
///
/// # Errors
/// Always.
pub fn run(
    _context: &Context,
    _services: &[String],
    _signal: &str,
    _remove_orphans: bool,
) -> Result<()> {
    Err(Error::Failed("kill is not part of this ketch yet".into()))
}
