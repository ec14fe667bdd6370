//! Pulling: a name → what it points to → what of it is missing → into the store.
//!
//! 1. The tag's digest is asked for; if the image of that digest is here, nothing more is done.
//! 2. Manifest, index descended to our platform, configuration: small, and checked.
//! 3. Missing layers, several at once. Each is one stream: network → digest of the archive →
//!    decompressed → digest of the content → files in staging → renamed when all fits. A layer
//!    that another command is just making is waited for.
//! 4. The image is registered, then its name points to it.
//!
//! Killed anywhere, finished layers stay for the next pull; nothing unfinished is ever found.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use super::Registries;
use super::client::cancelled;
use super::remote::{Found, Remote};
use crate::content::blobs::Blobs;
use crate::content::digest::Digest;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::config::ImageConfig;
use crate::image::manifest::{self, Descriptor, Document, Index, Manifest};
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::image::{Image, check, store};
use crate::layer::{self, Aside, Hold, Origin, chain};
use crate::store::Roots;
use crate::store::lock::{self, Lock};

/// Indexes in indexes.
const DEPTH_LIMIT: usize = 4;
/// Of layers in one image: what overlayfs can stack.
const LAYER_LIMIT: usize = 500;
/// Of a layer that can't be unpacked, so much is still fetched to tell whether its bytes are right.
const VERIFIED_BYTES: u64 = 64 << 20;
/// A layer that is gone again when the image is to be registered (another command removed it
/// between two of our looks) is pulled again.
const ROUNDS: u32 = 3;

/// How far one layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerState {
    /// It is in the store already.
    Exists,
    /// It will be fetched.
    Waiting,
    Downloading {
        done_bytes: u64,
        total_bytes: u64,
    },
    /// All has come; the last files are being written.
    Downloaded,
    Complete,
}

/// Is told the layer (the first twelve digits of its digest) and how far it is.
pub type OnLayer<'a> = dyn Fn(&str, LayerState) + Sync + 'a;

/// What a pull came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Pulled {
    pub image: Image,
    /// What the name points to in the registry.
    pub digest: Digest,
    /// False: it was here already.
    pub is_new: bool,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// What the manifests of an image say.
struct Described {
    /// What the name points to; an index if it is one.
    top: Digest,
    manifest: Manifest,
    /// All of them, to be kept as they are.
    documents: Vec<Found>,
    config: Vec<u8>,
    diff_ids: Vec<Digest>,
    warnings: Vec<String>,
}

impl Registries {
    /// Fetches an image: by digest if the reference has one, else by its tag.
    ///
    /// # Errors
    /// In Docker's words: an unknown name, a refusal, a damaged transfer.
    pub fn pull(
        &self,
        roots: &Roots,
        reference: &Reference,
        platform: Option<&Platform>,
        on: &OnLayer<'_>,
    ) -> Result<Pulled> {
        let mut warnings = Vec::new();
        for base in self.mirrors(&reference.domain)? {
            let pulled = self
                .mirror(&base)
                .and_then(|mirror| pull_from(self, &mirror, roots, reference, platform, on));
            match pulled {
                Ok(mut pulled) => {
                    pulled.warnings.extend(warnings);
                    return Ok(pulled);
                }
                Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
                Err(error) => warnings.push(format!("mirror {}: {error}", base.url)),
            }
        }
        let origin = self.origin(&reference.domain)?;
        let mut pulled = pull_from(self, &origin, roots, reference, platform, on)?;
        pulled.warnings.extend(warnings);
        Ok(pulled)
    }

    /// Every tag that a repository has in its registry.
    ///
    /// # Errors
    /// As with [`Registries::pull`].
    pub fn tags(&self, reference: &Reference) -> Result<Vec<String>> {
        self.origin(&reference.domain)?.tags(reference)
    }

    /// The digest that a name has in its registry.
    ///
    /// # Errors
    /// As with [`Registries::pull`].
    pub fn resolve(&self, reference: &Reference) -> Result<Digest> {
        let origin = self.origin(&reference.domain)?;
        let target = target_of(reference);
        match origin.head(reference, &target)? {
            Some(digest) => Ok(digest),
            None => Ok(origin.manifest(reference, &target)?.digest),
        }
    }
}

/// The digest decides; a tag beside it is for people.
fn target_of(reference: &Reference) -> String {
    match (&reference.digest, &reference.tag) {
        (Some(digest), _) => digest.to_string(),
        (None, Some(tag)) => tag.clone(),
        (None, None) => "latest".to_owned(),
    }
}

fn pull_from(
    registries: &Registries,
    remote: &Remote,
    roots: &Roots,
    reference: &Reference,
    platform: Option<&Platform>,
    on: &OnLayer<'_>,
) -> Result<Pulled> {
    let mut target = target_of(reference);
    let known = match &reference.digest {
        Some(digest) => Some(digest.clone()),
        None => remote.head(reference, &target)?,
    };
    if let Some(digest) = known {
        if let Some(image) = unchanged(roots, reference, &digest, platform)? {
            store::note_checked(roots, &image.id)?;
            return Ok(Pulled {
                image,
                digest,
                is_new: false,
                warnings: Vec::new(),
            });
        }
        target = digest.to_string();
    }
    let described = describe(remote, reference, &target, platform)?;
    let mut round = 1;
    let image = loop {
        let pull = LayerPull {
            remote,
            roots,
            reference,
            on,
            layers: &described.manifest.layers,
            diff_ids: &described.diff_ids,
            chain: chain::of(&described.diff_ids),
            state: Mutex::default(),
            changed: Condvar::new(),
            next: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        };
        let _holds = pull.run(registries.settings.limits.parallel)?;
        match register(roots, reference, &described) {
            Err(error) if error.kind() == ErrorKind::NotFound && round < ROUNDS => round += 1,
            other => break other?,
        }
    };
    Ok(Pulled {
        image,
        digest: described.top,
        is_new: true,
        warnings: described.warnings,
    })
}

/// The image that is here under this name already, when it is still what the registry has.
fn unchanged(
    roots: &Roots,
    reference: &Reference,
    digest: &Digest,
    platform: Option<&Platform>,
) -> Result<Option<Image>> {
    let mut pinned = reference.clone();
    pinned.tag = None;
    pinned.digest = Some(digest.clone());
    // One whose parts are missing or can't be read is fetched again.
    let Ok(Some(image)) = store::find(roots, &pinned.familiar()) else {
        return Ok(None);
    };
    if !check::is_whole(roots, &image)? {
        return Ok(None);
    }
    if platform.is_some_and(|wanted| !runs_on(&image.config, wanted)) {
        return Ok(None);
    }
    // The tag may point to another image here.
    let names_it = reference.digest.is_some() || image.references.contains(&reference.familiar());
    Ok(names_it.then_some(image))
}

fn runs_on(config: &ImageConfig, wanted: &Platform) -> bool {
    config.platform().normalized() == wanted.normalized()
}

fn describe(
    remote: &Remote,
    reference: &Reference,
    target: &str,
    platform: Option<&Platform>,
) -> Result<Described> {
    let host = Platform::host();
    let wanted = platform.unwrap_or(&host);
    let mut documents = vec![remote.manifest(reference, target)?];
    let manifest = loop {
        let found = documents.last().expect("there is at least the first");
        match manifest::parse(&found.bytes)? {
            Document::Manifest(manifest) => break manifest,
            Document::Index(_) if documents.len() >= DEPTH_LIMIT => {
                return Err(invalid("the registry's indexes are nested too deeply"));
            }
            Document::Index(index) => {
                let digest = choose(&index, wanted)?;
                if documents.iter().any(|known| known.digest == digest) {
                    return Err(invalid("the registry's indexes lead in a circle"));
                }
                let next = remote.manifest(reference, digest.as_str())?;
                documents.push(next);
            }
        }
    };
    check_types(reference, &manifest)?;
    let config = remote
        .blob(reference, &manifest.config)?
        .read_all(manifest::LIMIT_BYTES)
        .context(|| format!("configuration of {}", reference.familiar()))?;
    let parsed = ImageConfig::parse(&config)?;
    let diff_ids = parsed.rootfs.diff_ids.clone();
    if diff_ids.len() != manifest.layers.len() || diff_ids.len() > LAYER_LIMIT {
        return Err(invalid(format!(
            "damaged image: {} layers, but the configuration lists {}",
            manifest.layers.len(),
            diff_ids.len()
        )));
    }
    let mut warnings = Vec::new();
    if !runs_on(&parsed, wanted) {
        let told = match platform {
            Some(_) => "the platform that was asked for",
            None => "this machine's platform",
        };
        warnings.push(format!(
            "the image {} is for {}, not for {told} ({wanted})",
            reference.familiar(),
            parsed.platform()
        ));
    }
    Ok(Described {
        top: documents[0].digest.clone(),
        manifest,
        documents,
        config,
        diff_ids,
        warnings,
    })
}

fn choose(index: &Index, wanted: &Platform) -> Result<Digest> {
    let images = || index.manifests.iter().filter(|it| !it.is_attestation());
    if let Some(chosen) = index.choose(wanted, |_| true) {
        return Ok(chosen.digest.clone());
    }
    // Alone and without a platform, it can only be meant.
    match images().collect::<Vec<_>>()[..] {
        [only] if only.platform.is_none() => Ok(only.digest.clone()),
        _ => Err(Error::new(
            ErrorKind::NotFound,
            format!(
                "no matching manifest for {wanted} in the manifest list entries: no match for \
                 platform in manifest: not found"
            ),
        )),
    }
}

/// An image that can be run: other things live in registries too.
fn check_types(reference: &Reference, manifest: &Manifest) -> Result<()> {
    let refuse = |what: &str, media_type: &str| {
        let name = reference.familiar();
        let message = format!("{name} is no image that can be run: {what} of type {media_type:?}");
        Err(Error::new(ErrorKind::Unsupported, message))
    };
    let config = manifest::media_type(&manifest.config.media_type);
    let is_image = matches!(
        config,
        "" | "application/vnd.oci.image.config.v1+json"
            | "application/vnd.docker.container.image.v1+json"
            // Old registries say so of everything.
            | "application/octet-stream"
            | "application/json"
            | "text/plain"
    );
    if !is_image {
        return refuse("it has a configuration", config);
    }
    for layer in &manifest.layers {
        let media_type = manifest::media_type(&layer.media_type);
        let is_layer = media_type.is_empty()
            || media_type == "application/octet-stream"
            || media_type.starts_with("application/vnd.oci.image.layer.")
            || media_type.starts_with("application/vnd.docker.image.rootfs.");
        if !is_layer {
            return refuse("it has a layer", media_type);
        }
    }
    Ok(())
}

fn register(roots: &Roots, reference: &Reference, described: &Described) -> Result<Image> {
    let guard = lock::acquire(roots, Lock::Images)?;
    let blobs = Blobs::new(roots.blobs());
    for document in &described.documents {
        blobs.put(&document.bytes)?;
    }
    let mut repo_digest = reference.clone();
    repo_digest.tag = None;
    repo_digest.digest = Some(described.top.clone());
    // By digest, a name gets no tag.
    let references: &[Reference] = match reference.digest {
        Some(_) => &[],
        None => std::slice::from_ref(reference),
    };
    let documents = described.documents.iter();
    let manifests: Vec<Digest> = documents.map(|found| found.digest.clone()).collect();
    let registration = store::Registration {
        config: &described.config,
        references,
        manifests: &manifests,
        repo_digest: Some(&repo_digest),
    };
    store::register(roots, &guard, &registration)
}

/// The layers of one image on their way.
struct LayerPull<'a> {
    remote: &'a Remote,
    roots: &'a Roots,
    reference: &'a Reference,
    on: &'a OnLayer<'a>,
    layers: &'a [Descriptor],
    diff_ids: &'a [Digest],
    chain: Vec<Digest>,
    state: Mutex<State>,
    changed: Condvar,
    /// The next layer that nobody has taken; the lowest first, so that whoever waits for those
    /// below waits for somebody who is at work.
    next: AtomicUsize,
    /// One failed: the others need not go on.
    stop: AtomicBool,
}

#[derive(Default)]
struct State {
    /// By the layers' numbers.
    held: Vec<Option<Hold>>,
    /// So many, the lowest, have been locked by us or are held.
    locked: usize,
    failed: Option<Error>,
}

impl LayerPull<'_> {
    /// Makes sure that every layer is there, and holds them all.
    fn run(self, parallel: usize) -> Result<Vec<Hold>> {
        self.lock().held.resize_with(self.layers.len(), || None);
        for layer in self.layers {
            (self.on)(layer.digest.short(), LayerState::Waiting);
        }
        std::thread::scope(|scope| {
            for _ in 0..parallel.clamp(1, self.layers.len().max(1)) {
                scope.spawn(|| self.work());
            }
        });
        let state = self
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        match state.failed {
            Some(error) => Err(error),
            None => Ok(state.held.into_iter().flatten().collect()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.layers.len() {
                return;
            }
            let fetched = self
                .layer(number)
                .context(|| format!("layer {}", self.layers[number].digest.short()));
            let mut state = self.lock();
            match fetched {
                Ok(hold) => state.held[number] = Some(hold),
                Err(error) => {
                    self.stop.store(true, Ordering::Relaxed);
                    // The first is the cause, what comes after only its consequence.
                    state.failed.get_or_insert(error);
                }
            }
            self.changed.notify_all();
        }
    }

    fn layer(&self, number: usize) -> Result<Hold> {
        let chain_id = &self.chain[number];
        let descriptor = &self.layers[number];
        let mut state = LayerState::Exists;
        // Two pulls that both lock from below never wait for each other in a circle.
        self.wait_until(|state| state.locked >= number)?;
        loop {
            let hold = layer::hold(self.roots, chain_id)?;
            if layer::find(self.roots, chain_id)?.is_some() {
                self.locked(number);
                let origin = Origin {
                    domain: self.reference.domain.clone(),
                    path: self.reference.path.clone(),
                    digest: descriptor.digest.clone(),
                    size_bytes: descriptor.size,
                    media_type: descriptor.media_type.clone(),
                };
                layer::add_origin(self.roots, &hold, chain_id, origin)?;
                (self.on)(descriptor.digest.short(), state);
                return Ok(hold);
            }
            drop(hold);
            let making = lock::acquire(self.roots, Lock::Layer(chain_id.hex()))?;
            self.locked(number);
            if layer::find(self.roots, chain_id)?.is_none() {
                self.make(number)?;
                state = LayerState::Complete;
            }
            // Shared next; if it is taken away between the two, it is made again.
            drop(making);
        }
    }

    /// Fetches and unpacks; a damaged transfer once more.
    fn make(&self, number: usize) -> Result<()> {
        match self.fetch(number) {
            Err(error) if error.kind() == ErrorKind::Invalid && !self.has_stopped() => {
                tracing::info!(%error, "fetching a layer again");
                self.fetch(number)
            }
            other => other,
        }
    }

    fn has_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn fetch(&self, number: usize) -> Result<()> {
        let descriptor = &self.layers[number];
        let blob = self.remote.blob(self.reference, descriptor)?;
        let mut watched = Watched {
            blob,
            pull: self,
            name: descriptor.digest.short(),
            done_bytes: 0,
            told_bytes: 0,
            total_bytes: descriptor.size,
            is_verified: false,
        };
        let below = &self.chain[..number];
        let diff_id = Some(&self.diff_ids[number]);
        let wait = || self.wait_below(number);
        let unpacked = Aside::unpack(self.roots, below, &mut watched, diff_id, wait)
            .and_then(|aside| aside.place(self.roots));
        let left_bytes = watched.total_bytes - watched.done_bytes;
        let is_damaged = |error: &Error| error.kind() == ErrorKind::Invalid;
        match unpacked {
            // What stands behind the end of a compressed stream belongs to the digest as well.
            Ok(_) => watched.verify(),
            // That the bytes are not those of the digest says more than what is wrong in them.
            Err(error) if is_damaged(&error) && left_bytes <= VERIFIED_BYTES => {
                watched.verify().and(Err(error))
            }
            Err(error) => Err(error),
        }
    }

    /// The next one up may be locked.
    fn locked(&self, number: usize) {
        let mut state = self.lock();
        state.locked = state.locked.max(number + 1);
        self.changed.notify_all();
    }

    /// Until every layer below is in the store.
    fn wait_below(&self, number: usize) -> Result<()> {
        self.wait_until(|state| state.held[..number].iter().all(Option::is_some))
    }

    fn wait_until(&self, reached: impl Fn(&State) -> bool) -> Result<()> {
        let mut state = self.lock();
        loop {
            if state.failed.is_some() {
                return Err(cancelled());
            }
            if reached(&state) {
                return Ok(());
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A blob on its way, which stops when another failed, and tells how far it is.
struct Watched<'a, R> {
    blob: R,
    pull: &'a LayerPull<'a>,
    name: &'a str,
    done_bytes: u64,
    told_bytes: u64,
    total_bytes: u64,
    is_verified: bool,
}

impl<R: Read> Watched<'_, R> {
    /// Reads to the end, where the digest is compared.
    fn verify(&mut self) -> Result<()> {
        if !self.is_verified {
            io::copy(self, &mut io::sink())?;
        }
        Ok(())
    }
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.pull.has_stopped() {
            return Err(io::Error::other(cancelled()));
        }
        let count = self.blob.read(buffer)?;
        self.done_bytes += count as u64;
        if count == 0 && !self.is_verified {
            self.is_verified = true;
            (self.pull.on)(self.name, LayerState::Downloaded);
        } else if (self.done_bytes - self.told_bytes) * 50 >= self.total_bytes {
            self.told_bytes = self.done_bytes;
            let state = LayerState::Downloading {
                done_bytes: self.done_bytes,
                total_bytes: self.total_bytes,
            };
            (self.pull.on)(self.name, state);
        }
        Ok(count)
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(text: &str) -> Index {
        match manifest::parse(text.as_bytes()).unwrap() {
            Document::Index(index) => index,
            Document::Manifest(_) => panic!("an index"),
        }
    }

    fn entry(digit: char, platform: &str) -> String {
        let digest = format!("sha256:{}", String::from(digit).repeat(64));
        format!(r#"{{"digest": "{digest}", "size": 1{platform}}}"#)
    }

    #[test]
    fn the_entry_of_our_platform_is_chosen_and_provenance_is_not() {
        let arm = entry(
            'a',
            r#", "platform": {"os": "linux", "architecture": "arm64"}"#,
        );
        let amd = entry(
            'b',
            r#", "platform": {"os": "linux", "architecture": "amd64"}"#,
        );
        let other = entry(
            'c',
            r#", "annotations": {"vnd.docker.reference.type": "x"}"#,
        );
        let listed = index(&format!(r#"{{"manifests": [{arm}, {other}, {amd}]}}"#));
        let platform = |architecture: &str| Platform {
            os: "linux".into(),
            architecture: architecture.into(),
            variant: String::new(),
        };
        assert!(
            choose(&listed, &platform("amd64"))
                .unwrap()
                .hex()
                .starts_with('b')
        );
        let error = choose(&listed, &platform("s390x")).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("no matching manifest for linux/s390x")
        );
        let alone = index(&format!(
            r#"{{"manifests": [{other}, {}]}}"#,
            entry('d', "")
        ));
        assert!(
            choose(&alone, &platform("s390x"))
                .unwrap()
                .hex()
                .starts_with('d')
        );
    }

    #[test]
    fn what_is_no_image_is_named() {
        let text = r#"{"config": {"mediaType": "application/vnd.cncf.helm.config.v1+json",
            "digest": "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "size": 1}, "layers": []}"#;
        let Document::Manifest(manifest) = manifest::parse(text.as_bytes()).unwrap() else {
            panic!("a manifest");
        };
        let reference = Reference::parse("charts.test/a").unwrap().or_latest();
        let error = check_types(&reference, &manifest).unwrap_err();
        assert!(error.to_string().contains("helm"), "{error}");
    }
}
