//! `run` and `create`: one container by flags.
//!
//! The flags are Compose's short forms under other names, so they are written down as a service
//! and go the way of every service: [`document`] is that file. What is Compose's own, its names
//! and labels, is taken off again at the end.

use std::fmt::Write as _;
use std::path::PathBuf;

use indexmap::IndexMap;
use ketch_runtime::engine::containers::RemoveOptions;
use ketch_runtime::error::ErrorKind;
use ketch_runtime::image::reference::Reference;
use ketch_runtime::spec::{ContainerSpec, VolumeSpec};
use serde_json::{Map, Value, json};

use super::super::{Context, Error, Result, images, registry};
use super::attach::{Attach, Session};
use crate::diag::Severity;
use crate::executor::DiskFiles;
use crate::loader;
use crate::lowering;

/// What the command line says. What is empty or absent was not given.
#[derive(Debug, Default)]
pub struct Run {
    pub image: String,
    pub command: Vec<String>,
    pub name: Option<String>,
    pub pull: images::Pull,
    /// Remove it when it ends.
    pub remove: bool,
    /// Its stdin ends with the one who is attached to it.
    pub stdin_once: bool,
    /// Where its id is written down.
    pub cidfile: Option<PathBuf>,
    pub entrypoint: Option<String>,
    pub env: Vec<String>,
    pub env_files: Vec<String>,
    pub labels: Vec<String>,
    pub publish: Vec<String>,
    pub volumes: Vec<String>,
    pub tmpfs: Vec<String>,
    pub network: Option<String>,
    pub aliases: Vec<String>,
    pub add_hosts: Vec<String>,
    pub ulimits: Vec<String>,
    /// Keys of a service that take the flag's value as it is.
    pub texts: IndexMap<&'static str, String>,
    /// Keys of a service that are lists of such values.
    pub lists: IndexMap<&'static str, Vec<String>>,
    /// Keys of a service that are switched on.
    pub switches: Vec<&'static str>,
}

/// Makes the container; returns its id.
///
/// # Errors
/// A wrong value; an image that can't be had; a taken name.
pub fn create(context: &Context, run: &Run) -> Result<String> {
    if let Some(path) = run.cidfile.as_ref().filter(|path| path.exists()) {
        return Err(Error::Failed(format!(
            "container ID file found, make sure the other container isn't running or delete {}",
            path.display()
        )));
    }
    have_image(context, run)?;
    for volume in named_volumes(run) {
        let spec = VolumeSpec {
            name: volume,
            ..VolumeSpec::default()
        };
        context.engine.create_volume(&spec)?;
    }
    let mut spec = lowered(context, run)?;
    let id = loop {
        match context.engine.create_container(&spec) {
            Ok(id) => break id.to_string(),
            // A name that was made up is made up again.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && run.name.is_none() => {
                spec.name = made_up()?;
            }
            Err(error) => return Err(error.into()),
        }
    };
    if let Some(path) = &run.cidfile
        && let Err(error) = std::fs::write(path, &id)
    {
        removed(context, &id)?;
        let message = format!(
            "failed to create the container ID file: {}: {error}",
            path.display()
        );
        return Err(Error::Failed(message));
    }
    Ok(id)
}

/// Makes and starts it, and returns at once.
///
/// # Errors
/// As with [`create`]; a program that can't be started.
pub fn detached(context: &Context, run: &Run) -> Result<()> {
    let id = create(context, run)?;
    if let Err(error) = context.engine.start_container(&id) {
        if run.remove {
            removed(context, &id)?;
        }
        return Err(refused(context, error.into()));
    }
    Ok(context.ui.line(id)?)
}

/// Makes and starts it, attached to it, and ends with its code. With neither of its outputs its
/// id is what is shown.
///
/// # Errors
/// As with [`detached`]; the container's code.
pub fn attached(context: &Context, run: &Run, attach: &Attach) -> Result<()> {
    let id = create(context, run)?;
    let session = match Session::start(context, &id, attach) {
        Ok(session) => session,
        Err(error) => {
            if run.remove {
                removed(context, &id)?;
            }
            return Err(refused(context, error));
        }
    };
    if !attach.stdout && !attach.stderr {
        context.ui.line(&id)?;
    }
    session.end(context)
}

fn removed(context: &Context, id: &str) -> Result<()> {
    let options = RemoveOptions {
        force: true,
        volumes: true,
    };
    match context.engine.remove_container(id, &options) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// The codes of a shell for what can't be executed.
fn refused(context: &Context, error: Error) -> Error {
    let Error::Engine(error) = error else {
        return error;
    };
    let code = match error.kind() {
        ErrorKind::CommandNotFound => 127,
        ErrorKind::NotExecutable => 126,
        _ => 125,
    };
    match context.called_docker {
        true => context
            .ui
            .error(format_args!("docker: Error response from daemon: {error}")),
        false => context.ui.error(error),
    }
    Error::ExitedWith(code)
}

fn have_image(context: &Context, run: &Run) -> Result<()> {
    let here = images::exists(&context.engine, &run.image)?;
    let shown = Reference::parse(&run.image)?.or_latest().familiar();
    match run.pull {
        images::Pull::Always => {}
        images::Pull::Never if !here => {
            let message = format!("No such image: {shown}");
            return Err(Error::Failed(message));
        }
        _ if here => return Ok(()),
        _ => context
            .ui
            .talk(format_args!("Unable to find image '{shown}' locally")),
    }
    let registries = context.registries()?;
    let progress = context.ui.progress("Pulling");
    let platform = run.texts.get("platform").map(String::as_str);
    let pulled = registry::pull_shown(context, &registries, &run.image, platform, &progress);
    progress.finish();
    pulled?;
    Ok(())
}

fn lowered(context: &Context, run: &Run) -> Result<ContainerSpec> {
    let options = loader::Options {
        working_dir: context.project.working_dir.clone(),
        config_files: vec!["-".into()],
        stdin: Some(document(run).to_string().into()),
        project_name: Some("docker".into()),
        environment: context.project.environment.clone(),
        ..loader::Options::default()
    };
    let files = DiskFiles::default();
    let loaded = loader::load(&files, &options).map_err(|failed| told(&failed.diagnostics))?;
    let image = context.engine.image(&run.image)?;
    let ids = IndexMap::from([(SERVICE.to_owned(), image.id.to_string())]);
    let lowered =
        lowering::lower(&loaded.project, &ids, &files).map_err(|problems| told(&problems))?;
    let mut spec = lowered.services[SERVICE].template().clone();
    spec.labels
        .retain(|key, _| !key.starts_with("com.docker.compose."));
    spec.auto_remove = run.remove;
    spec.process.stdin_once = run.stdin_once;
    spec.name = match &run.name {
        Some(name) => name.clone(),
        None => made_up()?,
    };
    Ok(spec)
}

const SERVICE: &str = "run";

/// The file that says the same as the flags. Nothing in it is a variable.
fn document(run: &Run) -> Value {
    let mut service = Map::new();
    let mut set = |key: &str, value: Value| {
        service.insert(key.to_owned(), value);
    };
    set("image", run.image.clone().into());
    if !run.command.is_empty() {
        set("command", run.command.clone().into());
    }
    if let Some(entrypoint) = &run.entrypoint {
        let program = match entrypoint.is_empty() {
            true => Vec::new(),
            false => vec![entrypoint.clone()],
        };
        set("entrypoint", program.into());
    }
    let lists = [
        ("environment", &run.env),
        ("env_file", &run.env_files),
        ("labels", &run.labels),
        ("ports", &run.publish),
        ("volumes", &run.volumes),
        ("tmpfs", &run.tmpfs),
        ("extra_hosts", &run.add_hosts),
    ];
    for (key, values) in lists {
        if !values.is_empty() {
            set(key, values.clone().into());
        }
    }
    for (key, value) in &run.texts {
        set(key, value.clone().into());
    }
    for (key, values) in run.lists.iter().filter(|(_, values)| !values.is_empty()) {
        set(key, values.clone().into());
    }
    for key in &run.switches {
        set(key, true.into());
    }
    let mut ulimits = Map::new();
    for text in &run.ulimits {
        let (name, limits) = text.split_once('=').unwrap_or((text, ""));
        let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
        ulimits.insert(name.to_owned(), json!({"soft": soft, "hard": hard}));
    }
    if !ulimits.is_empty() {
        set("ulimits", ulimits.into());
    }
    let mut networks = Map::new();
    match run.network.as_deref() {
        None | Some("default") => set("network_mode", "bridge".into()),
        Some(mode @ ("bridge" | "host" | "none")) => set("network_mode", mode.into()),
        Some(mode) if mode.starts_with("container:") => set("network_mode", mode.into()),
        Some(name) => {
            networks.insert(name.to_owned(), json!({"external": true, "name": name}));
            let mut joined = Map::new();
            joined.insert(name.to_owned(), json!({"aliases": run.aliases}));
            set("networks", joined.into());
        }
    }
    let volumes: Map<String, Value> = named_volumes(run)
        .into_iter()
        .map(|name| (name.clone(), json!({"external": true, "name": name})))
        .collect();
    let mut document = json!({
        "services": {SERVICE: service},
        "networks": networks,
        "volumes": volumes,
    });
    double_dollars(&mut document);
    document
}

fn double_dollars(value: &mut Value) {
    match value {
        Value::String(text) => *text = text.replace('$', "$$"),
        Value::Array(items) => items.iter_mut().for_each(double_dollars),
        Value::Object(map) => map.values_mut().for_each(double_dollars),
        _ => {}
    }
}

/// Sources of `-v` that are names.
fn named_volumes(run: &Run) -> Vec<String> {
    let mut names: Vec<String> = run
        .volumes
        .iter()
        .filter_map(|text| text.split_once(':'))
        .map(|(source, _)| source.to_owned())
        .filter(|source| !source.starts_with(['/', '.', '~']))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// What is wrong with the flags; the file that they became is nobody's.
fn told(problems: &crate::diag::Diagnostics) -> Error {
    let mut text = String::new();
    for problem in problems.iter().filter(|it| it.severity == Severity::Error) {
        let message = problem.message.replace("services.run.", "");
        let message = message.replace("service \"run\": ", "");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{message}");
    }
    Error::Failed(text.trim_end().to_owned())
}

/// A name like Docker's: an adjective and somebody's name.
fn made_up() -> Result<String> {
    const HOW: [&str; 32] = [
        "agile", "amber", "bold", "brave", "bright", "calm", "clever", "cosmic", "crisp", "daring",
        "eager", "early", "fair", "fancy", "gentle", "glad", "happy", "honest", "jolly", "keen",
        "kind", "lively", "lucid", "merry", "modest", "noble", "proud", "quiet", "rapid", "sunny",
        "tidy", "witty",
    ];
    const WHO: [&str; 32] = [
        "babbage",
        "bardeen",
        "bell",
        "bohr",
        "bose",
        "curie",
        "darwin",
        "dijkstra",
        "einstein",
        "engelbart",
        "euclid",
        "fermat",
        "fermi",
        "feynman",
        "galileo",
        "gauss",
        "goodall",
        "hamilton",
        "hopper",
        "hypatia",
        "kepler",
        "knuth",
        "lamport",
        "lovelace",
        "meitner",
        "mendel",
        "newton",
        "noether",
        "ritchie",
        "shannon",
        "turing",
        "wozniak",
    ];
    let id = ketch_runtime::store::id::Id::random()?;
    let byte = |at: usize| usize::from_str_radix(&id.as_str()[at..at + 2], 16).unwrap_or(0);
    let (how, who) = (HOW[byte(0) % HOW.len()], WHO[byte(2) % WHO.len()]);
    Ok(format!("{how}_{who}{}", byte(4) % 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_a_service() {
        let run = Run {
            image: "busybox".into(),
            command: vec!["echo".into(), "$HOME".into()],
            volumes: vec![
                "data:/data".into(),
                "/etc:/x:ro".into(),
                "/anonymous".into(),
            ],
            network: Some("mine".into()),
            aliases: vec!["web".into()],
            ulimits: vec!["nofile=10:20".into()],
            switches: vec!["privileged"],
            ..Run::default()
        };
        assert_eq!(
            document(&run),
            json!({
                "services": {"run": {
                    "image": "busybox",
                    "command": ["echo", "$$HOME"],
                    "volumes": ["data:/data", "/etc:/x:ro", "/anonymous"],
                    "privileged": true,
                    "ulimits": {"nofile": {"soft": "10", "hard": "20"}},
                    "networks": {"mine": {"aliases": ["web"]}},
                }},
                "networks": {"mine": {"external": true, "name": "mine"}},
                "volumes": {"data": {"external": true, "name": "data"}},
            })
        );
    }

    #[test]
    fn names_that_are_made_up_are_plain() {
        let name = made_up().unwrap();
        assert!(
            name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'),
            "{name}"
        );
    }
}
