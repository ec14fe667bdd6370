//! A registry in the test: blobs and manifests in memory, and a hook that may answer first.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ketch_runtime::content::digest::Digest;
use ketch_runtime::error::Result;
use ketch_runtime::image::reference::Reference;
use ketch_runtime::layer::archive::{Entry, Kind, Writer};
use ketch_runtime::registry::Registries;
use ketch_runtime::registry::pull::Pulled;
use ketch_runtime::registry::settings::{Limits, Settings};
use ketch_runtime::store::Roots;
use serde_json::json;

/// What a client sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// The connection broke before all of the body had come.
    pub(crate) is_cut: bool,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What it is told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// The connection ends after so many bytes of the body.
    pub(crate) cut_after: Option<usize>,
    /// A byte at a time, with such pauses.
    pub(crate) drip: Option<Duration>,
    /// Another length than the body's.
    pub(crate) claimed_length: Option<usize>,
    /// Wait so long first.
    pub(crate) delay: Duration,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

/// Answers before the registry does; `None` lets it.
type Hook = dyn Fn(&Request) -> Option<Answer> + Send + Sync;

/// What is in the registry.
#[derive(Default)]
pub(crate) struct Content {
    pub(crate) blobs: BTreeMap<String, Vec<u8>>,
    /// By tag and by digest.
    pub(crate) manifests: BTreeMap<String, (String, Vec<u8>)>,
    uploads: BTreeMap<u64, Vec<u8>>,
}

/// The server; ends with the value.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) content: Arc<Mutex<Content>>,
    log: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::with(|_| None)
    }

    pub(crate) fn with(hook: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let content = Arc::new(Mutex::new(Content::default()));
        let log = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let hook: Arc<Hook> = Arc::new(hook);
        let shared = (Arc::clone(&content), Arc::clone(&log), Arc::clone(&stop));
        let accept = move || {
            let (content, log, stop) = shared;
            for stream in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (content, log) = (Arc::clone(&content), Arc::clone(&log));
                let hook = Arc::clone(&hook);
                // They end when the client does.
                std::thread::spawn(move || serve(&stream, &content, &log, &hook));
            }
        };
        Self {
            port,
            content,
            log,
            stop,
            thread: Some(std::thread::spawn(accept)),
        }
    }

    pub(crate) fn reference(&self, rest: &str) -> Reference {
        Reference::parse(&format!("127.0.0.1:{}/{rest}", self.port)).unwrap()
    }

    /// Every request so far whose method and path begin so.
    pub(crate) fn asked(&self, beginning: &str) -> Vec<Request> {
        let log = self.log.lock().unwrap();
        let fits = |it: &&Request| format!("{} {}", it.method, it.path).starts_with(beginning);
        log.iter().filter(fits).cloned().collect()
    }

    pub(crate) fn put_blob(&self, bytes: &[u8]) -> (String, usize) {
        let digest = Digest::of(bytes).to_string();
        let mut content = self.content.lock().unwrap();
        content.blobs.insert(digest.clone(), bytes.to_vec());
        (digest, bytes.len())
    }

    pub(crate) fn put_manifest(&self, tag: &str, media_type: &str, bytes: &[u8]) -> String {
        let digest = Digest::of(bytes).to_string();
        let mut content = self.content.lock().unwrap();
        for name in [tag, &digest] {
            let entry = (media_type.to_owned(), bytes.to_vec());
            content.manifests.insert(name.to_owned(), entry);
        }
        digest
    }

    /// An image of these plain layers, each sent compressed; returns its manifest's digest.
    pub(crate) fn put_image(&self, tag: &str, layers: &[Vec<u8>]) -> String {
        self.put_image_for(host(), tag, layers)
    }

    /// The same for another architecture.
    pub(crate) fn put_image_for(
        &self,
        architecture: &str,
        tag: &str,
        layers: &[Vec<u8>],
    ) -> String {
        let diff_ids: Vec<String> = layers.iter().map(|it| Digest::of(it).to_string()).collect();
        let described: Vec<_> = layers
            .iter()
            .map(|layer| {
                let (digest, size) = self.put_blob(&gzip(layer));
                json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                       "digest": digest, "size": size})
            })
            .collect();
        let config = json!({"os": "linux", "architecture": architecture, "config": {"Cmd": [tag]},
                            "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let (digest, size) = self.put_blob(config.to_string().as_bytes());
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                       "digest": digest, "size": size},
            "layers": described});
        self.put_manifest(tag, MANIFEST, manifest.to_string().as_bytes())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _wakes_it = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

pub(crate) fn host() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A layer of files that can't be compressed, so that its transfer has many bytes.
pub(crate) fn layer(files: &[(&str, usize)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    let mut seed = 0x2545_f491_u32;
    for (name, size) in files {
        let mut entry = Entry::new(*name, Kind::File);
        entry.size = *size as u64;
        entry.mode = 0o644;
        entry.uid = rustix::process::getuid().as_raw();
        entry.gid = rustix::process::getgid().as_raw();
        let content: Vec<u8> = std::iter::repeat_with(|| {
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            seed.to_le_bytes()[1]
        })
        .take(*size)
        .collect();
        writer.append(&entry, &content[..]).unwrap();
    }
    writer.finish().unwrap()
}

/// A store of the test's own, and what it asks of registries.
pub(crate) struct World {
    directory: tempfile::TempDir,
    pub(crate) roots: Roots,
    pub(crate) settings: Settings,
}

impl World {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let settings = Settings {
            user: Some(path("user")),
            auth_config: None,
            machine: path("machine"),
            limits: Limits {
                connect: Duration::from_secs(5),
                answer: Duration::from_secs(1),
                stall: Duration::from_millis(500),
                stall_bytes: 1000,
                pause: Duration::from_millis(1),
                longest_pause: Duration::from_millis(5),
                tries: 4,
                parallel: 4,
            },
        };
        Self {
            roots: Roots::new(path("data"), path("run")),
            settings,
            directory,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn registries(&self) -> Registries {
        Registries::new(self.settings.clone(), None).unwrap()
    }

    pub(crate) fn pull(&self, reference: &Reference) -> Result<Pulled> {
        let pulled = self
            .registries()
            .pull(&self.roots, reference, None, &|_, _| {});
        self.assert_nothing_unfinished();
        pulled
    }

    pub(crate) fn pull_error(&self, reference: &Reference) -> String {
        self.pull(reference).unwrap_err().to_string()
    }

    /// Neither a half layer, nor a half blob, nor a lock.
    pub(crate) fn assert_nothing_unfinished(&self) {
        assert_eq!(names(&self.roots.staging()), [""; 0]);
        let blobs = names(&self.roots.blobs().join("sha256"));
        assert!(blobs.iter().all(|name| name.len() == 64), "{blobs:?}");
        let locks = names(&self.roots.locks());
        assert!(
            locks.iter().all(|name| !name.starts_with("layer")),
            "{locks:?}"
        );
    }

    pub(crate) fn layers(&self) -> usize {
        names(&self.roots.layers()).len()
    }
}

fn names(directory: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// One connection, request after request.
fn serve(
    stream: &TcpStream,
    content: &Mutex<Content>,
    log: &Mutex<Vec<Request>>,
    hook: &Arc<Hook>,
) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        log.lock().unwrap().push(request.clone());
        let answer = match hook(&request) {
            Some(answer) => answer,
            None => ordinary(&request, &mut content.lock().unwrap()),
        };
        let is_head = request.method == "HEAD";
        if request.is_cut || !write(stream, &answer, is_head) {
            break;
        }
    }
    let _gone = stream.shutdown(std::net::Shutdown::Both);
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).ok()?;
    // A client that begins with TLS is answered as Go's server does.
    if line.first() == Some(&0x16) {
        let _gone = reader
            .get_mut()
            .write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n");
        return None;
    }
    let line = String::from_utf8(line).ok()?;
    let mut words = line.split_whitespace();
    let mut request = Request {
        method: words.next()?.to_owned(),
        path: words.next()?.to_owned(),
        ..Request::default()
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        let (name, value) = (name.to_ascii_lowercase(), value.trim().to_owned());
        request.headers.insert(name, value);
    }
    let length = request
        .header("content-length")
        .map_or(0, |it| it.parse().unwrap());
    let read = reader.take(length).read_to_end(&mut request.body);
    request.is_cut = read.is_err() || (request.body.len() as u64) < length;
    Some(request)
}

/// False: the connection is of no more use.
fn write(mut stream: &TcpStream, answer: &Answer, is_head: bool) -> bool {
    std::thread::sleep(answer.delay);
    let length = answer.claimed_length.unwrap_or(answer.body.len());
    let mut head = format!("HTTP/1.1 {} Status\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if answer.status != 204 {
        head.push_str(&format!("content-length: {length}\r\n"));
    }
    head.push_str("\r\n");
    if stream.write_all(head.as_bytes()).is_err() || is_head {
        return is_head;
    }
    let end = answer
        .cut_after
        .unwrap_or(answer.body.len())
        .min(answer.body.len());
    let body = &answer.body[..end];
    match answer.drip {
        None => {
            if stream.write_all(body).is_err() {
                return false;
            }
        }
        Some(pause) => {
            for byte in body {
                if stream.write_all(&[*byte]).is_err() {
                    return false;
                }
                std::thread::sleep(pause);
            }
        }
    }
    answer.cut_after.is_none() && length == answer.body.len()
}

/// What a good registry says.
fn ordinary(request: &Request, content: &mut Content) -> Answer {
    let path = request.path.split('?').next().unwrap_or_default();
    if path == "/v2/" {
        return Answer::status(200).body("{}");
    }
    let parts: Vec<&str> = path.split('/').collect();
    match parts[parts.len() - 2..] {
        ["manifests", target] => manifest(request, content, target),
        ["blobs", digest] => match content.blobs.get(digest) {
            Some(bytes) => ranged(request, bytes),
            None => Answer::status(404),
        },
        ["uploads", ""] => begin_upload(request, content, path),
        ["uploads", number] => upload(request, content, path, number.parse().unwrap()),
        _ => Answer::status(404),
    }
}

/// A part of the query.
fn query(request: &Request, name: &str) -> Option<String> {
    let query = request.path.split_once('?')?.1;
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then(|| value.replace("%3A", ":").replace("%2F", "/"))
    })
}

fn manifest(request: &Request, content: &mut Content, target: &str) -> Answer {
    if request.method == "PUT" {
        let media_type = request.header("content-type").unwrap_or_default();
        let digest = Digest::of(&request.body).to_string();
        for name in [target, &digest] {
            let entry = (media_type.to_owned(), request.body.clone());
            content.manifests.insert(name.to_owned(), entry);
        }
        return Answer::status(201);
    }
    match content.manifests.get(target) {
        Some((media_type, bytes)) => Answer::status(200)
            .with("content-type", media_type.clone())
            .with("docker-content-digest", Digest::of(bytes).to_string())
            .body(bytes.clone()),
        None => Answer::status(404)
            .body(r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#),
    }
}

fn begin_upload(request: &Request, content: &mut Content, path: &str) -> Answer {
    if let Some(digest) = query(request, "mount")
        && content.blobs.contains_key(&digest)
    {
        return Answer::status(201);
    }
    let number = content.uploads.len() as u64;
    content.uploads.insert(number, Vec::new());
    // Relative, and with a query of its own.
    Answer::status(202).with("location", format!("{path}{number}?state=a%3Db"))
}

fn upload(request: &Request, content: &mut Content, path: &str, number: u64) -> Answer {
    let Some(upload) = content.uploads.get_mut(&number) else {
        return Answer::status(404);
    };
    let location = format!("{path}?state=c");
    match request.method.as_str() {
        "PATCH" => {
            let start = request.header("content-range");
            let start = start.map_or(0, |range| range.split('-').next().unwrap().parse().unwrap());
            if start != upload.len() {
                return Answer::status(416);
            }
            upload.extend_from_slice(&request.body);
            Answer::status(202).with("location", location)
        }
        "GET" => {
            let last = upload.len().saturating_sub(1);
            Answer::status(204)
                .with("location", location)
                .with("range", format!("0-{last}"))
        }
        "PUT" => {
            upload.extend_from_slice(&request.body);
            let bytes = content.uploads.remove(&number).unwrap();
            let digest = Digest::of(&bytes).to_string();
            let is_right = query(request, "digest").as_deref() == Some(&digest);
            if !is_right || query(request, "state").is_none() {
                return Answer::status(400)
                    .body(r#"{"errors":[{"code":"DIGEST_INVALID","message":"no"}]}"#);
            }
            content.blobs.insert(digest, bytes);
            Answer::status(201)
        }
        _ => Answer::status(204),
    }
}

pub(crate) fn ranged(request: &Request, bytes: &[u8]) -> Answer {
    let range = request.header("range").and_then(|range| {
        let start: usize = range
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse()
            .ok()?;
        Some(start)
    });
    match range {
        Some(start) => Answer::status(206)
            .with(
                "content-range",
                format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len()),
            )
            .body(&bytes[start..]),
        None => Answer::status(200).body(bytes),
    }
}
