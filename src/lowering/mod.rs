//! Pure: the project in the runtime's words.
//!
//! What the runtime would refuse is refused here, where the place in the user's file is
//! still known, and before anything has been made.

pub mod build;
pub mod hash;
pub mod refused;

mod container;
mod labels;
mod mounts;
mod networks;
mod one_off;
mod place;
mod ports;
mod resources;
mod security;

use indexmap::IndexMap;
use ketch_runtime::spec::{ContainerSpec, NetworkSpec, VolumeSpec};

use crate::diag::{Diagnostic, Diagnostics};
use crate::loader::files::Files;
use crate::model::names::{self, label};
use crate::model::{Project, Service};
pub use one_off::OneOff;

/// Everything that the project asks of the runtime.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lowered {
    pub project: String,
    /// By key; external ones are not ours to make and not in here.
    pub networks: IndexMap<String, NetworkSpec>,
    /// By key, likewise.
    pub volumes: IndexMap<String, VolumeSpec>,
    pub services: IndexMap<String, LoweredService>,
    /// What is accepted without effect.
    pub warnings: Diagnostics,
}

/// A service as the specs of its containers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoweredService {
    /// Complete but for the name and the labels that depend on the number.
    template: ContainerSpec,
    project: String,
    name: String,
    /// `container_name`.
    fixed_name: Option<String>,
    pub config_hash: String,
    /// The image's id, when it was known.
    pub image_id: Option<String>,
}

impl LoweredService {
    /// The name of the container with this number.
    pub fn container_name(&self, number: u32) -> String {
        match &self.fixed_name {
            Some(name) => name.clone(),
            None => names::container(&self.project, &self.name, number),
        }
    }

    /// The spec of the container with this number.
    pub fn container(&self, number: u32) -> ContainerSpec {
        let mut spec = self.template.clone();
        spec.name = self.container_name(number);
        spec.labels.insert(label::NUMBER.into(), number.to_string());
        spec
    }

    /// What all containers of the service have in common.
    pub fn template(&self) -> &ContainerSpec {
        &self.template
    }
}

/// Lowers all networks, volumes and services. `images` gives the image id of each service, as far
/// as they are known; `files` is asked for seccomp profiles only.
///
/// # Errors
/// Everything that the runtime could not carry out.
pub fn lower(
    project: &Project,
    images: &IndexMap<String, String>,
    files: &dyn Files,
) -> Result<Lowered, Diagnostics> {
    let mut problems = Diagnostics::default();
    refused::containers(project, &mut problems);
    let mut lowered = Lowered {
        project: project.name.clone(),
        networks: networks::lower_networks(project, &mut problems),
        volumes: mounts::lower_volumes(project, &mut problems),
        ..Lowered::default()
    };
    for (name, service) in &project.services {
        let mut context = Context {
            project,
            service,
            files,
            problems: &mut problems,
        };
        let image_id = images.get(name).cloned();
        let config_hash = hash::of_service(service);
        let mut template = container::lower_container(&mut context);
        template.labels = labels::of_container(project, service, &config_hash, image_id.as_deref());
        let service = LoweredService {
            template,
            project: project.name.clone(),
            name: name.clone(),
            fixed_name: service
                .container_name
                .as_ref()
                .map(|name| name.value.clone()),
            config_hash,
            image_id,
        };
        lowered.services.insert(name.clone(), service);
    }
    if problems.has_errors() {
        return Err(problems);
    }
    lowered.warnings = problems;
    Ok(lowered)
}

/// The image that a service runs: what `image:` says, or the name of what is built.
pub fn image_name(project: &Project, service: &Service) -> String {
    match &service.image {
        Some(image) => image.value.clone(),
        None => names::image(&project.name, &service.name),
    }
}

/// What lowering one service needs.
struct Context<'a> {
    project: &'a Project,
    service: &'a Service,
    files: &'a dyn Files,
    problems: &'a mut Diagnostics,
}

impl Context<'_> {
    /// An error about the service's attribute `key`, or about its n-th item.
    fn error(&mut self, key: &str, item: Option<usize>, message: impl Into<String>) {
        let span = place::of(self.service, key, item);
        self.problems.push(Diagnostic::error(span, message));
    }

    /// Keeps a diagnostic.
    fn report(&mut self, diagnostic: Diagnostic) {
        self.problems.push(diagnostic);
    }
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
