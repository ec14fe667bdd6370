//! Pure: names of images as people write them: `name[:tag][@digest]`.

use std::fmt;

use crate::content::digest::Digest;
use crate::error::{Error, ErrorKind, Result};

/// A name with everything filled in but tag and digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// `docker.io` unless written.
    pub domain: String,
    /// `library/redis`.
    pub path: String,
    pub tag: Option<String>,
    pub digest: Option<Digest>,
}

impl Reference {
    /// Reads what a user wrote.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() == 64 && text.bytes().all(is_lower_hex) {
            return Err(invalid(format!(
                "invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
            )));
        }
        let (domain, remainder) = split_domain(text);
        let (remainder, digest) = match remainder.split_once('@') {
            Some((name, digest)) => (name, Some(parse_digest(digest)?)),
            None => (remainder, None),
        };
        let (path, tag) = match remainder.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (remainder, None),
        };
        let path = if domain == "docker.io" && !path.contains('/') && !path.is_empty() {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(invalid(format!(
                "invalid reference format: repository name ({path}) must be lowercase"
            )));
        }
        let is_valid =
            is_domain(&domain) && path.split('/').all(is_path_component) && tag.is_none_or(is_tag);
        if !is_valid {
            return Err(invalid("invalid reference format"));
        }
        if domain.len() + 1 + path.len() > 255 {
            return Err(invalid(
                "repository name must not be more than 255 characters",
            ));
        }
        Ok(Self {
            domain,
            path,
            tag: tag.map(str::to_owned),
            digest,
        })
    }

    /// With the tag `latest` when there is neither tag nor digest.
    #[must_use]
    pub fn or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some("latest".into());
        }
        self
    }

    /// Domain and path.
    pub fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The name as people know it: without `docker.io/library/`.
    pub fn familiar_name(&self) -> String {
        if self.domain != "docker.io" {
            return self.name();
        }
        match self.path.strip_prefix("library/") {
            Some(name) if !name.contains('/') => name.to_owned(),
            _ => self.path.clone(),
        }
    }

    /// The whole reference as people know it.
    pub fn familiar(&self) -> String {
        format!("{}{}", self.familiar_name(), self.suffix())
    }

    fn suffix(&self) -> String {
        let mut suffix = String::new();
        if let Some(tag) = &self.tag {
            suffix.push(':');
            suffix.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            suffix.push('@');
            suffix.push_str(digest.as_str());
        }
        suffix
    }
}

impl fmt::Display for Reference {
    /// The canonical form: what is stored and compared.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name(), self.suffix())
    }
}

fn split_domain(text: &str) -> (String, &str) {
    match text.split_once('/') {
        Some((first, rest)) if looks_like_host(first) => {
            let domain = if first == "index.docker.io" {
                "docker.io"
            } else {
                first
            };
            (domain.to_owned(), rest)
        }
        _ => ("docker.io".to_owned(), text),
    }
}

fn looks_like_host(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':'])
        || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn parse_digest(text: &str) -> Result<Digest> {
    match text.split_once(':') {
        Some(("sha256", hex)) if hex.len() != 64 => Err(invalid("invalid checksum digest length")),
        Some(("sha256", hex)) if !hex.bytes().all(is_lower_hex) => {
            Err(invalid("invalid checksum digest format"))
        }
        Some(("sha256", _)) => Digest::try_from(text.to_owned()),
        Some((_, hex)) if hex.len() >= 32 && hex.bytes().all(is_lower_hex) => {
            Err(invalid("unsupported digest algorithm"))
        }
        _ => Err(invalid("invalid reference format")),
    }
}

fn is_lower_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

fn is_domain(domain: &str) -> bool {
    let host = match domain.rsplit_once(':') {
        // The last colon of an IPv6 address stands inside of its brackets.
        Some((host, port)) if !port.ends_with(']') => {
            if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
                return false;
            }
            host
        }
        _ => domain,
    };
    if let Some(address) = host.strip_prefix('[') {
        return address.strip_suffix(']').is_some_and(|address| {
            !address.is_empty()
                && address
                    .bytes()
                    .all(|byte| byte.is_ascii_hexdigit() || byte == b':')
        });
    }
    host.split('.').all(|label| {
        let bytes = label.as_bytes();
        !bytes.is_empty()
            && bytes
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
            && bytes[0] != b'-'
            && bytes[bytes.len() - 1] != b'-'
    })
}

/// `[a-z0-9]+` joined by `.`, `_`, `__` or any number of `-`.
fn is_path_component(component: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    if !is_word(*first) || !is_word(*last) {
        return false;
    }
    component
        .split(|character: char| is_word(u8::try_from(character).unwrap_or(0)))
        .all(|separator| {
            matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
        })
}

fn is_tag(tag: &str) -> bool {
    let bytes = tag.as_bytes();
    (1..=128).contains(&bytes.len())
        && (bytes[0].is_ascii_alphanumeric() || bytes[0] == b'_')
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(byte))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        match Reference::parse(text) {
            Ok(reference) => reference.or_latest().to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_typed_becomes_canonical() {
        for (typed, expected) in [
            ("redis", "docker.io/library/redis:latest"),
            ("bitnami/redis:7", "docker.io/bitnami/redis:7"),
            ("docker.io/redis", "docker.io/library/redis:latest"),
            ("index.docker.io/redis", "docker.io/library/redis:latest"),
            ("localhost/x", "localhost/x:latest"),
            ("localhost:5000/x", "localhost:5000/x:latest"),
            ("foo:5000", "docker.io/library/foo:5000"),
            ("Foo/bar", "Foo/bar:latest"),
            ("[::1]:5000/a", "[::1]:5000/a:latest"),
            ("e/a__b--c.d", "docker.io/e/a__b--c.d:latest"),
        ] {
            assert_eq!(canonical(typed), expected, "{typed}");
        }
        let digest = Digest::of(b"");
        let pinned = format!("ghcr.io/a/b/c:1@{digest}");
        assert_eq!(canonical(&pinned), pinned);
    }

    #[test]
    fn wrong_names_are_refused_in_docker_s_words() {
        for (typed, expected) in [
            ("a:b:c", "invalid reference format"),
            ("", "invalid reference format"),
            ("a/", "invalid reference format"),
            ("a..b", "invalid reference format"),
            ("a_-b", "invalid reference format"),
            ("-a", "invalid reference format"),
            ("a:", "invalid reference format"),
            ("a b", "invalid reference format"),
            ("é", "invalid reference format"),
            (
                "Foo",
                "invalid reference format: repository name (library/Foo) must be lowercase",
            ),
            ("a@sha256:12", "invalid checksum digest length"),
        ] {
            assert_eq!(canonical(typed), expected, "{typed}");
        }
        assert!(canonical(&"a".repeat(64)).starts_with("invalid repository name"));
        assert!(canonical(&"a/".repeat(150)).starts_with("invalid"));
    }

    #[test]
    fn people_see_the_short_form() {
        for text in [
            "redis:7",
            "a/b:1",
            "ghcr.io/x:1",
            "localhost:5000/library/x:1",
        ] {
            assert_eq!(Reference::parse(text).unwrap().familiar(), text);
        }
        let nested = Reference::parse("library/redis").unwrap();
        assert_eq!(nested.familiar(), "redis");
    }
}
