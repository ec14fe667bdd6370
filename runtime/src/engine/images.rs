//! Images: load, import, list, inspect, tag, remove.

use std::io::Read;

use super::Engine;
use crate::content::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::image::Image;

/// What a removal did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemovedImage {
    Untagged(String),
    Deleted(Digest),
}

/// How to make an image of a root file system.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// `name[:tag]`.
    pub reference: Option<String>,
    pub message: Option<String>,
    /// Dockerfile instructions: `CMD ["sh"]`, `ENV A=b`.
    pub changes: Vec<String>,
}

fn unwritten() -> Error {
    Error::new(ErrorKind::Unsupported, "not written yet")
}

impl Engine {
    /// Takes in an archive of `docker save` or an OCI layout, plain or compressed; returns what
    /// was loaded: references, or ids of images without one.
    pub fn load_images(&self, _archive: impl Read) -> Result<Vec<String>> {
        Err(unwritten())
    }

    /// Makes an image of one layer from a tar of a root file system.
    pub fn import_image(&self, _archive: impl Read, _options: &ImportOptions) -> Result<Digest> {
        Err(unwritten())
    }

    /// Every image, newest first.
    pub fn images(&self) -> Result<Vec<Image>> {
        Err(unwritten())
    }

    /// One image, by reference, digest or id prefix.
    pub fn image(&self, _name: &str) -> Result<Image> {
        Err(unwritten())
    }

    /// Adds a name.
    pub fn tag_image(&self, _name: &str, _reference: &str) -> Result<()> {
        Err(unwritten())
    }

    /// Takes a name away, and the image with its last name.
    pub fn remove_image(&self, _name: &str, _force: bool) -> Result<Vec<RemovedImage>> {
        Err(unwritten())
    }
}
