//! Volumes on disk: `Roots::volumes()/<name>/` holds `meta.json` and `_data/`.
//!
//! A volume is made in staging and renamed, so one that exists is whole. It is removed only when
//! no container's record names it. The set is changed under the volumes lock.

mod options;
mod populate;

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use populate::populate;

use crate::container::record::{Record, Source};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::failpoint::{self, Point};
use crate::spec::VolumeSpec;
use crate::store::Roots;
use crate::store::document::{self, Durability};
use crate::store::id::{Id, is_valid_name};
use crate::store::lock::{self, Lock};
use crate::store::staging::{self, Staging};

/// Marks a volume that was made for one container.
pub const ANONYMOUS_LABEL: &str = "com.docker.volume.anonymous";

/// The form of `meta.json` that this code writes.
const VERSION: u64 = 1;

/// A volume and where its data lies.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume {
    pub spec: VolumeSpec,
    pub created: Timestamp,
    pub path: PathBuf,
    pub anonymous: bool,
}

/// `meta.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Meta {
    #[serde(flatten)]
    spec: VolumeSpec,
    created: Timestamp,
}

/// Makes a volume, or returns the one of that name, whatever its options. Without a name: an
/// anonymous one.
pub fn create(roots: &Roots, spec: &VolumeSpec) -> Result<Volume> {
    let mut spec = spec.clone();
    if spec.name.is_empty() {
        let VolumeSpec { name, labels, .. } = anonymous()?;
        spec.name = name;
        spec.labels.extend(labels);
    }
    check_name(&spec.name)?;
    if let Some(driver) = &spec.driver
        && driver != "local"
    {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "create {}: volume driver {driver:?} is not supported, only \"local\"",
                spec.name
            ),
        ));
    }
    let _guard = lock::acquire(roots, Lock::Volumes)?;
    if let Some(volume) = find(roots, &spec.name)? {
        return Ok(volume);
    }
    let device = options::bind_source(&spec.options).context(|| format!("create {}", spec.name))?;
    make(roots, &spec).context(|| format!("create {}", spec.name))?;
    tracing::debug!(name = spec.name, ?device, "created volume");
    get(roots, &spec.name)
}

/// Pure: whether a volume of this spec could be made.
///
/// # Errors
/// What is wrong with its options, or not to be had.
pub fn check(spec: &VolumeSpec) -> Result<()> {
    options::bind_source(&spec.options).map(drop)
}

/// What to ask for when nobody has given a name.
pub fn anonymous() -> Result<VolumeSpec> {
    let mut spec = VolumeSpec {
        name: Id::random()?.into(),
        ..VolumeSpec::default()
    };
    spec.labels.insert(ANONYMOUS_LABEL.into(), String::new());
    Ok(spec)
}

fn make(roots: &Roots, spec: &VolumeSpec) -> Result<()> {
    let staging = Staging::new(roots)?;
    let made = staging.join("volume");
    for (path, mode) in [(made.clone(), 0o701), (made.join("_data"), 0o755)] {
        std::fs::create_dir(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
    }
    let meta = Meta {
        spec: spec.clone(),
        created: Timestamp::now(),
    };
    document::write_versioned(
        &made.join("meta.json"),
        VERSION,
        &meta,
        Durability::PowerLoss,
    )?;
    document::make_directory(&roots.volumes())?;
    failpoint::reached(Point::VolumeStaged);
    std::fs::rename(&made, roots.volumes().join(&spec.name))?;
    failpoint::reached(Point::VolumePlaced);
    Ok(())
}

/// One volume, if it exists.
pub fn find(roots: &Roots, name: &str) -> Result<Option<Volume>> {
    // What is no valid name is no path either.
    if !is_valid_name(name) {
        return Ok(None);
    }
    let directory = roots.volumes().join(name);
    let meta: Option<Meta> = document::find_versioned(&directory.join("meta.json"), VERSION)?;
    let Some(Meta { spec, created }) = meta else {
        return Ok(None);
    };
    let path = match options::bind_source(&spec.options)? {
        Some(device) => device,
        None => directory.join("_data"),
    };
    Ok(Some(Volume {
        anonymous: spec.labels.contains_key(ANONYMOUS_LABEL),
        spec,
        created,
        path,
    }))
}

/// One volume that must exist.
pub fn get(roots: &Roots, name: &str) -> Result<Volume> {
    find(roots, name)?
        .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("get {name}: no such volume")))
}

/// All of them, by name.
pub fn list(roots: &Roots) -> Result<Vec<Volume>> {
    let directory = roots.volumes();
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context(|| format!("read {}", directory.display())),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    let mut volumes = Vec::with_capacity(names.len());
    for name in names {
        // One that is removed meanwhile is not there.
        volumes.extend(find(roots, &name)?);
    }
    Ok(volumes)
}

/// Removes a volume with its data, unless a container names it. Forced, a missing one is fine.
pub fn remove(roots: &Roots, name: &str, force: bool) -> Result<()> {
    let _guard = lock::acquire(roots, Lock::Volumes)?;
    if find(roots, name)?.is_none() {
        return if force {
            Ok(())
        } else {
            get(roots, name).map(drop)
        };
    }
    let users = users(roots, name)?;
    if !users.is_empty() {
        return Err(Error::new(
            ErrorKind::InUse,
            format!("remove {name}: volume is in use - [{}]", users.join(", ")),
        ));
    }
    staging::discard(roots, &roots.volumes().join(name)).context(|| format!("remove {name}"))
}

/// Ids of the containers, running or not, that name a volume. A record that cannot be read is an
/// error: data is not thrown away on a guess.
pub fn users(roots: &Roots, name: &str) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(roots.containers()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context(|| "read containers".into()),
    };
    let mut users = Vec::new();
    for entry in entries {
        let path = entry?.path().join("config.json");
        let Some(record) = document::find::<Record>(&path)? else {
            continue;
        };
        let uses = record.mounts.iter().any(
            |mount| matches!(&mount.source, Source::Volume { name: used, .. } if used == name),
        );
        if uses {
            users.push(record.id.into());
        }
    }
    users.sort();
    Ok(users)
}

fn check_name(name: &str) -> Result<()> {
    if name.len() < 2 {
        return Err(Error::new(
            ErrorKind::Invalid,
            "volume name is too short, names should be at least two alphanumeric characters",
        ));
    }
    // The longest file name of Linux.
    if name.len() > 255 {
        let message = format!("volume name {name:?} is too long");
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    if !is_valid_name(name) {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "{name:?} includes invalid characters for a local volume name, only \
                 \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host \
                 directory, use absolute path"
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(directory: &tempfile::TempDir) -> Roots {
        Roots::new(directory.path().join("data"), directory.path().join("run"))
    }

    fn named(name: &str) -> VolumeSpec {
        VolumeSpec {
            name: name.into(),
            ..VolumeSpec::default()
        }
    }

    #[test]
    fn a_volume_is_made_once_and_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let roots = roots(&directory);
        let mut spec = named("app_data");
        spec.labels.insert("a".into(), "b".into());
        let volume = create(&roots, &spec).unwrap();
        assert_eq!(volume.spec, spec);
        assert!(volume.path.ends_with("volumes/app_data/_data"));
        let mode = volume.path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
        // The existing one, whatever is asked for now.
        assert_eq!(create(&roots, &named("app_data")).unwrap(), volume);
        assert_eq!(list(&roots).unwrap(), [volume]);
        remove(&roots, "app_data", false).unwrap();
        let error = remove(&roots, "app_data", false).unwrap_err();
        assert_eq!(error.to_string(), "get app_data: no such volume");
        remove(&roots, "app_data", true).unwrap();
    }

    #[test]
    fn a_volume_without_a_name_is_anonymous() {
        let directory = tempfile::tempdir().unwrap();
        let volume = create(&roots(&directory), &VolumeSpec::default()).unwrap();
        assert!(volume.anonymous);
        assert_eq!(volume.spec.name.len(), 64);
        assert_eq!(volume.spec.labels[ANONYMOUS_LABEL], "");
    }

    #[test]
    fn bad_names_are_refused_in_docker_s_words() {
        let directory = tempfile::tempdir().unwrap();
        let roots = roots(&directory);
        let error = create(&roots, &named("a")).unwrap_err().to_string();
        assert!(error.starts_with("volume name is too short"), "{error}");
        for name in ["../x", "a/b", ".hidden", "a b"] {
            let error = create(&roots, &named(name)).unwrap_err().to_string();
            assert!(error.contains("includes invalid characters"), "{error}");
        }
        assert!(get(&roots, "..").is_err());
    }

    #[test]
    fn a_volume_that_cannot_be_judged_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let roots = roots(&directory);
        let volume = create(&roots, &named("data")).unwrap();
        let record = roots.containers().join("x/config.json");
        document::write_bytes(&record, b"{", 0o600, Durability::Crash).unwrap();
        assert!(remove(&roots, "data", false).is_err());
        assert!(volume.path.is_dir());
    }
}
