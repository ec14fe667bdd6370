//! Taking back what a container held, and removing what is left of it on disk.
//!
//! Called by the monitor when it leaves, and by commands for a container without one.

use std::path::Path;

use indexmap::IndexMap;
use jiff::Timestamp;

use super::logfile::{self, LogFile, Settings};
use super::records::Stream;
use super::{stdio, taken};
use crate::cgroup::Cgroup;
use crate::container::documents::Belongings;
use crate::container::record::{Record, Source};
use crate::container::state::{State, Status};
use crate::container::{Container, documents};
use crate::error::{Context, Error, Result};
use crate::failpoint::{self, Point};
use crate::network;
use crate::store::Roots;
use crate::store::events::{self, Event};
use crate::store::id::Id;
use crate::volume;

/// Gives back the network and the cgroup of a container that has no process any more. Goes on
/// after a failure and returns all of them.
pub fn release(roots: &Roots, record: &Record, state: &State) -> Vec<Error> {
    let mut errors = Vec::new();
    errors.extend(network::detach(roots, record, &state.endpoints));
    let parent = record.spec.cgroup_parent.as_deref();
    let cgroup = Cgroup::of(&record.id, parent).and_then(|cgroup| cgroup.remove());
    errors.extend(cgroup.err());
    failpoint::reached(Point::Released);
    errors
}

/// Writes what is left of the output of a container whose monitor was killed, and which has no
/// process any more. Nothing to do for one that came to its end.
pub fn log_rest(roots: &Roots, record: &Record) {
    let run = roots.container_run(&record.id);
    if !run.join(logfile::NOTE).exists() {
        return;
    }
    let opened = Settings::parse(&record.spec.log).and_then(|settings| {
        let path = settings.path(&roots.container(&record.id), &record.id);
        LogFile::open(settings, path, Some(&run))
    });
    // A log that can't be written must not keep a container from its end.
    if let Ok(mut log) = opened {
        stdio::log_rest(&run, &mut log);
    }
}

/// Removes a container that does not run. It is marked first, so that a crash in the middle
/// leaves something that can only be removed.
///
/// # Errors
/// When its directory cannot be removed.
pub fn remove(roots: &Roots, mut container: Container, volumes: bool) -> Result<()> {
    let record = &container.record;
    let id = &record.id;
    if container.state.status != Status::Dead {
        let mut names = documents::belongings(roots, id).names;
        if !names.contains(&record.name) {
            names.push(record.name.clone());
        }
        let belongings = Belongings {
            names,
            volumes: if volumes {
                anonymous(record)
            } else {
                Vec::new()
            },
        };
        documents::write_belongings(roots, id, &belongings)?;
        container.state.status = Status::Dead;
        documents::write_state(roots, id, &mut container.state)?;
        failpoint::reached(Point::RemovalMarked);
    }
    let directory = roots.container(id);
    // What takes long or may be refused goes first, the record last.
    for part in ["upper", "work", "log"] {
        remove_tree(&directory.join(part))?;
    }
    failpoint::reached(Point::WritableLayerRemoved);
    // Without a record its volumes are used no more; and whoever finds it so goes on here.
    match std::fs::remove_file(documents::record_path(roots, id)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).context(|| format!("remove container {id}"));
        }
        _ => {}
    }
    failpoint::reached(Point::RecordRemoved);
    discard(roots, id)?;
    announce(roots, record, "destroy", None);
    Ok(())
}

fn anonymous(record: &Record) -> Vec<String> {
    let sources = record.mounts.iter().map(|mount| &mount.source);
    sources
        .filter_map(|source| match source {
            Source::Volume {
                name,
                anonymous: true,
                ..
            } => Some(name.clone()),
            _ => None,
        })
        .collect()
}

/// Removes what is left of a container without a record: one that a killed command had half
/// made or half removed. The caller holds the container's lock.
///
/// # Errors
/// When its directory cannot be removed.
pub fn discard(roots: &Roots, id: &Id) -> Result<()> {
    let belongings = documents::belongings(roots, id);
    for volume in &belongings.volumes {
        // Another container may use it by its name; then it stays.
        let _in_use = volume::remove(roots, volume, true);
    }
    failpoint::reached(Point::BelongingsRemoved);
    for name in &belongings.names {
        documents::release_name(roots, name, id)?;
    }
    failpoint::reached(Point::NamesReleased);
    remove_tree(&roots.container_run(id))?;
    failpoint::reached(Point::RunDirectoryRemoved);
    remove_tree(&roots.container(id))?;
    failpoint::reached(Point::ContainerDirectoryRemoved);
    Ok(())
}

fn remove_tree(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.context(|| format!("remove {}", path.display())),
    }
}

/// Removes a monitor's ends of pipes and, as the last thing, its socket (`documents::is_unclean`).
pub fn remove_sockets(roots: &Roots, id: &Id) {
    let run = roots.container_run(id);
    for name in ["stdout.fifo", "stderr.fifo", "stdin.fifo"] {
        let _absent = std::fs::remove_file(run.join(name));
    }
    // The note goes last: without one, all that was taken would be logged again.
    for stream in Stream::ALL {
        let _absent = std::fs::remove_file(taken::path(&run, stream));
    }
    documents::unmark_stop(roots, id);
    for name in [logfile::NOTE, "ctl.sock"] {
        let _absent = std::fs::remove_file(run.join(name));
    }
}

/// Tells the world what happened to a container, with what Docker adds: its `exitCode`, the
/// `signal`.
pub fn announce(roots: &Roots, record: &Record, action: &str, detail: Option<(&str, i32)>) {
    let mut attributes: IndexMap<String, String> = record.spec.labels.clone();
    attributes.insert("image".into(), record.spec.image.clone());
    attributes.insert("name".into(), record.name.clone());
    if let Some((key, number)) = detail {
        attributes.insert(key.into(), number.to_string());
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
