//! What takes the disk: images, containers, volumes, the builder's cache.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;

use super::Engine;
use super::containers::ContainerFilter;
use crate::container::Container;
use crate::container::record::Source;
use crate::content::digest::Digest;
use crate::error::Result;
use crate::image::Image;
use crate::layer::{self, usage};
use crate::store::document;
use crate::volume::Volume;

/// All that takes space.
#[derive(Debug, Default)]
pub struct DiskUsage {
    pub images: Vec<ImageUsage>,
    /// Each layer of an image once.
    pub layers_bytes: u64,
    pub containers: Vec<(Container, u64)>,
    pub volumes: Vec<VolumeUsage>,
    /// Steps that the builder remembers.
    pub cache: usize,
    /// Layers that only the builder's cache names.
    pub cache_bytes: u64,
}

/// One image.
#[derive(Debug)]
pub struct ImageUsage {
    pub image: Image,
    /// Of layers that other images have as well.
    pub shared_bytes: u64,
    /// Containers that were made from it.
    pub containers: usize,
}

/// One volume.
#[derive(Debug)]
pub struct VolumeUsage {
    pub volume: Volume,
    pub bytes: u64,
    /// Containers that use it.
    pub links: usize,
}

/// Of a step that the builder remembers only what matters here.
#[derive(Deserialize)]
struct Cached {
    chain_id: Digest,
}

impl Engine {
    /// Forgets steps of builds: all of them, or those whose layer belongs to no image. Returns how
    /// many; their layers go with the next [`Engine::prune_images`].
    pub fn prune_build_cache(&self, all: bool) -> Result<usize> {
        let images = self.images()?;
        let named: BTreeSet<&Digest> = images.iter().flat_map(|image| &image.layers).collect();
        let mut forgotten = 0;
        for path in self.cache_records()? {
            let cached = document::read::<Cached>(&path).ok();
            let is_named = cached.is_some_and(|cached| named.contains(&cached.chain_id));
            if (all || !is_named) && std::fs::remove_file(&path).is_ok() {
                forgotten += 1;
            }
        }
        Ok(forgotten)
    }

    fn cache_records(&self) -> Result<Vec<PathBuf>> {
        let entries = match std::fs::read_dir(self.roots().build_cache()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        });
        Ok(paths)
    }

    /// Bytes of what a container wrote into its own layer.
    pub fn container_size(&self, container: &Container) -> Result<u64> {
        usage::of_files(&self.roots().container(&container.record.id).join("upper"))
    }

    /// Looks at everything; layers know their size, volumes and containers are walked.
    pub fn disk_usage(&self) -> Result<DiskUsage> {
        let roots = self.roots();
        let mut found = DiskUsage::default();
        let containers = self.containers(&ContainerFilter::default())?;
        let images = self.images()?;
        let mut uses: BTreeMap<&Digest, usize> = BTreeMap::new();
        for chain_id in images.iter().flat_map(|image| &image.layers) {
            *uses.entry(chain_id).or_default() += 1;
        }
        let size = |chain_id: &Digest| -> Result<u64> {
            Ok(layer::find(roots, chain_id)?.map_or(0, |layer| layer.size_bytes))
        };
        for chain_id in uses.keys() {
            found.layers_bytes += size(chain_id)?;
        }
        for image in &images {
            let mut shared_bytes = 0;
            for chain_id in image.layers.iter().filter(|it| uses[it] > 1) {
                shared_bytes += size(chain_id)?;
            }
            let made_from = |container: &&Container| container.record.image_id == image.id;
            found.images.push(ImageUsage {
                image: image.clone(),
                shared_bytes,
                containers: containers.iter().filter(made_from).count(),
            });
        }
        let named: BTreeSet<&Digest> = uses.keys().copied().collect();
        self.cache_usage(&named, &mut found)?;
        for volume in self.volumes()? {
            let uses_it = |container: &&Container| {
                container.record.mounts.iter().any(|mount| {
                    matches!(&mount.source, Source::Volume { name, .. } if *name == volume.spec.name)
                })
            };
            found.volumes.push(VolumeUsage {
                bytes: usage::of_files(&volume.path)?,
                links: containers.iter().filter(uses_it).count(),
                volume,
            });
        }
        for container in containers {
            let bytes = self.container_size(&container)?;
            found.containers.push((container, bytes));
        }
        Ok(found)
    }

    fn cache_usage(&self, named: &BTreeSet<&Digest>, found: &mut DiskUsage) -> Result<()> {
        let mut seen = BTreeSet::new();
        for path in self.cache_records()? {
            // A record that can't be read is a miss to the builder.
            let Ok(cached) = document::read::<Cached>(&path) else {
                continue;
            };
            found.cache += 1;
            if !named.contains(&cached.chain_id) && seen.insert(cached.chain_id.clone()) {
                let layer = layer::find(self.roots(), &cached.chain_id)?;
                found.cache_bytes += layer.map_or(0, |layer| layer.size_bytes);
            }
        }
        Ok(())
    }
}
