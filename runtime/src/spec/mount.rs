//! What is mounted into a container.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One mount, as asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSpec {
    /// Absolute path in the container.
    pub target: String,
    pub read_only: bool,
    pub kind: MountKind,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum MountKind {
    /// A file or directory of the host.
    Bind {
        /// Absolute.
        source: PathBuf,
        /// Make a directory there when nothing exists.
        create_host_path: bool,
        propagation: Propagation,
        /// Whether mounts below the source come along; Docker's default is yes.
        recursive: bool,
    },
    /// A volume of ours; no name: a new anonymous one.
    Volume {
        name: Option<String>,
        /// Do not fill an empty volume with what the image has at the target.
        no_copy: bool,
        /// A directory inside the volume.
        subpath: Option<String>,
    },
    /// Memory; `options` as mount(8) takes them for tmpfs, later ones win.
    Tmpfs { options: Vec<String> },
    /// A file whose content comes with the spec (secrets, configs); it lives in memory only.
    File {
        content: Vec<u8>,
        mode: u32,
        uid: u32,
        gid: u32,
    },
}

/// How mount events travel between host and container (mount_namespaces(7)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Propagation {
    #[default]
    Rprivate,
    Private,
    Rshared,
    Shared,
    Rslave,
    Slave,
}
