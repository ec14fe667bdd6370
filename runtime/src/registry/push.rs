//! Pushing: what of an image a registry lacks, then its manifest, then the name.
//!
//! Archives of layers are not kept. One that is known to be in the registry is only looked for, or
//! mounted from a neighbouring repository; any other is written anew and sent in one stream, which
//! is taken up where it broke. If all parts have the digests with which the image came, its own
//! manifest is sent, byte by byte.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE};
use reqwest::{Method, Url};
use serde_json::json;

use super::Registries;
use super::client::{Answer, Ask, Payload, Tries, cancelled};
use super::remote::Remote;
use crate::content::blobs::Blobs;
use crate::content::digest::{Digest, Digesting};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::manifest::{self, Descriptor, Document};
use crate::image::reference::Reference;
use crate::image::{Image, store};
use crate::layer::{self, Origin};
use crate::store::Roots;
use crate::store::staging::Staging;

const CONFIG_TYPE: &str = "application/vnd.docker.container.image.v1+json";
const LAYER_TYPE: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const MANIFEST_TYPE: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Blobs up to this size are sent in one request, with their digest.
const MONOLITHIC_BYTES: u64 = 1 << 20;
/// As Docker Engine compresses.
const LEVEL: flate2::Compression = flate2::Compression::new(6);

/// How far one layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushState {
    Preparing,
    Pushing,
    Exists,
    /// From this repository of the same registry.
    Mounted(String),
    Pushed,
}

/// Is told the layer (the first twelve digits of its diff id) and how far it is.
pub type OnPush<'a> = dyn Fn(&str, PushState) + Sync + 'a;

/// What a push came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Of the manifest.
    pub digest: Digest,
    pub size_bytes: u64,
}

impl Registries {
    /// Sends an image to where a reference says.
    ///
    /// # Errors
    /// A refusal in the registry's words; a transfer that broke too often.
    pub fn push(
        &self,
        roots: &Roots,
        image: &Image,
        reference: &Reference,
        on: &OnPush<'_>,
    ) -> Result<Pushed> {
        let remote = self.origin(&reference.domain)?;
        let push = Push {
            remote: &remote,
            roots,
            reference,
            on,
            scopes: vec![format!("repository:{}:pull,push", reference.path)],
        };
        // Nobody takes them away meanwhile.
        let _holds = image
            .layers
            .iter()
            .map(|chain_id| layer::hold(roots, chain_id))
            .collect::<Result<Vec<_>>>()?;
        let layers = push.layers(image, self.settings.limits.parallel)?;
        let config = push.config(image)?;
        let (media_type, bytes) = manifest_of(roots, image, &config, &layers)?;
        let pushed = push.manifest(&media_type, &bytes)?;
        let mut repo_digest = reference.clone();
        repo_digest.tag = None;
        repo_digest.digest = Some(pushed.digest.clone());
        store::add_repo_digest(roots, &image.id, &repo_digest)?;
        Ok(pushed)
    }
}

struct Push<'a> {
    remote: &'a Remote,
    roots: &'a Roots,
    reference: &'a Reference,
    on: &'a OnPush<'a>,
    scopes: Vec<String>,
}

impl Push<'_> {
    fn layers(&self, image: &Image, parallel: usize) -> Result<Vec<Descriptor>> {
        let diff_ids = &image.config.rootfs.diff_ids;
        for diff_id in diff_ids {
            (self.on)(diff_id.short(), PushState::Preparing);
        }
        let results: Mutex<Vec<Option<Result<Descriptor>>>> =
            Mutex::new(diff_ids.iter().map(|_| None).collect());
        let next = AtomicUsize::new(0);
        let failed = AtomicBool::new(false);
        let work = || {
            while !failed.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let (Some(diff_id), Some(chain_id)) =
                    (diff_ids.get(number), image.layers.get(number))
                else {
                    return;
                };
                let pushed = self
                    .layer(diff_id, chain_id)
                    .context(|| format!("layer {}", diff_id.short()));
                failed.fetch_or(pushed.is_err(), Ordering::Relaxed);
                results.lock().unwrap_or_else(PoisonError::into_inner)[number] = Some(pushed);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..parallel.clamp(1, diff_ids.len().max(1)) {
                scope.spawn(work);
            }
        });
        let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        // An error first: layers that were left out because of it are no result.
        if let Some(error) = results.iter().position(|it| matches!(it, Some(Err(_)))) {
            let error = results.into_iter().nth(error).flatten();
            return Err(error.and_then(Result::err).unwrap_or_else(cancelled));
        }
        results
            .into_iter()
            .map(|result| result.unwrap_or_else(|| Err(cancelled())))
            .collect()
    }

    fn layer(&self, diff_id: &Digest, chain_id: &Digest) -> Result<Descriptor> {
        let name = diff_id.short();
        let origins = layer::origins(self.roots, chain_id);
        let here = origins
            .iter()
            .filter(|origin| origin.domain == self.reference.domain);
        for origin in here.clone() {
            if self.has(&origin.digest)? {
                (self.on)(name, PushState::Exists);
                self.note(chain_id, origin)?;
                return Ok(descriptor_of(origin));
            }
        }
        for origin in here.filter(|origin| origin.path != self.reference.path) {
            if self.mount(&origin.digest, &origin.path)? {
                (self.on)(name, PushState::Mounted(origin.path.clone()));
                self.note(chain_id, origin)?;
                return Ok(descriptor_of(origin));
            }
        }
        let staging = Staging::new(self.roots)?;
        let archive = Archive::write(self.roots, chain_id, &staging)?;
        let origin = Origin {
            domain: self.reference.domain.clone(),
            path: self.reference.path.clone(),
            digest: archive.digest.clone(),
            size_bytes: archive.size_bytes,
            media_type: LAYER_TYPE.to_owned(),
        };
        if self.has(&origin.digest)? {
            (self.on)(name, PushState::Exists);
        } else {
            (self.on)(name, PushState::Pushing);
            self.upload(&origin.digest, &Arc::new(archive.file), origin.size_bytes)?;
            (self.on)(name, PushState::Pushed);
        }
        self.note(chain_id, &origin)?;
        Ok(descriptor_of(&origin))
    }

    fn note(&self, chain_id: &Digest, origin: &Origin) -> Result<()> {
        let origin = Origin {
            path: self.reference.path.clone(),
            ..origin.clone()
        };
        let hold = layer::hold(self.roots, chain_id)?;
        layer::add_origin(self.roots, &hold, chain_id, origin)
    }

    fn config(&self, image: &Image) -> Result<Descriptor> {
        let bytes = Blobs::new(self.roots.blobs()).read(&image.id, manifest::LIMIT_BYTES)?;
        let descriptor = Descriptor {
            media_type: CONFIG_TYPE.to_owned(),
            digest: image.id.clone(),
            size: bytes.len() as u64,
            platform: None,
            annotations: None,
        };
        if !self.has(&image.id)? {
            self.upload_bytes(&image.id, bytes)?;
        }
        Ok(descriptor)
    }

    fn manifest(&self, media_type: &str, bytes: &[u8]) -> Result<Pushed> {
        let digest = Digest::of(bytes);
        let target = match &self.reference.tag {
            Some(tag) => tag.clone(),
            None => digest.to_string(),
        };
        let url = self
            .remote
            .client
            .url(&format!("{}/manifests/{target}", self.reference.path))?;
        let ask = Ask::new(Method::PUT, url, &self.scopes)
            .header(CONTENT_TYPE, media_type)?
            .payload(Payload::Bytes(bytes.to_vec().into()));
        let answer = self.remote.client.send(&ask)?;
        match answer.status() {
            200..=202 => Ok(Pushed {
                digest,
                size_bytes: bytes.len() as u64,
            }),
            _ => Err(self.refused("manifest", answer)?),
        }
    }

    fn has(&self, digest: &Digest) -> Result<bool> {
        let url = self.remote.blob_url(self.reference, digest)?;
        let answer = self
            .remote
            .client
            .send(&Ask::new(Method::HEAD, url, &self.scopes))?;
        match answer.status() {
            200 => Ok(true),
            401 | 403 => Err(self.refused("blob", answer)?),
            _ => Ok(false),
        }
    }

    /// Takes a blob over from another repository; false: it must be sent.
    fn mount(&self, digest: &Digest, from: &str) -> Result<bool> {
        let mut url = self.uploads()?;
        url.query_pairs_mut()
            .append_pair("mount", digest.as_str())
            .append_pair("from", from);
        let mut scopes = self.scopes.clone();
        scopes.push(format!("repository:{from}:pull"));
        let answer = self
            .remote
            .client
            .send(&Ask::new(Method::POST, url, &scopes))?;
        if answer.status() == 201 {
            return Ok(true);
        }
        // 202: an ordinary upload was begun, which nobody goes on with.
        if answer.status() == 202 {
            let location = self.location(&answer)?;
            let _best_effort =
                self.remote
                    .client
                    .send(&Ask::new(Method::DELETE, location, &self.scopes))?;
        }
        Ok(false)
    }

    fn uploads(&self) -> Result<Url> {
        self.remote
            .client
            .url(&format!("{}/blobs/uploads/", self.reference.path))
    }

    /// Begins an upload; where it goes on.
    fn begin(&self) -> Result<Url> {
        let ask = Ask::new(Method::POST, self.uploads()?, &self.scopes);
        let answer = self.remote.client.send(&ask)?;
        match answer.status() {
            202 => self.location(&answer),
            _ => Err(self.refused("upload", answer)?),
        }
    }

    /// May be relative, and may have a query already.
    fn location(&self, answer: &Answer) -> Result<Url> {
        answer
            .header("location")
            .and_then(|location| answer.url().join(location).ok())
            .ok_or_else(|| {
                let message = "the registry does not say where an upload goes on";
                Error::new(ErrorKind::Invalid, message)
            })
    }

    fn upload_bytes(&self, digest: &Digest, bytes: Vec<u8>) -> Result<()> {
        let location = self.begin()?;
        self.finish(location, digest, Payload::Bytes(bytes.into()))
    }

    /// The last request of an upload, with all of its content or none.
    fn finish(&self, mut location: Url, digest: &Digest, payload: Payload) -> Result<()> {
        location
            .query_pairs_mut()
            .append_pair("digest", digest.as_str());
        let mut ask = Ask::new(Method::PUT, location, &self.scopes);
        if !matches!(payload, Payload::Nothing) {
            ask = ask.header(CONTENT_TYPE, "application/octet-stream")?;
        }
        let answer = self.remote.client.send(&ask.payload(payload))?;
        match answer.status() {
            200..=204 => Ok(()),
            _ => Err(self.refused("blob", answer)?),
        }
    }

    /// A blob in one stream; after a failure the registry is asked how much it has.
    fn upload(&self, digest: &Digest, file: &Arc<File>, length: u64) -> Result<()> {
        let whole = |from: u64| Payload::File {
            file: Arc::clone(file),
            from,
            length,
        };
        let mut location = self.begin()?;
        if length <= MONOLITHIC_BYTES {
            return self.finish(location, digest, whole(0));
        }
        let client = &self.remote.client;
        let mut tries = Tries::new(client.limits);
        let mut from = 0;
        while from < length {
            let mut ask = Ask::new(Method::PATCH, location.clone(), &self.scopes)
                .header(CONTENT_TYPE, "application/octet-stream")?
                .payload(whole(from));
            ask.repeatable = false;
            if from > 0 {
                ask = ask.header(CONTENT_RANGE, &format!("{from}-{}", length - 1))?;
            }
            let error = match client.send(&ask) {
                Ok(answer) if answer.status() == 202 => {
                    location = self.location(&answer)?;
                    break;
                }
                Ok(answer) if matches!(answer.status(), 401 | 403 | 413) => {
                    return Err(self.refused("blob", answer)?);
                }
                Ok(answer) => self.refused("blob", answer)?,
                Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
                Err(error) => error,
            };
            tries.again(&client.io, true, None, error)?;
            (location, from) = self.progress(location)?;
        }
        self.finish(location, digest, Payload::Nothing)
    }

    /// How much of an upload has arrived; one that is gone begins anew.
    fn progress(&self, location: Url) -> Result<(Url, u64)> {
        let ask = Ask::new(Method::GET, location, &self.scopes);
        let answer = self.remote.client.send(&ask)?;
        if answer.status() != 204 {
            return Ok((self.begin()?, 0));
        }
        // `0-<last>`; of nothing some say `0-0`.
        let last: Option<u64> = answer
            .header("range")
            .and_then(|range| range.rsplit('-').next()?.parse().ok());
        let next = match last {
            Some(0) | None => 0,
            Some(last) => last + 1,
        };
        Ok((self.location(&answer)?, next))
    }

    fn refused(&self, what: &str, answer: Answer) -> Result<Error> {
        let name = self.reference.familiar_name();
        let status = answer.status();
        let error = self.remote.client.refusal(what, answer)?;
        Ok(match status {
            401 | 403 => {
                let message = format!(
                    "push access denied for {name}, repository does not exist or may require \
                     authorization: {error}"
                );
                Error::new(ErrorKind::Unauthorized, message)
            }
            _ => error,
        })
    }
}

/// A layer's archive, compressed, in a file of its own.
struct Archive {
    file: File,
    digest: Digest,
    size_bytes: u64,
}

impl Archive {
    fn write(roots: &Roots, chain_id: &Digest, staging: &Staging) -> Result<Self> {
        let path = staging.join("archive");
        let failed = || format!("write {}", path.display());
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .context(failed)?;
        let mut encoder = flate2::write::GzEncoder::new(Digesting::new(file), LEVEL);
        layer::write_archive(roots, chain_id, &mut encoder)?;
        let (file, digest, size_bytes) = encoder.finish().context(failed)?.finish();
        Ok(Self {
            file,
            digest,
            size_bytes,
        })
    }
}

fn descriptor_of(origin: &Origin) -> Descriptor {
    Descriptor {
        media_type: origin.media_type.clone(),
        digest: origin.digest.clone(),
        size: origin.size_bytes,
        platform: None,
        annotations: None,
    }
}

/// The manifest with which the image came, if it still fits; else one of our own.
fn manifest_of(
    roots: &Roots,
    image: &Image,
    config: &Descriptor,
    layers: &[Descriptor],
) -> Result<(String, Vec<u8>)> {
    let blobs = Blobs::new(roots.blobs());
    for digest in &image.manifests {
        // Archives that were loaded leave none.
        let Ok(bytes) = blobs.read(digest, manifest::LIMIT_BYTES) else {
            continue;
        };
        let Ok(Document::Manifest(found)) = manifest::parse(&bytes) else {
            continue;
        };
        let same = |a: &Descriptor, b: &Descriptor| a.digest == b.digest && a.size == b.size;
        let fits = same(&found.config, config)
            && found.layers.len() == layers.len()
            && found.layers.iter().zip(layers).all(|(a, b)| same(a, b));
        if fits {
            return Ok((manifest::type_of(&bytes, &found), bytes));
        }
    }
    let part = |it: &Descriptor, media_type: &str| json!({"mediaType": media_type, "size": it.size, "digest": it.digest});
    // A list may hold archives of both families: the types follow what they are.
    let layers: Vec<_> = layers.iter().map(|it| part(it, &it.media_type)).collect();
    let document = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": part(config, CONFIG_TYPE),
        "layers": layers,
    });
    let bytes = serde_json::to_vec_pretty(&document).expect("JSON values can be written to memory");
    Ok((MANIFEST_TYPE.to_owned(), bytes))
}
