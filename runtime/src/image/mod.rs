//! Images: names, manifests, configurations, and the archives they come in.

pub mod reference;

pub mod config;

pub mod platform;

pub mod manifest;

pub mod store;

pub mod archive;

pub mod save;

pub mod check;

pub mod change;

use jiff::Timestamp;

use crate::content::digest::Digest;

/// One image of the store, ready to make containers from.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Digest of the configuration blob.
    pub id: Digest,
    /// Every reference that points here, in Docker's familiar form (`busybox:latest`), sorted.
    pub references: Vec<String>,
    pub config: config::ImageConfig,
    /// Chain ids of the layers, lowest first: the directories below `Roots::layers`.
    pub layers: Vec<Digest>,
    /// Bytes of all layers, unpacked.
    pub size_bytes: u64,
    pub created: Option<Timestamp>,
    /// What registries call it, in the familiar form: `redis@sha256:…`.
    pub repo_digests: Vec<String>,
    /// Manifests and indexes through which it came.
    pub manifests: Vec<Digest>,
    /// When a name was last pointed to it, or a registry said that nothing newer is there.
    pub last_tagged: Option<Timestamp>,
}
