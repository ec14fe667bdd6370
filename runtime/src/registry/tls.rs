//! HTTP with TLS: whom we trust, and how names become addresses.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::resolver::Resolver;
use super::settings::Base;
use crate::error::{Context, Error, ErrorKind, Result};

/// More than any registry needs.
const REDIRECTS: usize = 10;

/// The client for one base. `certificates` are directories as in Docker's `certs.d`.
pub(super) fn client(
    base: &Base,
    certificates: &[PathBuf],
    connect: Duration,
) -> Result<reqwest::Client> {
    let must_encrypt = base.verify;
    let redirect = Policy::custom(move |attempt| {
        let in_the_clear = attempt.url().scheme() != "https";
        if attempt.previous().len() > REDIRECTS {
            attempt.error("stopped after 10 redirects")
        } else if must_encrypt && in_the_clear {
            attempt.error("redirected from an encrypted to an unencrypted address")
        } else {
            attempt.follow()
        }
    });
    let mut builder = reqwest::Client::builder();
    if is_this_machine(&base.url) {
        // No proxy of the environment reaches our own loopback: as with Docker.
        builder = builder.no_proxy();
    }
    builder
        .user_agent(concat!("ketch/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(connect)
        .redirect(redirect)
        .dns_resolver(Names(Resolver::default()))
        .tls_backend_preconfigured(config(base, certificates)?)
        .build()
        .map_err(|error| Error::with_source(ErrorKind::Internal, "HTTP client", error))
}

fn is_this_machine(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|it| it.is_loopback())
}

/// The one place that names the provider of cryptography.
fn config(base: &Base, certificates: &[PathBuf]) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::with_source(ErrorKind::Internal, "TLS", error))?;
    let own = Own::read(certificates)?;
    let trust = match base.verify {
        true => Trust::checked(own.authorities, &provider)?,
        false => Trust::Anybody,
    };
    let builder = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { trust, provider }));
    let mut config = match own.ours {
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| Error::with_source(ErrorKind::Invalid, "client certificate", error))?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// What `certs.d/<registry>` holds.
#[derive(Default)]
struct Own {
    /// `*.crt`: who may sign for the registry.
    authorities: Vec<CertificateDer<'static>>,
    /// `*.cert` and the `*.key` of the same name: who we are.
    ours: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl Own {
    fn read(directories: &[PathBuf]) -> Result<Self> {
        let mut own = Self::default();
        for directory in directories {
            let failed = || format!("read {}", directory.display());
            let mut files = Vec::new();
            for entry in std::fs::read_dir(directory).context(failed)? {
                files.push(entry.context(failed)?.path());
            }
            files.sort();
            for file in files {
                match file.extension().and_then(|it| it.to_str()) {
                    Some("crt") => own.authorities.extend(chain(&file)?),
                    Some("cert") => {
                        let key = file.with_extension("key");
                        if !key.exists() {
                            let file = file.display();
                            let message = format!("missing key for client certificate {file}");
                            return Err(Error::new(ErrorKind::Invalid, message));
                        }
                        let key = PrivateKeyDer::from_pem_file(&key)
                            .map_err(|error| damaged(&key, &error))?;
                        own.ours = Some((chain(&file)?, key));
                    }
                    _ => {}
                }
            }
        }
        Ok(own)
    }
}

fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| damaged(file, &error))
}

fn damaged(file: &Path, error: &rustls::pki_types::pem::Error) -> Error {
    let message = format!("read {}: {error}", file.display());
    Error::new(ErrorKind::Invalid, message)
}

/// Whom we believe to be the registry.
#[derive(Debug)]
enum Trust {
    /// Anybody: the machine calls the registry insecure.
    Anybody,
    Checked {
        /// Absent when nobody at all is trusted.
        roots: Option<Arc<WebPkiServerVerifier>>,
        /// Certificates of `certs.d`, which may be the server's own: what `openssl req -x509` makes
        /// calls itself an authority, and strict checkers refuse it as a server's.
        own: Vec<CertificateDer<'static>>,
    },
}

impl Trust {
    fn checked(own: Vec<CertificateDer<'static>>, provider: &Arc<CryptoProvider>) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        // SSL_CERT_FILE and SSL_CERT_DIR are heeded; one that can't be read is of no use.
        let native = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(native.certs);
        roots.add_parsable_certificates(own.iter().cloned());
        let roots = if roots.is_empty() {
            None
        } else {
            let provider = Arc::clone(provider);
            let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
            let built = builder.build();
            Some(built.map_err(|error| Error::with_source(ErrorKind::Internal, "TLS", error))?)
        };
        Ok(Self::Checked { roots, own })
    }
}

#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let (roots, own) = match &self.trust {
            Trust::Anybody => return Ok(ServerCertVerified::assertion()),
            Trust::Checked { roots, own } => (roots, own),
        };
        let unknown = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let roots = roots.as_ref().ok_or_else(unknown)?;
        match roots.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_))) => {
                if !own.iter().any(|own| own == end_entity) {
                    return Err(unknown());
                }
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

struct Names(Resolver);

impl Resolve for Names {
    /// A thread for each: lookups block, and there are few.
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.0.clone();
        let (tell, told) = tokio::sync::oneshot::channel();
        let lookup = move || {
            // Nobody waits any more: then nobody needs to know.
            let _told = tell.send(resolver.lookup(name.as_str()));
        };
        let started = std::thread::Builder::new()
            .name("lookup".into())
            .spawn(lookup);
        Box::pin(async move {
            let _running = started?;
            let found = told.await.map_err(|_| "lookup: ended early")??;
            let addresses = found.into_iter().map(|it| SocketAddr::new(it, 0));
            Ok(Box::new(addresses.collect::<Vec<_>>().into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_loopback_is_known_in_all_its_forms() {
        for url in [
            "http://localhost:5000",
            "https://127.0.0.9",
            "http://[::1]:5000",
        ] {
            assert!(is_this_machine(url), "{url}");
        }
        for url in ["https://ghcr.io", "http://10.0.0.1:5000", "x"] {
            assert!(!is_this_machine(url), "{url}");
        }
    }
}
