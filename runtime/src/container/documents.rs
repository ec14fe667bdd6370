//! A container's files: `config.json`, `state.json`, its reserved name, and the lock that its
//! monitor holds for life.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Container;
use super::record::Record;
use super::state::State;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::store::Roots;
use crate::store::document::{self, Durability};
use crate::store::id::Id;
use crate::store::lock::{self, Lock};
use crate::sys;

/// The form of both documents; a newer one is refused.
const VERSION: u64 = 1;

/// Where what was asked for lies.
pub fn record_path(roots: &Roots, id: &Id) -> PathBuf {
    roots.container(id).join("config.json")
}

fn state_path(roots: &Roots, id: &Id) -> PathBuf {
    roots.container(id).join("state.json")
}

/// Reads a container; `None` when there is none of that id, or only half of one.
///
/// # Errors
/// When its documents are damaged or newer than this program.
pub fn find(roots: &Roots, id: &Id) -> Result<Option<Container>> {
    let path = record_path(roots, id);
    let Some(record) = document::find_versioned::<Record>(&path, VERSION)? else {
        return Ok(None);
    };
    let state = find_state(roots, id)?.unwrap_or_default();
    Ok(Some(Container { record, state }))
}

/// Reads the state alone.
///
/// # Errors
/// As `find`.
pub fn find_state(roots: &Roots, id: &Id) -> Result<Option<State>> {
    document::find_versioned(&state_path(roots, id), VERSION)
}

/// Writes what was asked for, to survive the loss of power.
///
/// # Errors
/// When the file cannot be written.
pub fn write_record(roots: &Roots, record: &Record) -> Result<()> {
    let path = record_path(roots, &record.id);
    document::write_versioned(&path, VERSION, record, Durability::PowerLoss)
}

/// Writes the state. Only the monitor, or the holder of the container's lock while there is
/// none, may do so.
///
/// # Errors
/// When the file cannot be written.
pub fn write_state(roots: &Roots, id: &Id, state: &mut State) -> Result<()> {
    state.generation += 1;
    document::write_versioned(&state_path(roots, id), VERSION, state, Durability::Crash)
}

/// What goes together with a container that is half made or half removed: a directory without
/// a record is rubbish, and this says what else is. Written before the first of it exists, and
/// again before the first of it is removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Belongings {
    /// Names reserved for it: while it is renamed, two.
    pub names: Vec<String>,
    /// Volumes that nobody else uses.
    pub volumes: Vec<String>,
}

fn belongings_path(roots: &Roots, id: &Id) -> PathBuf {
    roots.container(id).join("belongings.json")
}

/// What goes with this container; nothing when it is not known.
pub fn belongings(roots: &Roots, id: &Id) -> Belongings {
    // Damaged can only be what was never finished.
    document::find(&belongings_path(roots, id))
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// Writes it down.
///
/// # Errors
/// When the file cannot be written.
pub fn write_belongings(roots: &Roots, id: &Id, belongings: &Belongings) -> Result<()> {
    document::write(&belongings_path(roots, id), belongings, Durability::Crash)
}

/// Whether the last monitor was killed before it had given everything back: its socket is
/// the last thing that one removes.
pub fn is_unclean(roots: &Roots, id: &Id) -> bool {
    roots.container_run(id).join("ctl.sock").exists()
}

fn stop_mark(roots: &Roots, id: &Id) -> PathBuf {
    roots.container_run(id).join("stop-asked")
}

/// Marks a container before its monitor is asked to end it: whoever asks may be killed, and the
/// state says nothing until the monitor has read the question.
pub fn mark_stop(roots: &Roots, id: &Id) {
    // Without a run directory there is nobody to ask.
    let _no_monitor = File::create(stop_mark(roots, id));
}

/// Whether its monitor may know of a stop that the state does not tell yet.
pub fn may_be_stopping(roots: &Roots, id: &Id) -> bool {
    stop_mark(roots, id).exists()
}

/// The mark's stop is over.
pub fn unmark_stop(roots: &Roots, id: &Id) {
    let _absent = std::fs::remove_file(stop_mark(roots, id));
}

/// The ids of all containers, in no particular order, half-made ones included.
///
/// # Errors
/// When the directory cannot be read.
pub fn ids(roots: &Roots) -> Result<Vec<Id>> {
    let directory = roots.containers();
    let entries = match std::fs::read_dir(&directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.context(|| format!("read {}", directory.display()))?,
    };
    let mut ids = Vec::new();
    for entry in entries {
        let name = entry?.file_name().into_string().unwrap_or_default();
        ids.extend(Id::try_from(name));
    }
    Ok(ids)
}

fn name_path(roots: &Roots, name: &str) -> PathBuf {
    roots.names().join(name)
}

/// The container that has this name.
///
/// # Errors
/// When the reservation cannot be read.
pub fn find_name(roots: &Roots, name: &str) -> Result<Option<Id>> {
    if !crate::store::id::is_valid_name(name) {
        return Ok(None);
    }
    match std::fs::read_to_string(name_path(roots, name)) {
        Ok(text) => Ok(Id::try_from(text.trim_end().to_owned()).ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(|| format!("read the name {name}")),
    }
}

/// Reserves a name. A reservation whose container is gone (a crash in the middle of a removal)
/// does not count.
///
/// # Errors
/// `AlreadyExists`, in Docker's words.
pub fn reserve_name(roots: &Roots, name: &str, id: &Id) -> Result<()> {
    let _names = lock::acquire(roots, Lock::Names)?;
    if let Some(holder) = find_name(roots, name)?
        && holder != *id
        && roots.container(&holder).exists()
    {
        return Err(Error::new(
            ErrorKind::AlreadyExists,
            format!(
                "Conflict. The container name \"/{name}\" is already in use by container \
                 \"{holder}\". You have to remove (or rename) that container to be able to reuse \
                 that name."
            ),
        ));
    }
    let text = format!("{id}\n");
    let path = name_path(roots, name);
    document::write_bytes(&path, text.as_bytes(), 0o600, Durability::PowerLoss)
}

/// Gives a name back, if it is still this container's.
///
/// # Errors
/// When the reservation cannot be removed.
pub fn release_name(roots: &Roots, name: &str, id: &Id) -> Result<()> {
    let _names = lock::acquire(roots, Lock::Names)?;
    if find_name(roots, name)?.as_ref() == Some(id) {
        remove_file(&name_path(roots, name))?;
    }
    Ok(())
}

fn remove_file(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Writes a file that is bind mounted into the container: in place, so that the mount stays.
///
/// # Errors
/// When the file cannot be written.
pub fn write_in_place(path: &Path, text: &str) -> Result<()> {
    let open = || {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .open(path)
    };
    let write = |mut file: File| -> std::io::Result<()> {
        file.write_all(text.as_bytes())?;
        // The umask is the caller's.
        rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o644))?;
        Ok(())
    };
    open()
        .and_then(write)
        .context(|| format!("write {}", path.display()))
}

fn open_monitor_lock(roots: &Roots, id: &Id) -> Result<File> {
    let directory = roots.container_run(id);
    document::make_directory(&directory)?;
    let path = directory.join("lock");
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .context(|| format!("open {}", path.display()))
}

/// Becomes the keeper of a container for as long as the returned file is open; `None` when it
/// has one.
///
/// # Errors
/// When the lock's file cannot be opened.
pub fn become_monitor(roots: &Roots, id: &Id) -> Result<Option<OwnedFd>> {
    let file = open_monitor_lock(roots, id)?;
    let taken = sys::fd::try_lock_ofd(file.as_fd())?;
    Ok(taken.then(|| file.into()))
}

/// Whether a monitor keeps this container: its lock is held. Pid files lie, locks do not.
///
/// # Errors
/// When the kernel does not tell.
pub fn has_monitor(roots: &Roots, id: &Id) -> Result<bool> {
    let path = roots.container_run(id).join("lock");
    let file = match OpenOptions::new().read(true).write(true).open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        other => other.context(|| format!("open {}", path.display()))?,
    };
    Ok(sys::fd::ofd_lock_held(file.as_fd())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_reserved_once_and_a_stale_reservation_does_not_count() {
        let directory = tempfile::tempdir().unwrap();
        let roots = Roots::new(directory.path().join("data"), directory.path().join("run"));
        let (first, second) = (Id::random().unwrap(), Id::random().unwrap());
        std::fs::create_dir_all(roots.container(&first)).unwrap();
        reserve_name(&roots, "web", &first).unwrap();
        let error = reserve_name(&roots, "web", &second).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "Conflict. The container name \"/web\" is already in use by container \
                 \"{first}\". You have to remove (or rename) that container to be able to reuse \
                 that name."
            )
        );
        std::fs::remove_dir(roots.container(&first)).unwrap();
        reserve_name(&roots, "web", &second).unwrap();
        assert_eq!(find_name(&roots, "web").unwrap(), Some(second));
    }
}
