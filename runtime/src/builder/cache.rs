//! Steps that need not run again: from the key of a step to the layer that it made.
//!
//! A key digests the parent's key, what the step says, and the content that it reads; it never
//! holds times. A cached step keeps the time of its first run, so that a build in which every step
//! is cached gives the same image, id included.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::content::digest::{Digest, Hasher};
use crate::error::Result;
use crate::store::Roots;
use crate::store::document::{self, Durability};

/// What a step left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cached {
    pub diff_id: Digest,
    pub chain_id: Digest,
    pub created: Timestamp,
}

/// A key being made of its parts.
#[derive(Debug)]
pub struct KeyBuilder(Hasher);

impl KeyBuilder {
    /// `kind` keeps keys of different steps apart.
    pub fn new(kind: &str) -> Self {
        Self(Hasher::default()).part(kind)
    }

    /// Adds one part; its length goes in too, so that parts can't run together.
    #[must_use]
    pub fn part(mut self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        self.0.update(&(part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    /// Adds a list.
    #[must_use]
    pub fn parts<S: AsRef<[u8]>>(self, parts: impl IntoIterator<Item = S>) -> Self {
        let mut count = 0u64;
        let mut key = self;
        for part in parts {
            key = key.part(part);
            count += 1;
        }
        key.part(count.to_le_bytes())
    }

    /// The key.
    pub fn finish(self) -> Digest {
        self.0.finish()
    }
}

/// The layer that the step of this key made, when it is still there on top of `parent`.
///
/// # Errors
/// When the record can't be read.
pub fn find(roots: &Roots, key: &Digest) -> Result<Option<Cached>> {
    let path = path(roots, key);
    if !path.exists() {
        return Ok(None);
    }
    // A damaged record is no more than a miss: the step runs again and replaces it.
    let Ok(cached) = document::read::<Cached>(&path) else {
        return Ok(None);
    };
    let layer = roots.layers().join(cached.chain_id.hex());
    Ok(layer.exists().then_some(cached))
}

/// Remembers it.
///
/// # Errors
/// When the record can't be written.
pub fn remember(roots: &Roots, key: &Digest, cached: &Cached) -> Result<()> {
    document::make_directory(&roots.build_cache())?;
    document::write(&path(roots, key), cached, Durability::Crash)
}

fn path(roots: &Roots, key: &Digest) -> PathBuf {
    roots.build_cache().join(format!("{}.json", key.hex()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        let key = |parts: &[&str]| KeyBuilder::new("run").parts(parts).finish();
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_ne!(key(&["a"]), key(&["a", ""]));
        assert_eq!(key(&["a", "b"]), key(&["a", "b"]));
    }
}
