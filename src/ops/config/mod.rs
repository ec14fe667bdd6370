//! `config`: the project as it was understood.

mod digests;
mod variables;

use std::path::PathBuf;

use super::{Context, Error, Result};
use crate::diag;
use crate::executor::DiskFiles;
use crate::explain::{self, origins::Listing};
use crate::graph::ServiceGraph;
use crate::loader::{self, Loaded};
use crate::lowering;
use crate::model::{Project, canon, names};
use crate::ui::template;
use crate::yaml::{Map, Node, order, write};

/// What to print, and which phases to leave out.
#[derive(Debug)]
pub struct Options {
    pub services: Vec<String>,
    pub what: What,
    /// What `--format` says; the project knows `yaml` and `json`.
    pub format: Format,
    /// Where the project goes instead of stdout; lists are always printed.
    pub output: Option<PathBuf>,
    /// Only look for what is wrong.
    pub quiet: bool,
    /// Print what is wrong as one JSON document on stdout, and nothing else.
    pub diagnostics_as_json: bool,
    pub no_consistency: bool,
    pub no_env_resolution: bool,
    pub no_interpolate: bool,
    pub no_normalize: bool,
    pub no_path_resolution: bool,
}

/// What to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Project(Images),
    /// Every value with the place it came from.
    Origins,
    Services,
    Volumes,
    Networks,
    Models,
    Profiles,
    Images,
    /// The variables that interpolation sees.
    Environment,
    /// The variables that the files ask for.
    Variables,
    /// Service names separated by commas, or `*`.
    Hashes(String),
}

/// How the project names its images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Images {
    AsWritten,
    /// `--resolve-image-digests`.
    Pinned,
    /// `--lock-image-digests`: pinned, and nothing else is printed.
    Locked,
}

/// The value of `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// YAML, or a table where there is one.
    Unsaid,
    Yaml,
    Json,
}

impl Options {
    fn loading(&self, context: &Context) -> loader::Options {
        // As in Compose, the short lists are of the whole project.
        let services = match self.what {
            What::Services | What::Volumes | What::Networks | What::Models | What::Hashes(_) => {
                Vec::new()
            }
            _ => self.services.clone(),
        };
        // A hash is the container's label, so it covers the variables that the container gets.
        let complete = matches!(
            self.what,
            What::Project(_) | What::Origins | What::Hashes(_)
        );
        loader::Options {
            services,
            no_consistency: self.no_consistency,
            no_env_resolution: self.no_env_resolution || !complete,
            origins: self.what == What::Origins,
            no_interpolate: self.no_interpolate,
            no_normalize: self.no_normalize,
            no_path_resolution: self.no_path_resolution,
            ..context.project.clone()
        }
    }
}

/// Loads and prints.
///
/// # Errors
/// Everything that is wrong with the files.
pub fn run(context: &Context, options: &Options) -> Result<()> {
    let loading = options.loading(context);
    if options.diagnostics_as_json {
        return tell(context, options, &loading);
    }
    let text = match &options.what {
        What::Variables => variables::text(&model(context, &loading)?.root, options.format)?,
        What::Project(images) if options.no_interpolate => {
            if !options.services.is_empty() {
                context
                    .ui
                    .warn("service filters are ignored with --no-interpolate");
            }
            let mut model = model(context, &loading)?;
            if *images != Images::AsWritten {
                digests::pin_model(context, &mut model, *images)?;
            }
            plain(model.root, options.format)?
        }
        What::Project(images) => {
            let mut loaded = load(context, &loading)?;
            if *images != Images::AsWritten {
                digests::pin(context, &mut loaded)?;
            }
            let text = match options.quiet {
                // To print thousands of services costs as much as to load them.
                true => String::new(),
                false => canonical(&loaded.project, *images, options)?,
            };
            // The process ends here, and to free every value of them takes as long as to read them.
            std::mem::forget(loaded);
            text
        }
        What::Origins => {
            let loaded = load(context, &loading)?;
            let listing = Listing {
                origins: &loaded.origins,
                sources: &loaded.sources,
                named: context.project.project_name.is_some(),
            };
            explain::origins::origins(&canon::project(&loaded.project), listing)
        }
        What::Hashes(services) => lines(hashes(&load(context, &loading)?.project, services)?),
        what => lines(list(&load(context, &loading)?.project, what)),
    };
    if !matches!(options.what, What::Project(_) | What::Origins) {
        return Ok(context.ui.data(text.as_bytes())?);
    }
    match &options.output {
        _ if options.quiet => Ok(()),
        Some(path) => std::fs::write(path, text)
            .map_err(|error| Error::Failed(format!("{}: {error}", path.display()))),
        None => Ok(context.ui.data(text.as_bytes())?),
    }
}

/// The schema of compose files; no project is needed.
///
/// # Errors
/// When nobody reads stdout any more.
pub fn schema(context: &Context) -> Result<()> {
    Ok(context
        .ui
        .line(format_args!("{:#}", loader::json_schema::json_schema()))?)
}

/// All that is to be said about the files, for editors.
fn tell(context: &Context, options: &Options, loading: &loader::Options) -> Result<()> {
    let files = DiskFiles::default();
    let loaded = if options.no_interpolate {
        loader::load_model(&files, loading).map(|model| (model.warnings, model.sources))
    } else {
        loader::load(&files, loading).map(|loaded| {
            let mut told = loaded.warnings;
            if !options.no_consistency {
                told.extend(ServiceGraph::new(&loaded.project).err());
            }
            (told, loaded.sources)
        })
    };
    let (told, sources) = loaded.unwrap_or_else(|failed| (failed.diagnostics, failed.sources));
    context
        .ui
        .data(diag::json::document(&told, &sources).as_bytes())?;
    if told.has_errors() {
        return Err(Error::Reported);
    }
    Ok(())
}

/// The project, in an order that has no cycle.
fn load(context: &Context, options: &loader::Options) -> Result<Loaded> {
    let loaded = context.load_with(options)?;
    if !options.no_consistency {
        ServiceGraph::new(&loaded.project)
            .map_err(|cycle| Error::diagnostic(cycle, &loaded.sources))?;
    }
    Ok(loaded)
}

/// The tree with its variables left in.
fn model(context: &Context, options: &loader::Options) -> Result<loader::Model> {
    match loader::load_model(&DiskFiles::default(), options) {
        Ok(model) => {
            context.ui.diagnostics(&model.warnings, &model.sources);
            Ok(model)
        }
        Err(failed) => Err(Error::Invalid(Box::new(failed))),
    }
}

/// One name a line, in an order that helps.
fn list(project: &Project, what: &What) -> Vec<String> {
    match what {
        What::Services => match ServiceGraph::new(project) {
            Ok(graph) => graph.order().map(ToOwned::to_owned).collect(),
            Err(_) => project.services.keys().cloned().collect(),
        },
        What::Volumes => project.volumes.keys().cloned().collect(),
        What::Networks => project.networks.keys().cloned().collect(),
        What::Profiles => profiles(project),
        What::Models => project.models.values().map(|it| it.model.clone()).collect(),
        What::Images => images(project),
        What::Environment => {
            let variables = project.environment.iter();
            let mut lines: Vec<String> = variables
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            lines.sort();
            lines
        }
        What::Project(_) | What::Origins | What::Variables | What::Hashes(_) => Vec::new(),
    }
}

/// Each service's image, and those of what runs before it.
fn images(project: &Project) -> Vec<String> {
    let mut images = Vec::new();
    for service in project.services.values() {
        images.push(lowering::image_name(project, service));
        let hooks = service
            .canonical
            .as_map()
            .and_then(|it| it.get("pre_start"));
        for hook in hooks.and_then(Node::as_list).into_iter().flatten() {
            let image = hook.as_map().and_then(|hook| hook.get("image"));
            images.extend(image.and_then(Node::as_str).map(ToOwned::to_owned));
        }
    }
    images
}

fn lines(mut lines: Vec<String>) -> String {
    for line in &mut lines {
        line.push('\n');
    }
    lines.concat()
}

/// Compose's canonical form; dollars are doubled, so that it is a file that means the same.
fn canonical(project: &Project, images: Images, options: &Options) -> Result<String> {
    let settle = |mut root: Node| {
        if options.no_normalize {
            forget_implied_names(&mut root, project);
        }
        match images {
            Images::Locked => digests::only_images(&root),
            Images::AsWritten | Images::Pinned => root,
        }
    };
    let text = match options.format {
        Format::Json => json(&settle(canon::project_for_json(project)))?,
        Format::Unsaid | Format::Yaml => write::to_yaml(&settle(canon::project(project))),
    };
    Ok(text.replace('$', "$$"))
}

/// A tree as it stands, its keys sorted.
fn plain(root: Node, format: Format) -> Result<String> {
    match format {
        Format::Json => json(&order::in_json_order(root)),
        Format::Unsaid | Format::Yaml => Ok(write::to_yaml(&order::alphabetical(root))),
    }
}

/// Indented by two, the keys of the top level sorted, without a newline at the end: as Compose has it.
fn json(node: &Node) -> Result<String> {
    let mut value = write::to_json(node);
    if let Some(object) = value.as_object_mut() {
        object.sort_keys();
    }
    match serde_json::to_string_pretty(&value) {
        Ok(text) => Ok(template::escaped(&text)),
        Err(error) => Err(Error::Failed(error.to_string())),
    }
}

/// Takes the names out that nobody wrote: those that follow from the project's and the key.
fn forget_implied_names(root: &mut Node, project: &Project) {
    for kind in ["networks", "volumes", "secrets", "configs"] {
        let section = root.as_map_mut().and_then(|root| root.get_mut(kind));
        let entries = section.and_then(Node::as_map_mut);
        for entry in entries.into_iter().flat_map(Map::iter_mut) {
            let implied = names::resource(&project.name, &entry.key);
            let Some(resource) = entry.value.as_map_mut() else {
                continue;
            };
            let name = resource.get("name").and_then(Node::as_str);
            if name == Some(&implied) || name == Some(&entry.key) && resource.contains("external") {
                resource.remove("name");
            }
        }
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
