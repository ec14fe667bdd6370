//! Where everything of ours lies, and how files are written.
//!
//! Two roots, both given by the caller: data (survives a reboot) and run (gone
//! with it). Every path of ours is made here.

pub(crate) mod changes;
pub mod document;
pub mod events;
pub mod id;
pub mod lock;
pub mod staging;

use std::path::{Path, PathBuf};

use id::Id;

/// The directories of one installation. Nothing else is assumed about the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    data: PathBuf,
    run: PathBuf,
}

impl Roots {
    /// `/var/lib/ketch` and `/run/ketch`, or what the caller chose. Must be absolute.
    pub fn new(data: impl Into<PathBuf>, run: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            run: run.into(),
        }
    }

    /// The persistent root.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The volatile root.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// Content by digest: `sha256/<hex>` below.
    pub fn blobs(&self) -> PathBuf {
        self.data.join("blobs")
    }

    /// Unpacked layers, a directory for each chain id: `<hex>/diff`.
    pub fn layers(&self) -> PathBuf {
        self.data.join("layers")
    }

    /// Image names and what they point to.
    pub fn images(&self) -> PathBuf {
        self.data.join("images.json")
    }

    /// The builder's cache of steps.
    pub fn build_cache(&self) -> PathBuf {
        self.data.join("build-cache")
    }

    /// All containers.
    pub fn containers(&self) -> PathBuf {
        self.data.join("containers")
    }

    /// One container: `config.json state.json hosts hostname resolv.conf log/ upper/ work/`.
    pub fn container(&self, id: &Id) -> PathBuf {
        self.containers().join(id.as_str())
    }

    /// Reserved container names: a file for each, holding the id.
    pub fn names(&self) -> PathBuf {
        self.data.join("names")
    }

    /// Networks, a file for each id.
    pub fn networks(&self) -> PathBuf {
        self.data.join("networks")
    }

    /// Volumes, a directory for each name: `meta.json _data/`.
    pub fn volumes(&self) -> PathBuf {
        self.data.join("volumes")
    }

    /// Where things are made before they are renamed into place; same file system as the data.
    pub fn staging(&self) -> PathBuf {
        self.data.join("tmp")
    }

    /// What happened, a line each.
    pub fn events(&self) -> PathBuf {
        self.data.join("events")
    }

    /// A running container's volatile part: `ctl.sock lock stdout.fifo stderr.fifo monitor.json`.
    pub fn container_run(&self, id: &Id) -> PathBuf {
        self.run.join("containers").join(id.as_str())
    }

    /// Name tables and port reservations of the networks.
    pub fn network_run(&self) -> PathBuf {
        self.run.join("networks")
    }

    /// Lock files.
    pub fn locks(&self) -> PathBuf {
        self.run.join("locks")
    }
}
