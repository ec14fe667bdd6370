//! Taking back what a container held, and removing what is left of it on disk.
//!
//! Called by the monitor when it leaves, and by commands for a container without one.

use std::path::Path;

use indexmap::IndexMap;
use jiff::Timestamp;

use crate::cgroup::Cgroup;
use crate::container::record::{Record, Source};
use crate::container::state::{State, Status};
use crate::container::{Container, documents};
use crate::error::{Context, Error, Result};
use crate::network;
use crate::store::Roots;
use crate::store::events::{self, Event};
use crate::volume;

/// Gives back the network and the cgroup of a container that has no process any more. Goes on
/// after a failure and returns all of them.
pub fn release(roots: &Roots, record: &Record, state: &State) -> Vec<Error> {
    let mut errors = Vec::new();
    errors.extend(network::detach(roots, record, &state.endpoints));
    let parent = record.spec.cgroup_parent.as_deref();
    let cgroup = Cgroup::of(&record.id, parent).and_then(|cgroup| cgroup.remove());
    errors.extend(cgroup.err());
    errors
}

/// Removes a container that does not run. It is marked first, so that a crash in the middle
/// leaves something that can only be removed.
///
/// # Errors
/// When its directory cannot be removed.
pub fn remove(roots: &Roots, mut container: Container, volumes: bool) -> Result<()> {
    let record = &container.record;
    let id = &record.id;
    container.state.status = Status::Dead;
    documents::write_state(roots, id, &mut container.state)?;
    remove_tree(&roots.container_run(id))?;
    let directory = roots.container(id);
    // What takes long or may be refused goes first, the record last.
    for part in ["upper", "work", "log"] {
        remove_tree(&directory.join(part))?;
    }
    remove_tree(&directory)?;
    if volumes {
        remove_anonymous_volumes(roots, record);
    }
    documents::release_name(roots, &record.name, id)?;
    announce(roots, record, "destroy", None);
    Ok(())
}

fn remove_anonymous_volumes(roots: &Roots, record: &Record) {
    for mount in &record.mounts {
        if let Source::Volume {
            name,
            anonymous: true,
            ..
        } = &mount.source
        {
            // Another container may use it by its name; then it stays.
            let _in_use = volume::remove(roots, name, true);
        }
    }
}

fn remove_tree(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.context(|| format!("remove {}", path.display())),
    }
}

/// Tells the world what happened to a container.
pub fn announce(roots: &Roots, record: &Record, action: &str, exit_code: Option<i32>) {
    let mut attributes: IndexMap<String, String> = record.spec.labels.clone();
    attributes.insert("image".into(), record.spec.image.clone());
    attributes.insert("name".into(), record.name.clone());
    if let Some(code) = exit_code {
        attributes.insert("exitCode".into(), code.to_string());
    }
    let event = Event {
        time: Timestamp::now(),
        kind: "container".into(),
        action: action.into(),
        id: record.id.to_string(),
        attributes,
    };
    // A full disk must not stop a container from stopping.
    let _untold = events::append(roots, &event);
}
