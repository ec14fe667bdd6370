//! Volumes: create, find, remove.

use super::Engine;
use crate::error::Result;
use crate::spec::VolumeSpec;
use crate::volume::{self, Volume};

/// What Docker says of every volume.
const LOCAL: &[(&str, &str)] = &[("driver", "local")];

impl Engine {
    /// Makes a volume, or returns the one of that name.
    pub fn create_volume(&self, spec: &VolumeSpec) -> Result<Volume> {
        let existed = volume::find(self.roots(), &spec.name)?.is_some();
        let volume = volume::create(self.roots(), spec)?;
        if !existed {
            self.tell("volume", "create", &volume.spec.name, LOCAL);
        }
        Ok(volume)
    }

    /// One volume by its name.
    pub fn volume(&self, name: &str) -> Result<Volume> {
        volume::get(self.roots(), name)
    }

    /// All of them, by name.
    pub fn volumes(&self) -> Result<Vec<Volume>> {
        volume::list(self.roots())
    }

    /// Removes it with its data; refused while a container, even a stopped one, uses it.
    pub fn remove_volume(&self, name: &str, force: bool) -> Result<()> {
        let existed = volume::find(self.roots(), name)?.is_some();
        volume::remove(self.roots(), name, force)?;
        if existed {
            self.tell("volume", "destroy", name, LOCAL);
        }
        Ok(())
    }
}
