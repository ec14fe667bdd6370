//! Pure: from the user's files to a [`crate::model::Project`], or to everything that is wrong with them.

pub mod dotenv;
pub mod extends;
pub mod files;
pub mod include;
pub mod interpolate;
pub mod merge;
pub mod tags;

use std::path::PathBuf;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::diag::{Diagnostics, Sources};
use crate::model::Project;
use files::Files;

/// What the command line and the environment say about loading.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where the user stands; absolute.
    pub working_dir: PathBuf,
    /// `-f`, in order; `-` is standard input. Empty: `COMPOSE_FILE`, else discovery.
    pub config_files: Vec<PathBuf>,
    /// The text of standard input, when `-f -` was given.
    pub stdin: Option<Arc<str>>,
    /// `--project-directory`.
    pub project_directory: Option<PathBuf>,
    /// `-p`.
    pub project_name: Option<String>,
    /// `--env-file`, in order. Empty: `COMPOSE_ENV_FILES`, else `.env` of the project directory.
    pub env_files: Vec<PathBuf>,
    /// `--profile`; `COMPOSE_PROFILES` is read from the environment.
    pub profiles: Vec<String>,
    /// The shell's variables.
    pub environment: IndexMap<String, String>,
    /// Services named on the command line: they, and what they need, are kept. Empty: all.
    pub services: Vec<String>,
    /// Leave the dependencies of the named services out (`--no-deps`).
    pub no_dependencies: bool,
    /// Keep networks, volumes, secrets and configs that no enabled service uses.
    pub all_resources: bool,
    /// `config --no-interpolate`.
    pub no_interpolate: bool,
    /// `config --no-normalize`.
    pub no_normalize: bool,
    /// `config --no-path-resolution`.
    pub no_path_resolution: bool,
    /// `config --no-consistency`.
    pub no_consistency: bool,
    /// `config --no-env-resolution`.
    pub no_env_resolution: bool,
}

/// A project, and what should be said about its files all the same.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub project: Project,
    pub warnings: Diagnostics,
    pub sources: Sources,
}

/// Why there is no project.
#[derive(Debug, Clone)]
pub struct Failed {
    pub diagnostics: Diagnostics,
    pub sources: Sources,
}

/// Loads a project: finds the files, reads, interpolates, merges, checks.
///
/// # Errors
/// Everything that is wrong, not only the first thing.
pub fn load(_files: &dyn Files, _options: &Options) -> Result<Loaded, Failed> {
    Err(Failed {
        diagnostics: Diagnostics::default(),
        sources: Sources::default(),
    })
}
