//! Volumes on disk.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::spec::VolumeSpec;

/// A volume and where its data lies.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume {
    pub spec: VolumeSpec,
    pub created: Timestamp,
    pub path: PathBuf,
    pub anonymous: bool,
}
