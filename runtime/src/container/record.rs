//! Pure: what was asked for, merged with the image; written once by `create`.
//!
//! `rename` and `update` rewrite it under the container's lock. Nothing in here
//! changes while the container runs; what does is in [`super::state::State`].

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::content::digest::Digest;
use crate::spec::{ContainerSpec, Propagation, Rlimit};
use crate::store::id::Id;

/// `config.json` of a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub id: Id,
    /// The current name; `spec.name` is the one it was created with.
    pub name: String,
    pub created: Timestamp,
    /// Digest of the image's configuration: the image's id.
    pub image_id: Digest,
    /// Chain ids of the image's layers, lowest first.
    pub layers: Vec<Digest>,
    pub process: Process,
    /// The container's host name: asked for, or the short id, or that of a shared namespace.
    pub hostname: String,
    /// Every mount beyond the default ones, in the order in which they are made.
    pub mounts: Vec<Mount>,
    pub health: Option<Health>,
    pub stop: Stop,
    /// Ports that the image or the spec documents.
    pub exposed: Vec<(u16, crate::spec::Protocol)>,
    /// What was asked, for all that needs no merging with the image.
    pub spec: ContainerSpec,
}

/// The process to run, nothing left to decide but what lies in the container's own files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Never empty.
    pub args: Vec<String>,
    /// `NAME=value`, complete but for HOME.
    pub env: Vec<String>,
    /// `user[:group]` or empty; looked up in the container's files at every start.
    pub user: String,
    pub group_add: Vec<String>,
    /// Absolute.
    pub cwd: String,
    pub tty: bool,
    pub stdin_open: bool,
    #[serde(default)]
    pub stdin_once: bool,
    pub rlimits: Vec<Rlimit>,
}

/// A mount with its source settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    pub target: String,
    pub read_only: bool,
    pub source: Source,
}

/// Where a mount's content comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Source {
    Bind {
        path: PathBuf,
        propagation: Propagation,
        recursive: bool,
    },
    /// `path` is the volume's data directory, the subpath not included.
    Volume {
        name: String,
        path: PathBuf,
        subpath: Option<String>,
        /// Made for this container alone; removed with it when asked.
        anonymous: bool,
    },
    Tmpfs {
        options: Vec<String>,
    },
    /// Lives in memory only.
    File {
        content: Vec<u8>,
        mode: u32,
        uid: u32,
        gid: u32,
    },
}

/// A health check with nothing left open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The argument vector: `CMD-SHELL` is already spelled out with the shell.
    pub args: Vec<String>,
    pub interval: Duration,
    pub timeout: Duration,
    pub start_period: Duration,
    pub start_interval: Duration,
    pub retries: u32,
}

/// How to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    pub signal: i32,
    /// Whether the signal was configured by the user or the image (spec: kill and the restart policy).
    pub signal_configured: bool,
    /// `None` waits for ever.
    pub grace: Option<Duration>,
}
