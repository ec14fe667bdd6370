//! Who is joined to which network at this moment: a file for each, in the volatile root.
//!
//! `networks/<network id>/<container id>.json` is written by the container's monitor when it
//! joins and removed when it leaves. Rules and names are computed from all of them. The
//! kernel has the last word: one whose interface on the host is gone (its monitor was
//! killed together with the container) counts no more, and is removed by whoever notices.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::container::state::{Endpoint, PublishedPort};
use crate::error::{Context, Result};
use crate::store::Roots;
use crate::store::document::{self, Durability};
use crate::store::id::Id;

/// One container in one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    pub container: Id,
    /// The container's name.
    pub name: String,
    pub endpoint: Endpoint,
    /// Published through this network, with the ports that were taken.
    pub ports: Vec<PublishedPort>,
}

/// The directory of a network's presences: it changes whenever one does.
pub fn directory(roots: &Roots, network: &str) -> PathBuf {
    roots.network_run().join(network)
}

/// Makes a container known.
pub fn write(roots: &Roots, presence: &Presence) -> Result<()> {
    let path = path(roots, &presence.endpoint.network_id, &presence.container);
    document::write(&path, presence, Durability::Crash)
}

/// Makes it unknown again; one that is unknown already is no error.
pub fn remove(roots: &Roots, network: &str, container: &Id) -> Result<()> {
    remove_file(&path(roots, network, container))?;
    // The last one takes the directory along.
    let _in_use = std::fs::remove_dir(directory(roots, network));
    Ok(())
}

/// Removes what killed monitors had begun to write. The caller holds the networks' lock.
pub fn remove_unfinished(roots: &Roots) -> Result<()> {
    document::remove_unfinished(&roots.networks())?;
    for network in names(&roots.network_run())? {
        let directory = directory(roots, &network);
        document::remove_unfinished(&directory)?;
        let _in_use = std::fs::remove_dir(directory);
    }
    Ok(())
}

/// All of one network, by container; damaged files are passed over.
pub fn list(roots: &Roots, network: &str) -> Result<Vec<Presence>> {
    let directory = directory(roots, network);
    let mut presences = Vec::new();
    for name in names(&directory)? {
        let Some(id) = name.strip_suffix(".json") else {
            continue;
        };
        if Id::try_from(id.to_owned()).is_err() {
            continue;
        }
        // Gone between listing and reading, or cut off by a full disk: not joined.
        if let Ok(Some(presence)) = document::find::<Presence>(&directory.join(&name)) {
            presences.push(presence);
        }
    }
    presences.sort_by(|one, other| one.container.cmp(&other.container));
    Ok(presences)
}

/// All of all networks.
pub fn list_all(roots: &Roots) -> Result<Vec<Presence>> {
    let mut presences = Vec::new();
    for network in names(&roots.network_run())? {
        presences.append(&mut list(roots, &network)?);
    }
    Ok(presences)
}

fn path(roots: &Roots, network: &str, container: &Id) -> PathBuf {
    directory(roots, network).join(format!("{container}.json"))
}

fn remove_file(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// The names in a directory, sorted; none when there is no directory.
pub fn names(directory: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context(|| format!("list {}", directory.display())),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.context(|| format!("list {}", directory.display()))?;
        names.extend(entry.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}
