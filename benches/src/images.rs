//! Images: `image load` and `image pull` of Debian with PostgreSQL, against `tar x` of its layer.
//!
//! The image is made once, by mmdebstrap, and kept beside the results. Everything is unpacked to
//! memory where there is room, so that it is the programs that are compared and not a disk; each
//! run has a store of its own.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ketch_runtime::content::digest::{Digest, Digesting};
use serde_json::json;

use crate::Result;
use crate::report::{Goal, Report};
use crate::world::World;

const RUNS: usize = 5;
/// What the two results of a run, and the archives, take at most.
const ROOM_BYTES: u64 = 3 << 30;
const GOAL: Goal = Goal::Below(0.75);

/// How the layer is compressed.
#[derive(Debug, Clone, Copy)]
enum Form {
    Gzip,
    Zstd,
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// Loads and pulls.
pub fn run(world: &World, report: &mut Report) -> Result<()> {
    let kept = world.kept("bench-images")?;
    let plain = kept.join("postgres.tar");
    make_image(&plain)?;
    let room = Room::new(world)?;
    let registry = Registry::new(&room.path("registry"))?;
    for form in [Form::Gzip, Form::Zstd] {
        let layer = compressed(&plain, form)?;
        let layout = layout(&room, &plain, &layer, form)?;
        let archive = room.path(&format!("{}.tar", form.name()));
        succeed(
            Command::new("tar")
                .arg("-C")
                .arg(&layout)
                .arg("-cf")
                .arg(&archive)
                .arg("."),
        )?;
        let source = format!("oci:{}:latest", layout.display());
        let name = format!("127.0.0.1:{}/postgres:{}", registry.port, form.name());
        let target = format!("docker://{name}");
        let push = ["copy", "-q", "--dest-tls-verify=false", &source, &target];
        succeed(Command::new("skopeo").args(push))?;
        let archive = archive.to_str().ok_or("a path that is no text")?;
        let (suffix, goal) = match form {
            Form::Gzip => ("", Some(GOAL)),
            // tar, which has two processes then, is no slower than the disk.
            Form::Zstd => ("_zstd", None),
        };
        let load = ["image", "load", "-q", "-i", archive];
        compare(
            world,
            &room,
            report,
            (&format!("image_load{suffix}"), goal),
            &load,
            &layer,
        )?;
        let pull = ["image", "pull", "-q", &name];
        compare(
            world,
            &room,
            report,
            (&format!("image_pull{suffix}"), goal),
            &pull,
            &layer,
        )?;
        fs::remove_file(archive)?;
        fs::remove_dir_all(&layout)?;
        peer(&room, report, suffix, &name)?;
    }
    Ok(())
}

/// Debian with PostgreSQL, from the machine's own apt configuration.
fn make_image(plain: &Path) -> Result<()> {
    if plain.exists() {
        return Ok(());
    }
    eprintln!("bench: making an image with mmdebstrap, once");
    let aside = plain.with_extension("making");
    let sources = [
        "/etc/apt/sources.list.d/debian.sources",
        "/etc/apt/sources.list",
    ];
    let sources = sources.into_iter().find(|path| Path::new(path).exists());
    succeed(
        Command::new("mmdebstrap")
            .args([
                "--quiet",
                "--mode=root",
                "--variant=minbase",
                "--format=tar",
            ])
            .args(["--include=postgresql", "bookworm"])
            .arg(&aside)
            .args(sources),
    )?;
    Ok(fs::rename(aside, plain)?)
}

/// The layer's archive beside the plain one, made once.
fn compressed(plain: &Path, form: Form) -> Result<PathBuf> {
    let path = plain.with_extension(match form {
        Form::Gzip => "tar.gz",
        Form::Zstd => "tar.zst",
    });
    if path.exists() {
        return Ok(path);
    }
    let aside = path.with_extension("making");
    let out = File::create(&aside)?;
    match form {
        Form::Gzip => succeed(Command::new("gzip").arg("-6c").arg(plain).stdout(out))?,
        Form::Zstd => {
            let read = BufReader::new(File::open(plain)?);
            zstd::stream::copy_encode(read, BufWriter::new(out), 3)?;
        }
    }
    fs::rename(aside, &path)?;
    Ok(path)
}

/// A directory as the OCI image layout has it.
fn layout(room: &Room, plain: &Path, layer: &Path, form: Form) -> Result<PathBuf> {
    let root = room.path(form.name());
    let blobs = root.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let diff_id = digest(plain)?;
    let archive = digest(layer)?;
    fs::copy(layer, blobs.join(archive.hex()))?;
    let put = |bytes: &[u8]| -> Result<Digest> {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.hex()), bytes)?;
        Ok(digest)
    };
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    };
    let config = json!({
        "os": "linux", "architecture": architecture, "config": {"Cmd": ["postgres"]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    })
    .to_string();
    let config_digest = put(config.as_bytes())?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                   "digest": config_digest, "size": config.len()},
        "layers": [{"mediaType": format!("application/vnd.oci.image.layer.v1.tar+{}", form.name()),
                    "digest": archive, "size": fs::metadata(layer)?.len()}],
    })
    .to_string();
    let manifest_digest = put(manifest.as_bytes())?;
    let index = json!({
        "schemaVersion": 2,
        "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json",
                       "digest": manifest_digest, "size": manifest.len(),
                       "annotations": {"org.opencontainers.image.ref.name": "latest"}}],
    });
    fs::write(root.join("index.json"), index.to_string())?;
    fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(root)
}

fn digest(path: &Path) -> Result<Digest> {
    let mut digesting = Digesting::new(File::open(path)?);
    std::io::copy(&mut digesting, &mut std::io::sink())?;
    Ok(digesting.finish().1)
}

/// A command of ketch with a new store, and `tar x`, in turns.
fn compare(
    world: &World,
    room: &Room,
    report: &mut Report,
    (name, goal): (&str, Option<Goal>),
    args: &[&str],
    layer: &Path,
) -> Result<()> {
    let (mut times, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let target = room.path("files");
        fs::create_dir_all(&target)?;
        let begun = Instant::now();
        extract(layer, &target)?;
        floors.push(begun.elapsed().as_secs_f64() * 1000.0);
        fs::remove_dir_all(&target)?;
        let store = room.path("store");
        let begun = Instant::now();
        succeed(world.ketch_command(&store, args).stdout(Stdio::null()))?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
        fs::remove_dir_all(&store)?;
    }
    let ratio = median(&mut times) / median(&mut floors);
    report.add(name, "ms", &times, &floors, None);
    report.add(&format!("{name}_ratio"), "x", &[ratio], &[], goal);
    Ok(())
}

/// As whoever has the archive would.
fn extract(layer: &Path, target: &Path) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(target).arg("-x");
    if layer
        .extension()
        .is_some_and(|extension| extension == "zst")
    {
        // tar runs the program `zstd` for it.
        return succeed(tar.arg("--zstd").arg("-f").arg(layer));
    }
    succeed(tar.arg("-zf").arg(layer))
}

/// The same image into podman's store, as podman pulls it (skopeo is made of the same library).
fn peer(room: &Room, report: &mut Report, suffix: &str, name: &str) -> Result<()> {
    let store = room.path("peer");
    let path = |name: &str| store.join(name).display().to_string();
    let target = format!(
        "containers-storage:[overlay@{}+{}]localhost/postgres:1",
        path("root"),
        path("run")
    );
    let source = format!("docker://{name}");
    let mut times = Vec::new();
    for _ in 0..3 {
        let begun = Instant::now();
        let copy = ["copy", "-q", "--src-tls-verify=false", &source, &target];
        succeed(Command::new("skopeo").args(copy))?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
        // It mounts its store onto itself.
        succeed(Command::new("umount").arg(path("root/overlay")))?;
        fs::remove_dir_all(&store)?;
    }
    report.add(&format!("podman_pull{suffix}"), "ms", &times, &[], None);
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .map_err(|error| format!("{command:?}: {error}"))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {status}").into()),
    }
}

/// A directory in memory if it has room, else on disk; gone with the value.
#[derive(Debug)]
struct Room(tempfile::TempDir);

impl Room {
    fn new(world: &World) -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let free = rustix::fs::statvfs(memory).map_or(0, |it| it.f_bavail * it.f_frsize);
        let parent = if free > ROOM_BYTES {
            memory.to_owned()
        } else {
            eprintln!("bench: too little memory in /dev/shm: images are unpacked to disk");
            world.path("")
        };
        Ok(Self(tempfile::tempdir_in(parent)?))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// Debian's registry server on the loopback; ends with the value.
#[derive(Debug)]
struct Registry {
    child: Child,
    port: u16,
}

impl Registry {
    fn new(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory)?;
        // Free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = directory.join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n",
            directory.display()
        );
        fs::write(&config, text)?;
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("docker-registry: {error}"))?;
        let registry = Self { child, port };
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline {
                return Err("docker-registry does not answer".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(registry)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It has ended already: so much the better.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
