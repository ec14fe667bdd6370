//! The command line: which face by argv[0], parse, one call, exit code.
//!
//! `ketch up`, `ketch compose up`, `docker compose up` and `docker-compose up` are one
//! command. Images, networks and volumes have commands of their own.

mod completion;
mod compose;
mod container;
mod docker;
mod exit;
mod image;
mod login;
mod network;
mod options;
mod parse;
mod shapes;
mod system;
mod volume;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Mutex;

use clap::{Parser, Subcommand};
use ketch_runtime::engine::Engine;

use crate::ops::{Context, Error, Result, signals::Signals};
use crate::ui::Ui;
use crate::ui::progress::Mode;
use options::Global;

/// Runs Compose applications without Docker
#[derive(Debug, Parser)]
#[command(
    name = "ketch",
    disable_version_flag = true,
    subcommand_required = true,
    max_term_width = 100
)]
struct Ketch {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Define and run multi-container applications with Docker
#[derive(Debug, Parser)]
#[command(
    name = "docker-compose",
    disable_version_flag = true,
    subcommand_required = true,
    max_term_width = 100
)]
struct DockerCompose {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: compose::Verb,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Compose(compose::Verb),
    /// Manage containers by their own names
    #[command(subcommand)]
    Container(container::Verb),
    /// Manage images
    #[command(subcommand)]
    Image(image::Verb),
    /// Manage networks
    #[command(subcommand)]
    Network(network::Verb),
    /// Manage volumes
    #[command(subcommand)]
    Volume(volume::Verb),
    /// Manage what ketch keeps
    #[command(subcommand)]
    System(system::Verb),
    Login(login::Login),
    Logout(login::Logout),
    /// Generate the autocompletion script for the specified shell
    Completion(completion::Args),
}

/// A command of any of the faces.
enum Asked {
    Ketch(Command),
    Docker(docker::Command),
}

/// Which program we were called as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Face {
    Ketch,
    Compose,
    Docker,
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let (face, args) = match face_of(std::env::args_os().collect()) {
        Ok(found) => found,
        Err(message) => return exit::usage(&message),
    };
    let elsewhere = elsewhere(&face, std::env::var("DOCKER_HOST").ok().as_deref());
    let (global, command) = match face {
        Face::Ketch => match parse::parse::<Ketch>(args) {
            Ok(parsed) => (parsed.global, Asked::Ketch(parsed.command)),
            Err(ended) => return exit::parsing(&ended),
        },
        Face::Compose => match parse::parse::<DockerCompose>(args) {
            Ok(parsed) => (
                parsed.global,
                Asked::Ketch(Command::Compose(parsed.command)),
            ),
            Err(ended) => return exit::parsing(&ended),
        },
        Face::Docker => match parse::parse::<docker::Docker>(args) {
            Ok(parsed) => {
                if let Err(message) = parsed.global.check() {
                    return exit::usage(&message);
                }
                let global = Global::of_docker(parsed.global.config);
                (global, Asked::Docker(parsed.command))
            }
            Err(ended) => return exit::parsing(&ended),
        },
    };
    let mut looks = global.looks();
    if matches!(&command, Asked::Ketch(Command::Compose(verb)) if verb.is_quiet()) {
        looks.progress = Some(Mode::Quiet);
    }
    let ui = match Ui::new(looks) {
        Ok(ui) => ui,
        Err(message) => return exit::usage(&message),
    };
    for warning in global.warnings() {
        ui.warn(warning);
    }
    if let Some(warning) = elsewhere {
        ui.warn(warning);
    }
    match execute(&global, command, &ui) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&ui, &error),
    }
}

fn execute(global: &Global, command: Asked, ui: &Ui) -> Result<()> {
    // Threads inherit the mask: signals are blocked before the first one is made.
    let signals = match &command {
        Asked::Ketch(Command::Compose(verb)) if verb.can_be_given_up() => Signals::install()?,
        Asked::Ketch(Command::Container(container::Verb::Common(verb)))
            if verb.can_be_given_up() =>
        {
            Signals::install()?
        }
        Asked::Docker(command) if command.can_be_given_up() => Signals::install()?,
        _ => Signals::ignored()?,
    };
    let engine = Engine::open(global.roots()?)?;
    let context = Context {
        called_docker: matches!(command, Asked::Docker(_)),
        engine,
        ui: ui.clone(),
        cancel: signals.first(),
        signals,
        project: global.project()?,
        registry: global.registry(),
        dry_run: global.dry_run,
        parallel: global.parallel()?,
        turn: Mutex::default(),
    };
    let command = match command {
        Asked::Ketch(command) => command,
        Asked::Docker(command) => return interrupted(command.run(&context)),
    };
    let ran = match command {
        Command::Compose(verb) => verb.run(&context),
        Command::Container(verb) => verb.run(&context),
        Command::Image(verb) => verb.run(&context),
        Command::Network(verb) => verb.run(&context),
        Command::Volume(verb) => verb.run(&context),
        Command::System(verb) => verb.run(&context),
        Command::Login(args) => args.run(&context),
        Command::Logout(args) => args.run(&context),
        Command::Completion(args) => args.run::<Ketch>(&context),
    };
    interrupted(ran)
}

/// What was given up is an interruption, however deep it was found.
fn interrupted(ran: Result<()>) -> Result<()> {
    ran.map_err(|error| match error {
        Error::Engine(error) if error.kind() == ketch_runtime::error::ErrorKind::Cancelled => {
            Error::Interrupted
        }
        other => other,
    })
}

/// What to say to who means another machine's containers.
fn elsewhere(face: &Face, docker_host: Option<&str>) -> Option<String> {
    let host = docker_host.filter(|host| !host.is_empty() && !host.starts_with("unix://"))?;
    let speaks_docker = matches!(face, Face::Compose | Face::Docker);
    speaks_docker.then(|| {
        format!("DOCKER_HOST={host} has no effect: ketch runs the containers of this machine")
    })
}

/// Takes `compose` out of `docker compose …` and `ketch compose …`.
fn face_of(mut args: Vec<OsString>) -> std::result::Result<(Face, Vec<OsString>), String> {
    let called = args
        .first()
        .map(std::path::Path::new)
        .and_then(|path| path.file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let is_compose = args.get(1).is_some_and(|word| word == "compose");
    let first = 1 + usize::from(is_compose);
    if args
        .get(first)
        .is_some_and(|word| word == "--version" || word == "-v")
    {
        args[first] = "version".into();
    }
    match called.as_str() {
        "docker-compose" => Ok((Face::Compose, args)),
        "docker" if is_compose => {
            args.remove(1);
            Ok((Face::Compose, args))
        }
        "docker" => Ok((Face::Docker, args)),
        _ if is_compose => {
            args.remove(1);
            Ok((Face::Ketch, args))
        }
        _ => Ok((Face::Ketch, args)),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn face(words: &[&str]) -> std::result::Result<(Face, Vec<OsString>), String> {
        face_of(words.iter().map(OsString::from).collect())
    }

    #[test]
    fn the_command_tree_is_consistent() {
        Ketch::command().debug_assert();
        DockerCompose::command().debug_assert();
        docker::Docker::command().debug_assert();
    }

    #[test]
    fn who_means_another_machine_is_told() {
        let told = |face, host| elsewhere(&face, host).is_some();
        assert!(told(Face::Docker, Some("tcp://docker:2375")));
        assert!(told(Face::Compose, Some("ssh://there")));
        assert!(!told(Face::Ketch, Some("ssh://there")));
        assert!(!told(Face::Docker, Some("unix:///var/run/docker.sock")));
        assert!(!told(Face::Docker, Some("")));
        assert!(!told(Face::Docker, None));
    }

    #[test]
    fn the_name_of_the_program_chooses_the_face() {
        assert_eq!(
            face(&["/usr/bin/docker", "compose", "up"]).unwrap().0,
            Face::Compose
        );
        assert_eq!(face(&["docker-compose", "up"]).unwrap().0, Face::Compose);
        assert_eq!(face(&["ketch", "up"]).unwrap().0, Face::Ketch);
        assert_eq!(face(&["ketch", "compose", "up"]).unwrap().1.len(), 2);
        assert_eq!(face(&["docker", "ps"]).unwrap().0, Face::Docker);
        assert_eq!(face(&["docker-compose", "-v"]).unwrap().1[1], "version");
    }
}
