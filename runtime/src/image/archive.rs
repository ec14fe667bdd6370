//! Images from archives: `docker save` of every age, and OCI layouts.
//!
//! Members come in any order, so the archive is first laid out in staging; then each image is
//! checked (digests, sizes, diff ids) and its missing layers are unpacked; names come last.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::config::ImageConfig;
use super::manifest::{self, Descriptor, Document, Index, Manifest, SavedImage};
use super::platform::Platform;
use super::reference::Reference;
use super::{Image, store};
use crate::content::digest::{Digest, Digesting};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::layer::archive::{Kind, Reader};
use crate::layer::{self, chain, compression};
use crate::store::Roots;
use crate::store::lock::{self, Guard, Lock};
use crate::store::staging::Staging;

/// Far above every real archive.
const MEMBER_LIMIT: usize = 100_000;
const TOTAL_LIMIT_BYTES: u64 = 1 << 40;
/// Indexes in indexes.
const DEPTH_LIMIT: u32 = 4;
const LINK_LIMIT: u32 = 8;

/// Takes in every image of an archive; returns them with the names they came with.
pub fn load(roots: &Roots, archive: impl Read + Send) -> Result<Vec<Loaded>> {
    let members = Members::read(roots, archive)?;
    let guard = lock::acquire(roots, Lock::Images)?;
    let loading = Loading {
        roots,
        members: &members,
        guard: &guard,
        wanted: Platform::host(),
    };
    if members.contains("manifest.json") {
        loading.docker()
    } else if members.contains("index.json") {
        loading.layout()
    } else {
        Err(Error::new(
            ErrorKind::Invalid,
            "invalid archive: does not contain a manifest.json",
        ))
    }
}

/// An image that was taken in.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    pub image: Image,
    /// In Docker's familiar form; may be empty.
    pub references: Vec<String>,
}

/// The archive, laid out.
struct Members {
    files: BTreeMap<String, Member>,
    _staging: Staging,
}

enum Member {
    File {
        path: PathBuf,
        size: u64,
    },
    /// The path of another member.
    Link(String),
}

impl Members {
    fn read(roots: &Roots, archive: impl Read + Send) -> Result<Self> {
        let staging = Staging::new(roots)?;
        let mut files = BTreeMap::new();
        let mut total_bytes = 0u64;
        let mut reader = Reader::new(compression::decompress(archive)?);
        while let Some(entry) = reader.next_entry().context(|| "read archive".into())? {
            total_bytes = total_bytes.saturating_add(entry.size);
            if files.len() >= MEMBER_LIMIT || total_bytes > TOTAL_LIMIT_BYTES {
                return Err(invalid("archive is too large"));
            }
            let name = String::from_utf8_lossy(&entry.path).into_owned();
            let target = String::from_utf8_lossy(&entry.link).into_owned();
            // Names are keys here, never paths: files lie in staging under numbers.
            let member = match entry.kind {
                Kind::File => {
                    let path = staging.join(&format!("{}", files.len()));
                    let mut file =
                        File::create_new(&path).context(|| format!("create {}", path.display()))?;
                    reader
                        .copy_to(&entry, &mut file)
                        .context(|| format!("read archive member {name}"))?;
                    Member::File {
                        path,
                        size: entry.size,
                    }
                }
                Kind::HardLink => Member::Link(normalized("", &target)),
                Kind::Symlink => Member::Link(normalized(&name, &target)),
                _ => continue,
            };
            files.insert(normalized("", &name), member);
        }
        if files.is_empty() {
            return Err(invalid("not an image archive"));
        }
        Ok(Self {
            files,
            _staging: staging,
        })
    }

    fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn find(&self, name: &str) -> Option<(&Path, u64)> {
        let mut name = normalized("", name);
        for _ in 0..LINK_LIMIT {
            match self.files.get(&name)? {
                Member::File { path, size } => return Some((path, *size)),
                Member::Link(target) => name.clone_from(target),
            }
        }
        None
    }

    fn get(&self, name: &str) -> Result<(&Path, u64)> {
        self.find(name)
            .ok_or_else(|| invalid(format!("invalid archive: {name} is missing")))
    }

    /// A small member.
    fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        let (path, size) = self.get(name)?;
        if size > manifest::LIMIT_BYTES {
            return Err(invalid(format!("invalid archive: {name} is too large")));
        }
        std::fs::read(path).context(|| format!("read archive member {name}"))
    }

    /// A small blob of a layout, verified.
    fn blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let bytes = self.bytes(&blob_name(&descriptor.digest))?;
        if bytes.len() as u64 != descriptor.size || Digest::of(&bytes) != descriptor.digest {
            return Err(invalid(format!(
                "invalid archive: blob {} does not fit its digest or size",
                descriptor.digest
            )));
        }
        Ok(bytes)
    }
}

/// `a/b` and `../c` → `c`; above the root there is nothing.
fn normalized(from: &str, path: &str) -> String {
    let mut names: Vec<&str> = from.split('/').collect();
    // The file itself is no directory.
    names.pop();
    if path.starts_with('/') {
        names.clear();
    }
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    names.join("/")
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

struct Loading<'a> {
    roots: &'a Roots,
    members: &'a Members,
    guard: &'a Guard,
    wanted: Platform,
}

impl Loading<'_> {
    /// `manifest.json`: what `docker save` has written since 2015, and skopeo and podman as well.
    fn docker(&self) -> Result<Vec<Loaded>> {
        let bytes = self.members.bytes("manifest.json")?;
        let images: Vec<SavedImage> = serde_json::from_slice(&bytes).map_err(|error| {
            Error::with_source(ErrorKind::Invalid, "invalid archive: manifest.json", error)
        })?;
        let mut loaded = Vec::new();
        for image in images {
            let config = self.members.bytes(&image.config)?;
            check_config_name(&image.config, &config)?;
            let parts: Vec<Part> = image
                .layers
                .unwrap_or_default()
                .into_iter()
                .map(|member| Part {
                    member,
                    expected: None,
                })
                .collect();
            let references = image
                .repo_tags
                .unwrap_or_default()
                .iter()
                .map(|name| Reference::parse(name).map(Reference::or_latest))
                .collect::<Result<Vec<_>>>()?;
            loaded.push(self.image(&config, &parts, &references, None)?);
        }
        Ok(loaded)
    }

    /// `index.json`: names are annotations. Entries of one name are platforms to choose from.
    fn layout(&self) -> Result<Vec<Loaded>> {
        let Document::Index(index) = manifest::parse(&self.members.bytes("index.json")?)? else {
            return Err(invalid("invalid archive: index.json is no index"));
        };
        let mut named: BTreeMap<Option<&str>, Vec<Descriptor>> = BTreeMap::new();
        for descriptor in &index.manifests {
            let name = manifest::name_of(descriptor);
            named.entry(name).or_default().push(descriptor.clone());
        }
        let mut loaded = Vec::new();
        for (name, descriptors) in named {
            let references = match name {
                Some(name) => vec![Reference::parse(name)?.or_latest()],
                None => Vec::new(),
            };
            let is_choice =
                descriptors.len() > 1 && descriptors.iter().all(|it| it.platform.is_some());
            if is_choice || name.is_some() {
                let chosen = self.choose(&Index {
                    manifests: descriptors,
                })?;
                loaded.push(self.descriptor(&chosen, &references)?);
            } else {
                for descriptor in descriptors.iter().filter(|it| !it.is_attestation()) {
                    loaded.push(self.descriptor(descriptor, &[])?);
                }
            }
        }
        Ok(loaded)
    }

    fn choose(&self, index: &Index) -> Result<Descriptor> {
        // An archive of one platform may carry the index of all.
        let is_there =
            |descriptor: &Descriptor| self.members.contains(&blob_name(&descriptor.digest));
        index
            .choose(&self.wanted, is_there)
            .cloned()
            .or_else(|| match &index.manifests[..] {
                // Named alone, it is meant, whatever its platform.
                [only] => Some(only.clone()),
                _ => None,
            })
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::NotFound,
                    format!("no matching manifest for {} in the archive", self.wanted),
                )
            })
    }

    fn descriptor(&self, top: &Descriptor, references: &[Reference]) -> Result<Loaded> {
        let mut descriptor = top.clone();
        for _ in 0..DEPTH_LIMIT {
            match manifest::parse(&self.members.blob(&descriptor)?)? {
                Document::Index(index) => descriptor = self.choose(&index)?,
                Document::Manifest(found) => {
                    return self.manifest(&found, references, &top.digest);
                }
            }
        }
        Err(invalid("invalid archive: indexes are nested too deeply"))
    }

    fn manifest(
        &self,
        found: &Manifest,
        references: &[Reference],
        digest: &Digest,
    ) -> Result<Loaded> {
        let config = self.members.blob(&found.config)?;
        let parts: Vec<Part> = found
            .layers
            .iter()
            .map(|layer| Part {
                member: blob_name(&layer.digest),
                expected: Some((layer.digest.clone(), layer.size)),
            })
            .collect();
        self.image(&config, &parts, references, Some(digest))
    }

    fn image(
        &self,
        config: &[u8],
        parts: &[Part],
        references: &[Reference],
        manifest: Option<&Digest>,
    ) -> Result<Loaded> {
        let parsed = ImageConfig::parse(config)?;
        let diff_ids = &parsed.rootfs.diff_ids;
        if diff_ids.len() != parts.len() {
            return Err(invalid(format!(
                "invalid archive: {} layers, but the configuration lists {}",
                parts.len(),
                diff_ids.len()
            )));
        }
        let chain = chain::of(diff_ids);
        for (number, part) in parts.iter().enumerate() {
            self.layer(&chain[..number], part, &diff_ids[number])?;
        }
        let registration = store::Registration {
            config,
            references,
            manifests: manifest.map_or(&[], std::slice::from_ref),
            repo_digest: None,
        };
        let image = store::register(self.roots, self.guard, &registration)?;
        Ok(Loaded {
            image,
            references: references.iter().map(Reference::familiar).collect(),
        })
    }

    fn layer(&self, below: &[Digest], part: &Part, diff_id: &Digest) -> Result<()> {
        let chain_id = chain::extend(below.last(), diff_id);
        if layer::find(self.roots, &chain_id)?.is_some() {
            return Ok(());
        }
        let (path, size) = self.members.get(&part.member)?;
        let file = File::open(path).context(|| format!("open {}", path.display()))?;
        let mut digesting = Digesting::new(file);
        layer::unpack_archive(self.roots, below, &mut digesting, Some(diff_id))
            .context(|| format!("layer {}", part.member))?;
        let Some((digest, expected_size)) = &part.expected else {
            return Ok(());
        };
        std::io::copy(&mut digesting, &mut std::io::sink())?;
        let (_, found, _) = digesting.finish();
        if size != *expected_size || found != *digest {
            // The layer itself is what its diff id says; the archive is wrong all the same.
            return Err(invalid(format!(
                "invalid archive: blob {digest} does not fit its digest or size"
            )));
        }
        Ok(())
    }
}

/// One layer's archive.
struct Part {
    member: String,
    /// Digest and size of the member as it is, where they are known.
    expected: Option<(Digest, u64)>,
}

/// A member named by its digest must have it.
fn check_config_name(name: &str, config: &[u8]) -> Result<()> {
    let stem = name.rsplit('/').next().unwrap_or(name);
    let stem = stem.strip_suffix(".json").unwrap_or(stem);
    match Digest::try_from(format!("sha256:{stem}")) {
        Ok(digest) if digest != Digest::of(config) => Err(invalid(format!(
            "invalid archive: {name} does not fit its digest"
        ))),
        _ => Ok(()),
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::archive::{Entry, Writer};

    fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        for (name, content) in members {
            let (name, target) = name.split_once("->").unwrap_or((*name, ""));
            let kind = if target.is_empty() {
                Kind::File
            } else {
                Kind::Symlink
            };
            let mut entry = Entry::new(name, kind);
            entry.link = target.into();
            entry.size = content.len() as u64;
            entry.uid = rustix::process::getuid().as_raw();
            entry.gid = rustix::process::getgid().as_raw();
            entry.mode = 0o644;
            writer.append(&entry, *content).unwrap();
        }
        writer.finish().unwrap()
    }

    fn config(diff_ids: &[Digest], architecture: &str) -> Vec<u8> {
        serde_json::to_vec(&serde_json::json!({
            "architecture": architecture, "os": "linux", "unknown": 1,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }))
        .unwrap()
    }

    fn roots(directory: &tempfile::TempDir) -> Roots {
        Roots::new(directory.path().join("data"), directory.path().join("run"))
    }

    fn left_in_staging(roots: &Roots) -> usize {
        std::fs::read_dir(roots.staging()).map_or(0, Iterator::count)
    }

    #[test]
    fn a_legacy_archive_with_linked_layers_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let roots = roots(&directory);
        let layer = tar(&[("etc/hello", b"hi")]);
        let diff_id = Digest::of(&layer);
        let config = config(&[diff_id.clone(), diff_id], "amd64");
        let name = format!("{}.json", Digest::of(&config).hex());
        let list = serde_json::json!([{
            "Config": name, "RepoTags": ["pc:1", "pc:2"], "Layers": ["b/layer.tar", "a/layer.tar"],
        }]);
        let archive = tar(&[
            ("a/layer.tar", &layer),
            ("b/layer.tar->../a/layer.tar", b""),
            ("manifest.json", list.to_string().as_bytes()),
            (&name, &config),
        ]);
        let archive = zstd::encode_all(&archive[..], 1).unwrap();
        let loaded = load(&roots, &archive[..]).unwrap();
        assert_eq!(loaded[0].references, ["pc:1", "pc:2"]);
        assert_eq!(loaded[0].image.id, Digest::of(&config));
        assert_eq!(loaded[0].image.layers.len(), 2);
        let file = layer::directory(&roots, &loaded[0].image.layers[1]).join("etc/hello");
        assert_eq!(std::fs::read(file).unwrap(), b"hi");
        assert_eq!(left_in_staging(&roots), 0);
    }

    #[test]
    fn a_wrong_diff_id_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let roots = roots(&directory);
        let config = config(&[Digest::of(b"other")], "amd64");
        let list = r#"[{"Config":"c.json","RepoTags":null,"Layers":["l"]}]"#;
        let archive = tar(&[
            ("c.json", &config),
            ("l", &tar(&[("a", b"")])),
            ("manifest.json", list.as_bytes()),
        ]);
        let error = load(&roots, &archive[..]).unwrap_err();
        assert!(error.to_string().contains("diff id"), "{error}");
        assert_eq!(store::list(&roots).unwrap(), []);
        assert_eq!(left_in_staging(&roots), 0);
        assert!(!roots.layers().exists());
    }

    /// A layout whose index lists two platforms; `tamper` changes the blobs.
    fn layout(tamper: impl Fn(&mut Vec<(String, Vec<u8>)>)) -> Vec<u8> {
        let mut members = vec![("oci-layout".to_owned(), b"{}".to_vec())];
        let put = |members: &mut Vec<(String, Vec<u8>)>, bytes: Vec<u8>| {
            let digest = Digest::of(&bytes);
            let descriptor = serde_json::json!({"digest": digest, "size": bytes.len()});
            members.push((blob_name(&digest), bytes));
            descriptor
        };
        let mut manifests = Vec::new();
        for architecture in ["s390x", Platform::host().architecture.as_str()] {
            let layer = tar(&[("arch", architecture.as_bytes())]);
            let config = config(&[Digest::of(&layer)], architecture);
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut gzip, &layer).unwrap();
            let layer = put(&mut members, gzip.finish().unwrap());
            let config = put(&mut members, config);
            let manifest = serde_json::json!({"config": config, "layers": [layer]});
            let mut manifest = put(&mut members, manifest.to_string().into_bytes());
            manifest["platform"] = serde_json::json!({"os": "linux", "architecture": architecture});
            manifests.push(manifest);
        }
        let inner = serde_json::json!({"manifests": manifests});
        let mut top = put(&mut members, inner.to_string().into_bytes());
        top["annotations"] =
            serde_json::json!({"io.containerd.image.name": "docker.io/library/x:1"});
        let index = serde_json::json!({"manifests": [top]});
        members.push(("index.json".into(), index.to_string().into_bytes()));
        tamper(&mut members);
        let members: Vec<(&str, &[u8])> = members
            .iter()
            .map(|(name, content)| (name.as_str(), &content[..]))
            .collect();
        tar(&members)
    }

    #[test]
    fn a_layout_gives_the_image_of_this_platform() {
        let directory = tempfile::tempdir().unwrap();
        let roots = roots(&directory);
        let loaded = load(&roots, &layout(|_| {})[..]).unwrap();
        assert_eq!(loaded[0].references, ["x:1"]);
        let host = Platform::host().architecture;
        assert_eq!(loaded[0].image.config.architecture, host);
        assert_eq!(store::list(&roots).unwrap().len(), 1);
    }

    #[test]
    fn a_tampered_blob_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let roots = roots(&directory);
        let archive = layout(|members| {
            for (_, content) in members.iter_mut() {
                if content.starts_with(b"{\"architecture\"") {
                    content.push(b' ');
                }
            }
        });
        let error = load(&roots, &archive[..]).unwrap_err().to_string();
        assert!(error.contains("does not fit its digest"), "{error}");
        assert_eq!(store::list(&roots).unwrap(), []);
    }

    #[test]
    fn what_is_no_archive_is_said_so() {
        let directory = tempfile::tempdir().unwrap();
        let roots = roots(&directory);
        assert!(
            load(&roots, &b""[..])
                .unwrap_err()
                .to_string()
                .contains("not an image archive")
        );
        let error = load(&roots, &tar(&[("x", b"")])[..]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid archive: does not contain a manifest.json"
        );
    }
}
