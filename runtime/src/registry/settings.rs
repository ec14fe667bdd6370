//! What the machine's and the user's files say about registries.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::resolver::Resolver;
use crate::error::{Context, Error, ErrorKind, Result};

/// Where to look. Nothing is read from the environment here.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `~/.docker`: `config.json`, `certs.d`. Absent: nobody's.
    pub user: Option<PathBuf>,
    /// `DOCKER_AUTH_CONFIG`: credentials as JSON, before those of files.
    pub auth_config: Option<String>,
    /// `/etc/docker`: `daemon.json`, `certs.d`.
    pub machine: PathBuf,
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            user: None,
            auth_config: None,
            machine: "/etc/docker".into(),
            limits: Limits::default(),
        }
    }
}

/// How long something may take, and how often it is tried again.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub connect: Duration,
    /// Until the head of an answer has come.
    pub answer: Duration,
    /// In so much time at least [`Limits::stall_bytes`] must arrive.
    pub stall: Duration,
    pub stall_bytes: u64,
    /// The first pause; each is twice as long as the one before.
    pub pause: Duration,
    pub longest_pause: Duration,
    pub tries: u32,
    /// Layers at once.
    pub parallel: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            answer: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            stall_bytes: 30 << 10,
            pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(10),
            tries: 5,
            parallel: 4,
        }
    }
}

/// Of `daemon.json` only what concerns us.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Daemon {
    pub registry_mirrors: Vec<String>,
    pub insecure_registries: Vec<String>,
}

impl Daemon {
    /// Reads the file; there may be none.
    pub fn read(path: &Path) -> Result<Self> {
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                Error::with_source(ErrorKind::Invalid, path.display().to_string(), error)
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).context(|| format!("read {}", path.display())),
        }
    }

    /// The bases to try for a registry, in this order: encrypted first, and, where the machine
    /// says so or it is the machine itself, without checking who answers, then in the clear.
    pub fn bases(&self, domain: &str, addresses: impl FnOnce() -> Vec<IpAddr>) -> Vec<Base> {
        let host = match domain {
            "docker.io" => "registry-1.docker.io",
            other => other,
        };
        let secure = Base {
            url: format!("https://{host}"),
            verify: true,
        };
        if self.is_insecure(domain, addresses) {
            let unchecked = Base {
                verify: false,
                ..secure
            };
            let clear = Base {
                url: format!("http://{host}"),
                verify: false,
            };
            return vec![unchecked, clear];
        }
        vec![secure]
    }

    /// The mirrors of Docker Hub; nothing else has any.
    pub fn mirrors(&self, domain: &str) -> Vec<Base> {
        if domain != "docker.io" {
            return Vec::new();
        }
        let mirrors = self.registry_mirrors.iter();
        mirrors
            .map(|url| Base {
                verify: !url.starts_with("http://"),
                url: url.trim_end_matches('/').to_owned(),
            })
            .collect()
    }

    fn is_insecure(&self, domain: &str, addresses: impl FnOnce() -> Vec<IpAddr>) -> bool {
        if self.insecure_registries.iter().any(|name| name == domain) {
            return true;
        }
        let host = host_of(domain);
        let addresses = match host.parse() {
            Ok(address) => vec![address],
            Err(_) => addresses(),
        };
        let networks = self.insecure_registries.iter();
        let networks: Vec<_> = networks.filter_map(|text| parse_network(text)).collect();
        addresses.iter().any(|address| {
            address.is_loopback()
                || networks
                    .iter()
                    .any(|(network, bits)| contains(*network, *bits, *address))
        })
    }
}

/// One way to reach a registry: `https://registry.test:5000`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    pub url: String,
    /// Whether its certificate must be right.
    pub verify: bool,
}

impl Settings {
    /// `daemon.json` of the machine.
    pub(super) fn daemon(&self) -> Result<Daemon> {
        Daemon::read(&self.machine.join("daemon.json"))
    }

    /// The bases of a registry.
    pub(super) fn bases(&self, domain: &str, daemon: &Daemon) -> Vec<Base> {
        let resolver = Resolver::default();
        daemon.bases(domain, || {
            let host = host_of(domain);
            let known = resolver.in_hosts(host);
            // A name is only looked up for the sake of networks that the machine trusts.
            let has_networks = daemon.insecure_registries.iter().any(|it| it.contains('/'));
            if known.is_empty() && has_networks {
                return resolver.lookup(host).unwrap_or_default();
            }
            known
        })
    }

    /// The directories of a registry's own certificates.
    pub(super) fn certificates(&self, domain: &str) -> Vec<PathBuf> {
        [Some(&self.machine), self.user.as_ref()]
            .into_iter()
            .flatten()
            .map(|directory| directory.join("certs.d").join(domain))
            .filter(|directory| directory.is_dir())
            .collect()
    }
}

/// Without port and brackets.
fn host_of(domain: &str) -> &str {
    if let Some(rest) = domain.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    domain.rsplit_once(':').map_or(domain, |(host, _)| host)
}

fn parse_network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let bits: u8 = bits.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    (bits <= most).then_some((address, bits))
}

fn contains(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    let shift = |length: u8| u32::from(length) - u32::from(bits);
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let differing = u32::from(network) ^ u32::from(address);
            differing.checked_shr(shift(32)).unwrap_or(0) == 0
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let differing = u128::from(network) ^ u128::from(address);
            differing.checked_shr(shift(128)).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(daemon: &Daemon, domain: &str, address: Option<&str>) -> Vec<String> {
        let addresses = address.map(|text| text.parse().unwrap());
        let bases = daemon.bases(domain, || addresses.into_iter().collect());
        let shown = |base: Base| format!("{}{}", base.url, if base.verify { "" } else { " ?" });
        bases.into_iter().map(shown).collect()
    }

    #[test]
    fn only_the_machine_itself_and_what_it_lists_may_speak_in_the_clear() {
        let daemon = Daemon {
            insecure_registries: vec!["old.test:5000".into(), "10.1.0.0/16".into()],
            ..Daemon::default()
        };
        let cases = [
            ("docker.io", None, "https://registry-1.docker.io"),
            ("ghcr.io", Some("1.2.3.4"), "https://ghcr.io"),
            (
                "localhost:5000",
                Some("127.0.0.1"),
                "https://localhost:5000 ?",
            ),
            ("127.0.0.1:5000", None, "https://127.0.0.1:5000 ?"),
            ("[::1]:5000", None, "https://[::1]:5000 ?"),
            ("old.test:5000", None, "https://old.test:5000 ?"),
            ("old.test:5001", None, "https://old.test:5001"),
            ("near.test", Some("10.1.2.3"), "https://near.test ?"),
            ("far.test", Some("10.2.2.3"), "https://far.test"),
        ];
        for (domain, address, first) in cases {
            let urls = urls(&daemon, domain, address);
            assert_eq!(urls[0], first, "{domain}");
            assert_eq!(
                urls.len(),
                1 + usize::from(first.ends_with('?')),
                "{domain}"
            );
        }
    }

    #[test]
    fn mirrors_are_of_docker_hub_alone() {
        let daemon: Daemon =
            serde_json::from_str(r#"{"registry-mirrors": ["https://m.test/"], "debug": true}"#)
                .unwrap();
        assert_eq!(daemon.mirrors("docker.io")[0].url, "https://m.test");
        assert!(daemon.mirrors("ghcr.io").is_empty());
    }

    #[test]
    fn a_damaged_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("daemon.json");
        assert_eq!(Daemon::read(&path).unwrap(), Daemon::default());
        std::fs::write(&path, "{").unwrap();
        let error = Daemon::read(&path).unwrap_err();
        assert!(error.to_string().contains("daemon.json"));
    }
}
