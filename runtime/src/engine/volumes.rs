//! Volumes: create, find, remove.

use indexmap::IndexMap;
use jiff::Timestamp;

use super::Engine;
use crate::error::Result;
use crate::spec::VolumeSpec;
use crate::store::events::{self, Event};
use crate::volume::{self, Volume};

impl Engine {
    /// Makes a volume, or returns the one of that name.
    pub fn create_volume(&self, spec: &VolumeSpec) -> Result<Volume> {
        let existed = volume::find(self.roots(), &spec.name)?.is_some();
        let volume = volume::create(self.roots(), spec)?;
        if !existed {
            self.tell_volume("create", &volume.spec.name);
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
            self.tell_volume("destroy", name);
        }
        Ok(())
    }

    /// An event nobody could write is no reason to fail what has already been done.
    fn tell_volume(&self, action: &str, name: &str) {
        let event = Event {
            time: Timestamp::now(),
            kind: "volume".into(),
            action: action.into(),
            id: name.into(),
            attributes: IndexMap::from([("driver".into(), "local".into())]),
        };
        if let Err(error) = events::append(self.roots(), &event) {
            tracing::warn!(%error, "cannot write event");
        }
    }
}
