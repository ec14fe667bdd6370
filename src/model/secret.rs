//! Secrets and configs: files that services share.

use std::path::PathBuf;

use super::Resource;
use crate::diag::Span;

/// A secret or a config.
#[derive(Debug, Clone, PartialEq)]
pub struct SharedFile {
    pub resource: Resource,
    pub source: FileSource,
}

/// Where its content comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileSource {
    /// Absolute.
    File(PathBuf),
    /// The value that the variable had when the file was loaded; `None` when it is unset.
    Environment {
        variable: String,
        value: Option<String>,
    },
    /// Written in the file itself (configs only).
    Content(String),
    /// Kept by somebody else, or made by a driver.
    External,
}

/// One entry of a service's `secrets` or `configs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReference {
    pub span: Span,
    /// The key of the secret or config.
    pub source: String,
    /// Absolute path in the container; settled by the loader.
    pub target: String,
    pub uid: Option<String>,
    pub gid: Option<String>,
    pub mode: Option<u32>,
}
