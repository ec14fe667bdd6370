//! Which images there are, and which names point to them: `images.json`.
//!
//! An image is its configuration blob (whose digest is the image's id) and the chain of its
//! layers. The document is written last when an image comes and first when one goes, under the
//! images lock; so what it names is always there. Readers take no lock.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Image;
use super::check::Part;
use super::config::ImageConfig;
use super::manifest;
use super::reference::Reference;
use crate::content::blobs::Blobs;
use crate::content::digest::Digest;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::failpoint::{self, Point};
use crate::layer;
use crate::store::Roots;
use crate::store::document::{self, Durability};
use crate::store::lock::{self, Guard, Lock};

/// The form of `images.json` that this code writes.
const VERSION: u64 = 1;

/// What a removal did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemovedImage {
    /// A name is gone.
    Untagged(String),
    /// An image or a layer is gone, and with it so many bytes of files.
    Deleted { digest: Digest, size_bytes: u64 },
}

/// `images.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Catalog {
    /// By id.
    images: BTreeMap<Digest, Stored>,
    /// Canonical name → id.
    references: BTreeMap<String, Digest>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Stored {
    /// Chain ids, lowest first.
    layers: Vec<Digest>,
    size_bytes: u64,
    /// Digests of the manifests and indexes through which it came: `name@sha256:…` finds it.
    manifests: BTreeSet<Digest>,
    /// The same with the repositories that they came from, or went to: `docker.io/a/b@sha256:…`.
    repo_digests: BTreeSet<String>,
    /// When a name was last pointed to it, or a registry said that nothing newer is there.
    last_tagged: Option<Timestamp>,
}

impl Catalog {
    fn read(roots: &Roots) -> Result<Self> {
        Ok(document::find_versioned(&roots.images(), VERSION)?.unwrap_or_default())
    }

    fn write(&self, roots: &Roots) -> Result<()> {
        document::write_versioned(&roots.images(), VERSION, self, Durability::PowerLoss)
    }

    fn references_of(&self, id: &Digest) -> Vec<Reference> {
        self.references
            .iter()
            .filter(|(_, target)| *target == id)
            .filter_map(|(name, _)| Reference::parse(name).ok())
            .collect()
    }

    fn image(&self, roots: &Roots, id: &Digest, stored: &Stored) -> Result<Image> {
        let bytes = Blobs::new(roots.blobs())
            .read(id, manifest::LIMIT_BYTES)
            .context(|| format!("image {}", id.short()))?;
        let config = ImageConfig::parse(&bytes).context(|| format!("image {}", id.short()))?;
        let mut references: Vec<String> = self
            .references_of(id)
            .iter()
            .map(Reference::familiar)
            .collect();
        references.sort();
        Ok(Image {
            id: id.clone(),
            references,
            created: config.created,
            config,
            layers: stored.layers.clone(),
            size_bytes: stored.size_bytes,
            repo_digests: stored
                .repo_digests
                .iter()
                .filter_map(|name| Reference::parse(name).ok())
                .map(|reference| reference.familiar())
                .collect(),
            manifests: stored.manifests.iter().cloned().collect(),
            last_tagged: stored.last_tagged,
        })
    }

    /// Which image a user means, and by which of its names if by one. An exact id first, then a
    /// name, then the beginning of an id.
    fn find(&self, name: &str) -> Result<Option<(Digest, Option<Reference>)>> {
        let exact = Digest::try_from(name.to_owned())
            .or_else(|_| Digest::try_from(format!("sha256:{name}")));
        if let Ok(id) = exact {
            return Ok(self.images.contains_key(&id).then_some((id, None)));
        }
        let reference = Reference::parse(name);
        if let Ok(reference) = &reference
            && let Some(found) = self.find_reference(reference)
        {
            return Ok(Some(found));
        }
        let prefix = name.strip_prefix("sha256:").unwrap_or(name);
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if prefix.is_empty() || !prefix.bytes().all(is_hex) {
            return match reference {
                Ok(_) => Ok(None),
                Err(error) => Err(error),
            };
        }
        let mut fitting = self.images.keys().filter(|id| id.hex().starts_with(prefix));
        match (fitting.next(), fitting.next()) {
            (Some(id), None) => Ok(Some((id.clone(), None))),
            (None, _) => Ok(None),
            (Some(_), Some(_)) => Err(Error::new(
                ErrorKind::Invalid,
                format!("multiple IDs found with provided prefix: {prefix}"),
            )),
        }
    }

    /// Forgets which registries have an image: in one repository, or in all.
    fn forget_digests(
        &mut self,
        id: &Digest,
        repository: Option<&str>,
        removed: &mut Vec<RemovedImage>,
    ) {
        let Some(stored) = self.images.get_mut(id) else {
            return;
        };
        stored.repo_digests.retain(|name| {
            let Ok(reference) = Reference::parse(name) else {
                return false;
            };
            let goes = repository.is_none_or(|repository| reference.name() == repository);
            if goes {
                removed.push(RemovedImage::Untagged(reference.familiar()));
            }
            !goes
        });
    }

    /// Removes an image that has no name any more, and what of its files nobody else needs.
    fn delete(
        &mut self,
        roots: &Roots,
        id: &Digest,
        removed: &mut Vec<RemovedImage>,
    ) -> Result<()> {
        let stored = self.images.remove(id).unwrap_or_default();
        // From here on nobody finds the image; a crash leaves unused files, no broken image.
        self.write(roots)?;
        let blobs = Blobs::new(roots.blobs());
        blobs.remove(id)?;
        for manifest in stored.manifests {
            if !self.names_manifest(&manifest) {
                blobs.remove(&manifest)?;
            }
        }
        removed.push(RemovedImage::Deleted {
            digest: id.clone(),
            size_bytes: 0,
        });
        let in_use = layers_in_use(roots, self)?;
        for chain_id in stored.layers.iter().rev() {
            if in_use.contains(chain_id) {
                continue;
            }
            let size_bytes = layer::find(roots, chain_id)
                .ok()
                .flatten()
                .map_or(0, |layer| layer.size_bytes);
            if layer::remove(roots, chain_id)? {
                removed.push(RemovedImage::Deleted {
                    digest: chain_id.clone(),
                    size_bytes,
                });
            }
        }
        Ok(())
    }

    fn names_manifest(&self, digest: &Digest) -> bool {
        let mut images = self.images.values();
        images.any(|stored| stored.manifests.contains(digest))
    }

    fn find_reference(&self, reference: &Reference) -> Option<(Digest, Option<Reference>)> {
        let Some(digest) = &reference.digest else {
            let reference = reference.clone().or_latest();
            let id = self.references.get(&reference.to_string())?;
            return Some((id.clone(), Some(reference)));
        };
        // With a digest the tag decides nothing: any image of that repository has to fit.
        let exact = format!("{}@{digest}", reference.name());
        let mut images = self.images.iter();
        if let Some((id, _)) = images.find(|(_, stored)| stored.repo_digests.contains(&exact)) {
            return Some((id.clone(), None));
        }
        let prefix = format!("{}:", reference.name());
        self.references
            .iter()
            .filter(|(name, _)| name.starts_with(&prefix))
            .find(|(_, id)| {
                *id == digest
                    || self
                        .images
                        .get(*id)
                        .is_some_and(|stored| stored.manifests.contains(digest))
            })
            .map(|(_, id)| (id.clone(), None))
    }
}

/// Every image, newest first.
pub fn list(roots: &Roots) -> Result<Vec<Image>> {
    let catalog = Catalog::read(roots)?;
    let mut images = Vec::with_capacity(catalog.images.len());
    for (id, stored) in &catalog.images {
        images.push(catalog.image(roots, id, stored)?);
    }
    images
        .sort_by(|a, b| (b.created, &a.references, &a.id).cmp(&(a.created, &b.references, &b.id)));
    Ok(images)
}

/// What one image is made of, as far as the catalog knows: read without its configuration.
#[derive(Debug)]
pub(crate) struct Known {
    /// In the familiar form.
    pub(crate) names: Vec<String>,
    pub(crate) layers: Vec<Digest>,
    pub(crate) manifests: Vec<Digest>,
    pub(crate) repo_digests: Vec<String>,
}

impl Known {
    /// Whether a part of the store belongs to it.
    pub(crate) fn needs(&self, id: &Digest, part: &Part) -> bool {
        match part {
            Part::Config(digest) => digest == id,
            Part::Manifest(digest) => self.manifests.contains(digest),
            Part::Layer(chain_id) => self.layers.contains(chain_id),
        }
    }
}

/// Every image of the catalog, be it whole or not.
pub(crate) fn known(roots: &Roots) -> Result<BTreeMap<Digest, Known>> {
    let catalog = Catalog::read(roots)?;
    let known = catalog.images.iter().map(|(id, stored)| {
        let names = catalog.references_of(id);
        let known = Known {
            names: names.iter().map(Reference::familiar).collect(),
            layers: stored.layers.clone(),
            manifests: stored.manifests.iter().cloned().collect(),
            repo_digests: stored.repo_digests.iter().cloned().collect(),
        };
        (id.clone(), known)
    });
    Ok(known.collect())
}

/// Layers that nothing names. The caller holds the images lock.
pub(crate) fn unnamed_layers(roots: &Roots) -> Result<Vec<Digest>> {
    let in_use = layers_in_use(roots, &Catalog::read(roots)?)?;
    Ok(digests_in(&roots.layers())?
        .into_iter()
        .filter(|chain_id| !in_use.contains(chain_id))
        .collect())
}

/// Blobs that nothing names. The caller holds the images lock, under which all are made.
pub(crate) fn unnamed_blobs(roots: &Roots) -> Result<Vec<Digest>> {
    let catalog = Catalog::read(roots)?;
    let is_named =
        |digest: &Digest| catalog.images.contains_key(digest) || catalog.names_manifest(digest);
    Ok(digests_in(&Blobs::new(roots.blobs()).directory())?
        .into_iter()
        .filter(|digest| !is_named(digest))
        .collect())
}

/// What lies in a directory under the hex digits of a digest.
fn digests_in(directory: &Path) -> Result<Vec<Digest>> {
    Ok(subdirectories(directory)?
        .into_iter()
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?;
            Digest::try_from(format!("sha256:{name}")).ok()
        })
        .collect())
}

/// One image, by name, id or the beginning of an id; `None` when there is none.
pub fn find(roots: &Roots, name: &str) -> Result<Option<Image>> {
    let catalog = Catalog::read(roots)?;
    match catalog.find(name)? {
        Some((id, _)) => match catalog.images.get(&id) {
            Some(stored) => catalog.image(roots, &id, stored).map(Some),
            None => Ok(None),
        },
        None => Ok(None),
    }
}

/// One image that must be there.
pub fn get(roots: &Roots, name: &str) -> Result<Image> {
    find(roots, name)?.ok_or_else(|| no_such_image(name))
}

/// Docker's words: a name is shown with its tag, an id as it was written.
fn no_such_image(name: &str) -> Error {
    let shown = Reference::parse(name).map_or_else(
        |_| name.to_owned(),
        |reference| reference.or_latest().familiar(),
    );
    Error::new(ErrorKind::NotFound, format!("No such image: {shown}"))
}

/// Stores an image whose layers (chain ids, lowest first) are there already, under a name if
/// given: what the builder, `commit` and `import` end with.
pub fn add(
    roots: &Roots,
    config: &ImageConfig,
    layers: &[Digest],
    reference: Option<&Reference>,
) -> Result<Image> {
    let guard = lock::acquire(roots, Lock::Images)?;
    if layer::chain::of(&config.rootfs.diff_ids) != layers {
        return Err(Error::new(
            ErrorKind::Invalid,
            "the image's layers are not those that its configuration lists",
        ));
    }
    let references: Vec<Reference> = reference.cloned().into_iter().collect();
    let registration = Registration {
        config: &config.to_bytes()?,
        references: &references,
        manifests: &[],
        repo_digest: None,
    };
    register(roots, &guard, &registration)
}

/// An image that is to be stored.
pub(crate) struct Registration<'a> {
    /// The exact bytes.
    pub(crate) config: &'a [u8],
    pub(crate) references: &'a [Reference],
    /// Through which it came.
    pub(crate) manifests: &'a [Digest],
    /// The repository and the digest that its tag has there.
    pub(crate) repo_digest: Option<&'a Reference>,
}

/// Stores an image whose layers are there. The caller holds the images lock.
pub(crate) fn register(
    roots: &Roots,
    _images_lock: &Guard,
    new: &Registration<'_>,
) -> Result<Image> {
    let parsed = ImageConfig::parse(new.config)?;
    let chain = layer::chain::of(&parsed.rootfs.diff_ids);
    let mut size_bytes = 0;
    for chain_id in &chain {
        size_bytes += layer::get(roots, chain_id)?.size_bytes;
    }
    let id = Blobs::new(roots.blobs()).put(new.config)?;
    failpoint::reached(Point::ImageStored);
    let mut catalog = Catalog::read(roots)?;
    let stored = catalog.images.entry(id.clone()).or_default();
    stored.layers = chain;
    stored.size_bytes = size_bytes;
    stored.last_tagged = Some(Timestamp::now());
    stored.manifests.extend(new.manifests.iter().cloned());
    stored
        .repo_digests
        .extend(new.repo_digest.map(Reference::to_string));
    for reference in new.references {
        let mut reference = reference.clone().or_latest();
        // The digest is that of a registry's manifest, never part of a local name.
        reference.digest = None;
        let reference = reference.or_latest();
        catalog.references.insert(reference.to_string(), id.clone());
    }
    catalog.write(roots)?;
    failpoint::reached(Point::ImageNamed);
    let stored = catalog.images.get(&id).cloned().unwrap_or_default();
    catalog.image(roots, &id, &stored)
}

/// Notes that a registry has nothing newer.
pub(crate) fn note_checked(roots: &Roots, id: &Digest) -> Result<()> {
    let _guard = lock::acquire(roots, Lock::Images)?;
    let mut catalog = Catalog::read(roots)?;
    if let Some(stored) = catalog.images.get_mut(id) {
        stored.last_tagged = Some(Timestamp::now());
        catalog.write(roots)?;
    }
    Ok(())
}

/// Notes that a registry has an image under this digest.
pub(crate) fn add_repo_digest(roots: &Roots, id: &Digest, repo_digest: &Reference) -> Result<()> {
    let _guard = lock::acquire(roots, Lock::Images)?;
    let mut catalog = Catalog::read(roots)?;
    // Removed meanwhile: then nobody asks.
    if let Some(stored) = catalog.images.get_mut(id)
        && stored.repo_digests.insert(repo_digest.to_string())
    {
        catalog.write(roots)?;
    }
    Ok(())
}

/// Adds a name; one that another image had moves silently.
pub fn tag(roots: &Roots, name: &str, reference: &str) -> Result<Image> {
    let target = Reference::parse(reference).map_err(|error| {
        error.context(format!(
            "Error parsing reference: {reference:?} is not a valid repository/tag"
        ))
    })?;
    if target.digest.is_some() {
        return Err(Error::new(
            ErrorKind::Invalid,
            "refusing to create a tag with a digest reference",
        ));
    }
    let _guard = lock::acquire(roots, Lock::Images)?;
    let mut catalog = Catalog::read(roots)?;
    let Some((id, _)) = catalog.find(name)? else {
        return Err(no_such_image(name));
    };
    catalog
        .references
        .insert(target.or_latest().to_string(), id.clone());
    let stored = catalog.images.entry(id.clone()).or_default();
    stored.last_tagged = Some(Timestamp::now());
    let stored = stored.clone();
    catalog.write(roots)?;
    catalog.image(roots, &id, &stored)
}

/// Takes a name away, and the image with its last name; by id, all of them.
pub fn remove(roots: &Roots, name: &str, force: bool) -> Result<Vec<RemovedImage>> {
    let _guard = lock::acquire(roots, Lock::Images)?;
    let mut catalog = Catalog::read(roots)?;
    let Some((id, by_name)) = catalog.find(name)? else {
        return Err(no_such_image(name));
    };
    let names = catalog.references_of(&id);
    let users: Vec<User> = users(roots)?
        .into_iter()
        .filter(|user| user.image_id == id)
        .collect();
    let mut removed = Vec::new();
    let keep_image = match by_name {
        Some(reference) => {
            let is_last = names.len() <= 1;
            if let Some(user) = users.first()
                && is_last
                && !force
            {
                return Err(conflict(&format!(
                    "unable to remove repository reference \"{}\" (must force) - container {} is \
                     using its referenced image {}",
                    shown(name, &reference),
                    user.short_id(),
                    id.short()
                )));
            }
            catalog.references.remove(&reference.to_string());
            removed.push(RemovedImage::Untagged(reference.familiar()));
            let repository = reference.name();
            if names
                .iter()
                .filter(|name| name.name() == repository)
                .count()
                <= 1
            {
                catalog.forget_digests(&id, Some(&repository), &mut removed);
            }
            !is_last || !users.is_empty()
        }
        None => {
            may_remove_by_id(name, &id, &names, &users, force)?;
            for reference in &names {
                catalog.references.remove(&reference.to_string());
                removed.push(RemovedImage::Untagged(reference.familiar()));
            }
            catalog.forget_digests(&id, None, &mut removed);
            false
        }
    };
    if keep_image {
        catalog.write(roots)?;
        return Ok(removed);
    }
    catalog.delete(roots, &id, &mut removed)?;
    Ok(removed)
}

/// Removes the images that `goes` says yes to, told whether a container uses it; such are kept
/// all the same.
pub fn prune(roots: &Roots, goes: &dyn Fn(&Image) -> bool) -> Result<Vec<RemovedImage>> {
    let _guard = lock::acquire(roots, Lock::Images)?;
    let mut catalog = Catalog::read(roots)?;
    let used = used_images(roots)?;
    let mut removed = Vec::new();
    let ids: Vec<Digest> = catalog.images.keys().cloned().collect();
    for id in ids.iter().filter(|id| !used.contains(*id)) {
        let stored = catalog.images.get(id).cloned().unwrap_or_default();
        // One that can't be read is for `check`.
        let Ok(image) = catalog.image(roots, id, &stored) else {
            continue;
        };
        if !goes(&image) {
            continue;
        }
        for reference in catalog.references_of(id) {
            catalog.references.remove(&reference.to_string());
            removed.push(RemovedImage::Untagged(reference.familiar()));
        }
        catalog.forget_digests(id, None, &mut removed);
        catalog.delete(roots, id, &mut removed)?;
    }
    Ok(removed)
}

/// As the user wrote it, the tag filled in.
fn shown(name: &str, reference: &Reference) -> String {
    if name.contains(':') {
        name.to_owned()
    } else {
        reference.familiar()
    }
}

fn may_remove_by_id(
    name: &str,
    id: &Digest,
    names: &[Reference],
    users: &[User],
    force: bool,
) -> Result<()> {
    let repositories: BTreeSet<String> = names.iter().map(Reference::name).collect();
    if repositories.len() > 1 && !force {
        return Err(conflict(&format!(
            "unable to delete {} (must be forced) - image is referenced in multiple repositories",
            id.short()
        )));
    }
    if let Some(user) = users.iter().find(|user| user.is_running) {
        return Err(conflict(&format!(
            "unable to delete {name} (cannot be forced) - image is being used by running \
             container {}",
            user.short_id()
        )));
    }
    match users.first() {
        Some(user) if !force => Err(conflict(&format!(
            "unable to delete {name} (must be forced) - image is being used by stopped \
             container {}",
            user.short_id()
        ))),
        _ => Ok(()),
    }
}

fn conflict(message: &str) -> Error {
    Error::new(ErrorKind::Conflict, format!("conflict: {message}"))
}

/// A container that needs an image; of its record only what matters here.
#[derive(Debug, Deserialize)]
struct User {
    id: String,
    image_id: Digest,
    layers: Vec<Digest>,
    #[serde(skip)]
    is_running: bool,
}

impl User {
    fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }
}

/// Of a container's state only what matters here.
#[derive(Debug, Deserialize)]
struct UserState {
    #[serde(default)]
    status: String,
}

fn users(roots: &Roots) -> Result<Vec<User>> {
    let mut users = Vec::new();
    for directory in subdirectories(&roots.containers())? {
        // A container that is being made or removed has no record.
        let Some(mut user) = document::find::<User>(&directory.join("config.json"))? else {
            continue;
        };
        let state: Option<UserState> = document::find(&directory.join("state.json")).ok().flatten();
        user.is_running = state.is_some_and(|state| {
            matches!(state.status.as_str(), "running" | "paused" | "restarting")
        });
        users.push(user);
    }
    users.sort_by(|a, b| b.is_running.cmp(&a.is_running).then(a.id.cmp(&b.id)));
    Ok(users)
}

/// Ids of the images that containers, running or not, were made from.
pub(crate) fn used_images(roots: &Roots) -> Result<BTreeSet<Digest>> {
    Ok(users(roots)?
        .into_iter()
        .map(|user| user.image_id)
        .collect())
}

/// Layers that an image, a container or the builder's cache names.
fn layers_in_use(roots: &Roots, catalog: &Catalog) -> Result<BTreeSet<Digest>> {
    let mut in_use = BTreeSet::new();
    for stored in catalog.images.values() {
        in_use.extend(stored.layers.iter().cloned());
    }
    for user in users(roots)? {
        in_use.extend(user.layers);
    }
    digests_below(&roots.build_cache(), &mut in_use)?;
    // A layer needs all below it.
    let mut todo: Vec<Digest> = in_use.iter().cloned().collect();
    while let Some(chain_id) = todo.pop() {
        if let Some(parent) = layer::find(roots, &chain_id)?.and_then(|layer| layer.parent)
            && in_use.insert(parent.clone())
        {
            todo.push(parent);
        }
    }
    Ok(in_use)
}

/// Every digest that any file below a directory mentions. The cache's form is the builder's own.
fn digests_below(directory: &Path, found: &mut BTreeSet<Digest>) -> Result<()> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).context(|| format!("read {}", directory.display())),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            continue;
        }
        let Ok(bytes) = std::fs::read(entry.path()) else {
            continue;
        };
        let text = String::from_utf8_lossy(&bytes);
        for (at, _) in text.match_indices("sha256:") {
            if let Some(digest) = text.get(at..at + 71)
                && let Ok(digest) = Digest::try_from(digest.to_owned())
            {
                found.insert(digest);
            }
        }
    }
    Ok(())
}

fn subdirectories(directory: &Path) -> Result<Vec<std::path::PathBuf>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context(|| format!("read {}", directory.display())),
    };
    let mut found = Vec::new();
    for entry in entries {
        found.push(entry?.path());
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(directory: &tempfile::TempDir) -> Roots {
        Roots::new(directory.path().join("data"), directory.path().join("run"))
    }

    /// An image of one layer with one file.
    fn image(roots: &Roots, content: &str, reference: Option<&str>) -> Image {
        let upper = roots.data().join(format!("upper-{content}"));
        document::make_directory(&upper).unwrap();
        std::fs::write(upper.join("file"), content).unwrap();
        let (layer, _hold) = layer::commit_directory(roots, None, &upper).unwrap();
        assert_eq!(layer.size_bytes, content.len() as u64);
        let mut config = ImageConfig::default();
        config.rootfs.diff_ids = vec![layer.diff_id];
        let reference = reference.map(|text| Reference::parse(text).unwrap());
        add(roots, &config, &[layer.chain_id], reference.as_ref()).unwrap()
    }

    fn container(roots: &Roots, image: &Image, status: &str) {
        let id = "c".repeat(64);
        let directory = roots.containers().join(&id);
        let record = serde_json::json!({"id": id, "image_id": image.id, "layers": image.layers});
        document::write(&directory.join("config.json"), &record, Durability::Crash).unwrap();
        let state = serde_json::json!({"status": status});
        document::write(&directory.join("state.json"), &state, Durability::Crash).unwrap();
    }

    #[test]
    fn an_image_is_found_by_name_id_and_prefix() {
        let directory = tempfile::tempdir().unwrap();
        let roots = roots(&directory);
        let web = image(&roots, "one", Some("web"));
        assert_eq!(web.references, ["web:latest"]);
        for name in [
            "web",
            "docker.io/library/web:latest",
            web.id.as_str(),
            web.id.hex(),
        ] {
            assert_eq!(get(&roots, name).unwrap(), web, "{name}");
        }
        assert_eq!(get(&roots, web.id.short()).unwrap(), web);
        let pinned = format!("web@{}", web.id);
        assert_eq!(get(&roots, &pinned).unwrap(), web);
        let error = get(&roots, "nosuch").unwrap_err();
        assert_eq!(error.to_string(), "No such image: nosuch:latest");
        assert!(get(&roots, "A:b:c").is_err());
    }

    #[test]
    fn the_last_name_takes_the_image_and_its_layers_along() {
        let directory = tempfile::tempdir().unwrap();
        let roots = roots(&directory);
        let web = image(&roots, "one", Some("web:1"));
        tag(&roots, "web:1", "web:2").unwrap();
        assert_eq!(
            remove(&roots, "web:1", false).unwrap(),
            [RemovedImage::Untagged("web:1".into())]
        );
        assert_eq!(
            remove(&roots, "web:2", false).unwrap(),
            [
                RemovedImage::Untagged("web:2".into()),
                RemovedImage::Deleted {
                    digest: web.id.clone(),
                    size_bytes: 0
                },
                RemovedImage::Deleted {
                    digest: web.layers[0].clone(),
                    size_bytes: 3
                },
            ]
        );
        assert!(!layer::directory(&roots, &web.layers[0]).exists());
        assert_eq!(list(&roots).unwrap(), []);
    }

    #[test]
    fn a_layer_that_another_image_or_the_cache_needs_stays() {
        let directory = tempfile::tempdir().unwrap();
        let roots = roots(&directory);
        let web = image(&roots, "one", Some("web"));
        let mut config = web.config.clone();
        config.author = Some("somebody".into());
        add(
            &roots,
            &config,
            &web.layers,
            Some(&Reference::parse("other").unwrap()),
        )
        .unwrap();
        remove(&roots, "web", false).unwrap();
        assert!(layer::directory(&roots, &web.layers[0]).exists());
        let step = serde_json::json!({"layer": web.layers[0]});
        let path = roots.build_cache().join("step.json");
        document::write(&path, &step, Durability::Crash).unwrap();
        remove(&roots, "other", false).unwrap();
        assert!(layer::directory(&roots, &web.layers[0]).exists());
    }

    #[test]
    fn an_image_in_use_is_refused_in_docker_s_words() {
        let directory = tempfile::tempdir().unwrap();
        let roots = roots(&directory);
        let web = image(&roots, "one", Some("pt:2"));
        container(&roots, &web, "running");
        let error = remove(&roots, "pt:2", false).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "conflict: unable to remove repository reference \"pt:2\" (must force) - container \
                 cccccccccccc is using its referenced image {}",
                web.id.short()
            )
        );
        assert!(remove(&roots, web.id.short(), true).is_err());
        container(&roots, &web, "exited");
        // Forced by name, it stays without one.
        remove(&roots, "pt:2", true).unwrap();
        assert_eq!(get(&roots, web.id.short()).unwrap().references, [""; 0]);
        // Forced by id, the container keeps its layers.
        remove(&roots, web.id.short(), true).unwrap();
        assert!(layer::directory(&roots, &web.layers[0]).exists());
        assert_eq!(list(&roots).unwrap(), []);
    }

    #[test]
    fn several_repositories_need_force() {
        let directory = tempfile::tempdir().unwrap();
        let roots = roots(&directory);
        let web = image(&roots, "one", Some("a:1"));
        tag(&roots, "a:1", "b:1").unwrap();
        let error = remove(&roots, web.id.short(), false).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("referenced in multiple repositories")
        );
        assert_eq!(remove(&roots, web.id.short(), true).unwrap().len(), 4);
    }
}
