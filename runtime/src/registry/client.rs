//! Requests to one registry: who we are is proven when asked, what fails for a moment is tried
//! again, and every refusal is told in the registry's own words.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::challenge;
use super::credentials::Credentials;
use super::io::Io;
use super::settings::{Base, Limits};
use super::tls;
use super::tokens::Tokens;
use crate::error::{Error, ErrorKind, Result};

/// Of an answer that is no content, no more is read than this.
const REFUSAL_LIMIT_BYTES: u64 = 64 << 10;
/// Of a refusal in no known form, so much is shown.
const SHOWN_BYTES: usize = 200;
/// A registry that asks for a longer pause is not waited for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);

/// One registry, reached at one base.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) io: Arc<Io>,
    pub(super) http: reqwest::Client,
    pub(super) base: Base,
    pub(super) limits: Limits,
    tokens: Tokens,
    /// `Warning` headers, each once.
    warnings: Mutex<BTreeSet<String>>,
}

/// What is asked.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) payload: Payload,
    /// What a token must allow: `repository:x:pull`.
    pub(super) scopes: &'a [String],
    /// Whether it may be sent again after a failure.
    pub(super) repeatable: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Payload {
    Nothing,
    Bytes(Bytes),
    /// From here to the end.
    File {
        file: Arc<File>,
        from: u64,
        length: u64,
    },
}

impl<'a> Ask<'a> {
    pub(super) fn new(method: Method, url: Url, scopes: &'a [String]) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            payload: Payload::Nothing,
            scopes,
            repeatable: true,
        }
    }

    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Result<Self> {
        let value = HeaderValue::from_str(value)
            .map_err(|_| Error::new(ErrorKind::Invalid, format!("{value:?} can't be a header")))?;
        self.headers.append(name, value);
        Ok(self)
    }

    pub(super) fn payload(mut self, payload: Payload) -> Self {
        self.payload = payload;
        self
    }

    /// As Go's client names a request in errors.
    fn shown(&self) -> String {
        let method = self.method.as_str();
        let first = method.get(..1).unwrap_or_default();
        let rest = method.get(1..).unwrap_or_default().to_ascii_lowercase();
        format!("{first}{rest} \"{}\"", self.url)
    }
}

impl Client {
    /// A client for one way to reach a registry; nothing is sent yet.
    pub(super) fn new(
        io: Arc<Io>,
        base: Base,
        certificates: &[std::path::PathBuf],
        credentials: Credentials,
        limits: Limits,
    ) -> Result<Self> {
        Ok(Self {
            http: tls::client(&base, certificates, limits.connect)?,
            tokens: Tokens::new(credentials),
            io,
            base,
            limits,
            warnings: Mutex::default(),
        })
    }

    /// `/v2/` and what follows.
    pub(super) fn url(&self, path: &str) -> Result<Url> {
        let text = format!("{}/v2/{path}", self.base.url);
        Url::parse(&text).map_err(|error| {
            let message = format!("{text:?} is no address of a registry");
            Error::with_source(ErrorKind::Invalid, message, error)
        })
    }

    /// What the registry warns of, each warning once.
    pub(super) fn warnings(&self) -> Vec<String> {
        let warnings = self.warnings.lock();
        let warnings = warnings.unwrap_or_else(PoisonError::into_inner);
        warnings.iter().cloned().collect()
    }

    /// The refresh token that a login brought.
    pub(super) fn identity(&self) -> Option<String> {
        self.tokens.identity()
    }

    /// Sees whether a registry is there, and how it wants us to prove who we are.
    pub(super) fn greet(&self) -> Result<Result<(), Failure>> {
        let ask = Ask::new(Method::GET, self.url("")?, &[]);
        let mut tries = Tries::new(self.limits);
        loop {
            match self.once(&ask, None)? {
                Ok(answer) => {
                    let headers = answer.headers("www-authenticate");
                    let challenge = challenge::choose(headers.iter().map(String::as_str));
                    if let (401, Some(challenge)) = (answer.status(), challenge) {
                        self.tokens.expect(challenge);
                    }
                    return Ok(Ok(()));
                }
                Err(failure) if failure.passes() => {
                    let error = Error::new(ErrorKind::Unavailable, failure.to_string());
                    match tries.again(&self.io, true, None, error) {
                        Ok(()) => {}
                        Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
                        Err(_) => return Ok(Err(failure)),
                    }
                }
                Err(failure) => return Ok(Err(failure)),
            }
        }
    }

    /// Sends a request and returns the head of the answer, whatever its status.
    pub(super) fn send(&self, ask: &Ask<'_>) -> Result<Answer> {
        let mut tries = Tries::new(self.limits);
        let mut proven = false;
        loop {
            let authorization = self.tokens.authorization(self, ask.scopes)?;
            let answer = match self.once(ask, authorization.as_deref())? {
                Ok(answer) => answer,
                Err(failure) => {
                    let message = format!("{}: {failure}", ask.shown());
                    let error = Error::new(ErrorKind::Unavailable, message);
                    tries.again(&self.io, ask.repeatable && failure.passes(), None, error)?;
                    continue;
                }
            };
            match answer.status() {
                401 if !proven => {
                    proven = true;
                    let headers = answer.headers("www-authenticate");
                    let Some(challenge) = challenge::choose(headers.iter().map(String::as_str))
                    else {
                        return Ok(answer);
                    };
                    let refused = authorization.is_some();
                    if !self.tokens.prove(self, challenge, ask.scopes, refused)? {
                        return Ok(answer);
                    }
                }
                408 | 429 | 499 | 500 | 502 | 503 | 504 | 522 => {
                    let pause = answer.retry_after();
                    let error = self.refusal(&ask.shown(), answer)?;
                    tries.again(&self.io, ask.repeatable, pause, error)?;
                }
                _ => return Ok(answer),
            }
        }
    }

    /// One request: an answer, or why there is none.
    pub(super) fn once(
        &self,
        ask: &Ask<'_>,
        authorization: Option<&str>,
    ) -> Result<Result<Answer, Failure>> {
        let sent = Arc::new(AtomicU64::new(0));
        let mut request = self
            .http
            .request(ask.method.clone(), ask.url.clone())
            .headers(ask.headers.clone());
        request = match &ask.payload {
            Payload::Nothing if matches!(ask.method, Method::GET | Method::HEAD) => request,
            // Some servers ask for a length even of nothing.
            Payload::Nothing => request.header("content-length", "0"),
            Payload::Bytes(bytes) => request.body(bytes.clone()),
            Payload::File { file, from, length } => request.body(reqwest::Body::wrap(FilePart {
                file: Arc::clone(file),
                at: *from,
                end: *length,
                sent: Arc::clone(&sent),
            })),
        };
        if let Some(authorization) = authorization {
            let mut value = HeaderValue::from_str(authorization)
                .map_err(|_| Error::new(ErrorKind::Invalid, "the credentials can't be a header"))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let answer = self
            .io
            .wait(moving(request.send(), &sent, self.limits.answer))?;
        Ok(match answer {
            Some(Ok(response)) => {
                self.take_warnings(&response);
                Ok(Answer(response))
            }
            Some(Err(error)) => Err(Failure::of(&error)),
            None => Err(Failure {
                reason: "net/http: timeout awaiting response headers".into(),
                kind: FailureKind::Passing,
            }),
        })
    }

    /// The whole of a small answer.
    pub(super) fn bytes(&self, mut answer: Answer, limit_bytes: u64) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        loop {
            match self.chunk(&mut answer)? {
                None => return Ok(bytes),
                Some(chunk) => bytes.extend_from_slice(&chunk),
            }
            if bytes.len() as u64 > limit_bytes {
                return Err(Failure {
                    reason: format!("the answer is larger than {limit_bytes} bytes"),
                    kind: FailureKind::Final,
                });
            }
        }
    }

    /// The next bytes of an answer's content.
    pub(super) fn chunk(&self, answer: &mut Answer) -> Result<Option<Bytes>, Failure> {
        match self.io.wait_for(self.limits.stall, answer.0.chunk()) {
            Ok(Some(Ok(chunk))) => Ok(chunk),
            Ok(Some(Err(error))) => Err(Failure::of(&error)),
            Ok(None) => Err(Failure {
                reason: "the transfer stands still".into(),
                kind: FailureKind::Passing,
            }),
            Err(_) => Err(Failure {
                reason: "cancelled".into(),
                kind: FailureKind::Cancelled,
            }),
        }
    }

    /// A refusal as an error, in the registry's words.
    pub(super) fn refusal(&self, asked: &str, answer: Answer) -> Result<Error> {
        let status = answer.status();
        let reason = answer.0.status().canonical_reason().unwrap_or_default();
        let is_limited = status == 429;
        let body = match self.bytes(answer, REFUSAL_LIMIT_BYTES) {
            Err(failure) if failure.kind == FailureKind::Cancelled => return Err(cancelled()),
            other => other.unwrap_or_default(),
        };
        let told = words_of(&body);
        let mut message = match (told.is_empty(), is_limited) {
            (true, _) => format!("{asked}: {status} {reason}").trim_end().to_owned(),
            (false, true) => told,
            (false, false) => format!("{asked}: {told}"),
        };
        if is_limited {
            message.push_str(" (wait, or log in with `ketch login`, which may raise the limit)");
        }
        let kind = match status {
            401 | 403 => ErrorKind::Unauthorized,
            404 => ErrorKind::NotFound,
            400 | 405 | 413 | 415 | 416 => ErrorKind::Invalid,
            _ => ErrorKind::Unavailable,
        };
        Ok(Error::new(kind, message))
    }

    fn take_warnings(&self, response: &reqwest::Response) {
        for value in response.headers().get_all("warning") {
            // `299 - "text"` (RFC 7234, 5.5).
            let text = value.to_str().unwrap_or_default();
            let Some(text) = text.strip_prefix("299 - \"") else {
                continue;
            };
            let text = text.trim_end().trim_end_matches('"').to_owned();
            let warnings = self.warnings.lock();
            warnings
                .unwrap_or_else(PoisonError::into_inner)
                .insert(text);
        }
    }
}

pub(super) fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "cancelled")
}

/// The head of an answer; its content comes by [`Client::chunk`].
#[derive(Debug)]
pub(super) struct Answer(reqwest::Response);

impl Answer {
    pub(super) fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.0.headers().get(name)?.to_str().ok()
    }

    fn headers(&self, name: &str) -> Vec<String> {
        let values = self.0.headers().get_all(name).iter();
        values
            .filter_map(|value| value.to_str().ok().map(str::to_owned))
            .collect()
    }

    /// Where it came from, redirects followed.
    pub(super) fn url(&self) -> &Url {
        self.0.url()
    }

    /// The pause that the server asks for: seconds or a date.
    fn retry_after(&self) -> Option<Duration> {
        let text = self.header("retry-after")?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        let wait = date.duration_since(jiff::Timestamp::now());
        Some(wait.try_into().unwrap_or(Duration::ZERO))
    }
}

/// Why there was no answer, or not all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    reason: String,
    pub(super) kind: FailureKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// May go well the next time.
    Passing,
    /// Will not.
    Final,
    /// Nobody listens there: the next base may be the right one.
    Unreachable,
    /// Somebody listens, and does not speak TLS.
    InTheClear,
    Cancelled,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Failure {
    /// A connection that ended too early.
    pub(super) fn broken(reason: &str) -> Self {
        Self {
            reason: reason.to_owned(),
            kind: FailureKind::Passing,
        }
    }

    /// Whether another try may help.
    pub(super) fn passes(&self) -> bool {
        self.kind == FailureKind::Passing
    }

    /// In the words of Docker's own client, where people search for them.
    fn of(error: &reqwest::Error) -> Self {
        let mut deepest: &(dyn std::error::Error + 'static) = error;
        let mut refused = false;
        loop {
            if let Some(tls) = deepest.downcast_ref::<rustls::Error>() {
                return Self::of_tls(tls);
            }
            if let Some(io) = deepest.downcast_ref::<std::io::Error>() {
                refused |= io.kind() == std::io::ErrorKind::ConnectionRefused;
            }
            match cause(deepest) {
                Some(cause) => deepest = cause,
                None => break,
            }
        }
        let reason = deepest.to_string();
        if refused {
            return Self {
                reason: "dial tcp: connect: connection refused".into(),
                kind: FailureKind::Unreachable,
            };
        }
        if reason.starts_with("lookup ") {
            return Self {
                reason: format!("dial tcp: {reason}"),
                kind: FailureKind::Unreachable,
            };
        }
        Self {
            kind: if error.is_redirect() || error.is_builder() {
                FailureKind::Final
            } else {
                FailureKind::Passing
            },
            reason,
        }
    }

    fn of_tls(error: &rustls::Error) -> Self {
        use rustls::{CertificateError, Error as Tls};
        let (reason, kind) = match error {
            Tls::InvalidMessage(_) => (
                "http: server gave HTTP response to HTTPS client".to_owned(),
                FailureKind::InTheClear,
            ),
            Tls::InvalidCertificate(CertificateError::UnknownIssuer) => (
                "tls: failed to verify certificate: x509: certificate signed by unknown authority"
                    .to_owned(),
                FailureKind::Final,
            ),
            Tls::InvalidCertificate(reason) => (
                format!("tls: failed to verify certificate: {reason}"),
                FailureKind::Final,
            ),
            other => (format!("tls: {other}"), FailureKind::Final),
        };
        Self { reason, kind }
    }
}

/// One step down. What an error of input and output says is its source is the source of what it
/// wraps, which is left out.
fn cause<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a (dyn std::error::Error + 'static)> {
    match error.downcast_ref::<std::io::Error>() {
        Some(io) => io
            .get_ref()
            .map(|inner| inner as &(dyn std::error::Error + 'static)),
        None => error.source(),
    }
}

/// Tries and the pauses between them: each twice as long as the one before, a little at random.
#[derive(Debug)]
pub(super) struct Tries {
    limits: Limits,
    done: u32,
}

impl Tries {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, done: 0 }
    }

    /// Pauses before the next try, or gives the error that ended the last.
    pub(super) fn again(
        &mut self,
        io: &Io,
        may: bool,
        asked: Option<Duration>,
        error: Error,
    ) -> Result<()> {
        self.done += 1;
        if !may || self.done >= self.limits.tries {
            return Err(error);
        }
        if let Some(asked) = asked.filter(|asked| *asked > LONGEST_RETRY_AFTER) {
            let seconds = asked.as_secs();
            return Err(error.context(format!("the registry asks to wait {seconds} s")));
        }
        tracing::info!(%error, tries = self.done, "asking a registry again");
        io.pause(asked.unwrap_or_else(|| self.pause()))
    }

    /// Something came through: as if it were the first try.
    pub(super) fn reset(&mut self) {
        self.done = 0;
    }

    fn pause(&self) -> Duration {
        let doubled = self.limits.pause * 2u32.saturating_pow(self.done.saturating_sub(1).min(16));
        let bounded = doubled.min(self.limits.longest_pause);
        let mut random = [0; 1];
        // Without it all come back at the same moment, which is no worse than bad luck.
        let _none = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
        bounded * (192 + u32::from(random[0]) / 2) / 256
    }
}

/// What a registry says of a refusal: `manifest unknown: manifest unknown`.
fn words_of(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Told {
        #[serde(default)]
        errors: Vec<Code>,
        #[serde(default)]
        details: String,
    }
    #[derive(Deserialize)]
    #[serde(default)]
    #[derive(Default)]
    struct Code {
        code: String,
        message: String,
    }
    if let Ok(told) = serde_json::from_slice::<Told>(body) {
        let errors = told.errors.iter().map(|error| {
            let code = error.code.to_ascii_lowercase().replace('_', " ");
            format!("{code}: {}", error.message)
        });
        let words: Vec<String> = errors.collect();
        return if words.is_empty() {
            told.details
        } else {
            words.join("\n")
        };
    }
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(SHOWN_BYTES).collect()
}

/// The output, or `None` when for so long neither it came nor anything was sent.
async fn moving<T>(work: impl Future<Output = T>, sent: &AtomicU64, limit: Duration) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let mut before = sent.load(Ordering::Relaxed);
    loop {
        if let Ok(output) = tokio::time::timeout(limit, work.as_mut()).await {
            return Some(output);
        }
        let now = sent.load(Ordering::Relaxed);
        if now == before {
            return None;
        }
        before = now;
    }
}

/// A part of a file as the content of a request.
#[derive(Debug)]
struct FilePart {
    file: Arc<File>,
    at: u64,
    end: u64,
    sent: Arc<AtomicU64>,
}

impl Body for FilePart {
    type Data = Bytes;
    type Error = std::io::Error;

    /// Reads without waiting: what is sent was written a moment ago.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut TaskContext<'_>,
    ) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        let left = self.end - self.at;
        if left == 0 {
            return Poll::Ready(None);
        }
        let mut buffer = vec![0; usize::try_from(left).unwrap_or(usize::MAX).min(64 << 10)];
        if let Err(error) = self.file.read_exact_at(&mut buffer, self.at) {
            return Poll::Ready(Some(Err(error)));
        }
        self.at += buffer.len() as u64;
        self.sent.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(buffer.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.at == self.end
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end - self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_registry_s_words() {
        let body =
            br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":1}]}"#;
        assert_eq!(words_of(body), "manifest unknown: manifest unknown");
        assert_eq!(words_of(br#"{"details":"no such host"}"#), "no such host");
        assert_eq!(words_of(b"<html>\x1b[31m nope\n"), "<html> [31m nope");
        assert_eq!(words_of(&[b'x'; 5000]).len(), SHOWN_BYTES);
        assert_eq!(words_of(b""), "");
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        let mut tries = Tries::new(Limits::default());
        let mut pauses = Vec::new();
        for done in 1..12 {
            tries.done = done;
            pauses.push(tries.pause().as_millis());
        }
        assert!((75..=125).contains(&pauses[0]), "{pauses:?}");
        assert!(pauses[10] <= 12_500 && pauses[10] >= 7_500, "{pauses:?}");
    }
}
