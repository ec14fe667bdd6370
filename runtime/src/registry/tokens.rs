//! Proofs of who we are: passwords, and tokens of the servers that registries name.
//!
//! A token allows certain scopes for some time. Each is asked for once, kept until shortly before
//! its end, and asked for anew when a registry says that it is no longer good.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Url};
use serde::Deserialize;

use super::challenge::{Bearer, Challenge};
use super::client::{Ask, Client, Payload};
use super::credentials::Credentials;
use crate::error::{Error, ErrorKind, Result};

/// Who asks for tokens.
const CLIENT_ID: &str = "ketch";
/// Of a token whose server does not say (the token specification).
const DEFAULT_LIFE: u64 = 60;
const TOKEN_LIMIT_BYTES: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct Tokens {
    credentials: Credentials,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the registry last asked for.
    challenge: Option<Challenge>,
    /// By their scopes.
    tokens: BTreeMap<String, Token>,
    /// What a token server gave for the next time.
    refresh: Option<String>,
}

impl std::fmt::Debug for State {
    /// Never a token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, {} tokens", self.challenge, self.tokens.len())
    }
}

struct Token {
    value: String,
    until: Instant,
}

impl Tokens {
    pub(super) fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            state: Mutex::default(),
        }
    }

    /// The refresh token that was given to a login.
    pub(super) fn identity(&self) -> Option<String> {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .refresh
            .clone()
    }

    /// What will be asked for: so that the first request brings it along.
    pub(super) fn expect(&self, challenge: Challenge) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Without credentials there is nothing to bring along: the registry shall say so itself.
        if matches!(challenge, Challenge::Bearer(_)) || self.basic().is_some() {
            state.challenge = Some(challenge);
        }
    }

    /// What to send with a request, by what the registry asked for so far.
    pub(super) fn authorization(
        &self,
        client: &Client,
        scopes: &[String],
    ) -> Result<Option<String>> {
        if let Credentials::Registry(token) = &self.credentials {
            return Ok(Some(format!("Bearer {token}")));
        }
        // Held while a token is fetched: the others who need it wait, instead of asking too.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.challenge.clone() {
            None => Ok(None),
            Some(Challenge::Basic) => Ok(self.basic()),
            Some(Challenge::Bearer(bearer)) => {
                let key = scopes.join(" ");
                if let Some(token) = state.tokens.get(&key)
                    && token.until > Instant::now()
                {
                    return Ok(Some(format!("Bearer {}", token.value)));
                }
                let value = self.fetch(client, &bearer, scopes, &mut state)?;
                Ok(Some(format!("Bearer {value}")))
            }
        }
    }

    /// Answers a challenge. False: there is nothing better than what was refused.
    pub(super) fn prove(
        &self,
        client: &Client,
        challenge: Challenge,
        scopes: &[String],
        refused: bool,
    ) -> Result<bool> {
        if let Credentials::Registry(_) = &self.credentials {
            return Ok(false);
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &challenge {
            Challenge::Basic if refused => return Ok(false),
            Challenge::Basic if self.basic().is_none() => {
                return Err(Error::new(
                    ErrorKind::Unauthorized,
                    "no basic auth credentials",
                ));
            }
            Challenge::Basic => {}
            Challenge::Bearer(bearer) => {
                // A token that has just been fetched is refused for what it does not allow.
                if refused && bearer.error == "insufficient_scope" {
                    return Ok(false);
                }
                state.tokens.remove(&scopes.join(" "));
                self.fetch(client, bearer, scopes, &mut state)?;
            }
        }
        state.challenge = Some(challenge);
        Ok(true)
    }

    fn basic(&self) -> Option<String> {
        match &self.credentials {
            Credentials::Password { user, password } => {
                let pair = STANDARD.encode(format!("{user}:{password}"));
                Some(format!("Basic {pair}"))
            }
            _ => None,
        }
    }

    fn fetch(
        &self,
        client: &Client,
        bearer: &Bearer,
        scopes: &[String],
        state: &mut State,
    ) -> Result<String> {
        let realm = realm(client, bearer)?;
        // The registry may name less than is needed, or nothing at all.
        let mut wanted = scopes.to_vec();
        for scope in &bearer.scopes {
            if !wanted.contains(scope) {
                wanted.push(scope.clone());
            }
        }
        let answer = match &self.credentials {
            Credentials::Identity(token) => self.by_form(client, &realm, bearer, &wanted, token)?,
            _ => self.by_query(client, &realm, bearer, &wanted)?,
        };
        let value = if answer.token.is_empty() {
            answer.access_token
        } else {
            answer.token
        };
        if value.is_empty() {
            return Err(Error::new(
                ErrorKind::Invalid,
                "authorization server did not include a token in the response",
            ));
        }
        if !answer.refresh_token.is_empty() {
            state.refresh = Some(answer.refresh_token);
        }
        let life = Duration::from_secs(answer.expires_in.unwrap_or(DEFAULT_LIFE).max(1));
        let token = Token {
            value: value.clone(),
            until: Instant::now() + life * 9 / 10,
        };
        state.tokens.insert(scopes.join(" "), token);
        Ok(value)
    }

    /// The old way, which all servers know.
    fn by_query(
        &self,
        client: &Client,
        realm: &Url,
        bearer: &Bearer,
        scopes: &[String],
    ) -> Result<Granted> {
        let mut url = realm.clone();
        let mut authorization = None;
        {
            let mut query = url.query_pairs_mut();
            if !bearer.service.is_empty() {
                query.append_pair("service", &bearer.service);
            }
            for scope in scopes {
                query.append_pair("scope", scope);
            }
            if let Credentials::Password { user, .. } = &self.credentials {
                query.append_pair("account", user);
                query.append_pair("client_id", CLIENT_ID);
                query.append_pair("offline_token", "true");
                authorization = self.basic();
            }
        }
        let ask = Ask::new(Method::GET, url, &[]);
        granted(client, &ask, authorization.as_deref())
    }

    /// OAuth2 with a refresh token.
    fn by_form(
        &self,
        client: &Client,
        realm: &Url,
        bearer: &Bearer,
        scopes: &[String],
        refresh: &str,
    ) -> Result<Granted> {
        // A form is a query in the body.
        let mut form = realm.clone();
        form.set_query(None);
        form.query_pairs_mut()
            .append_pair("grant_type", "refresh_token")
            .append_pair("service", &bearer.service)
            .append_pair("client_id", CLIENT_ID)
            .append_pair("scope", &scopes.join(" "))
            .append_pair("refresh_token", refresh);
        let form = form.query().unwrap_or_default().to_owned();
        let ask = Ask::new(Method::POST, realm.clone(), &[])
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")?
            .payload(Payload::Bytes(form.into()));
        granted(client, &ask, None)
    }
}

/// What a token server answers.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Granted {
    token: String,
    access_token: String,
    refresh_token: String,
    expires_in: Option<u64>,
}

/// A password goes in the clear only to a registry that is spoken to in the clear anyway.
fn realm(client: &Client, bearer: &Bearer) -> Result<Url> {
    let refused = |why: &str| {
        let message = format!("the registry names a token server {:?} {why}", bearer.realm);
        Error::new(ErrorKind::Invalid, message)
    };
    let url = Url::parse(&bearer.realm).map_err(|_| refused("that is no address"))?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if !client.base.verify => Ok(url),
        "http" => Err(refused("without encryption")),
        _ => Err(refused("of an unknown scheme")),
    }
}

fn granted(client: &Client, ask: &Ask<'_>, authorization: Option<&str>) -> Result<Granted> {
    let mut tries = super::client::Tries::new(client.limits);
    let shown = format!("Get \"{}\"", without_query(&ask.url));
    loop {
        let failed =
            |reason: String| Error::new(ErrorKind::Unavailable, format!("{shown}: {reason}"));
        match client.once(ask, authorization)? {
            Err(failure) => {
                let error = failed(failure.to_string());
                tries.again(&client.io, failure.passes(), None, error)?;
            }
            Ok(answer) if answer.status() == 200 => {
                let bytes = client
                    .bytes(answer, TOKEN_LIMIT_BYTES)
                    .map_err(|failure| failed(failure.to_string()))?;
                return serde_json::from_slice(&bytes)
                    .map_err(|_| failed("the answer holds no token".into()));
            }
            Ok(answer) => {
                let passes = answer.status() >= 500 || answer.status() == 429;
                let error = client.refusal(&shown, answer)?;
                tries.again(&client.io, passes, None, error)?;
            }
        }
    }
}

/// Queries tell whose account it is.
fn without_query(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_query(None);
    url
}
