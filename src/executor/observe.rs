//! Engine → [`Observed`].

use indexmap::IndexMap;
use ketch_runtime::container::Container;
use ketch_runtime::container::record::Source;
use ketch_runtime::engine::Engine;
use ketch_runtime::engine::containers::ContainerFilter;
use ketch_runtime::error::Result;
use ketch_runtime::image::Image;
use ketch_runtime::spec::{Namespace, NetworkMode};

use crate::model::names::label;
use crate::planner::{
    Observed, ObservedContainer, ObservedImage, ObservedMount, ObservedNetwork, ObservedVolume,
};

/// Looks at what there is of a project, by its labels.
///
/// # Errors
/// When the stores can't be read.
pub fn observe(engine: &Engine, project: &str) -> Result<Observed> {
    // What a killed command left is in nobody's way for longer than to the next one.
    engine.sweep();
    let filter = ContainerFilter {
        labels: vec![(label::PROJECT.into(), Some(project.into()))],
    };
    let containers = engine.containers(&filter)?;
    let networks = engine.networks()?.into_iter().map(|network| {
        let observed = ObservedNetwork {
            id: network.id.as_str().to_owned(),
            name: network.spec.name.clone(),
            labels: network.spec.labels,
        };
        (network.spec.name, observed)
    });
    let volumes = engine.volumes()?.into_iter().map(|volume| {
        let observed = ObservedVolume {
            name: volume.spec.name.clone(),
            anonymous: volume.anonymous,
            labels: volume.spec.labels,
        };
        (volume.spec.name, observed)
    });
    Ok(Observed {
        containers: containers.iter().map(observed_container).collect(),
        networks: networks.collect(),
        volumes: volumes.collect(),
        images: engine.images()?.into_iter().map(observed_image).collect(),
    })
}

/// The projects that have containers, by name, and their containers: what `ls` shows.
///
/// # Errors
/// When the store can't be read.
pub fn project_names(engine: &Engine) -> Result<IndexMap<String, Vec<Container>>> {
    let filter = ContainerFilter {
        labels: vec![(label::PROJECT.into(), None)],
    };
    let mut projects: IndexMap<String, Vec<Container>> = IndexMap::new();
    for container in engine.containers(&filter)? {
        let name = container.record.spec.labels.get(label::PROJECT).cloned();
        projects
            .entry(name.unwrap_or_default())
            .or_default()
            .push(container);
    }
    projects.sort_keys();
    Ok(projects)
}

fn observed_container(container: &Container) -> ObservedContainer {
    let record = &container.record;
    let spec = &record.spec;
    let text = |key: &str| spec.labels.get(key).cloned().unwrap_or_default();
    let networks = match &spec.network {
        NetworkMode::Networks(endpoints) => endpoints
            .iter()
            .map(|endpoint| endpoint.network.clone())
            .collect(),
        NetworkMode::None | NetworkMode::Host | NetworkMode::Container(_) => Vec::new(),
    };
    ObservedContainer {
        id: record.id.as_str().to_owned(),
        name: record.name.clone(),
        service: text(label::SERVICE),
        number: text(label::NUMBER).parse().unwrap_or(0),
        one_off: text(label::ONE_OFF).eq_ignore_ascii_case("true"),
        status: container.state.status,
        stopping: container.state.stopping.is_some(),
        exit_code: container.state.exit_code,
        health: container.state.health.as_ref().map(|health| health.status),
        config_hash: spec.labels.get(label::CONFIG_HASH).cloned(),
        image_id: record.image_id.as_str().to_owned(),
        networks,
        shares: shared_with(container),
        volumes: record.mounts.iter().filter_map(observed_mount).collect(),
        labels: spec.labels.clone(),
        spec: Some(Box::new(spec.clone())),
    }
}

fn shared_with(container: &Container) -> Vec<String> {
    let spec = &container.record.spec;
    let mut names = Vec::new();
    if let NetworkMode::Container(name) = &spec.network {
        names.push(name.clone());
    }
    let security = &spec.security;
    for namespace in [&security.pid, &security.ipc, &security.uts] {
        if let Namespace::Container(name) = namespace {
            names.push(name.clone());
        }
    }
    names
}

fn observed_mount(mount: &ketch_runtime::container::record::Mount) -> Option<ObservedMount> {
    match &mount.source {
        Source::Volume {
            name, anonymous, ..
        } => Some(ObservedMount {
            target: mount.target.clone(),
            volume: name.clone(),
            anonymous: *anonymous,
        }),
        Source::Bind { .. } | Source::Tmpfs { .. } | Source::File { .. } => None,
    }
}

fn observed_image(image: Image) -> (String, ObservedImage) {
    let config = image.config.config;
    let volumes = config.volumes.unwrap_or_default();
    let id = image.id.as_str().to_owned();
    let observed = ObservedImage {
        id: id.clone(),
        references: image.references,
        volumes: volumes.into_keys().collect(),
        labels: config.labels.unwrap_or_default(),
    };
    (id, observed)
}
