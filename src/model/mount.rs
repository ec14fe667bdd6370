//! A mount as written, in its long form.

use crate::diag::Span;

/// One entry of `volumes`.
#[derive(Debug, Clone, PartialEq)]
pub struct Mount {
    pub span: Span,
    pub kind: MountType,
    /// Absolute host path, or the volume's key; absent: anonymous.
    pub source: Option<String>,
    pub target: String,
    pub read_only: bool,
    pub bind: BindOptions,
    pub volume_nocopy: bool,
    pub volume_subpath: Option<String>,
    pub tmpfs_size: Option<u64>,
    pub tmpfs_mode: Option<u32>,
}

/// What is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountType {
    Volume,
    Bind,
    Tmpfs,
}

/// What only bind mounts have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindOptions {
    /// Make a directory when the source is missing.
    pub create_host_path: bool,
    /// `rprivate`, `shared`, …
    pub propagation: Option<String>,
    /// `enabled`, `disabled`, `writable`, `readonly`.
    pub recursive: Option<String>,
    /// `z` or `Z`.
    pub selinux: Option<String>,
}

impl Default for BindOptions {
    fn default() -> Self {
        Self {
            create_host_path: true,
            propagation: None,
            recursive: None,
            selinux: None,
        }
    }
}
