//! Volumes: create, find, remove.

use super::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::spec::VolumeSpec;
use crate::volume::Volume;

fn unwritten() -> Error {
    Error::new(ErrorKind::Unsupported, "not written yet")
}

impl Engine {
    /// Makes a volume, or returns the one of that name.
    pub fn create_volume(&self, _spec: &VolumeSpec) -> Result<Volume> {
        Err(unwritten())
    }

    /// One volume by its name.
    pub fn volume(&self, _name: &str) -> Result<Volume> {
        Err(unwritten())
    }

    /// All of them, by name.
    pub fn volumes(&self) -> Result<Vec<Volume>> {
        Err(unwritten())
    }

    /// Removes it with its data; refused while a container, even a stopped one, uses it.
    pub fn remove_volume(&self, _name: &str, _force: bool) -> Result<()> {
        Err(unwritten())
    }
}
