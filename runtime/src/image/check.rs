//! Whether the store is whole, what lies in it that nobody names, and the way back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Image, store};
use crate::content::blobs::Blobs;
use crate::content::digest::Digest;
use crate::error::Result;
use crate::layer;
use crate::layer::verify::{self, Verdict};
use crate::store::Roots;
use crate::store::lock::{self, Lock};
use crate::store::staging;

/// What is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub part: Part,
    /// In words: `"etc/passwd": is missing`.
    pub reason: String,
    /// Names of the images that need it (their ids where they have none).
    pub images: Vec<String>,
}

/// A thing of the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// An image's configuration, by its id.
    Config(Digest),
    /// A manifest that an image came with.
    Manifest(Digest),
    /// A layer, by its chain id.
    Layer(Digest),
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    pub images: usize,
    pub layers: usize,
    /// Layers whose archive can't be written again: nobody can tell.
    pub unknown: usize,
    pub damaged: Vec<Damage>,
    /// Whole, and named by nothing: killed commands left them.
    pub unused: Vec<Part>,
}

/// Reads all of the store. Commands that are at work are not disturbed.
pub fn check(roots: &Roots) -> Result<Report> {
    let known = store::known(roots)?;
    let mut names: BTreeMap<Part, BTreeSet<String>> = BTreeMap::new();
    for (id, one) in &known {
        let mut name = |part: Part| {
            let names = names.entry(part).or_default();
            match one.names.as_slice() {
                [] => names.extend([id.short().to_owned()]),
                many => names.extend(many.iter().cloned()),
            }
        };
        name(Part::Config(id.clone()));
        one.layers
            .iter()
            .for_each(|it| name(Part::Layer(it.clone())));
        one.manifests
            .iter()
            .for_each(|it| name(Part::Manifest(it.clone())));
    }
    let mut report = Report {
        images: known.len(),
        ..Report::default()
    };
    let parts: Vec<(&Part, &BTreeSet<String>)> = names.iter().collect();
    let is_layer = |(part, _): &&(&Part, &BTreeSet<String>)| matches!(part, Part::Layer(_));
    report.layers = parts.iter().filter(is_layer).count();
    let blobs = Blobs::new(roots.blobs());
    let found = Mutex::new(&mut report);
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        while let Some((part, images)) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
            let verdict = match part {
                Part::Layer(chain_id) => verify::layer(roots, chain_id)?,
                Part::Config(digest) => of_blob(&blobs, digest),
                // Of archives that were loaded no manifest is kept.
                Part::Manifest(digest) if !blobs.contains(digest) => Verdict::Good,
                Part::Manifest(digest) => of_blob(&blobs, digest),
            };
            let mut report = found.lock().unwrap_or_else(PoisonError::into_inner);
            match verdict {
                Verdict::Good => {}
                Verdict::Unknown => report.unknown += 1,
                Verdict::Damaged(reason) => report.damaged.push(Damage {
                    part: (*part).clone(),
                    reason,
                    images: images.iter().cloned().collect(),
                }),
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let ours = work();
        let theirs = other
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        ours.and(theirs)
    })?;
    report.damaged.sort_by(|a, b| a.part.cmp(&b.part));
    report.unused = unused(roots)?;
    Ok(report)
}

fn of_blob(blobs: &Blobs, digest: &Digest) -> Verdict {
    match blobs.verify(digest) {
        Ok(()) => Verdict::Good,
        Err(error) => Verdict::Damaged(error.to_string()),
    }
}

/// Takes damaged parts out of the store, so that they can come anew.
pub fn take_out(roots: &Roots, damaged: &[Damage]) -> Result<()> {
    let _guard = lock::acquire(roots, Lock::Images)?;
    let blobs = Blobs::new(roots.blobs());
    for damage in damaged {
        match &damage.part {
            Part::Config(digest) | Part::Manifest(digest) => blobs.remove(digest)?,
            // Containers that run keep what they have mounted.
            Part::Layer(chain_id) => {
                staging::discard(roots, &roots.layers().join(chain_id.hex()))?;
            }
        }
    }
    Ok(())
}

/// Whole things that nothing names, and that nobody is just making or using.
fn unused(roots: &Roots) -> Result<Vec<Part>> {
    let _guard = lock::acquire(roots, Lock::Images)?;
    let mut unused = Vec::new();
    for chain_id in store::unnamed_layers(roots)? {
        if lock::try_acquire(roots, Lock::Layer(chain_id.hex()))?.is_some() {
            unused.push(Part::Layer(chain_id));
        }
    }
    for digest in store::unnamed_blobs(roots)? {
        unused.push(Part::Config(digest));
    }
    Ok(unused)
}

/// Removes what nothing names; returns how many bytes of files that were.
pub fn collect(roots: &Roots) -> Result<u64> {
    let _guard = lock::acquire(roots, Lock::Images)?;
    let mut bytes = 0;
    for chain_id in store::unnamed_layers(roots)? {
        let size = layer::find(roots, &chain_id).ok().flatten();
        if layer::remove(roots, &chain_id)? {
            bytes += size.map_or(0, |layer| layer.size_bytes);
        }
    }
    let blobs = Blobs::new(roots.blobs());
    for digest in store::unnamed_blobs(roots)? {
        let size = std::fs::metadata(blobs.path(&digest));
        bytes += size.map_or(0, |data| data.len());
        blobs.remove(&digest)?;
    }
    Ok(bytes)
}

/// What an image needs that is not there any more: pulling it brings all of it back.
pub(crate) fn is_whole(roots: &Roots, image: &Image) -> Result<bool> {
    for chain_id in &image.layers {
        if layer::find(roots, chain_id)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}
