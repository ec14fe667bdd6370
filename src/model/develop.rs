//! What happens to a service when files change.

use std::path::PathBuf;

use indexmap::IndexMap;

use crate::diag::Span;

/// One entry of `develop.watch`.
#[derive(Debug, Clone, PartialEq)]
pub struct WatchRule {
    pub span: Span,
    /// An absolute path on the host; it need not be there.
    pub path: PathBuf,
    pub action: WatchAction,
    /// Where files go in the container; empty where nothing is copied.
    pub target: String,
    pub ignore: Vec<String>,
    pub include: Vec<String>,
    /// Copy all at the start.
    pub initial_sync: bool,
    /// What `sync+exec` runs.
    pub exec: Option<WatchExec>,
}

/// What a change leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchAction {
    Sync,
    SyncRestart,
    SyncExec,
    Restart,
    Rebuild,
}

/// A command for a running container.
#[derive(Debug, Clone, PartialEq)]
pub struct WatchExec {
    pub command: Vec<String>,
    pub user: Option<String>,
    pub privileged: bool,
    pub working_dir: Option<String>,
    pub environment: IndexMap<String, Option<String>>,
}

impl WatchAction {
    /// Whether files are copied.
    pub fn syncs(self) -> bool {
        matches!(self, Self::Sync | Self::SyncRestart | Self::SyncExec)
    }
}
