//! Layers: unpacked once, named by their chain id, never changed, shared by all who use them.
//!
//! `Roots::layers()/<chain hex>/` holds `diff/` (overlayfs' form), `layer.json`,
//! `recipe.zst` (how to write its archive again) and, where it is known, `origins.json`. A layer is made in staging and renamed, so one that exists is whole. Who
//! needs one that no record names yet holds its lock ([`Hold`]). The archives that layers came
//! from are not kept: `write_archive` writes one anew when it is asked for.

pub(crate) mod ahead;
pub mod archive;
pub mod attributes;
pub mod chain;
pub mod compression;
pub mod diff;
pub mod merged;
pub(crate) mod recipe;
pub mod unpack;
pub mod usage;
pub mod verify;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::content::digest::{Digest, Digesting};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::failpoint::{self, Point};
use crate::store::Roots;
use crate::store::document::{self, Durability};
use crate::store::lock::{self, Guard, Lock};
use crate::store::staging::{self, Staging};

/// How to write the archive again; layers that we wrote ourselves have none.
const RECIPE: &str = "recipe.zst";
/// A layer in staging.
const MADE: &str = "layer";

/// `layer.json`: what a layer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Digest of the plain archive.
    pub diff_id: Digest,
    /// Digest of this layer and all below it: its name on disk.
    pub chain_id: Digest,
    /// The chain below; absent for the lowest.
    pub parent: Option<Digest>,
    /// Bytes of its files.
    pub size_bytes: u64,
    /// Bytes of the plain archive; absent in old records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive_bytes: Option<u64>,
    /// Its archive named a file twice, and can't be written again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unrepeatable: bool,
}

/// Where a layer's files lie: a lower directory for overlayfs.
pub fn directory(roots: &Roots, chain_id: &Digest) -> PathBuf {
    roots.layers().join(chain_id.hex()).join("diff")
}

/// The directories of all these layers, in the same order.
pub fn directories(roots: &Roots, chain_ids: &[Digest]) -> Vec<PathBuf> {
    chain_ids
        .iter()
        .map(|chain_id| directory(roots, chain_id))
        .collect()
}

/// A layer that may be there.
pub fn find(roots: &Roots, chain_id: &Digest) -> Result<Option<Layer>> {
    document::find(&roots.layers().join(chain_id.hex()).join("layer.json"))
}

/// A layer that must be there.
pub fn get(roots: &Roots, chain_id: &Digest) -> Result<Layer> {
    find(roots, chain_id)?.ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            format!("layer {chain_id} does not exist"),
        )
    })
}

/// Unpacks an archive (plain, gzip or zstd) on top of other layers, lowest first, and holds the
/// layer. With an expected diff id, nothing is kept of another content.
pub fn unpack_archive(
    roots: &Roots,
    below: &[Digest],
    archive: impl Read + Send,
    expected: Option<&Digest>,
) -> Result<(Layer, Hold)> {
    if let Some(diff_id) = expected {
        let chain_id = chain::extend(below.last(), diff_id);
        let hold = hold(roots, &chain_id)?;
        if let Some(layer) = find(roots, &chain_id)? {
            return Ok((layer, hold));
        }
    }
    let aside = Aside::unpack(roots, below, archive, expected, || Ok(()))?;
    let hold = hold(roots, &aside.layer.chain_id)?;
    Ok((aside.place(roots)?, hold))
}

/// A whole layer that is not in its place yet.
pub(crate) struct Aside {
    staging: Staging,
    layer: Layer,
}

impl Aside {
    /// Unpacks an archive onto layers that may still be on their way: `wait` returns when they are
    /// there, and is called when everything else is done.
    pub(crate) fn unpack(
        roots: &Roots,
        below: &[Digest],
        archive: impl Read + Send,
        expected: Option<&Digest>,
        wait: impl FnOnce() -> Result<()>,
    ) -> Result<Self> {
        let staging = Staging::new(roots)?;
        let made = staging.join(MADE);
        document::make_directory(&made.join("diff"))?;
        let plain = compression::decompress(archive)?;
        let lower = || {
            wait()?;
            merged::Merged::new(&directories(roots, below))
        };
        let (ahead, filler) = ahead::pair();
        let (unpacked, (diff_id, archive_bytes)) = std::thread::scope(|scope| {
            let filler = scope.spawn(move || filler.run(plain));
            let unpacked = unpack_all(ahead, &made, lower);
            let diff_id = filler
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (unpacked, diff_id)
        });
        let (size_bytes, has_recipe) = unpacked?;
        if let Some(expected) = expected
            && *expected != diff_id
        {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("layer has diff id {diff_id}, expected {expected}"),
            ));
        }
        let layer = Layer {
            chain_id: chain::extend(below.last(), &diff_id),
            diff_id,
            parent: below.last().cloned(),
            size_bytes,
            archive_bytes: Some(archive_bytes),
            unrepeatable: !has_recipe,
        };
        Ok(Self { staging, layer })
    }

    /// Puts it in its place. The caller holds the layer, shared or alone.
    pub(crate) fn place(self, roots: &Roots) -> Result<Layer> {
        place(roots, &self.staging.join(MADE), &self.layer)?;
        Ok(self.layer)
    }
}

/// The whole archive: what stands behind its end belongs to its digest.
fn unpack_all(
    plain: impl Read,
    made: &Path,
    lower: impl FnOnce() -> Result<merged::Merged>,
) -> Result<(u64, bool)> {
    let path = made.join(RECIPE);
    let mut reader = archive::Reader::recording(plain, recipe::Recorder::create(&path)?);
    let limits = unpack::Limits::default();
    let size_bytes = unpack::unpack(&mut reader, &made.join("diff"), lower, limits)?;
    reader.drain()?;
    let recorder = reader.into_recorder();
    let has_recipe = recorder.is_some();
    match recorder {
        Some(recorder) => recorder.finish(),
        None => std::fs::remove_file(&path),
    }
    .context(|| format!("write {}", path.display()))?;
    Ok((size_bytes, has_recipe))
}

/// Writes the archive that a layer came from: the bytes that its diff id is the digest of.
pub fn write_archive(roots: &Roots, chain_id: &Digest, out: impl Write) -> Result<()> {
    let layer = get(roots, chain_id)?;
    if layer.unrepeatable {
        let message = format!(
            "layer {} can't be written again: the archive that it came in named a file twice",
            layer.diff_id
        );
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let files = directory(roots, chain_id);
    let recipe = roots.layers().join(chain_id.hex()).join(RECIPE);
    let mut digesting = Digesting::new(out);
    if recipe.exists() {
        recipe::replay(&recipe, &files, &mut digesting)?;
    } else {
        diff::write(&files, &mut digesting)?;
    }
    let (_, found, _) = digesting.finish();
    if found == layer.diff_id {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Internal,
        format!(
            "layer {} can't be written again as it was: its content has the digest {found}",
            layer.diff_id
        ),
    ))
}

/// Makes a layer of an overlay upper directory, which is moved, not copied: on the data root's
/// file system, no longer mounted, and nobody's afterwards. The layer is held.
pub fn commit_directory(
    roots: &Roots,
    parent_chain: Option<&Digest>,
    upper: &Path,
) -> Result<(Layer, Hold)> {
    let mut digesting = Digesting::new(std::io::sink());
    let (size_bytes, _) = diff::write(upper, &mut digesting)?;
    let (_, diff_id, archive_bytes) = digesting.finish();
    let layer = Layer {
        chain_id: chain::extend(parent_chain, &diff_id),
        diff_id,
        parent: parent_chain.cloned(),
        size_bytes,
        archive_bytes: Some(archive_bytes),
        unrepeatable: false,
    };
    let staging = Staging::new(roots)?;
    let made = staging.join(MADE);
    document::make_directory(&made)?;
    std::fs::rename(upper, made.join("diff"))
        .context(|| format!("move {} into the store", upper.display()))?;
    let hold = hold(roots, &layer.chain_id)?;
    place(roots, &made, &layer)?;
    Ok((layer, hold))
}

/// Removes a layer. The caller has made sure that no record names it. False: somebody is just
/// making or using it.
pub fn remove(roots: &Roots, chain_id: &Digest) -> Result<bool> {
    let Some(_lock) = lock::try_acquire(roots, Lock::Layer(chain_id.hex()))? else {
        return Ok(false);
    };
    staging::discard(roots, &roots.layers().join(chain_id.hex()))?;
    Ok(true)
}

/// A layer that nobody removes while this lives: until a record names it.
#[derive(Debug)]
pub struct Hold {
    _lock: Guard,
}

/// Holds a layer, be it there or not; waits for whoever is making it.
pub fn hold(roots: &Roots, chain_id: &Digest) -> Result<Hold> {
    Ok(Hold {
        _lock: lock::share(roots, Lock::Layer(chain_id.hex()))?,
    })
}

/// Where the archive of a layer was seen: a registry's blob, which need not be sent there again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// As in references.
    pub domain: String,
    pub path: String,
    /// Of the archive as it is there.
    pub digest: Digest,
    pub size_bytes: u64,
    pub media_type: String,
}

/// More places than that are of no use.
const ORIGINS: usize = 16;

/// Where the archive of a layer was seen, the latest first. A hint: it may be gone there.
pub fn origins(roots: &Roots, chain_id: &Digest) -> Vec<Origin> {
    document::find(&origins_path(roots, chain_id))
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// Notes where the archive of a layer is. The caller holds the layer.
pub fn add_origin(roots: &Roots, _hold: &Hold, chain_id: &Digest, origin: Origin) -> Result<()> {
    let mut origins = origins(roots, chain_id);
    if origins.first() == Some(&origin) {
        return Ok(());
    }
    origins.retain(|known| *known != origin);
    origins.insert(0, origin);
    origins.truncate(ORIGINS);
    let path = origins_path(roots, chain_id);
    document::write(&path, &origins, Durability::Crash)
}

fn origins_path(roots: &Roots, chain_id: &Digest) -> PathBuf {
    roots.layers().join(chain_id.hex()).join("origins.json")
}

/// Puts a finished layer in its place; one that is there already is the same.
fn place(roots: &Roots, made: &Path, layer: &Layer) -> Result<()> {
    document::write(&made.join("layer.json"), layer, Durability::Crash)?;
    let to = roots.layers().join(layer.chain_id.hex());
    document::make_directory(&roots.layers())?;
    failpoint::reached(Point::LayerStaged);
    match std::fs::rename(made, &to) {
        Ok(()) => {
            failpoint::reached(Point::LayerPlaced);
            Ok(())
        }
        Err(_) if find(roots, &layer.chain_id)?.is_some() => Ok(()),
        Err(error) => Err(error).context(|| format!("place layer {}", layer.chain_id)),
    }
}
