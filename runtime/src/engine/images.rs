//! Images: pull, push, load, import, list, inspect, tag, remove.

use std::collections::HashMap;
use std::io::{Read, Write};

use jiff::Timestamp;

use super::Engine;
use crate::content::digest::Digest;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::check::{self, Report};
use crate::image::config::{History, ImageConfig};
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::image::{Image, archive, change, save, store};
use crate::layer;
use crate::registry::Registries;
use crate::registry::pull::{OnLayer, Pulled};
use crate::registry::push::{OnPush, Pushed};

pub use crate::image::store::RemovedImage;

/// How to make an image of a root file system.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// `name[:tag]`.
    pub reference: Option<String>,
    pub message: Option<String>,
    /// Dockerfile instructions: `CMD ["sh"]`, `ENV A=b`.
    pub changes: Vec<String>,
}

impl Engine {
    /// Takes in an archive of `docker save` or an OCI layout, plain or compressed; returns what
    /// was loaded: references, or ids of images without one.
    pub fn load_images(&self, archive: impl Read + Send) -> Result<Vec<String>> {
        let loaded =
            archive::load(self.roots(), archive).context(|| "load image archive".into())?;
        let mut names = Vec::new();
        for image in loaded {
            self.tell_image("load", &image.image.id, image.image.id.as_str());
            if image.references.is_empty() {
                names.push(image.image.id.to_string());
            }
            names.extend(image.references);
        }
        Ok(names)
    }

    /// Fetches an image from its registry. An absent platform is the host's.
    pub fn pull_image(
        &self,
        registries: &Registries,
        name: &str,
        platform: Option<&Platform>,
        on: &OnLayer<'_>,
    ) -> Result<Pulled> {
        let reference = Reference::parse(name)?.or_latest();
        let pulled = registries.pull(self.roots(), &reference, platform, on)?;
        self.tell_image("pull", &pulled.image.id, &reference.familiar());
        Ok(pulled)
    }

    /// Sends an image to the registry that its name says.
    pub fn push_image(
        &self,
        registries: &Registries,
        name: &str,
        on: &OnPush<'_>,
    ) -> Result<Pushed> {
        let reference = Reference::parse(name)?.or_latest();
        if reference.digest.is_some() {
            let message = "cannot push a digest reference";
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let named = store::find(self.roots(), &reference.familiar())?
            .filter(|image| image.references.contains(&reference.familiar()));
        let image = named.ok_or_else(|| {
            let message = format!(
                "An image does not exist locally with the tag: {}",
                reference.familiar_name()
            );
            Error::new(ErrorKind::NotFound, message)
        })?;
        let pushed = registries.push(self.roots(), &image, &reference, on)?;
        self.tell_image("push", &image.id, &reference.familiar());
        Ok(pushed)
    }

    /// Makes an image of one layer from a tar of a root file system.
    pub fn import_image(
        &self,
        archive: impl Read + Send,
        options: &ImportOptions,
    ) -> Result<Digest> {
        // Everything that can be wrong with the options is found before the archive is read.
        let reference = match &options.reference {
            Some(text) => Some(Reference::parse(text)?.or_latest()),
            None => None,
        };
        let mut config = imported(options.message.as_deref());
        for instruction in &options.changes {
            change::apply(&mut config, instruction)?;
        }
        let (layer, _hold) = layer::unpack_archive(self.roots(), &[], archive, None)
            .context(|| "import root file system".into())?;
        config.rootfs.diff_ids = vec![layer.diff_id];
        let image = store::add(self.roots(), &config, &[layer.chain_id], reference.as_ref())?;
        self.tell_image("import", &image.id, image.id.as_str());
        Ok(image.id)
    }

    /// Every image, newest first.
    pub fn images(&self) -> Result<Vec<Image>> {
        store::list(self.roots())
    }

    /// One image, by reference, digest or id prefix.
    pub fn image(&self, name: &str) -> Result<Image> {
        store::get(self.roots(), name)
    }

    /// Bytes of the files of each of its layers, lowest first.
    pub fn layer_sizes(&self, image: &Image) -> Result<Vec<u64>> {
        let size = |chain_id| Ok(layer::get(self.roots(), chain_id)?.size_bytes);
        image.layers.iter().map(size).collect()
    }

    /// Adds a name.
    pub fn tag_image(&self, name: &str, reference: &str) -> Result<()> {
        let image = store::tag(self.roots(), name, reference)?;
        self.tell_image("tag", &image.id, reference);
        Ok(())
    }

    /// Takes a name away, and the image with its last name.
    pub fn remove_image(&self, name: &str, force: bool) -> Result<Vec<RemovedImage>> {
        let id = store::get(self.roots(), name)?.id;
        let removed = store::remove(self.roots(), name, force)?;
        for step in &removed {
            match step {
                RemovedImage::Untagged(reference) => self.tell_image("untag", &id, reference),
                RemovedImage::Deleted { digest, .. } if *digest == id => {
                    self.tell_image("delete", &id, id.as_str());
                }
                RemovedImage::Deleted { .. } => {}
            }
        }
        Ok(removed)
    }

    /// Removes the images that `goes` says yes to and no container was made from, then what no
    /// image names. Returns what was removed, and the bytes of files that were.
    pub fn prune_images(&self, goes: &dyn Fn(&Image) -> bool) -> Result<(Vec<RemovedImage>, u64)> {
        let removed = store::prune(self.roots(), goes)?;
        let mut bytes = 0;
        for step in &removed {
            if let RemovedImage::Deleted { digest, size_bytes } = step {
                bytes += size_bytes;
                self.tell_image("delete", digest, digest.as_str());
            }
        }
        bytes += check::collect(self.roots())?;
        Ok((removed, bytes))
    }

    /// Writes images as `docker save` does. A name without a tag stands for all of its tags, an id
    /// for the image without a name.
    pub fn save_images(&self, names: &[String], out: impl Write) -> Result<()> {
        let mut images: Vec<(Image, Vec<Reference>)> = Vec::new();
        for name in names {
            for (image, reference) in self.meant(name)? {
                let index = images.iter().position(|(known, _)| known.id == image.id);
                let index = index.unwrap_or_else(|| {
                    images.push((image, Vec::new()));
                    images.len() - 1
                });
                images[index].1.extend(reference);
            }
        }
        save::save(self.roots(), &images, out)
    }

    fn meant(&self, name: &str) -> Result<Vec<(Image, Option<Reference>)>> {
        if let Ok(reference) = Reference::parse(name)
            && reference.tag.is_none()
            && reference.digest.is_none()
        {
            let mut found = Vec::new();
            for image in self.images()? {
                for named in &image.references {
                    let named = Reference::parse(named)?;
                    if named.name() == reference.name() {
                        found.push((image.clone(), Some(named)));
                    }
                }
            }
            if !found.is_empty() {
                return Ok(found);
            }
        }
        let image = self.image(name)?;
        let reference = Reference::parse(name)
            .ok()
            .filter(|reference| image.references.contains(&reference.familiar()));
        Ok(vec![(image, reference)])
    }

    /// Reads all of the store and says what is damaged, and what nobody needs.
    pub fn check_store(&self) -> Result<Report> {
        check::check(self.roots())
    }

    /// Takes damaged parts out and fetches them again, where it is known from where; then removes
    /// what nobody needs. Returns what it could not mend, with the reason.
    pub fn mend_store(
        &self,
        registries: &Registries,
        report: &Report,
        tell: &dyn Fn(&str),
    ) -> Result<Vec<(String, Error)>> {
        // A name of many platforms would bring the host's. Read before anything goes; a damaged
        // configuration doesn't tell.
        let platform = |id: &Digest| {
            let image = store::get(self.roots(), id.as_str()).ok()?;
            Some((id.clone(), image.config.platform()))
        };
        let platforms: HashMap<Digest, Platform> = store::known(self.roots())?
            .keys()
            .filter_map(platform)
            .collect();
        check::take_out(self.roots(), &report.damaged)?;
        let mut failed = Vec::new();
        for (id, known) in store::known(self.roots())? {
            let name = known.names.first().map_or(id.short(), String::as_str);
            let is_hurt = report
                .damaged
                .iter()
                .any(|damage| known.needs(&id, &damage.part));
            if !is_hurt {
                continue;
            }
            let Some(from) = known.repo_digests.first() else {
                let message = "it came from no registry: load or build it again";
                failed.push((name.to_owned(), Error::new(ErrorKind::NotFound, message)));
                continue;
            };
            tell(&format!("{name}: fetched again as {from}"));
            let reference = Reference::parse(from)?;
            let platform = platforms.get(&id);
            match registries.pull(self.roots(), &reference, platform, &|_, _| {}) {
                Ok(pulled) if pulled.image.id == id => {}
                Ok(pulled) => {
                    let platform = pulled.image.config.platform();
                    let message = format!("{from} brought another image, for {platform}");
                    failed.push((name.to_owned(), Error::new(ErrorKind::NotFound, message)));
                }
                Err(error) => failed.push((name.to_owned(), error)),
            }
        }
        check::collect(self.roots())?;
        Ok(failed)
    }

    fn tell_image(&self, action: &str, id: &Digest, name: &str) {
        self.tell("image", action, id.as_str(), &[("name", name)]);
    }
}

fn imported(message: Option<&str>) -> ImageConfig {
    let now = Timestamp::now();
    let platform = Platform::host();
    ImageConfig {
        created: Some(now),
        architecture: platform.architecture,
        os: platform.os,
        history: vec![History {
            created: Some(now),
            comment: Some(message.unwrap_or("Imported from -").to_owned()),
            ..History::default()
        }],
        ..ImageConfig::default()
    }
}
