//! The outside world as far as loading needs it.

use std::path::Path;
use std::sync::Arc;

/// Files and nothing else; the environment comes in as a value.
pub trait Files {
    /// The whole text of a file.
    ///
    /// # Errors
    /// Why it can't be read.
    fn read(&self, path: &Path) -> Result<Arc<str>, Unreadable>;

    /// Whether there is a file or directory.
    fn exists(&self, path: &Path) -> bool;

    /// Whether there is a directory.
    fn is_dir(&self, path: &Path) -> bool;
}

/// Why a file can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    Missing,
    /// Not UTF-8, no rights, a directory, …: the reason as text.
    Other(String),
}
