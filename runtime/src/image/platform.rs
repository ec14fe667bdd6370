//! Pure: which of several images fits: `os/architecture/variant`.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// A platform; the fields that only Windows uses are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

impl Platform {
    /// The one this program was built for.
    pub fn host() -> Self {
        let architecture = if cfg!(target_arch = "x86_64") {
            "amd64"
        } else if cfg!(target_arch = "aarch64") {
            "arm64"
        } else {
            "unknown"
        };
        Self {
            os: "linux".into(),
            architecture: architecture.into(),
            variant: String::new(),
        }
    }

    /// Reads `linux/arm64/v8`, or one word of it, the other being the host's.
    ///
    /// # Errors
    /// What is none, in containerd's words.
    pub fn parse(text: &str) -> Result<Self> {
        let is_plain = |part: &str| {
            let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
            !part.is_empty() && part.chars().all(is_allowed)
        };
        let parts: Vec<&str> = text.split('/').collect();
        let known_os = ["linux", "windows", "darwin", "macos", "freebsd"];
        let known_architecture = [
            "amd64", "x86_64", "x86-64", "386", "i386", "arm", "armhf", "armel", "arm64",
            "aarch64", "ppc64le", "s390x", "riscv64", "loong64", "mips64le", "ppc64", "wasm",
        ];
        let host = Self::host();
        let of = |os: &str, architecture: &str, variant: &str| Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
        };
        let lower = text.to_ascii_lowercase();
        let platform = match parts[..] {
            _ if !parts.iter().all(|part| is_plain(part)) => None,
            [_] if known_os.contains(&lower.as_str()) => Some(of(text, &host.architecture, "")),
            [_] if known_architecture.contains(&lower.as_str()) => Some(of(&host.os, text, "")),
            [os, architecture] => Some(of(os, architecture, "")),
            [os, architecture, variant] => Some(of(os, architecture, variant)),
            _ => None,
        };
        platform.map(|found| found.normalized()).ok_or_else(|| {
            let message = format!("{text:?}: unknown operating system or architecture");
            Error::new(ErrorKind::Invalid, message)
        })
    }

    /// One spelling for each platform.
    #[must_use]
    pub fn normalized(&self) -> Self {
        let os = match self.os.to_ascii_lowercase().as_str() {
            "macos" => "darwin".to_owned(),
            os => os.to_owned(),
        };
        let architecture = self.architecture.to_ascii_lowercase();
        let variant = self.variant.to_ascii_lowercase();
        let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
            ("x86_64" | "x86-64" | "amd64", "" | "v1") => ("amd64", String::new()),
            ("x86_64" | "x86-64", _) => ("amd64", variant),
            ("i386", _) => ("386", String::new()),
            ("aarch64" | "arm64", "" | "8" | "v8") => ("arm64", String::new()),
            ("aarch64" | "arm64", "9" | "9.0" | "v9.0") => ("arm64", "v9".into()),
            ("aarch64", _) => ("arm64", variant),
            ("armhf", _) | ("arm", "") => ("arm", "v7".into()),
            ("armel", _) => ("arm", "v6".into()),
            ("arm", "5" | "6" | "7" | "8") => ("arm", format!("v{variant}")),
            _ => (architecture.as_str(), variant),
        };
        Self {
            os,
            architecture: architecture.to_owned(),
            variant,
        }
    }

    /// What a host of this platform runs, the best first. 32-bit relatives are left out: nobody
    /// asked for them.
    fn acceptable(&self) -> Vec<Self> {
        let wanted = self.normalized();
        let with = |variant: &str| Self {
            variant: variant.to_owned(),
            ..wanted.clone()
        };
        match (wanted.architecture.as_str(), wanted.variant.as_str()) {
            ("amd64", "v4") => vec![with("v4"), with("v3"), with("v2"), with("")],
            ("amd64", "v3") => vec![with("v3"), with("v2"), with("")],
            ("amd64", "v2") => vec![with("v2"), with("")],
            ("arm64", variant) if !variant.is_empty() => vec![with(variant), with("")],
            ("arm", "v8") => vec![with("v8"), with("v7"), with("v6"), with("v5")],
            ("arm", "v7") => vec![with("v7"), with("v6"), with("v5")],
            ("arm", "v6") => vec![with("v6"), with("v5")],
            _ => vec![wanted],
        }
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if !self.variant.is_empty() {
            write!(f, "/{}", self.variant)?;
        }
        Ok(())
    }
}

/// The number of the candidate that fits best; of equal ones the first.
pub fn choose(wanted: &Platform, candidates: &[Option<Platform>]) -> Option<usize> {
    for acceptable in wanted.acceptable() {
        let found = candidates.iter().position(|candidate| {
            candidate
                .as_ref()
                .is_some_and(|candidate| candidate.normalized() == acceptable)
        });
        if found.is_some() {
            return found;
        }
    }
    // One without a platform only when there is nothing to choose from.
    match candidates {
        [None] => Some(0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_is_read_from_one_to_three_words() {
        let parsed = |text: &str| Platform::parse(text).map(|it| it.to_string());
        assert_eq!(parsed("linux/arm64/v8").unwrap(), "linux/arm64");
        assert_eq!(parsed("linux/arm").unwrap(), "linux/arm/v7");
        assert_eq!(parsed("x86_64").unwrap(), "linux/amd64");
        assert_eq!(parsed("Linux").unwrap(), Platform::host().to_string());
        let told = parsed("toaster").unwrap_err().to_string();
        assert_eq!(
            told,
            "\"toaster\": unknown operating system or architecture"
        );
        for wrong in ["", "linux/", "a/b/c/d", "linux/am d64", "*"] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }

    fn platform(text: &str) -> Platform {
        let mut parts = text.split('/').map(str::to_owned);
        Platform {
            os: parts.next().unwrap_or_default(),
            architecture: parts.next().unwrap_or_default(),
            variant: parts.next().unwrap_or_default(),
        }
    }

    #[test]
    fn spellings_are_one_platform() {
        for (written, normal) in [
            ("linux/x86_64", "linux/amd64"),
            ("Linux/arm64/v8", "linux/arm64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
        ] {
            assert_eq!(platform(written).normalized().to_string(), normal);
        }
    }

    #[test]
    fn the_best_variant_is_chosen_and_unknown_ones_never() {
        let candidates = [
            Some(platform("unknown/unknown")),
            Some(platform("linux/amd64")),
            Some(platform("linux/amd64/v2")),
            Some(platform("linux/arm64/v8")),
        ];
        assert_eq!(choose(&platform("linux/amd64/v3"), &candidates), Some(2));
        assert_eq!(choose(&platform("linux/amd64"), &candidates), Some(1));
        assert_eq!(choose(&platform("linux/arm64"), &candidates), Some(3));
        assert_eq!(choose(&platform("linux/s390x"), &candidates), None);
        assert_eq!(choose(&platform("linux/s390x"), &[None]), Some(0));
    }
}
