//! Rename: the new name is reserved before the old one is given back.

use crate::container::documents;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint::{self, Point};
use crate::monitor::cleanup;
use crate::monitor::control::{Ask, Client};
use crate::store::id::is_valid_name;
use crate::store::lock::{self, Lock};

impl Engine {
    /// Gives it another name.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken.
    pub fn rename_container(&self, name: &str, new_name: &str) -> Result<()> {
        let new_name = new_name.strip_prefix('/').unwrap_or(new_name);
        if name.is_empty() || new_name.is_empty() {
            return Err(invalid("Neither old nor new names may be empty"));
        }
        if !is_valid_name(new_name) {
            return Err(invalid(format!(
                "Invalid container name ({new_name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
            )));
        }
        let id = self.container_id(name)?;
        let guard = lock::acquire(self.roots(), Lock::Container(id.as_str()))?;
        let mut container = self.settle_locked(&guard, &id)?;
        if container.record.name == new_name {
            return Err(invalid(
                "Renaming a container with the same name as its current name",
            ));
        }
        // Killed on the way, it has two names, and both go when it goes.
        let mut belongings = documents::belongings(self.roots(), &id);
        belongings.names = vec![container.record.name.clone(), new_name.to_owned()];
        documents::write_belongings(self.roots(), &id, &belongings)?;
        documents::reserve_name(self.roots(), new_name, &id)?;
        failpoint::reached(Point::NameReserved);
        let old_name = std::mem::replace(&mut container.record.name, new_name.to_owned());
        if let Err(error) = documents::write_record(self.roots(), &container.record) {
            documents::release_name(self.roots(), new_name, &id)?;
            return Err(error);
        }
        failpoint::reached(Point::RecordRenamed);
        documents::release_name(self.roots(), &old_name, &id)?;
        failpoint::reached(Point::OldNameReleased);
        if let Some(monitor) = Client::ask(self.roots(), &id, Ask::Reload, &[])? {
            // One that is gone, or killed for its silence, is replaced by one that reads it anew.
            let _read = self.answer(&id, &monitor)?;
        }
        cleanup::announce(self.roots(), &container.record, "rename", None);
        Ok(())
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}
