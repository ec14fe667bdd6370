//! The whole application.

use std::path::PathBuf;

use indexmap::IndexMap;

use super::{LanguageModel, Network, Service, SharedFile, Volume};
use crate::diag::Span;
use crate::yaml::Node;

/// A compose application as the user wants it, after every phase of loading.
#[derive(Debug, Clone, PartialEq)]
pub struct Project {
    /// `[a-z0-9][a-z0-9_-]*`.
    pub name: String,
    /// What relative paths are relative to; absolute.
    pub working_dir: PathBuf,
    /// The files that were read, absolute (`com.docker.compose.project.config_files`).
    pub config_files: Vec<PathBuf>,
    /// Given with `--env-file`, absolute.
    pub env_files: Vec<PathBuf>,
    /// The variables that interpolation and value-less `environment` entries saw.
    pub environment: IndexMap<String, String>,
    /// Enabled services, by name, in the order of the files.
    pub services: IndexMap<String, Service>,
    /// Services whose profiles are not active, or that were not asked for by name.
    pub disabled: IndexMap<String, Service>,
    /// By key; only those that an enabled service uses, unless all were asked for.
    pub networks: IndexMap<String, Network>,
    pub volumes: IndexMap<String, Volume>,
    pub secrets: IndexMap<String, SharedFile>,
    pub configs: IndexMap<String, SharedFile>,
    pub models: IndexMap<String, LanguageModel>,
    /// `x-*` at the top level.
    pub extensions: IndexMap<String, Node>,
    /// Active profiles.
    pub profiles: Vec<String>,
}

/// What networks, volumes, secrets and configs have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// The key in the file.
    pub key: String,
    /// The real name: `<project>_<key>`, or what `name:` says.
    pub name: String,
    /// Not ours to create or remove.
    pub external: bool,
    pub labels: IndexMap<String, String>,
    pub span: Span,
    /// As a canonical Node: what `config` prints.
    pub canonical: Node,
}
