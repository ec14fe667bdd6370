//! Pure: manifests and indexes of both families, and `docker save`'s own list.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::platform::{self, Platform};
use crate::content::digest::Digest;
use crate::error::{Error, ErrorKind, Result};

/// Manifests larger than this are refused everywhere.
pub const LIMIT_BYTES: u64 = 4 << 20;

/// Points to content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<IndexMap<String, String>>,
}

impl Descriptor {
    /// One of its annotations.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// Provenance and its like: not an image.
    pub fn is_attestation(&self) -> bool {
        self.annotation("vnd.docker.reference.type").is_some()
    }

    /// Whether it points to an index.
    pub fn is_index(&self) -> bool {
        matches!(
            media_type(&self.media_type),
            "application/vnd.oci.image.index.v1+json"
                | "application/vnd.docker.distribution.manifest.list.v2+json"
        )
    }
}

/// An image's parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub config: Descriptor,
    /// Lowest first.
    pub layers: Vec<Descriptor>,
}

/// Images of several platforms, or several images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    pub manifests: Vec<Descriptor>,
}

impl Index {
    /// The manifest or index for a platform, of those that `is_there` accepts.
    pub fn choose(
        &self,
        wanted: &Platform,
        is_there: impl Fn(&Descriptor) -> bool,
    ) -> Option<&Descriptor> {
        let candidates: Vec<&Descriptor> = self
            .manifests
            .iter()
            .filter(|descriptor| !descriptor.is_attestation() && is_there(descriptor))
            .collect();
        let platforms: Vec<Option<Platform>> = candidates
            .iter()
            .map(|descriptor| descriptor.platform.clone())
            .collect();
        platform::choose(wanted, &platforms).map(|number| candidates[number])
    }
}

/// A manifest or an index.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    Manifest(Manifest),
    Index(Index),
}

/// Reads a document by what it holds: media types may be missing.
pub fn parse(bytes: &[u8]) -> Result<Document> {
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(damaged)?;
    let has = |key: &str| value.get(key).is_some_and(|field| !field.is_null());
    match (has("manifests"), has("layers") || has("config")) {
        // Two readers would see two images in it.
        (true, true) => Err(Error::new(
            ErrorKind::Invalid,
            "damaged manifest: both an index and a manifest",
        )),
        (true, false) => serde_json::from_value(value)
            .map(Document::Index)
            .map_err(damaged),
        (false, true) => serde_json::from_value(value)
            .map(Document::Manifest)
            .map_err(damaged),
        (false, false) => Err(Error::new(
            ErrorKind::Invalid,
            "damaged manifest: neither an index nor a manifest",
        )),
    }
}

/// The type of a manifest: as it says, else by what it holds.
pub(crate) fn type_of(bytes: &[u8], manifest: &Manifest) -> String {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        media_type: String,
    }
    if let Ok(typed) = serde_json::from_slice::<Typed>(bytes) {
        return typed.media_type;
    }
    let is_docker = manifest.config.media_type.contains("docker");
    let family = if is_docker {
        "application/vnd.docker.distribution.manifest.v2+json"
    } else {
        "application/vnd.oci.image.manifest.v1+json"
    };
    family.to_owned()
}

/// One image in `manifest.json` of `docker save`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SavedImage {
    /// A member's path.
    pub config: String,
    pub repo_tags: Option<Vec<String>>,
    /// Members' paths, lowest first.
    pub layers: Option<Vec<String>>,
}

/// The name that an OCI layout gives to a manifest: a full one, or nothing (a bare tag names no
/// image).
pub fn name_of(descriptor: &Descriptor) -> Option<&str> {
    let full = descriptor.annotation("io.containerd.image.name");
    full.or_else(|| {
        descriptor
            .annotation("org.opencontainers.image.ref.name")
            .filter(|name| name.contains(['/', ':']))
    })
}

/// Without parameters (`; charset=…`).
pub(crate) fn media_type(text: &str) -> &str {
    text.split(';').next().unwrap_or("").trim()
}

fn damaged(error: serde_json::Error) -> Error {
    Error::with_source(ErrorKind::Invalid, "damaged manifest", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_of_two_minds_is_refused() {
        let error = parse(br#"{"manifests":[],"layers":[]}"#).unwrap_err();
        assert!(error.to_string().contains("both"));
        assert!(parse(b"{}").is_err());
        assert_eq!(
            parse(br#"{"manifests":[],"config":null}"#).unwrap(),
            Document::Index(Index { manifests: vec![] })
        );
    }

    #[test]
    fn attestations_are_never_chosen() {
        let descriptor = |number: u8, attestation: bool| Descriptor {
            media_type: String::new(),
            digest: Digest::of(&[number]),
            size: 1,
            platform: Some(Platform::host()),
            annotations: attestation.then(|| {
                IndexMap::from([(
                    "vnd.docker.reference.type".into(),
                    "attestation-manifest".into(),
                )])
            }),
        };
        let index = Index {
            manifests: vec![
                descriptor(1, true),
                descriptor(2, false),
                descriptor(3, false),
            ],
        };
        let chosen = index.choose(&Platform::host(), |_| true).unwrap();
        assert_eq!(chosen.digest, Digest::of(&[2]));
        let chosen = index
            .choose(&Platform::host(), |it| it.digest != Digest::of(&[2]))
            .unwrap();
        assert_eq!(chosen.digest, Digest::of(&[3]));
    }

    #[test]
    fn a_bare_tag_is_no_name() {
        let mut descriptor = Descriptor {
            media_type: String::new(),
            digest: Digest::of(b""),
            size: 0,
            platform: None,
            annotations: Some(IndexMap::from([(
                "org.opencontainers.image.ref.name".into(),
                "latest".into(),
            )])),
        };
        assert_eq!(name_of(&descriptor), None);
        descriptor.annotations = Some(IndexMap::from([(
            "org.opencontainers.image.ref.name".into(),
            "web:1".into(),
        )]));
        assert_eq!(name_of(&descriptor), Some("web:1"));
    }
}
