//! How a service's image is built.

use std::path::PathBuf;

use indexmap::IndexMap;

use crate::diag::Span;

/// `build:`.
#[derive(Debug, Clone, PartialEq)]
pub struct Build {
    pub span: Span,
    /// Absolute directory; remote contexts are refused by the loader.
    pub context: PathBuf,
    /// Relative to the context, or absolute; absent: `Dockerfile`.
    pub dockerfile: Option<String>,
    pub dockerfile_inline: Option<String>,
    /// `None`: taken from the caller's environment, or unset.
    pub args: IndexMap<String, Option<String>>,
    pub target: Option<String>,
    pub labels: IndexMap<String, String>,
    pub tags: Vec<String>,
    pub no_cache: bool,
    pub pull: bool,
    pub network: Option<String>,
    pub platforms: Vec<String>,
    pub extra_hosts: Vec<super::ExtraHost>,
    pub shm_size: Option<u64>,
}
