//! How a service's image is built.

use std::path::PathBuf;

use indexmap::IndexMap;

use crate::diag::{Span, Spanned};

/// `build:`.
#[derive(Debug, Clone, PartialEq)]
pub struct Build {
    pub span: Span,
    /// Absolute directory; a remote context is refused when something is built.
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
    /// The secrets that it is given, by key.
    pub secrets: Vec<Spanned<String>>,
    /// Further contexts by name: a path, a URL, `service:x`.
    pub additional_contexts: IndexMap<String, Spanned<String>>,
}
