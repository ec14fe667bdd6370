//! RUN: a step's program, in a container of the layers so far; what it wrote becomes a layer.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use rustix::fs::{AtFlags, FileType, OFlags};

use super::BuildEvent;
use crate::cancel::Cancel;
use crate::content::digest::Digest;
use crate::engine::Engine;
use crate::engine::containers::{BUILDER_LABEL, LogQuery, RemoveOptions};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::failpoint::{self, Point};
use crate::image::Image;
use crate::image::config::ImageConfig;
use crate::spec::{
    ContainerSpec, EndpointSpec, MountKind, MountSpec, NetworkMode, ProcessSpec, Propagation,
};
use crate::store::document;
use crate::store::id::Id;
use crate::sys;

/// One program to run, everything settled.
#[derive(Debug)]
pub struct RunStep<'a> {
    /// Chain ids, lowest first.
    pub layers: &'a [Digest],
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    pub user: String,
    pub working_dir: String,
    pub mounts: Vec<MountSpec>,
    pub network: Option<&'a str>,
    pub extra_hosts: Vec<(String, String)>,
    pub shm_size_bytes: Option<u64>,
}

/// Runs it and moves what it wrote to `upper`, a path in a staging directory that does not exist
/// yet.
///
/// # Errors
/// `process "…" did not complete successfully: exit code: N`, or why it could not run.
pub fn run(
    engine: &Engine,
    step: &RunStep<'_>,
    upper: &Path,
    tell: &mut dyn FnMut(String),
    cancel: &Cancel,
) -> Result<()> {
    let id = Id::random()?;
    let mut spec = container(step, &id);
    // Who finds the container once we are dead can tell by the directory that we are.
    if let Some(stage) = upper.parent().and_then(Path::file_name) {
        let stage = stage.to_string_lossy().into_owned();
        spec.labels.insert(BUILDER_LABEL.into(), stage);
    }
    let image = Image {
        repo_digests: Vec::new(),
        manifests: Vec::new(),
        last_tagged: None,
        id: Digest::of(b""),
        references: Vec::new(),
        config: ImageConfig::default(),
        layers: step.layers.to_vec(),
        size_bytes: 0,
        created: None,
    };
    engine.create_container_from(&image, &spec)?;
    failpoint::reached(Point::BuildStepCreated);
    let outcome = run_to_end(engine, &spec.name, step, tell, cancel)
        .and_then(|()| take_layer(engine, &spec.name, upper));
    let removed = engine.remove_container(
        &spec.name,
        &RemoveOptions {
            force: true,
            volumes: true,
        },
    );
    outcome.and(removed)
}

fn container(step: &RunStep<'_>, id: &Id) -> ContainerSpec {
    ContainerSpec {
        name: format!("ketch-build-{}", id.short()),
        process: ProcessSpec {
            entrypoint: Some(step.args.clone()),
            command: Some(Vec::new()),
            env: step
                .env
                .iter()
                .map(|(name, value)| (name.clone(), Some(value.clone())))
                .collect(),
            user: Some(step.user.clone()).filter(|user| !user.is_empty()),
            working_dir: Some(step.working_dir.clone()),
            ..ProcessSpec::default()
        },
        // What programs see in BuildKit, so that scripts which look at it work.
        hostname: Some("buildkitsandbox".into()),
        mounts: step.mounts.clone(),
        network: match step.network {
            Some("none") => NetworkMode::None,
            Some("host") => NetworkMode::Host,
            _ => NetworkMode::Networks(vec![EndpointSpec {
                network: "bridge".into(),
                ..EndpointSpec::default()
            }]),
        },
        extra_hosts: step.extra_hosts.clone(),
        shm_size_bytes: step.shm_size_bytes,
        ..ContainerSpec::default()
    }
}

fn run_to_end(
    engine: &Engine,
    name: &str,
    step: &RunStep<'_>,
    tell: &mut dyn FnMut(String),
    cancel: &Cancel,
) -> Result<()> {
    engine.start_container(name)?;
    let mut logs = engine.container_logs(
        name,
        &LogQuery {
            follow: true,
            ..LogQuery::default()
        },
    )?;
    let mut line = Vec::new();
    while let Some(record) = logs.next(cancel)? {
        // A line longer than a record comes in parts, only the last of which ends in a newline.
        line.extend_from_slice(&record.text);
        if line.ends_with(b"\n") {
            tell(
                String::from_utf8_lossy(&line)
                    .trim_end_matches(['\r', '\n'])
                    .to_owned(),
            );
            line.clear();
        }
    }
    if !line.is_empty() {
        tell(String::from_utf8_lossy(&line).into_owned());
    }
    let mut watch = engine.watch_container(name)?;
    let mut exit_code = -1;
    while let Some(state) = watch.next(cancel)? {
        exit_code = state.exit_code;
    }
    if exit_code == 0 {
        failpoint::reached(Point::BuildStepRun);
        return Ok(());
    }
    let command = step.args.join(" ");
    let cause = match exit_code {
        126 => " (a file of it can't be executed)",
        127 => " (a program of it was not found)",
        137 => " (killed)",
        _ => "",
    };
    let message =
        format!("process {command:?} did not complete successfully: exit code: {exit_code}{cause}");
    Err(Error::new(ErrorKind::Conflict, message))
}

/// The container's writable layer, without what the runtime put there to mount upon.
fn take_layer(engine: &Engine, name: &str, upper: &Path) -> Result<()> {
    let id = engine.container(name)?.record.id;
    let written = engine.roots().container(&id).join("upper");
    fs::rename(&written, upper).context(|| format!("take the layer of {name}"))?;
    remove_stubs(upper);
    failpoint::reached(Point::BuildLayerTaken);
    Ok(())
}

/// Mount points that the runtime makes in every container. Empty ones are its own, or as good as.
const STUBS: &[&str] = &[
    ".dockerenv",
    "etc/hosts",
    "etc/hostname",
    "etc/resolv.conf",
    "etc/mtab",
    "dev/console",
    "dev/pts",
    "dev/shm",
    "dev/mqueue",
    "dev",
    "proc",
    "sys/fs/cgroup",
    "sys/fs",
    "sys",
    "etc",
];

fn remove_stubs(upper: &Path) {
    let Ok(root) = sys::path::open_place(upper) else {
        return;
    };
    for stub in STUBS {
        let (parent, name) = stub.rsplit_once('/').unwrap_or((".", stub));
        // The step may have put a link in a directory's place, to one of the host: not followed.
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let Ok(parent) = sys::path::open_beneath_strict(root.as_fd(), parent, flags) else {
            continue;
        };
        let Ok(stat) = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        match FileType::from_raw_mode(stat.st_mode) {
            // Fails on one that holds something; `etc` goes only when the stubs were all of it,
            // and then the directory below it shows through as it was.
            FileType::Directory => {
                let _kept = rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR);
            }
            FileType::RegularFile if stat.st_size == 0 => {
                let _gone = rustix::fs::unlinkat(&parent, name, AtFlags::empty());
            }
            FileType::Symlink if *stub == "etc/mtab" => {
                let target = rustix::fs::readlinkat(&parent, name, Vec::new());
                if target.is_ok_and(|target| target.as_bytes() == b"/proc/mounts") {
                    let _gone = rustix::fs::unlinkat(&parent, name, AtFlags::empty());
                }
            }
            // A link that the step made is its work.
            _ => {}
        }
    }
}

/// `RUN --mount=…`, as far as it is carried out: `tmpfs` and `cache`.
///
/// # Errors
/// A key or a type that is unknown or not carried out yet.
pub fn mount(text: &str, working_dir: &str, caches: &Path) -> Result<MountSpec> {
    let invalid = |message: String| Error::new(ErrorKind::Invalid, message);
    let mut kind = "bind";
    let mut target = None;
    let mut id = None;
    let mut read_only = false;
    let mut options = Vec::new();
    for field in text.split(',') {
        let (key, value) = field.split_once('=').unwrap_or((field, ""));
        match key.to_ascii_lowercase().as_str() {
            "type" => kind = value,
            "target" | "dst" | "destination" => target = Some(value),
            "id" => id = Some(value),
            "ro" | "readonly" => read_only = value != "false",
            "rw" | "readwrite" => read_only = value == "false",
            "size" => options.push(format!("size={value}")),
            "sharing" if matches!(value, "" | "shared" | "locked") => {}
            _ => {
                let message = format!("RUN --mount: {field:?} is not supported by ketch yet");
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
        }
    }
    let target =
        target.ok_or_else(|| invalid(format!("RUN --mount={text}: a target is required")))?;
    let target = if target.starts_with('/') {
        target.to_owned()
    } else {
        format!("{}/{target}", working_dir.trim_end_matches('/'))
    };
    if target.trim_matches('/').is_empty() {
        return Err(invalid(format!("invalid mount target {target:?}")));
    }
    let kind = match kind {
        "tmpfs" => MountKind::Tmpfs { options },
        "cache" => {
            let source: PathBuf = caches.join(Digest::of(id.unwrap_or(&target).as_bytes()).hex());
            // The directory itself is as a program expects it; nobody else of the host gets there.
            document::make_directory(caches)?;
            match fs::create_dir(&source) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => other.context(|| format!("make the cache of {target}"))?,
            }
            MountKind::Bind {
                source,
                create_host_path: false,
                propagation: Propagation::Rprivate,
                recursive: true,
            }
        }
        other => {
            let message = format!("RUN --mount=type={other} is not supported by ketch yet");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
    };
    Ok(MountSpec {
        target,
        read_only,
        kind,
    })
}

/// The events of one step.
pub fn output(step: usize, events: &mut dyn FnMut(BuildEvent)) -> impl FnMut(String) {
    move |line| events(BuildEvent::Output { step, line })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stubs_go_and_what_a_step_wrote_stays() {
        let directory = tempfile::tempdir().unwrap();
        let upper = directory.path();
        for path in ["etc", "proc", "dev/pts", "srv"] {
            fs::create_dir_all(upper.join(path)).unwrap();
        }
        for (path, text) in [
            (".dockerenv", ""),
            ("etc/hosts", ""),
            ("etc/hostname", "mine"),
        ] {
            fs::write(upper.join(path), text).unwrap();
        }
        remove_stubs(upper);
        let mut left: Vec<_> = fs::read_dir(upper)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["etc", "srv"]);
        assert!(!upper.join("etc/hosts").exists());
    }

    #[test]
    fn stubs_are_not_looked_for_through_a_link_that_the_step_made() {
        let directory = tempfile::tempdir().unwrap();
        let (host, upper) = (
            directory.path().join("host"),
            directory.path().join("upper"),
        );
        for path in [host.join("pts"), upper.join("sys")] {
            fs::create_dir_all(path).unwrap();
        }
        fs::write(host.join("hosts"), "").unwrap();
        fs::write(host.join("console"), "").unwrap();
        std::os::unix::fs::symlink("stub.conf", host.join("resolv.conf")).unwrap();
        std::os::unix::fs::symlink("/proc/mounts", host.join("mtab")).unwrap();
        for link in ["etc", "dev", "sys/fs"] {
            std::os::unix::fs::symlink(&host, upper.join(link)).unwrap();
        }
        remove_stubs(&upper);
        for canary in ["hosts", "console", "resolv.conf", "mtab", "pts"] {
            assert!(host.join(canary).symlink_metadata().is_ok(), "{canary}");
        }
        assert!(upper.join("etc").is_symlink(), "the step's own work stays");
    }

    #[test]
    fn a_cache_is_out_of_reach_for_other_users_of_the_host() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let caches = directory.path().join("data/cache");
        let spec = mount("type=cache,target=/x,id=../../up", "/", &caches).unwrap();
        let MountKind::Bind { source, .. } = spec.kind else {
            panic!("a cache is a directory of ours");
        };
        // Its id is no part of a path.
        assert_eq!(source.parent(), Some(caches.as_path()));
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode(&directory.path().join("data")), mode(&caches)),
            (0o700, 0o700)
        );
        assert_eq!(mode(&source) & 0o700, 0o700);
    }

    #[test]
    fn mounts_are_refused_by_name_until_they_are_carried_out() {
        let caches = tempfile::tempdir().unwrap();
        let spec = mount("type=tmpfs,target=x,size=1m", "/app", caches.path()).unwrap();
        assert_eq!(spec.target, "/app/x");
        let error = mount("type=secret,id=x,target=/x", "/", caches.path()).unwrap_err();
        assert!(error.to_string().contains("type=secret is not supported"));
    }
}
