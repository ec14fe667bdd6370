//! Pure: `build:` → what a builder is asked for.

use std::path::PathBuf;

use indexmap::IndexMap;

use super::{image_name, labels};
use crate::model::{ExtraHost, Project, Service};

/// One image to build. Plain data, nothing left to look up.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildRequest {
    pub service: String,
    /// Absolute directory.
    pub context: PathBuf,
    pub dockerfile: Dockerfile,
    /// Complete: what had no value took the caller's, or is not in here.
    pub args: IndexMap<String, String>,
    pub target: Option<String>,
    pub labels: IndexMap<String, String>,
    /// The image's own name first.
    pub tags: Vec<String>,
    pub no_cache: bool,
    pub pull: bool,
    /// Network of RUN: absent, `none`, `host`, …
    pub network: Option<String>,
    pub platforms: Vec<String>,
    pub extra_hosts: Vec<ExtraHost>,
    pub shm_size_bytes: Option<u64>,
}

/// Where the instructions are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dockerfile {
    /// Absolute.
    File(PathBuf),
    Inline(String),
}

/// What the command line adds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildOptions {
    pub no_cache: bool,
    pub pull: bool,
    /// `--build-arg`: wins over the file; without value, the caller's.
    pub args: IndexMap<String, Option<String>>,
}

/// The request for a service's image; `None` when it is not built.
pub fn lower_build(
    project: &Project,
    service: &Service,
    options: &BuildOptions,
) -> Option<BuildRequest> {
    let build = service.build.as_ref()?;
    let mut args = IndexMap::new();
    for (name, value) in build.args.iter().chain(&options.args) {
        match value.as_ref().or_else(|| project.environment.get(name)) {
            Some(value) => args.insert(name.clone(), value.clone()),
            None => args.shift_remove(name),
        };
    }
    let dockerfile = match (&build.dockerfile_inline, &build.dockerfile) {
        (Some(text), _) => Dockerfile::Inline(text.clone()),
        (None, Some(path)) => Dockerfile::File(build.context.join(path)),
        (None, None) => Dockerfile::File(build.context.join("Dockerfile")),
    };
    let mut labels = build.labels.clone();
    labels.extend(labels::of_image(project, service));
    let mut tags = vec![image_name(project, service)];
    tags.extend(build.tags.iter().cloned());
    let platforms = match &service.platform {
        Some(platform) => vec![platform.clone()],
        None => build.platforms.clone(),
    };
    Some(BuildRequest {
        service: service.name.clone(),
        context: build.context.clone(),
        dockerfile,
        args,
        target: build.target.clone(),
        labels,
        tags,
        no_cache: build.no_cache || options.no_cache,
        pull: build.pull || options.pull,
        network: build.network.clone(),
        platforms,
        extra_hosts: build.extra_hosts.clone(),
        shm_size_bytes: build.shm_size,
    })
}
