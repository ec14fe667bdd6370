//! Pure: volumes, and everything that is mounted: binds, volumes, tmpfs, secrets, configs.

use indexmap::IndexMap;
use ketch_runtime::spec::{MountKind, MountSpec, Propagation, VolumeSpec};
use ketch_runtime::volume;

use super::{Context, hash, labels};
use crate::diag::{Diagnostic, Diagnostics};
use crate::model::names::label;
use crate::model::{FileReference, FileSource, Mount, MountType, Project, SharedFile, Volume};

/// All volumes that are ours to make, by key.
pub(super) fn lower_volumes(
    project: &Project,
    problems: &mut Diagnostics,
) -> IndexMap<String, VolumeSpec> {
    let ours = project
        .volumes
        .iter()
        .filter(|(_, volume)| !volume.resource.external);
    ours.map(|(key, volume)| (key.clone(), lower_volume(project, volume, problems)))
        .collect()
}

fn lower_volume(project: &Project, volume: &Volume, problems: &mut Diagnostics) -> VolumeSpec {
    let resource = &volume.resource;
    if let Some(driver) = volume.driver.as_deref().filter(|driver| *driver != "local") {
        let message = format!("volume driver {driver:?} is not supported");
        problems.push(Diagnostic::error(resource.span, message).hint("use `local`"));
    }
    let mut spec = VolumeSpec {
        name: resource.name.clone(),
        driver: volume.driver.clone(),
        options: volume.driver_opts.clone(),
        labels: IndexMap::new(),
    };
    if let Err(error) = volume::check(&spec) {
        let text = error.to_string();
        let (what, instead) = text.split_once("; ").unwrap_or((&text, ""));
        let message = format!("volume {}: {what}", resource.key);
        let diagnostic = Diagnostic::error(resource.span, message);
        problems.push(match instead {
            "" => diagnostic,
            hint => diagnostic.hint(hint),
        });
    }
    let config_hash = hash::of_volume(&spec);
    spec.labels = labels::of_resource(project, resource, label::VOLUME, config_hash);
    spec
}

/// `volumes`, then `tmpfs`, `secrets` and `configs`.
pub(super) fn lower_mounts(context: &mut Context<'_>) -> Vec<MountSpec> {
    let (project, service) = (context.project, context.service);
    let mut mounts = Vec::new();
    for mount in &service.volumes {
        mounts.push(lower_mount(context, mount));
    }
    mounts.extend(service.tmpfs.iter().map(|text| lower_tmpfs(text)));
    for reference in &service.secrets {
        let file = project.secrets.get(&reference.source);
        mounts.extend(lower_file(context, "secret", reference, file));
    }
    for reference in &service.configs {
        let file = project.configs.get(&reference.source);
        mounts.extend(lower_file(context, "config", reference, file));
    }
    mounts
}

fn lower_mount(context: &mut Context<'_>, mount: &Mount) -> MountSpec {
    if !mount.target.starts_with('/') {
        let message = format!(
            "invalid mount path: {:?} mount path must be absolute",
            mount.target
        );
        context.report(Diagnostic::error(mount.span, message));
    }
    let source = mount.source.as_ref();
    let kind = match mount.kind {
        MountType::Volume => {
            let volumes = &context.project.volumes;
            let name = source.map(|key| match volumes.get(key) {
                Some(volume) => volume.resource.name.clone(),
                None => key.clone(),
            });
            MountKind::Volume {
                name,
                no_copy: mount.volume_nocopy,
                subpath: mount.volume_subpath.clone(),
            }
        }
        MountType::Bind => MountKind::Bind {
            source: source.cloned().unwrap_or_default().into(),
            create_host_path: mount.bind.create_host_path,
            propagation: lower_propagation(context, mount),
            recursive: mount.bind.recursive.as_deref() != Some("disabled"),
        },
        MountType::Tmpfs => {
            let size = mount.tmpfs_size.map(|bytes| format!("size={bytes}"));
            let mode = mount.tmpfs_mode.map(|mode| format!("mode={mode:o}"));
            MountKind::Tmpfs {
                options: size.into_iter().chain(mode).collect(),
            }
        }
    };
    MountSpec {
        target: mount.target.clone(),
        read_only: mount.read_only,
        kind,
    }
}

fn lower_propagation(context: &mut Context<'_>, mount: &Mount) -> Propagation {
    match mount.bind.propagation.as_deref() {
        None | Some("" | "rprivate") => Propagation::Rprivate,
        Some("private") => Propagation::Private,
        Some("rshared") => Propagation::Rshared,
        Some("shared") => Propagation::Shared,
        Some("rslave") => Propagation::Rslave,
        Some("slave") => Propagation::Slave,
        Some(other) => {
            let message = format!(
                "invalid propagation {other:?} of the mount on {}",
                mount.target
            );
            let hint = "use `private`, `rprivate`, `shared`, `rshared`, `slave` or `rslave`";
            context.report(Diagnostic::error(mount.span, message).hint(hint));
            Propagation::default()
        }
    }
}

/// `path[:options]`.
fn lower_tmpfs(text: &str) -> MountSpec {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let options: Vec<String> = options
        .split(',')
        .filter(|option| !option.is_empty())
        .map(str::to_owned)
        .collect();
    MountSpec {
        target: target.to_owned(),
        read_only: options.iter().any(|option| option == "ro"),
        kind: MountKind::Tmpfs { options },
    }
}

/// A file of the host is mounted; anything else comes with the spec and lives in memory.
fn lower_file(
    context: &mut Context<'_>,
    word: &str,
    reference: &FileReference,
    file: Option<&SharedFile>,
) -> Option<MountSpec> {
    let name = &reference.source;
    let mut refuse = |message: String| {
        context.report(Diagnostic::error(reference.span, message));
        None
    };
    let content = match file.map(|file| &file.source) {
        None => return refuse(format!("undefined {word} {name}")),
        Some(FileSource::External) => return refuse(format!("unsupported external {word} {name}")),
        Some(FileSource::File(path)) => {
            warn_about_ownership(context, word, reference);
            return Some(MountSpec {
                target: reference.target.clone(),
                read_only: true,
                kind: MountKind::Bind {
                    source: path.clone(),
                    create_host_path: false,
                    propagation: Propagation::default(),
                    recursive: true,
                },
            });
        }
        Some(FileSource::Environment { variable, value }) => match value {
            Some(value) => value.clone(),
            None => {
                return refuse(format!(
                    "environment variable {variable:?} required by {word} {name:?} is not set"
                ));
            }
        },
        Some(FileSource::Content(text)) => text.clone(),
    };
    Some(MountSpec {
        target: reference.target.clone(),
        read_only: true,
        kind: MountKind::File {
            content: content.into_bytes(),
            mode: reference.mode.unwrap_or(0o444),
            uid: owner(context, word, reference, reference.uid.as_deref()),
            gid: owner(context, word, reference, reference.gid.as_deref()),
        },
    })
}

fn owner(
    context: &mut Context<'_>,
    word: &str,
    reference: &FileReference,
    id: Option<&str>,
) -> u32 {
    let Some(text) = id else { return 0 };
    text.parse().unwrap_or_else(|_| {
        let message = format!("invalid owner {text:?} of {word} {}", reference.source);
        context.report(Diagnostic::error(reference.span, message).hint("use a number"));
        0
    })
}

/// Owner and mode of the host's file show through, as in Compose.
fn warn_about_ownership(context: &mut Context<'_>, word: &str, reference: &FileReference) {
    if reference.uid.is_some() || reference.gid.is_some() || reference.mode.is_some() {
        let message = format!(
            "{word}s `uid`, `gid` and `mode` are not supported for a file of the host, they will be ignored"
        );
        context.report(Diagnostic::warning(reference.span, message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tmpfs_options_follow_the_path() {
        let mount = lower_tmpfs("/run:size=64m,mode=1777");
        assert_eq!(mount.target, "/run");
        let options = vec!["size=64m".into(), "mode=1777".into()];
        assert_eq!(mount.kind, MountKind::Tmpfs { options });
    }
}
