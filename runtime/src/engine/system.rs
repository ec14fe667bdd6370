//! What killed commands and monitors left behind: found, told, removed.
//!
//! Each command removes what it meets (`Engine::sweep`, and whoever lists containers); here
//! everything is looked for. What another installation on this host may own is not touched.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cgroup;
use crate::container::documents;
use crate::content::blobs::Blobs;
use crate::engine::Engine;
use crate::error::{Context, Result};
use crate::network::{self, bridge, presence, records};
use crate::store::id::Id;
use crate::store::lock::{self, Lock};
use crate::store::{document, staging};
use crate::sys::netlink::Socket;

/// A cgroup without processes may belong to somebody who is about to start one.
const YOUNGEST_CGROUP: Duration = Duration::from_secs(10);

/// Something that belongs to nobody any more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Orphan {
    /// A container half made or half removed.
    Container(Id),
    /// The volatile directory of a container that is gone.
    RunDirectory(Id),
    /// A reserved name whose container is gone.
    Name(String),
    /// What a killed command was making.
    Staging(PathBuf),
    /// A document that was being written.
    Temporary(PathBuf),
    /// Who is joined to a network that is gone: its names and rules.
    NameTable(String),
    /// A bridge of ours whose network is gone.
    Bridge(String),
    /// The cgroup of a container that is gone.
    Cgroup(Id),
    /// The lock of a container that is gone.
    Lock(Id),
}

impl fmt::Display for Orphan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container(id) => write!(f, "unfinished container {id}"),
            Self::RunDirectory(id) => write!(f, "run directory of container {id}"),
            Self::Name(name) => write!(f, "container name {name}"),
            Self::Staging(path) => write!(f, "staging directory {}", path.display()),
            Self::Temporary(path) => write!(f, "temporary file {}", path.display()),
            Self::NameTable(network) => write!(f, "name table of network {network}"),
            Self::Bridge(name) => write!(f, "bridge {name}"),
            Self::Cgroup(id) => write!(f, "cgroup of container {id}"),
            Self::Lock(id) => write!(f, "lock of container {id}"),
        }
    }
}

impl Engine {
    /// Removes what killed commands left where it costs next to nothing to look: staging
    /// directories, unfinished documents, locks of nothing. Failures are for the next sweep.
    pub fn sweep(&self) {
        staging::sweep(self.roots());
        for path in self.temporary_files() {
            let _next_time = std::fs::remove_file(path);
        }
        for id in lock::without_container(self.roots()).unwrap_or_default() {
            let _next_time = self.remove_orphan(&Orphan::Lock(id));
        }
    }

    /// Everything that belongs to nobody any more, in the order in which it can be removed.
    /// Containers whose monitor was killed are settled on the way.
    ///
    /// # Errors
    /// When a store can't be read.
    pub fn orphans(&self) -> Result<Vec<Orphan>> {
        let roots = self.roots();
        let mut found = Vec::new();
        let mut known = Vec::new();
        for id in documents::ids(roots)? {
            if documents::record_path(roots, &id).exists() || self.is_worked_on(&id)? {
                known.push(id);
            } else {
                found.push(Orphan::Container(id));
            }
        }
        let is_gone = |id: &Id| !roots.container(id).exists();
        for id in ids_in(&roots.run().join("containers"))? {
            if is_gone(&id) && !self.is_worked_on(&id)? && !documents::has_monitor(roots, &id)? {
                found.push(Orphan::RunDirectory(id));
            }
        }
        for name in presence::names(&roots.names())? {
            let holder = documents::find_name(roots, &name)?;
            if holder.as_ref().is_some_and(is_gone) {
                found.push(Orphan::Name(name));
            }
        }
        found.extend(staging::abandoned(roots).into_iter().map(Orphan::Staging));
        found.extend(self.temporary_files().into_iter().map(Orphan::Temporary));
        self.network_orphans(&mut found)?;
        for id in cgroup::idle(YOUNGEST_CGROUP)? {
            if !known.contains(&id) && is_gone(&id) {
                found.push(Orphan::Cgroup(id));
            }
        }
        let locks = lock::without_container(roots)?;
        found.extend(locks.into_iter().map(Orphan::Lock));
        Ok(found)
    }

    fn network_orphans(&self, found: &mut Vec<Orphan>) -> Result<()> {
        let roots = self.roots();
        let _lock = lock::acquire(roots, Lock::Networks)?;
        let networks = records::list(roots)?;
        for id in presence::names(&roots.network_run())? {
            if networks.iter().all(|network| network.id.as_str() != id) {
                found.push(Orphan::NameTable(id));
            }
        }
        let owner = records::owner(roots);
        for link in bridge::links(&mut Socket::route()?)? {
            if link.alias == owner && networks.iter().all(|network| network.bridge != link.name) {
                found.push(Orphan::Bridge(link.name));
            }
        }
        Ok(())
    }

    /// Removes one of them; one that is gone, or somebody's again, is left alone.
    ///
    /// # Errors
    /// When the kernel or the disk refuses.
    pub fn remove_orphan(&self, orphan: &Orphan) -> Result<()> {
        let roots = self.roots();
        match orphan {
            Orphan::Container(id) => self.discard_half(id).map(drop),
            Orphan::RunDirectory(id) => remove(&roots.container_run(id)),
            Orphan::Name(name) => match documents::find_name(roots, name)? {
                Some(holder) if !roots.container(&holder).exists() => {
                    documents::release_name(roots, name, &holder)
                }
                _ => Ok(()),
            },
            Orphan::Staging(path) => {
                if path.exists() && staging::is_abandoned(path) {
                    return remove(path);
                }
                Ok(())
            }
            Orphan::Temporary(path) => remove(path),
            Orphan::NameTable(network) => {
                remove(&presence::directory(roots, network))?;
                network::refresh(roots, true)
            }
            Orphan::Bridge(name) => {
                let _lock = lock::acquire(roots, Lock::Networks)?;
                let networks = records::list(roots)?;
                if networks.iter().any(|network| network.bridge == *name) {
                    return Ok(());
                }
                bridge::delete_link(&mut Socket::route()?, name)
            }
            Orphan::Cgroup(id) => cgroup::Cgroup::of(id, None)?.remove(),
            // Whoever lets go of it removes it.
            Orphan::Lock(id) => lock::try_acquire(roots, Lock::Container(id.as_str())).map(drop),
        }
    }

    /// Whether somebody holds a container's lock: it is being made or removed.
    fn is_worked_on(&self, id: &Id) -> Result<bool> {
        let lock = Lock::Container(id.as_str());
        match lock::try_acquire(self.roots(), lock)? {
            Some(_guard) => Ok(false),
            None => Ok(true),
        }
    }

    fn temporary_files(&self) -> Vec<PathBuf> {
        let roots = self.roots();
        let mut directories = vec![
            roots.data().to_owned(),
            roots.names(),
            roots.networks(),
            roots.build_cache(),
            Blobs::new(roots.blobs()).directory(),
        ];
        let presences = presence::names(&roots.network_run()).unwrap_or_default();
        directories.extend(presences.iter().map(|id| presence::directory(roots, id)));
        let containers = documents::ids(roots).unwrap_or_default();
        directories.extend(containers.iter().map(|id| roots.container(id)));
        let mut found = Vec::new();
        for directory in directories {
            for name in presence::names(&directory).unwrap_or_default() {
                if document::is_abandoned(&name) {
                    found.push(directory.join(name));
                }
            }
        }
        found
    }
}

fn ids_in(directory: &Path) -> Result<Vec<Id>> {
    let names = presence::names(directory)?;
    Ok(names
        .into_iter()
        .filter_map(|name| Id::try_from(name).ok())
        .collect())
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.context(|| format!("remove {}", path.display())),
    }
}
