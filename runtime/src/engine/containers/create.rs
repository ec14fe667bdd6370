//! Create: names, directory, volumes, record. Nothing runs, and a failure leaves nothing.
//!
//! The order is Docker's (spec 2.2): name and id first, so that a conflict costs nothing;
//! volumes are filled here and not at start; the record last, because a directory with a
//! record *is* a container.

use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::find::no_such_container;
use crate::container::documents::{self, Belongings};
use crate::container::merge::{self, Settled};
use crate::container::record::{Mount, Record, Source};
use crate::container::state::State;
use crate::engine::Engine;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::failpoint::{self, Point};
use crate::image::Image;
use crate::monitor::cleanup;
use crate::monitor::logfile;
use crate::spec::{ContainerSpec, MountKind, Namespace, NetworkMode, VolumeSpec};
use crate::store::document;
use crate::store::id::Id;
use crate::store::lock::{self, Lock};
use crate::volume;

impl Engine {
    /// Makes a container from its image; nothing of it runs.
    ///
    /// # Errors
    /// In Docker's words: a taken name, an unknown image, a spec that cannot be.
    pub fn create_container(&self, spec: &ContainerSpec) -> Result<Id> {
        let image = self.image(&spec.image)?;
        self.create_container_from(&image, spec)
    }

    /// As `create_container`, from an image that need not have a name (build steps).
    ///
    /// # Errors
    /// As `create_container`.
    pub fn create_container_from(&self, image: &Image, spec: &ContainerSpec) -> Result<Id> {
        merge::check(spec)?;
        logfile::Settings::parse(&spec.log)?;
        let (spec, shared_hostname) = self.resolve_references(spec)?;
        let id = Id::random()?;
        let _guard = lock::acquire(self.roots(), Lock::Container(id.as_str()))?;
        let mut made = Made::new(&id, &spec.name);
        match self.make(&id, image, &spec, shared_hostname, &mut made) {
            Ok(record) => {
                cleanup::announce(self.roots(), &record, "create", None);
                Ok(id)
            }
            Err(error) => {
                // Its failures cannot be told any better than the first one.
                let _left_for_a_sweep = cleanup::discard(self.roots(), &id);
                Err(error)
            }
        }
    }

    fn make(
        &self,
        id: &Id,
        image: &Image,
        spec: &ContainerSpec,
        shared_hostname: Option<String>,
        made: &mut Made,
    ) -> Result<Record> {
        let directory = self.roots().container(id);
        self.make_directory(&directory)?;
        failpoint::reached(Point::ContainerDirectoryMade);
        documents::write_belongings(self.roots(), id, &made.belongings)?;
        failpoint::reached(Point::BelongingsWritten);
        documents::reserve_name(self.roots(), &spec.name, id)?;
        failpoint::reached(Point::NameReserved);
        self.make_layer(&directory, image)?;
        failpoint::reached(Point::WritableLayerMade);
        let mut mounts = self.settle_mounts(spec, made)?;
        for target in merge::uncovered_volumes(&image.config.config, spec) {
            mounts.push(self.anonymous_volume(&target, false, None, made)?);
        }
        // Parents before what is mounted below them, else in the user's order.
        mounts.sort_by_key(|mount| mount.target.split('/').count());
        let settled = Settled {
            id: id.clone(),
            created: Timestamp::now(),
            mounts,
            shared_hostname,
        };
        let record = merge::record(settled, image, spec)?;
        self.fill_volumes(&record, spec, image)?;
        failpoint::reached(Point::VolumesReady);
        documents::write_state(self.roots(), id, &mut State::default())?;
        failpoint::reached(Point::FirstStateWritten);
        documents::write_record(self.roots(), &record)?;
        failpoint::reached(Point::RecordWritten);
        Ok(record)
    }

    fn make_directory(&self, directory: &Path) -> Result<()> {
        document::make_directory(&self.roots().containers())?;
        std::fs::DirBuilder::new()
            .mode(0o710)
            .create(directory)
            .context(|| format!("create {}", directory.display()))?;
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o710))?;
        Ok(())
    }

    /// The container's writable layer. The root of an overlay has the mode of its upper
    /// directory, so that is the image root's.
    fn make_layer(&self, directory: &Path, image: &Image) -> Result<()> {
        for name in ["upper", "work", "log"] {
            document::make_directory(&directory.join(name))?;
        }
        let upper = directory.join("upper");
        let mut mode = 0o755;
        if let Some(top) = image.layers.last() {
            let root = self.roots().layers().join(top.hex()).join("diff");
            if let Ok(metadata) = std::fs::metadata(&root) {
                mode = metadata.mode() & 0o7777;
                std::os::unix::fs::chown(&upper, Some(metadata.uid()), Some(metadata.gid()))?;
            }
        }
        std::fs::set_permissions(&upper, std::fs::Permissions::from_mode(mode))?;
        Ok(())
    }

    fn settle_mounts(&self, spec: &ContainerSpec, made: &mut Made) -> Result<Vec<Mount>> {
        let mut mounts = Vec::new();
        for mount in &spec.mounts {
            let target = merge::clean(&mount.target);
            let source = match &mount.kind {
                MountKind::Bind {
                    source,
                    create_host_path,
                    propagation,
                    recursive,
                } => {
                    settle_bind(source, *create_host_path)?;
                    Source::Bind {
                        path: source.clone(),
                        propagation: *propagation,
                        recursive: *recursive,
                    }
                }
                MountKind::Volume {
                    name: Some(name),
                    subpath,
                    ..
                } => self.named_volume(name, subpath.clone())?,
                MountKind::Volume {
                    name: None,
                    subpath,
                    ..
                } => {
                    let subpath = subpath.clone();
                    mounts.push(self.anonymous_volume(&target, mount.read_only, subpath, made)?);
                    continue;
                }
                MountKind::Tmpfs { options } => Source::Tmpfs {
                    options: options.clone(),
                },
                MountKind::File {
                    content,
                    mode,
                    uid,
                    gid,
                } => Source::File {
                    content: content.clone(),
                    mode: *mode,
                    uid: *uid,
                    gid: *gid,
                },
            };
            mounts.push(Mount {
                target,
                read_only: mount.read_only,
                source,
            });
        }
        Ok(mounts)
    }

    fn named_volume(&self, name: &str, subpath: Option<String>) -> Result<Source> {
        let asked = VolumeSpec {
            name: name.to_owned(),
            ..VolumeSpec::default()
        };
        let volume = volume::create(self.roots(), &asked)?;
        Ok(Source::Volume {
            name: name.to_owned(),
            path: volume.path,
            subpath,
            anonymous: false,
        })
    }

    fn anonymous_volume(
        &self,
        target: &str,
        read_only: bool,
        subpath: Option<String>,
        made: &mut Made,
    ) -> Result<Mount> {
        let asked = volume::anonymous()?;
        made.belongings.volumes.push(asked.name.clone());
        documents::write_belongings(self.roots(), &made.id, &made.belongings)?;
        failpoint::reached(Point::BelongingsWritten);
        let volume = volume::create(self.roots(), &asked)?;
        let name = volume.spec.name;
        Ok(Mount {
            target: target.to_owned(),
            read_only,
            source: Source::Volume {
                name,
                path: volume.path,
                subpath,
                anonymous: true,
            },
        })
    }

    /// Copies what the image has at a volume's place into the volume, if that is empty.
    fn fill_volumes(&self, record: &Record, spec: &ContainerSpec, image: &Image) -> Result<()> {
        let layers: Vec<PathBuf> = image
            .layers
            .iter()
            .map(|layer| self.roots().layers().join(layer.hex()).join("diff"))
            .collect();
        for mount in &record.mounts {
            let Source::Volume {
                path,
                subpath: None,
                ..
            } = &mount.source
            else {
                continue;
            };
            let no_copy = spec.mounts.iter().any(|asked| {
                merge::clean(&asked.target) == mount.target
                    && matches!(asked.kind, MountKind::Volume { no_copy: true, .. })
            });
            if !no_copy {
                volume::populate(&layers, &mount.target, path)?;
            }
        }
        Ok(())
    }

    /// Names of other containers become ids, so that renaming them later breaks nothing. Also
    /// gives the host name that comes with a shared network.
    fn resolve_references(&self, spec: &ContainerSpec) -> Result<(ContainerSpec, Option<String>)> {
        let mut spec = spec.clone();
        let mut shared_hostname = None;
        match &mut spec.network {
            NetworkMode::Container(name) => {
                let other = self.container(name)?;
                *name = other.record.id.to_string();
                shared_hostname = Some(other.record.hostname);
            }
            NetworkMode::Host if spec.hostname.is_none() => {
                let name = rustix::system::uname();
                shared_hostname = Some(name.nodename().to_string_lossy().into_owned());
            }
            _ => {}
        }
        let security = &mut spec.security;
        for namespace in [&mut security.pid, &mut security.ipc, &mut security.uts] {
            if let Namespace::Container(name) = namespace {
                let id = self.container_id(name)?;
                *name = documents::find(self.roots(), &id)?
                    .ok_or_else(|| no_such_container(name))?
                    .record
                    .id
                    .to_string();
            }
        }
        Ok((spec, shared_hostname))
    }
}

/// What exists only because of this container.
#[derive(Debug)]
struct Made {
    id: Id,
    belongings: Belongings,
}

impl Made {
    fn new(id: &Id, name: &str) -> Self {
        Self {
            id: id.clone(),
            belongings: Belongings {
                names: vec![name.to_owned()],
                volumes: Vec::new(),
            },
        }
    }
}

fn settle_bind(source: &Path, create: bool) -> Result<()> {
    if !source.is_absolute() {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "invalid mount config for type \"bind\": invalid mount path: '{}' mount path must \
                 be absolute",
                source.display()
            ),
        ));
    }
    if std::fs::symlink_metadata(source).is_ok() {
        return Ok(());
    }
    if !create {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "invalid mount config for type \"bind\": bind source path does not exist: {}",
                source.display()
            ),
        ));
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(source)
        .context(|| format!("create {}", source.display()))
}
