//! `config`: the project as it was understood.

use std::path::PathBuf;

use super::{Context, Error, Result};
use crate::graph::ServiceGraph;
use crate::loader;
use crate::lowering;
use crate::model::{Project, canon};
use crate::ui::template;
use crate::yaml::write;

/// What to print, and which phases to leave out.
#[derive(Debug)]
pub struct Options {
    pub services: Vec<String>,
    pub what: What,
    pub output: Option<PathBuf>,
    pub no_consistency: bool,
    pub no_env_resolution: bool,
    pub no_interpolate: bool,
    pub no_normalize: bool,
    pub no_path_resolution: bool,
}

/// What to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Yaml,
    Json,
    Nothing,
    Services,
    Volumes,
    Networks,
    Profiles,
    Images,
    Environment,
    /// Service names separated by commas, or `*`.
    Hashes(String),
}

/// Loads and prints.
///
/// # Errors
/// Everything that is wrong with the files.
pub fn run(context: &Context, options: &Options) -> Result<()> {
    let loaded = context.load_with(&loader::Options {
        services: options.services.clone(),
        no_consistency: options.no_consistency,
        no_env_resolution: options.no_env_resolution,
        no_interpolate: options.no_interpolate,
        no_normalize: options.no_normalize,
        no_path_resolution: options.no_path_resolution,
        ..context.project.clone()
    })?;
    let project = loaded.project;
    if !options.no_consistency {
        ServiceGraph::new(&project).map_err(|cycle| Error::diagnostic(cycle, &loaded.sources))?;
    }
    let text = text(&project, options)?;
    match &options.output {
        Some(path) => std::fs::write(path, text)
            .map_err(|error| Error::Failed(format!("{}: {error}", path.display()))),
        None => Ok(context.ui.data(text.as_bytes())?),
    }
}

fn text(project: &Project, options: &Options) -> Result<String> {
    let mut lines: Vec<String> = match &options.what {
        What::Nothing => Vec::new(),
        What::Services => project.services.keys().cloned().collect(),
        What::Volumes => project.volumes.keys().cloned().collect(),
        What::Networks => project.networks.keys().cloned().collect(),
        What::Profiles => profiles(project),
        What::Images => project
            .services
            .values()
            .map(|service| lowering::image_name(project, service))
            .collect(),
        What::Environment => {
            let variables = project.environment.iter();
            let mut lines: Vec<String> = variables
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            lines.sort();
            lines
        }
        What::Hashes(services) => hashes(project, services)?,
        What::Yaml => {
            return Ok(doubled(write::to_yaml(&canon::project(project)), options));
        }
        What::Json => return Ok(doubled(json(project)?, options)),
    };
    for line in &mut lines {
        line.push('\n');
    }
    Ok(lines.concat())
}

/// Indented by two, the keys of the top level sorted, without a newline at the end: as Compose has it.
fn json(project: &Project) -> Result<String> {
    let mut value = write::to_json(&canon::project_for_json(project));
    if let Some(object) = value.as_object_mut() {
        object.sort_keys();
    }
    match serde_json::to_string_pretty(&value) {
        Ok(text) => Ok(template::escaped(&text)),
        Err(error) => Err(Error::Failed(error.to_string())),
    }
}

/// Dollars doubled, so that the output is a file that means the same.
fn doubled(text: String, options: &Options) -> String {
    if options.no_interpolate {
        text
    } else {
        text.replace('$', "$$")
    }
}

/// `service hash`, sorted by name.
fn hashes(project: &Project, services: &str) -> Result<Vec<String>> {
    let mut names: Vec<&str> = match services {
        "*" => project.services.keys().map(String::as_str).collect(),
        list => list.split(',').collect(),
    };
    names.sort_unstable();
    let line = |name: &str| match project.services.get(name) {
        Some(service) => Ok(format!("{name} {}", lowering::hash::of_service(service))),
        None => Err(Error::Failed(format!("no such service: {name}"))),
    };
    names.into_iter().map(line).collect()
}

fn profiles(project: &Project) -> Vec<String> {
    let services = project.services.values().chain(project.disabled.values());
    let mut names: Vec<String> = services
        .flat_map(|service| service.profiles.clone())
        .collect();
    names.sort();
    names.dedup();
    names
}
