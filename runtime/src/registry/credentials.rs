//! Who we are: `config.json` of Docker's command line, and the helpers that it names.
//!
//! A helper (`docker-credential-<name>`) is the one program that is ever run: the user has put it
//! between us and their secrets. Keys that we don't know are kept when the file is rewritten.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::settings::Settings;
use crate::error::{Context, Error, ErrorKind, Result};

/// The key under which Docker Hub's credentials are kept.
pub const HUB: &str = "https://index.docker.io/v1/";
/// What a helper calls the user of an identity token.
const TOKEN_USER: &str = "<token>";
/// What a helper says when it has nothing; everything else is an error.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// How to prove who one is.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Credentials {
    #[default]
    Anonymous,
    Password {
        user: String,
        password: String,
    },
    /// A refresh token.
    Identity(String),
    /// A token for the registry itself.
    Registry(String),
}

impl std::fmt::Debug for Credentials {
    /// Never the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Password { user, .. } => write!(f, "Password({user:?})"),
            Self::Identity(_) => f.write_str("Identity"),
            Self::Registry(_) => f.write_str("Registry"),
        }
    }
}

/// Where a login was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// Unencrypted, in this file.
    File(PathBuf),
    Helper(String),
}

/// The file as it is.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    path: PathBuf,
    content: Map<String, Value>,
}

/// The credentials for a registry, wherever they are kept.
pub fn find(settings: &Settings, domain: &str) -> Result<Credentials> {
    if let Some(text) = &settings.auth_config {
        let content: Map<String, Value> = serde_json::from_str(text)
            .map_err(|error| Error::with_source(ErrorKind::Invalid, "DOCKER_AUTH_CONFIG", error))?;
        if let Some(found) = in_auths(&content, domain)? {
            return Ok(found);
        }
    }
    let Some(directory) = &settings.user else {
        return Ok(Credentials::Anonymous);
    };
    ConfigFile::read(directory)?.find(domain)
}

impl ConfigFile {
    /// `config.json` of a directory; there may be none.
    pub fn read(directory: &Path) -> Result<Self> {
        let path = directory.join("config.json");
        let content = match std::fs::read(&path) {
            Ok(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => Map::new(),
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                Error::with_source(ErrorKind::Invalid, path.display().to_string(), error)
            })?,
            Err(error) if is_absent(&error) => Map::new(),
            Err(error) => return Err(error).context(|| format!("read {}", path.display())),
        };
        Ok(Self { path, content })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `detachKeys`: what leaves a container, unless a command says otherwise.
    pub fn detach_keys(&self) -> Option<&str> {
        self.content.get("detachKeys")?.as_str()
    }

    /// The credentials for a registry.
    pub fn find(&self, domain: &str) -> Result<Credentials> {
        if let Some(helper) = self.helper(domain) {
            return helper_get(&helper, key_of(domain));
        }
        Ok(in_auths(&self.content, domain)?.unwrap_or_default())
    }

    /// Keeps a login, in the helper's hands if there is one.
    pub fn store(&mut self, domain: &str, credentials: &Credentials) -> Result<Kept> {
        let (user, secret) = match credentials {
            Credentials::Password { user, password } => (user.as_str(), password.as_str()),
            Credentials::Identity(token) => (TOKEN_USER, token.as_str()),
            Credentials::Anonymous | Credentials::Registry(_) => {
                return Err(Error::new(ErrorKind::Invalid, "nothing to keep"));
            }
        };
        let key = key_of(domain);
        if let Some(helper) = self.helper(domain) {
            let request = json!({"ServerURL": key, "Username": user, "Secret": secret});
            run(&helper, "store", &request.to_string())?;
            // Docker lists the registry, without a secret.
            self.auths().insert(key.to_owned(), json!({}));
            self.write()?;
            return Ok(Kept::Helper(helper));
        }
        let entry = match credentials {
            Credentials::Identity(token) => json!({"identitytoken": token}),
            _ => json!({"auth": STANDARD.encode(format!("{user}:{secret}"))}),
        };
        self.auths().insert(key.to_owned(), entry);
        self.write()?;
        Ok(Kept::File(self.path.clone()))
    }

    /// Forgets a login; that there was none is no error.
    pub fn erase(&mut self, domain: &str) -> Result<()> {
        if let Some(helper) = self.helper(domain) {
            // Helpers differ in what they say of one that they don't have.
            if let Err(error) = run(&helper, "erase", key_of(domain)) {
                tracing::debug!(%error, "erase credentials");
            }
        }
        let had: Vec<String> = self
            .auths()
            .keys()
            .filter(|key| names(key, domain))
            .cloned()
            .collect();
        for key in &had {
            self.auths().remove(key);
        }
        if had.is_empty() && !self.path.exists() {
            return Ok(());
        }
        self.write()
    }

    fn auths(&mut self) -> &mut Map<String, Value> {
        let auths = self
            .content
            .entry("auths")
            .or_insert_with(|| Value::Object(Map::new()));
        if !auths.is_object() {
            *auths = Value::Object(Map::new());
        }
        auths.as_object_mut().expect("it is an object by now")
    }

    /// The helper for a registry, else the one for all.
    fn helper(&self, domain: &str) -> Option<String> {
        let special = self.content.get("credHelpers").and_then(Value::as_object);
        let special = special
            .into_iter()
            .flatten()
            .find(|(key, _)| names(key, domain))
            .map(|(_, helper)| helper);
        special
            .or(self.content.get("credsStore"))
            .and_then(Value::as_str)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
    }

    /// Beside and renamed, for the user's eyes only; a link to the file stays a link.
    fn write(&self) -> Result<()> {
        let path = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let failed = || format!("write {}", path.display());
        let directory = path.parent().unwrap_or(Path::new("/"));
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .context(failed)?;
        let mode = std::fs::metadata(&path).map_or(0o600, |known| known.permissions().mode());
        let aside = path.with_extension(format!("json{}", std::process::id()));
        let written = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&aside)
            .and_then(|mut file| {
                file.set_permissions(std::fs::Permissions::from_mode(mode & 0o7777))?;
                file.write_all(&self.printed())?;
                file.sync_all()
            })
            .and_then(|()| std::fs::rename(&aside, &path));
        if written.is_err() {
            let _not_there = std::fs::remove_file(&aside);
        }
        written.context(failed)
    }

    /// Indented by tabs, as Docker writes it.
    fn printed(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
        self.content
            .serialize(&mut serializer)
            .expect("JSON values can be written to memory");
        bytes
    }
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
    )
}

/// The key under which a registry is kept.
fn key_of(domain: &str) -> &str {
    if domain == "docker.io" { HUB } else { domain }
}

/// Whether a key of the file means this registry.
fn names(key: &str, domain: &str) -> bool {
    let host = |text: &str| {
        let text = text.strip_prefix("https://").unwrap_or(text);
        let text = text.strip_prefix("http://").unwrap_or(text);
        text.split('/').next().unwrap_or(text).to_owned()
    };
    let host = host(key);
    match domain {
        "docker.io" => matches!(
            host.as_str(),
            "docker.io" | "index.docker.io" | "registry-1.docker.io"
        ),
        domain => host == domain,
    }
}

/// `auths.<registry>`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

fn in_auths(content: &Map<String, Value>, domain: &str) -> Result<Option<Credentials>> {
    let Some(auths) = content.get("auths").and_then(Value::as_object) else {
        return Ok(None);
    };
    let exact = auths.get(key_of(domain));
    let similar = || auths.iter().find(|(key, _)| names(key, domain));
    let Some(entry) = exact.or_else(|| similar().map(|(_, entry)| entry)) else {
        return Ok(None);
    };
    let damaged = |what: &str| {
        let message = format!("credentials of {domain}: {what}");
        Error::new(ErrorKind::Invalid, message)
    };
    let auth: Auth =
        serde_json::from_value(entry.clone()).map_err(|_| damaged("not as expected"))?;
    if !auth.identitytoken.is_empty() {
        return Ok(Some(Credentials::Identity(auth.identitytoken)));
    }
    if !auth.registrytoken.is_empty() {
        return Ok(Some(Credentials::Registry(auth.registrytoken)));
    }
    if auth.auth.is_empty() {
        return Ok(
            (!auth.username.is_empty()).then_some(Credentials::Password {
                user: auth.username,
                password: auth.password,
            }),
        );
    }
    let decoded = STANDARD
        .decode(auth.auth.trim())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    // Some tools end it with zeros.
    let decoded = decoded.ok_or_else(|| damaged("`auth` is not base64 of text"))?;
    let (user, password) = decoded
        .trim_end_matches('\0')
        .split_once(':')
        .ok_or_else(|| damaged("`auth` is not of the form user:password"))?;
    Ok(Some(Credentials::Password {
        user: user.to_owned(),
        password: password.to_owned(),
    }))
}

/// What a helper answers to `get`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Secret {
    username: String,
    secret: String,
}

fn helper_get(helper: &str, key: &str) -> Result<Credentials> {
    let Some(answer) = run(helper, "get", key)? else {
        return Ok(Credentials::Anonymous);
    };
    let secret: Secret = serde_json::from_str(&answer).map_err(|error| {
        let message = format!("docker-credential-{helper}: not the answer that was expected");
        Error::with_source(ErrorKind::Invalid, message, error)
    })?;
    Ok(match secret.username.as_str() {
        TOKEN_USER => Credentials::Identity(secret.secret),
        "" if secret.secret.is_empty() => Credentials::Anonymous,
        _ => Credentials::Password {
            user: secret.username,
            password: secret.secret,
        },
    })
}

/// Asks a helper; `None` when it has nothing.
fn run(helper: &str, verb: &str, input: &str) -> Result<Option<String>> {
    let program = format!("docker-credential-{helper}");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !helper.chars().all(is_plain) {
        let message = format!("credential helper {helper:?} is no plain name");
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let failed = || format!("{program} {verb}");
    let mut child = Command::new(&program)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends without reading has its reasons, which it tells below.
        let _told = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().context(failed)?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() {
        return Ok(Some(said));
    }
    if said.contains(NOT_FOUND) {
        return Ok(None);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let message = format!("{program} {verb}: {said} {}", complaint.trim());
    Err(Error::new(
        ErrorKind::Unavailable,
        message.trim().to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(user: &str, password: &str) -> Credentials {
        Credentials::Password {
            user: user.into(),
            password: password.into(),
        }
    }

    fn found(text: &str, domain: &str) -> Credentials {
        in_auths(&serde_json::from_str(text).unwrap(), domain)
            .unwrap()
            .unwrap_or_default()
    }

    #[test]
    fn a_registry_is_found_under_all_its_names() {
        // bob:s3:cret
        let text = r#"{"auths": {"https://index.docker.io/v1/": {"auth": "Ym9iOnMzOmNyZXQ="},
            "http://r.test:5000/v2/": {"username": "a", "password": "b"},
            "t.test": {"identitytoken": "i"}, "u.test": {"registrytoken": "r"}, "v.test": {}}}"#;
        assert_eq!(found(text, "docker.io"), password("bob", "s3:cret"));
        assert_eq!(found(text, "r.test:5000"), password("a", "b"));
        assert_eq!(found(text, "r.test"), Credentials::Anonymous);
        assert_eq!(found(text, "t.test"), Credentials::Identity("i".into()));
        assert_eq!(found(text, "u.test"), Credentials::Registry("r".into()));
        assert_eq!(found(text, "v.test"), Credentials::Anonymous);
    }

    #[test]
    fn damaged_credentials_are_an_error_without_the_secret() {
        let text = r#"{"auths": {"r.test": {"auth": "AAA$"}}}"#;
        let error = in_auths(&serde_json::from_str(text).unwrap(), "r.test").unwrap_err();
        assert!(error.to_string().contains("r.test"));
        assert!(!error.to_string().contains("AAA"));
        assert!(!format!("{:?}", password("bob", "secret")).contains("secret"));
    }

    #[test]
    fn a_login_is_kept_and_forgotten_and_other_keys_stay() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("docker");
        let mut file = ConfigFile::read(&directory).unwrap();
        file.erase("r.test").unwrap();
        assert!(!directory.exists(), "nothing is made to forget nothing");
        file.store("r.test", &password("bob", "s3")).unwrap();
        let path = directory.join("config.json");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&path)), (0o700, 0o600));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "{\n\t\"auths\": {\n\t\t\"r.test\": {\n\t\t\t\"auth\": \"Ym9iOnMz\"\n\t\t}\n\t}\n}"
        );
        std::fs::write(&path, text.replacen('{', "{\"psFormat\": \"x\",", 1)).unwrap();
        let mut file = ConfigFile::read(&directory).unwrap();
        assert_eq!(file.find("r.test").unwrap(), password("bob", "s3"));
        file.store("docker.io", &Credentials::Identity("t".into()))
            .unwrap();
        file.erase("r.test").unwrap();
        let file = ConfigFile::read(&directory).unwrap();
        assert_eq!(file.find("r.test").unwrap(), Credentials::Anonymous);
        assert_eq!(
            file.find("docker.io").unwrap(),
            Credentials::Identity("t".into())
        );
        assert_eq!(file.content["psFormat"], "x");
    }

    #[test]
    fn a_helper_must_be_a_plain_name_that_exists() {
        assert!(
            run("../x", "get", "r")
                .unwrap_err()
                .to_string()
                .contains("plain")
        );
        let error = run("no-such-helper-of-ketch", "get", "r").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("docker-credential-no-such-helper-of-ketch get")
        );
    }
}
