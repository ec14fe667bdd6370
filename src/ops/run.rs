//! `run`: a command in a container beside those of a service.
//!
//! Its flags are what the service would say with them: they are written down as a document that
//! is merged over the files, and go the way of every service. [`document`] is that document.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ketch_runtime::container::state::Status;
use ketch_runtime::engine::containers::RemoveOptions;
use ketch_runtime::spec::VolumeSpec;
use ketch_runtime::store::id::{Id, is_valid_name};
use serde_json::{Value, json};

use super::containers::attach::{self, Attach};
use super::images::Policy;
use super::{Context, Error, Result, perform, up};
use crate::diag::{Diagnostics, Sources};
use crate::executor::DiskFiles;
use crate::loader::files::Files as _;
use crate::loader::{self, Loaded, dotenv};
use crate::lowering::OneOff;
use crate::model::names;

/// What the command line says. What is empty or absent was not given.
#[derive(Debug, Default)]
pub struct Options {
    pub service: String,
    pub command: Vec<String>,
    pub detach: bool,
    /// Remove it when it ends.
    pub remove: bool,
    pub name: Option<String>,
    /// `K=V`, or the name of a variable of ours.
    pub env: Vec<String>,
    pub env_files: Vec<PathBuf>,
    pub labels: Vec<String>,
    pub user: Option<String>,
    pub working_dir: Option<String>,
    /// Words as a shell splits them.
    pub entrypoint: Option<String>,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub volumes: Vec<String>,
    pub publish: Vec<String>,
    /// The service's own ports are published too.
    pub service_ports: bool,
    pub use_aliases: bool,
    pub no_deps: bool,
    pub images: Policy,
    pub remove_orphans: bool,
    /// Show nothing on stdout.
    pub quiet: bool,
    pub interactive: bool,
    pub tty: bool,
}

/// Starts what the service depends on, then the container, and ends with its code; detached, with
/// its id.
///
/// # Errors
/// `no such service: x`; as with `up`; the container's code.
pub fn run(context: &Context, options: &Options) -> Result<()> {
    if let Some(name) = options.name.as_ref().filter(|name| !is_valid_name(name)) {
        return Err(Error::Failed(format!(
            "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )));
    }
    let (loaded, literal) = load(context, options)?;
    let project = &loaded.project;
    let slug = Id::random()?.to_string();
    let one_off = OneOff {
        service: options.service.clone(),
        slug,
        name: options.name.clone(),
        use_aliases: options.use_aliases,
        auto_remove: options.remove,
        stdin_once: options.interactive && !options.detach,
        attached: !options.detach && !context.dry_run,
    };
    let name = match &options.name {
        Some(name) => name.clone(),
        None => names::one_off(&project.name, &options.service, &one_off.slug),
    };
    let mut choices = up::choices(
        project,
        &up::Options {
            services: vec![options.service.clone()],
            no_deps: options.no_deps,
            remove_orphans: options.remove_orphans,
            start: true,
            ..up::Options::default()
        },
    )?;
    choices.one_off = Some(one_off);
    let made = match context.dry_run {
        true => Vec::new(),
        false => make_volumes(context, &literal)?,
    };
    let plan = match up::prepared(context, &loaded, choices, (options.images, false)) {
        Ok(plan) => plan,
        Err(error) => {
            for name in made {
                // What went wrong first is what is told.
                let _left = context.engine.remove_volume(name, false);
            }
            return Err(error);
        }
    };
    let attach = Attach {
        stdin: options.interactive,
        stdout: !options.quiet,
        ..Attach::all()
    };
    let ran = perform::run(context, &plan).and_then(|()| match () {
        () if context.dry_run => Ok(()),
        () if options.detach => {
            let id = context.engine.container(&name)?.record.id;
            Ok(context.ui.line(id)?)
        }
        () => attach::start(context, &name, &attach),
    });
    if ran.is_err() && !context.dry_run {
        remove_unless_it_ran(context, &name);
    }
    ran
}

/// Nobody would start it later.
fn remove_unless_it_ran(context: &Context, name: &str) {
    let made = context.engine.container(name);
    if made.is_ok_and(|made| made.state.status == Status::Created) {
        let options = RemoveOptions {
            force: true,
            volumes: true,
        };
        // What went wrong first is what is told.
        let _left = context.engine.remove_container(name, &options);
    }
}

/// Makes those of these volumes that are not there, and names them.
fn make_volumes<'a>(context: &Context, names: &[&'a str]) -> Result<Vec<&'a str>> {
    let mut made = Vec::new();
    for &name in names {
        if context.engine.volume(name).is_ok() {
            continue;
        }
        let spec = VolumeSpec {
            name: name.to_owned(),
            ..VolumeSpec::default()
        };
        context.engine.create_volume(&spec)?;
        made.push(name);
    }
    Ok(made)
}

/// The project with the flags, and the volumes of `-v` that it has no name for.
fn load<'a>(context: &Context, options: &'a Options) -> Result<(Loaded, Vec<&'a str>)> {
    let of_service = loader::Options {
        services: vec![options.service.clone()],
        no_dependencies: options.no_deps,
        all_resources: true,
        ..context.project.clone()
    };
    let files = DiskFiles::default();
    let plain = context.load_from(&files, &of_service)?;
    let literal: Vec<&str> = named_volumes(&options.volumes)
        .filter(|name| !plain.project.volumes.contains_key(*name))
        .collect();
    let variables = of_env_files(context, &options.env_files)?;
    // Where nothing is made, what is not there would be missed.
    let is_there = |name: &&str| !context.dry_run || context.engine.volume(name).is_ok();
    let volumes: Vec<(&str, bool)> = literal.iter().map(|it| (*it, is_there(it))).collect();
    let document = document(options, &variables, &volumes, &context.project.working_dir);
    let with_flags = loader::Options {
        flags: Some(document.into()),
        all_resources: false,
        ..of_service
    };
    // What there is to warn of has been told.
    match loader::load(&files, &with_flags) {
        Ok(loaded) => Ok((loaded, literal)),
        Err(failed) => Err(Error::Invalid(Box::new(failed))),
    }
}

/// `--env-from-file`: variables that win over the service's own.
fn of_env_files(context: &Context, paths: &[PathBuf]) -> Result<Vec<String>> {
    let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
    let mut variables = dotenv::Variables::new();
    for path in paths {
        let shown = path.display().to_string();
        let path = context.project.working_dir.join(path);
        let text = DiskFiles::default().read(&path).map_err(|_unreadable| {
            Error::Failed(format!("env file {} not found", path.display()))
        })?;
        let file = sources.add(shown.clone(), text.clone());
        let lookup = |name: &str| context.project.environment.get(name).cloned();
        dotenv::parse(
            &text,
            (file, &shown),
            &lookup,
            &mut variables,
            &mut problems,
        );
    }
    if problems.has_errors() {
        return Err(Error::invalid(problems, &sources));
    }
    let pairs = variables.iter();
    Ok(pairs
        .map(|(name, value)| format!("{name}={}", value.value))
        .collect())
}

/// Sources of `-v` that are names.
fn named_volumes(volumes: &[String]) -> impl Iterator<Item = &str> {
    let sources = volumes.iter().filter_map(|text| text.split_once(':'));
    sources
        .map(|(source, _)| source)
        .filter(|source| !source.starts_with(['/', '.', '~']))
}

/// The document that says the same as the flags. Nothing in it is a variable. Of the volumes that
/// the project has no name for is told whether they are there.
fn document(
    options: &Options,
    variables: &[String],
    literal: &[(&str, bool)],
    directory: &Path,
) -> String {
    let mut text = format!("services:\n  {}:\n", json!(options.service));
    let mut set = |key: &str, tag: &str, value: Value| {
        let value = value.to_string().replace('$', "$$");
        // Writing to a string does not fail.
        let _written = writeln!(text, "    {key}: {tag}{value}");
    };
    if !options.command.is_empty() {
        set("command", "", json!(options.command));
    }
    if let Some(entrypoint) = &options.entrypoint {
        set("entrypoint", "", json!(entrypoint));
        if options.command.is_empty() {
            set("command", "", json!([]));
        }
    }
    let env = [variables, &options.env].concat();
    // A place below where the user stands, as in a shell.
    let volumes: Vec<String> = options
        .volumes
        .iter()
        .map(|volume| match volume.split_once(':') {
            Some((source, rest)) if source.starts_with('.') => {
                let source = loader::clean(&directory.join(source));
                format!("{}:{rest}", source.display())
            }
            _ => volume.clone(),
        })
        .collect();
    let lists = [
        ("environment", &env),
        ("labels", &options.labels),
        ("cap_add", &options.cap_add),
        ("cap_drop", &options.cap_drop),
        ("volumes", &volumes),
    ];
    for (key, list) in lists {
        if !list.is_empty() {
            set(key, "", json!(list));
        }
    }
    if !options.service_ports {
        set("ports", "!override ", json!(options.publish));
    }
    let texts = [
        ("user", &options.user),
        ("working_dir", &options.working_dir),
    ];
    for (key, value) in texts {
        if let Some(value) = value {
            set(key, "", json!(value));
        }
    }
    set("tty", "", json!(options.tty));
    set("stdin_open", "", json!(options.interactive));
    if !literal.is_empty() {
        text.push_str("volumes:\n");
        for (name, is_external) in literal {
            let volume = json!({"external": is_external, "name": name});
            let _written = writeln!(text, "  {}: {volume}", json!(name));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_a_document() {
        let options = Options {
            service: "web".into(),
            command: vec!["echo".into(), "$HOME: \"x\"".into()],
            env: vec!["A=1".into(), "B".into()],
            volumes: vec!["./src:/src".into(), "cache:/cache".into(), "/new".into()],
            publish: vec!["80:80".into()],
            user: Some("1000".into()),
            tty: true,
            ..Options::default()
        };
        let variables = ["C=2".to_owned()];
        let literal = named_volumes(&options.volumes).map(|name| (name, true));
        let literal: Vec<(&str, bool)> = literal.collect();
        assert_eq!(
            document(&options, &variables, &literal, Path::new("/here")),
            r#"services:
  "web":
    command: ["echo","$$HOME: \"x\""]
    environment: ["C=2","A=1","B"]
    volumes: ["/here/src:/src","cache:/cache","/new"]
    ports: !override ["80:80"]
    user: "1000"
    tty: true
    stdin_open: false
volumes:
  "cache": {"external":true,"name":"cache"}
"#
        );
    }

    #[test]
    fn another_entrypoint_has_no_command_of_the_service() {
        let options = Options {
            service: "web".into(),
            entrypoint: Some("sh -c".into()),
            service_ports: true,
            ..Options::default()
        };
        assert_eq!(
            document(&options, &[], &[], Path::new("/")),
            "services:\n  \"web\":\n    entrypoint: \"sh -c\"\n    command: []\n    tty: false\n    stdin_open: false\n"
        );
    }
}
