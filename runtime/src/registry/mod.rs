//! Registries: where images come from and go to (the OCI distribution specification).
//!
//! [`Registries`] is one command's view of all of them: the settings, one thread that moves bytes,
//! a connection to each registry that was asked for. [`pull`] streams layers into the store;
//! [`push`] makes archives of them anew. Files of Docker's own are heeded: `config.json` with its
//! helpers, `daemon.json`, `certs.d`. The proxies of the environment are HTTP's own business.

pub mod challenge;
pub mod credentials;
pub mod settings;

mod blob;
mod client;
mod io;
mod resolver;
mod tls;
mod tokens;

pub mod pull;
pub mod push;
mod remote;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Method;

use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind, Result};
use client::{Ask, Client, FailureKind};
use credentials::Credentials;
use io::Io;
use remote::Remote;
use settings::{Base, Settings};

/// Every registry, as one command sees them.
#[derive(Debug)]
pub struct Registries {
    settings: Settings,
    io: Arc<Io>,
    /// By what was asked for: a domain, or the base of a mirror.
    known: Mutex<BTreeMap<String, Arc<Remote>>>,
}

impl Registries {
    /// Nothing is read or sent yet. Everything ends when `cancel` does.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn new(settings: Settings, cancel: Option<Cancel>) -> Result<Self> {
        Ok(Self {
            settings,
            io: Arc::new(Io::new(cancel)?),
            known: Mutex::default(),
        })
    }

    /// Proves credentials to a registry; returns them as they should be kept: a refresh token in
    /// place of the password where the registry gives one.
    ///
    /// # Errors
    /// A refusal, in Docker's words.
    pub fn login(&self, domain: &str, credentials: &Credentials) -> Result<Credentials> {
        let daemon = self.settings.daemon()?;
        let bases = self.settings.bases(domain, &daemon);
        let client = self.connect(domain, &bases, credentials)?;
        let url = client.url("")?;
        let answer = client.send(&Ask::new(Method::GET, url.clone(), &[]))?;
        if answer.status() != 200 {
            let status = answer.status();
            let reason = match status {
                401 => "Unauthorized",
                403 => "Forbidden",
                404 => "Not Found",
                _ => "",
            };
            let message = format!("login attempt to {url} failed with status: {status} {reason}");
            let message = message.trim_end().to_owned();
            return Err(Error::new(ErrorKind::Unauthorized, message));
        }
        Ok(match client.identity() {
            Some(token) => Credentials::Identity(token),
            None => credentials.clone(),
        })
    }

    /// What registries warned of so far.
    pub fn warnings(&self) -> Vec<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let warnings = known.values().flat_map(|remote| remote.client.warnings());
        let mut warnings: Vec<String> = warnings.collect();
        warnings.sort();
        warnings.dedup();
        warnings
    }

    /// The registry itself.
    fn origin(&self, domain: &str) -> Result<Arc<Remote>> {
        self.remote(domain, || {
            let daemon = self.settings.daemon()?;
            let bases = self.settings.bases(domain, &daemon);
            let credentials = credentials::find(&self.settings, domain)?;
            self.connect(domain, &bases, &credentials)
        })
    }

    /// What stands in for a registry when something is pulled.
    fn mirrors(&self, domain: &str) -> Result<Vec<Base>> {
        Ok(self.settings.daemon()?.mirrors(domain))
    }

    fn mirror(&self, base: &Base) -> Result<Arc<Remote>> {
        self.remote(&base.url, || {
            let domain = base.url.split("://").last().unwrap_or_default();
            let credentials = credentials::find(&self.settings, domain)?;
            self.connect(domain, std::slice::from_ref(base), &credentials)
        })
    }

    fn remote(&self, key: &str, connect: impl FnOnce() -> Result<Client>) -> Result<Arc<Remote>> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(remote) = known().get(key) {
            return Ok(Arc::clone(remote));
        }
        // Not under the lock: another registry may answer meanwhile.
        let remote = Arc::new(Remote { client: connect()? });
        known().insert(key.to_owned(), Arc::clone(&remote));
        Ok(remote)
    }

    /// The first base at which somebody answers.
    fn connect(&self, domain: &str, bases: &[Base], credentials: &Credentials) -> Result<Client> {
        let certificates = self.settings.certificates(domain);
        let mut last = None;
        for base in bases {
            let client = Client::new(
                Arc::clone(&self.io),
                base.clone(),
                &certificates,
                credentials.clone(),
                self.settings.limits,
            )?;
            match client.greet()? {
                Ok(()) => return Ok(client),
                Err(failure) => {
                    let message = format!("Get \"{}/v2/\": {failure}", base.url);
                    let goes_on = matches!(
                        failure.kind,
                        FailureKind::Unreachable | FailureKind::InTheClear | FailureKind::Passing
                    );
                    last = Some(Error::new(ErrorKind::Unavailable, message));
                    if !goes_on {
                        break;
                    }
                }
            }
        }
        Err(last.unwrap_or_else(|| {
            let message = format!("{domain} has no address");
            Error::new(ErrorKind::Invalid, message)
        }))
    }
}
