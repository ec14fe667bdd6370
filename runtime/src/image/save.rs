//! Images as an archive, as `docker save` writes it: an OCI layout with `manifest.json` beside.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use serde_json::{Map, Value, json};

use super::Image;
use super::manifest;
use super::reference::Reference;
use crate::content::blobs::Blobs;
use crate::content::digest::Digest;
use crate::error::{Context, Result};
use crate::layer::archive::{Entry, Kind, Writer};
use crate::layer::{self, Hold};
use crate::store::Roots;

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";

/// Writes images with the names that they shall have.
pub fn save(roots: &Roots, images: &[(Image, Vec<Reference>)], out: impl Write) -> Result<()> {
    let mut saving = Saving {
        roots,
        writer: Writer::new(out),
        written: BTreeSet::new(),
        _holds: Vec::new(),
    };
    for (image, _) in images {
        for chain_id in &image.layers {
            saving._holds.push(layer::hold(roots, chain_id)?);
        }
    }
    saving.directory("blobs/")?;
    saving.directory("blobs/sha256/")?;
    let mut index = Vec::new();
    let mut list = Vec::new();
    let mut repositories: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for (image, names) in images {
        let (manifest, listed) = saving.image(image, names)?;
        for name in names {
            let mut entry = manifest.clone();
            entry["annotations"] = json!({
                "io.containerd.image.name": name.to_string(),
                "org.opencontainers.image.ref.name": name.tag,
            });
            index.push(entry);
            let top = image.config.rootfs.diff_ids.last();
            repositories
                .entry(name.familiar_name())
                .or_default()
                .insert(
                    name.tag.clone().unwrap_or_default(),
                    top.map(Digest::hex).into(),
                );
        }
        if names.is_empty() {
            index.push(manifest);
        }
        list.push(listed);
    }
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": index,
    });
    saving.json("index.json", &index)?;
    saving.json("manifest.json", &Value::from(list))?;
    saving.json("oci-layout", &json!({"imageLayoutVersion": "1.0.0"}))?;
    saving.json("repositories", &json!(repositories))?;
    saving.writer.finish()?;
    Ok(())
}

struct Saving<'a, W> {
    roots: &'a Roots,
    writer: Writer<W>,
    /// Parts that several images share are written once.
    written: BTreeSet<Digest>,
    _holds: Vec<Hold>,
}

impl<W: Write> Saving<'_, W> {
    /// Its parts; returns its descriptor and its entry in `manifest.json`.
    fn image(&mut self, image: &Image, names: &[Reference]) -> Result<(Value, Value)> {
        let config = Blobs::new(self.roots.blobs()).read(&image.id, manifest::LIMIT_BYTES)?;
        self.blob(&image.id, &config)?;
        let mut layers = Vec::new();
        let mut paths = Vec::new();
        for (diff_id, chain_id) in image.config.rootfs.diff_ids.iter().zip(&image.layers) {
            let size = self
                .layer(diff_id, chain_id)
                .context(|| format!("layer {}", diff_id.short()))?;
            layers.push(json!({"mediaType": LAYER_TYPE, "digest": diff_id, "size": size}));
            paths.push(path_of(diff_id));
        }
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": CONFIG_TYPE, "digest": image.id, "size": config.len()},
            "layers": layers,
        });
        let manifest = manifest.to_string();
        let digest = Digest::of(manifest.as_bytes());
        self.blob(&digest, manifest.as_bytes())?;
        let descriptor = json!({
            "mediaType": MANIFEST_TYPE,
            "digest": digest,
            "size": manifest.len(),
        });
        let tags: Vec<String> = names.iter().map(Reference::familiar).collect();
        let listed = json!({
            "Config": path_of(&image.id),
            "RepoTags": if tags.is_empty() { Value::Null } else { tags.into() },
            "Layers": paths,
        });
        Ok((descriptor, listed))
    }

    /// A layer's archive; returns its size, which its header has to know before.
    fn layer(&mut self, diff_id: &Digest, chain_id: &Digest) -> Result<u64> {
        let size = match layer::get(self.roots, chain_id)?.archive_bytes {
            Some(size) => size,
            None => {
                let mut counted = Counted(0);
                layer::write_archive(self.roots, chain_id, &mut counted)?;
                counted.0
            }
        };
        if self.written.insert(diff_id.clone()) {
            let roots = self.roots;
            let write = |out: &mut dyn Write| layer::write_archive(roots, chain_id, out);
            self.writer
                .append_written(&file(&path_of(diff_id), size), write)?;
        }
        Ok(size)
    }

    fn blob(&mut self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        if !self.written.insert(digest.clone()) {
            return Ok(());
        }
        let entry = file(&path_of(digest), bytes.len() as u64);
        self.writer.append(&entry, bytes)
    }

    fn json(&mut self, name: &str, value: &Value) -> Result<()> {
        let text = value.to_string();
        self.writer
            .append(&file(name, text.len() as u64), text.as_bytes())
    }

    fn directory(&mut self, name: &str) -> Result<()> {
        let mut entry = Entry::new(name, Kind::Directory);
        entry.mode = 0o755;
        self.writer.append(&entry, std::io::empty())
    }
}

fn file(name: &str, size: u64) -> Entry {
    let mut entry = Entry::new(name, Kind::File);
    entry.mode = 0o644;
    entry.size = size;
    entry
}

fn path_of(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
