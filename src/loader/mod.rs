//! Pure: from the user's files to a [`crate::model::Project`], or to everything that is wrong with them.
//!
//! In the order of the work: [`discovery`] finds the files and [`documents`] reads them;
//! each is interpolated, checked against the [`schema`], brought to its long forms
//! ([`canonical`]), given absolute [`paths`], completed by what it includes and extends, and
//! merged. The whole is completed ([`normalize`]), decoded into the model, and cut down to
//! what [`profiles`] and the command line ask for; [`check`] sees that it fits.

mod canonical;
mod check;
mod decode;
mod discovery;
mod documents;
pub mod dotenv;
mod environment;
pub mod extends;
pub mod files;
pub mod include;
pub mod interpolate;
pub mod json_schema;
mod keys;
mod label_files;
pub mod merge;
mod normalize;
mod notes;
pub mod origins;
mod paths;
mod profiles;
mod schema;
mod secrets;
mod session;
pub mod tags;
pub mod variables;
mod warnings;

use std::path::PathBuf;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::diag::{Diagnostic, Diagnostics, Severity, Sources};
use crate::model::Project;
use crate::yaml::Node;
use files::Files;
use origins::Origins;
pub(crate) use paths::{clean, is_remote};
use schema::Stage;
use session::Session;

/// What the command line and the environment say about loading.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where the user stands; absolute.
    pub working_dir: PathBuf,
    /// `-f`, in order; `-` is standard input. Empty: `COMPOSE_FILE`, else discovery.
    pub config_files: Vec<PathBuf>,
    /// The text of standard input, if it is at hand; else `-` is asked for as a file.
    pub stdin: Option<Arc<str>>,
    /// A document that is merged over all files: what flags change in a service.
    pub flags: Option<Arc<str>>,
    /// `--project-directory`.
    pub project_directory: Option<PathBuf>,
    /// `-p`.
    pub project_name: Option<String>,
    /// `--env-file`, in order. Empty: `COMPOSE_ENV_FILES`, else `.env` of the project directory.
    pub env_files: Vec<PathBuf>,
    /// `--profile`; `COMPOSE_PROFILES` is read from the environment.
    pub profiles: Vec<String>,
    /// The shell's variables.
    pub environment: IndexMap<String, String>,
    /// Services named on the command line: they, and what they need, are kept. Empty: all.
    pub services: Vec<String>,
    /// Leave the dependencies of the named services out (`--no-deps`).
    pub no_dependencies: bool,
    /// Keep networks, volumes, secrets and configs that no enabled service uses.
    pub all_resources: bool,
    /// Remember where values come from.
    pub origins: bool,
    /// `config --no-interpolate`.
    pub no_interpolate: bool,
    /// `config --no-normalize`.
    pub no_normalize: bool,
    /// `config --no-path-resolution`.
    pub no_path_resolution: bool,
    /// `config --no-consistency`.
    pub no_consistency: bool,
    /// `config --no-env-resolution`.
    pub no_env_resolution: bool,
}

/// A project, and what should be said about its files all the same.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub project: Project,
    /// Empty unless asked for.
    pub origins: Origins,
    pub warnings: Diagnostics,
    pub sources: Sources,
}

/// Why there is no project.
#[derive(Debug, Clone)]
pub struct Failed {
    pub diagnostics: Diagnostics,
    pub sources: Sources,
}

/// Loads a project: finds the files, reads, interpolates, merges, checks.
///
/// # Errors
/// Everything that is wrong, not only the first thing.
pub fn load(files: &dyn Files, options: &Options) -> Result<Loaded, Failed> {
    let mut session = Session::new(files, options);
    let project = run(&mut session);
    session.add_notes();
    match project {
        Some(project) if !session.diagnostics.has_errors() => Ok(Loaded {
            project,
            origins: session.origins,
            warnings: session.diagnostics,
            sources: session.sources,
        }),
        _ => Err(Failed {
            diagnostics: session.diagnostics,
            sources: session.sources,
        }),
    }
}

/// The merged files as one tree, with their variables left in.
#[derive(Debug, Clone)]
pub struct Model {
    pub root: Node,
    pub warnings: Diagnostics,
    pub sources: Sources,
}

/// Loads what `config --no-interpolate` prints: a tree, for no project can be made of values
/// that are not known yet. Profiles and selected services have no say in it.
///
/// # Errors
/// Everything that is wrong, not only the first thing.
pub fn load_model(files: &dyn Files, options: &Options) -> Result<Model, Failed> {
    let options = Options {
        no_interpolate: true,
        ..options.clone()
    };
    let mut session = Session::new(files, &options);
    let tree = tree(&mut session);
    session.add_notes();
    match tree {
        Some(Tree { mut root, name, .. }) if !session.diagnostics.has_errors() => {
            let top = root.span;
            if let Some(map) = root.as_map_mut().filter(|_| !options.no_normalize) {
                let span = map.get("name").map_or(top, |node| node.span);
                map.insert("name", span, Node::string(name, span));
            }
            Ok(Model {
                root,
                warnings: session.diagnostics,
                sources: session.sources,
            })
        }
        _ => Err(Failed {
            diagnostics: session.diagnostics,
            sources: session.sources,
        }),
    }
}

/// All files as one, and what they were loaded against.
struct Tree {
    found: discovery::Found,
    name: String,
    root: Node,
}

/// The phases that need no model.
fn tree(session: &mut Session<'_>) -> Option<Tree> {
    let options = session.options;
    let mut found = discovery::find(session)?;
    let mut texts = documents::read(session, &found.files);
    texts.extend(documents::flags(session));
    let in_files = documents::name(&texts, &found.environment);
    let name = discovery::project_name(session, &found, in_files.as_deref())?;
    set_own_variables(&mut found.environment, &name, options);
    let place = documents::Place {
        directory: &found.project_dir,
        environment: &found.environment,
    };
    let unreadable = session.diagnostics.has_errors();
    let root = documents::merged(session, texts, place, &mut Vec::new());
    if session.cut {
        return None;
    }
    let Some(mut root) = root else {
        if !unreadable {
            let empty = Diagnostic::new(Severity::Error, "empty compose file");
            session
                .diagnostics
                .push(empty.hint("write `services:` and what should run"));
        }
        return None;
    };
    session.origins.spelled_out(&root);
    complete(session, &mut root, &found, &name);
    Some(Tree { found, name, root })
}

/// The phases. After an error they go on as long as there is something to look at.
fn run(session: &mut Session<'_>) -> Option<Project> {
    let options = session.options;
    let Tree { found, name, root } = tree(session)?;
    let around = decode::Around {
        name,
        working_dir: found.project_dir,
        config_files: found.files,
        env_files: found.env_files,
        environment: found.environment,
    };
    // What variables would say is not known: no value can be wrong.
    let mut untold = Diagnostics::default();
    let told = match options.no_interpolate {
        true => &mut untold,
        false => &mut session.diagnostics,
    };
    let mut project = decode::project(root, around, told);
    let active = profiles::active(session, &project);
    profiles::apply(&mut project, active);
    if !options.no_consistency {
        check::consistency(
            &project,
            &session.broken,
            &session.extended,
            &mut session.diagnostics,
        );
        warnings::published_twice(&project, &mut session.diagnostics);
    }
    normalize::discard_ports_of_host_mode(&mut project);
    profiles::drop_missing_dependencies(&mut project);
    profiles::select(session, &mut project);
    if !options.all_resources {
        profiles::drop_unused(&mut project);
    }
    if !options.no_env_resolution && !options.no_interpolate {
        environment::read_env_files(session, &mut project);
        label_files::read(session, &mut project);
    }
    Some(project)
}

/// The merged tree: checked again as a whole, with what goes without saying.
fn complete(session: &mut Session<'_>, root: &mut Node, found: &discovery::Found, name: &str) {
    let options = session.options;
    if !options.no_interpolate {
        schema::check(
            root,
            Stage::Whole,
            &mut session.broken,
            &mut session.diagnostics,
        );
        environment::resolve_valueless(root, &found.environment);
    }
    let directory = match options.no_path_resolution {
        true => ".".to_owned(),
        false => found.project_dir.display().to_string(),
    };
    normalize::defaults(root, &directory);
    if !options.no_normalize {
        normalize::normalize(root, name);
    }
}

fn set_own_variables(environment: &mut IndexMap<String, String>, name: &str, options: &Options) {
    environment.insert("COMPOSE_PROJECT_NAME".to_owned(), name.to_owned());
    environment
        .entry("PWD".to_owned())
        .or_insert_with(|| options.working_dir.display().to_string());
}

#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;
