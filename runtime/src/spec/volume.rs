//! Volumes.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// A volume to create.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeSpec {
    pub name: String,
    /// `local` when absent.
    pub driver: Option<String>,
    /// `type`, `o` and `device` make a mount of it at first use.
    pub options: IndexMap<String, String>,
    pub labels: IndexMap<String, String>,
}
