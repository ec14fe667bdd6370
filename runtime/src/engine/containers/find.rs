//! From what the user typed to a container.

use super::{ContainerFilter, RemoveOptions};
use crate::container::{Container, documents};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::store::id::Id;
use crate::store::staging;

/// On containers that run a build's steps: the builder's directory among the staging ones.
pub const BUILDER_LABEL: &str = "ketch.builder";

const ALL_OF_IT: RemoveOptions = RemoveOptions {
    force: true,
    volumes: true,
};

impl Engine {
    /// One container, by id, name, or unique prefix of its id.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` when the prefix fits several.
    pub fn container(&self, name: &str) -> Result<Container> {
        let id = self.container_id(name)?;
        self.settled(&id)
    }

    /// Containers in the order of their creation, running or not.
    ///
    /// # Errors
    /// When the documents cannot be read.
    pub fn containers(&self, filter: &ContainerFilter) -> Result<Vec<Container>> {
        let mut found = Vec::new();
        for id in documents::ids(self.roots())? {
            // One may be removed, or half made, while we look; or was, by who was killed.
            let Some(container) = documents::find(self.roots(), &id)? else {
                let _next_time = self.discard_half(&id);
                continue;
            };
            if self.is_abandoned_build(&container) {
                let _next_time = self.remove_container(id.as_str(), &ALL_OF_IT);
                continue;
            }
            if fits(&container, filter) {
                match self.settle(&id, container) {
                    Ok(container) => found.push(container),
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        found.sort_by(|a, b| {
            (a.record.created, &a.record.id).cmp(&(b.record.created, &b.record.id))
        });
        Ok(found)
    }

    /// Whether it ran a step of a build that was killed: the builder's directory is locked while
    /// a build lives.
    fn is_abandoned_build(&self, container: &Container) -> bool {
        let builder = container.record.spec.labels.get(BUILDER_LABEL);
        builder.is_some_and(|stage| staging::is_abandoned(&self.roots().staging().join(stage)))
    }

    /// Docker's order: the whole id, the name, a unique prefix of an id.
    pub(super) fn container_id(&self, name: &str) -> Result<Id> {
        let name = name.strip_prefix('/').unwrap_or(name);
        if let Ok(id) = Id::try_from(name.to_owned())
            && documents::record_path(self.roots(), &id).exists()
        {
            return Ok(id);
        }
        if let Some(id) = documents::find_name(self.roots(), name)?
            && documents::record_path(self.roots(), &id).exists()
        {
            return Ok(id);
        }
        let is_prefix = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut fitting = Vec::new();
        if is_prefix {
            fitting = documents::ids(self.roots())?;
            fitting.retain(|id| {
                id.as_str().starts_with(name) && documents::record_path(self.roots(), id).exists()
            });
        }
        match fitting.len() {
            0 => Err(no_such_container(name)),
            1 => Ok(fitting.remove(0)),
            _ => Err(Error::new(
                ErrorKind::Invalid,
                format!("multiple IDs found with provided prefix: {name}"),
            )),
        }
    }
}

pub(super) fn no_such_container(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("No such container: {name}"))
}

fn fits(container: &Container, filter: &ContainerFilter) -> bool {
    let labels = &container.record.spec.labels;
    filter.labels.iter().all(|(key, value)| match value {
        Some(value) => labels.get(key) == Some(value),
        None => labels.contains_key(key),
    })
}
