//! From the canonical tree to the model, field by field, with places.

mod fields;
mod mounts;
mod ports;
mod resources;
mod service;

use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use crate::diag::Diagnostics;
use crate::model::{Project, Service};
use crate::yaml::{Kind, Map, Node};
use fields::Fields;

/// What a project is besides its tree.
#[derive(Debug)]
pub(super) struct Around {
    pub(super) name: String,
    pub(super) working_dir: PathBuf,
    pub(super) config_files: Vec<PathBuf>,
    pub(super) env_files: Vec<PathBuf>,
    pub(super) environment: IndexMap<String, String>,
}

/// The model of a tree; all services count as enabled.
pub(super) fn project(mut tree: Node, around: Around, diagnostics: &mut Diagnostics) -> Project {
    let root = &tree;
    let mut services = IndexMap::new();
    for entry in section(root, "services") {
        let decoded = service::decode(entry, &around, diagnostics);
        services.insert(entry.key.as_str().to_owned(), decoded);
    }
    let networks = section(root, "networks")
        .map(|entry| {
            (
                entry.key.as_str().to_owned(),
                resources::network(entry, &around, diagnostics),
            )
        })
        .collect();
    let volumes = section(root, "volumes")
        .map(|entry| {
            (
                entry.key.as_str().to_owned(),
                resources::volume(entry, &around, diagnostics),
            )
        })
        .collect();
    let secrets = section(root, "secrets")
        .map(|entry| {
            let secret = resources::shared_file("secrets", entry, &around, diagnostics);
            (entry.key.as_str().to_owned(), secret)
        })
        .collect();
    let configs = section(root, "configs")
        .map(|entry| {
            let config = resources::shared_file("configs", entry, &around, diagnostics);
            (entry.key.as_str().to_owned(), config)
        })
        .collect();
    let models = section(&tree, "models")
        .map(|entry| {
            (
                entry.key.as_str().to_owned(),
                resources::model(entry, diagnostics),
            )
        })
        .collect();
    move_services(&mut tree, &mut services);
    Project {
        name: around.name,
        working_dir: around.working_dir,
        config_files: around.config_files,
        env_files: around.env_files,
        environment: around.environment,
        services,
        disabled: IndexMap::new(),
        networks,
        volumes,
        secrets,
        configs,
        models,
        extensions: taken_extensions(tree),
        profiles: Vec::new(),
    }
}

/// Gives every service its part of the tree.
fn move_services(tree: &mut Node, services: &mut IndexMap<String, Service>) {
    let section = tree
        .as_map_mut()
        .and_then(|root| root.get_mut("services"))
        .and_then(Node::as_map_mut);
    let entries = section.into_iter().flat_map(Map::iter_mut);
    for (entry, service) in entries.zip(services.values_mut()) {
        std::mem::swap(&mut entry.value, &mut service.canonical);
    }
}

/// The `x-*` of the top level.
fn taken_extensions(tree: Node) -> IndexMap<String, Node> {
    let Kind::Map(map) = tree.kind else {
        return IndexMap::new();
    };
    map.into_iter()
        .filter(|entry| entry.key.starts_with("x-"))
        .map(|entry| (entry.key.into(), entry.value))
        .collect()
}

fn section<'a>(root: &'a Node, key: &str) -> std::slice::Iter<'a, crate::yaml::Entry> {
    const NONE: &[crate::yaml::Entry] = &[];
    root.as_map()
        .and_then(|root| root.get(key))
        .and_then(Node::as_map)
        .map_or_else(|| NONE.iter(), Map::iter)
}

/// An absolute path, whatever `--no-path-resolution` left.
fn path(around: &Around, text: &str) -> PathBuf {
    super::discovery::absolute(&around.working_dir, Path::new(text))
}
