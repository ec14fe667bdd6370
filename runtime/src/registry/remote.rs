//! One registry's manifests and blobs.

use reqwest::header::ACCEPT;
use reqwest::{Method, Url};

use super::blob::Blob;
use super::client::{Answer, Ask, Client, Failure, FailureKind, cancelled};
use crate::content::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::image::manifest::{self, Descriptor};
use crate::image::reference::Reference;

/// What we understand, the newest first.
const MANIFEST_TYPES: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// More tags than that nobody wants to pull.
const TAG_LIMIT: usize = 100_000;

/// A registry that answers.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) client: Client,
}

/// A manifest or an index, byte by byte as the registry has it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) digest: Digest,
    pub(super) bytes: Vec<u8>,
}

impl Remote {
    /// The digest of what a tag points to, without its content: not counted by those who count.
    /// `None` where a registry does not answer such a question well.
    pub(super) fn head(&self, reference: &Reference, tag: &str) -> Result<Option<Digest>> {
        let answer = self.ask_manifest(Method::HEAD, reference, tag)?;
        match answer.status() {
            200 => Ok(answer
                .header("docker-content-digest")
                .and_then(|text| Digest::try_from(text.to_owned()).ok())),
            _ => Ok(None),
        }
    }

    /// What a tag or digest points to; by digest nothing else is taken.
    pub(super) fn manifest(&self, reference: &Reference, target: &str) -> Result<Found> {
        let answer = self.ask_manifest(Method::GET, reference, target)?;
        if answer.status() != 200 {
            return Err(self.no_manifest(reference, target, answer)?);
        }
        let media_type = answer
            .header("content-type")
            .map(|text| manifest::media_type(text).to_owned())
            .unwrap_or_default();
        let claimed = answer
            .header("docker-content-digest")
            .and_then(|text| Digest::try_from(text.to_owned()).ok());
        let shown = format!("manifest {}@{target}", reference.familiar_name());
        let bytes = self
            .client
            .bytes(answer, manifest::LIMIT_BYTES)
            .map_err(|failure| as_error(&shown, &failure))?;
        let digest = Digest::of(&bytes);
        let expected = Digest::try_from(target.to_owned()).ok().or(claimed);
        if expected.is_some_and(|expected| expected != digest) {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("manifest verification failed for digest {target}"),
            ));
        }
        refuse_old(&media_type, &bytes)?;
        Ok(Found { digest, bytes })
    }

    /// Every tag of a repository, in the registry's order.
    pub(super) fn tags(&self, reference: &Reference) -> Result<Vec<String>> {
        #[derive(serde::Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let mut url = self.client.url(&format!("{}/tags/list", reference.path))?;
        let scopes = pull_scopes(reference);
        let name = reference.familiar_name();
        let mut tags = Vec::new();
        loop {
            let answer = self
                .client
                .send(&Ask::new(Method::GET, url.clone(), &scopes))?;
            if answer.status() != 200 {
                return Err(self.no_manifest(reference, "tags", answer)?);
            }
            let next = answer.header("link").and_then(next_page);
            let next = next.and_then(|link| answer.url().join(&link).ok());
            let shown = format!("tags of {name}");
            let bytes = self
                .client
                .bytes(answer, manifest::LIMIT_BYTES)
                .map_err(|failure| as_error(&shown, &failure))?;
            let page: Page = serde_json::from_slice(&bytes)
                .map_err(|error| Error::with_source(ErrorKind::Invalid, shown, error))?;
            tags.extend(page.tags.unwrap_or_default());
            match next {
                // The same page again would go on for ever.
                Some(next) if next != url && tags.len() < TAG_LIMIT => url = next,
                _ => return Ok(tags),
            }
        }
    }

    /// A blob's content, as a stream that is checked on the way.
    pub(super) fn blob(&self, reference: &Reference, descriptor: &Descriptor) -> Result<Blob<'_>> {
        let url = self.blob_url(reference, &descriptor.digest)?;
        Ok(Blob::new(
            &self.client,
            url,
            descriptor.clone(),
            pull_scopes(reference),
        ))
    }

    pub(super) fn blob_url(&self, reference: &Reference, digest: &Digest) -> Result<Url> {
        self.client
            .url(&format!("{}/blobs/{digest}", reference.path))
    }

    fn ask_manifest(&self, method: Method, reference: &Reference, target: &str) -> Result<Answer> {
        let url = self
            .client
            .url(&format!("{}/manifests/{target}", reference.path))?;
        let scopes = pull_scopes(reference);
        let mut ask = Ask::new(method, url, &scopes);
        for media_type in MANIFEST_TYPES {
            ask = ask.header(ACCEPT, media_type)?;
        }
        self.client.send(&ask)
    }

    /// In the words of Docker Engine.
    fn no_manifest(&self, reference: &Reference, target: &str, answer: Answer) -> Result<Error> {
        let status = answer.status();
        let name = reference.familiar_name();
        let told = self.client.refusal("", answer)?.to_string();
        let told = told.trim_start_matches(": ");
        let is_unknown_name = told.contains("name unknown") || told.contains("name invalid");
        Ok(match status {
            401 | 403 => denied(&name, told),
            404 if is_unknown_name => denied(&name, told),
            404 => {
                let joint = if target.contains(':') { '@' } else { ':' };
                let message = format!("manifest for {name}{joint}{target} not found: {told}");
                Error::new(ErrorKind::NotFound, message)
            }
            _ => Error::new(
                ErrorKind::Unavailable,
                format!("manifest of {name}: {told}"),
            ),
        })
    }
}

/// `</v2/x/tags/list?last=y>; rel="next"`.
fn next_page(link: &str) -> Option<String> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = parameters.replace('"', "").contains("rel=next");
    is_next.then(|| target.to_owned())
}

fn denied(name: &str, told: &str) -> Error {
    let message = format!(
        "pull access denied for {name}, repository does not exist or may require 'docker login': \
         {told}"
    );
    Error::new(ErrorKind::Unauthorized, message)
}

/// A failed transfer as an error.
pub(super) fn as_error(what: &str, failure: &Failure) -> Error {
    match failure.kind {
        FailureKind::Cancelled => cancelled(),
        _ => Error::new(ErrorKind::Unavailable, format!("{what}: {failure}")),
    }
}

/// What a token must allow for pulling.
pub(super) fn pull_scopes(reference: &Reference) -> Vec<String> {
    vec![format!("repository:{}:pull", reference.path)]
}

/// What registries have not been able to serve for years, and what is no image at all.
fn refuse_old(media_type: &str, bytes: &[u8]) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Version {
        #[serde(default, rename = "schemaVersion")]
        version: u32,
    }
    let version = serde_json::from_slice::<Version>(bytes).map_or(2, |it| it.version);
    if version == 1 || media_type.starts_with("application/vnd.docker.distribution.manifest.v1+") {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "the image is in the format of 2014 (schema 1), which is no longer read: push it again \
             with a newer Docker",
        ));
    }
    Ok(())
}
