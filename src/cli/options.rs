//! Flags before the command, shared by all.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use indexmap::IndexMap;
use ketch_runtime::registry::settings as registry;
use ketch_runtime::store::Roots;

use crate::loader;
use crate::ops::{Error, Result};
use crate::ui::{Ansi, Settings, progress::Mode};

/// What stands before the command.
#[derive(Debug, Clone, Args)]
pub(super) struct Global {
    /// Include all resources, even those not used by services
    #[arg(long)]
    all_resources: bool,
    /// Control when to print ANSI control characters ("never"|"always"|"auto")
    #[arg(
        long,
        value_name = "string",
        env = "COMPOSE_ANSI",
        hide_env = true,
        hide_possible_values = true
    )]
    ansi: Option<AnsiWord>,
    /// Run compose in backward compatibility mode
    #[arg(long, env = "COMPOSE_COMPATIBILITY", hide_env = true)]
    compatibility: bool,
    /// Execute command in dry run mode
    #[arg(long, global = true, display_order = 900)]
    pub(super) dry_run: bool,
    /// Specify an alternate environment file
    #[arg(long = "env-file", value_name = "stringArray")]
    env_files: Vec<PathBuf>,
    /// Compose configuration files
    #[arg(short, long = "file", value_name = "stringArray")]
    files: Vec<PathBuf>,
    /// Control max parallelism, -1 for unlimited
    #[arg(
        long,
        value_name = "int",
        env = "COMPOSE_PARALLEL_LIMIT",
        hide_env = true,
        allow_negative_numbers = true
    )]
    parallel: Option<i64>,
    /// Specify a profile to enable
    #[arg(long = "profile", value_name = "stringArray")]
    profiles: Vec<String>,
    /// Set type of progress output (auto, tty, plain, json, quiet)
    #[arg(
        long,
        value_name = "string",
        env = "COMPOSE_PROGRESS",
        hide_env = true,
        hide_possible_values = true
    )]
    progress: Option<ProgressWord>,
    /// Specify an alternate working directory (default: the path of the, first specified, Compose file)
    #[arg(long, value_name = "string", alias = "workdir")]
    project_directory: Option<PathBuf>,
    /// Project name
    #[arg(short, long, value_name = "string")]
    project_name: Option<String>,
    /// Old name of `--ansi never`
    #[arg(long, hide = true)]
    no_ansi: bool,
    /// Where images, volumes and containers are kept
    #[arg(
        long,
        value_name = "path",
        env = "KETCH_ROOT",
        default_value = "/var/lib/ketch",
        hide = true
    )]
    root: PathBuf,
    /// Where sockets and locks are kept
    #[arg(
        long,
        value_name = "path",
        env = "KETCH_RUN",
        default_value = "/run/ketch",
        hide = true
    )]
    run_root: PathBuf,
    /// Where credentials and certificates are, when not where Docker has them.
    #[arg(skip)]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AnsiWord {
    Never,
    Always,
    Auto,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProgressWord {
    Auto,
    Tty,
    Plain,
    Json,
    #[value(alias = "none")]
    Quiet,
}

impl Global {
    /// Those of `docker`, which has others: what the environment says, and a directory.
    pub(super) fn of_docker(config: Option<PathBuf>) -> Self {
        #[derive(clap::Parser)]
        struct Alone {
            #[command(flatten)]
            global: Global,
        }
        let mut global = <Alone as clap::Parser>::parse_from(["docker"]).global;
        global.config = config;
        global
    }

    /// How talk should look.
    pub(super) fn looks(&self) -> Settings {
        let ansi = match self.ansi {
            _ if self.no_ansi => Ansi::Never,
            None | Some(AnsiWord::Auto)
                if std::env::var_os("TERM").is_some_and(|term| term == "dumb") =>
            {
                Ansi::Never
            }
            Some(AnsiWord::Never) => Ansi::Never,
            Some(AnsiWord::Always) => Ansi::Always,
            Some(AnsiWord::Auto) | None => Ansi::Auto,
        };
        let progress = match self.progress {
            Some(ProgressWord::Tty) => Some(Mode::Tty),
            Some(ProgressWord::Plain) => Some(Mode::Plain),
            Some(ProgressWord::Json) => Some(Mode::Json),
            Some(ProgressWord::Quiet) => Some(Mode::Quiet),
            Some(ProgressWord::Auto) | None => None,
        };
        Settings {
            ansi,
            progress,
            no_color: std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
            dry_run: self.dry_run,
        }
    }

    /// What should be said about the flags themselves.
    pub(super) fn warnings(&self) -> Vec<&'static str> {
        let mut warnings = Vec::new();
        if self.no_ansi {
            warnings.push("option '--no-ansi' is DEPRECATED ! Please use '--ansi' instead.");
        }
        warnings
    }

    /// Where this installation lies.
    pub(super) fn roots(&self) -> Result<Roots> {
        let absolute = |path: &PathBuf| {
            std::path::absolute(path)
                .map_err(|error| Error::Failed(format!("{}: {error}", path.display())))
        };
        Ok(Roots::new(absolute(&self.root)?, absolute(&self.run_root)?))
    }

    /// Where what concerns registries is written down: as Docker's command line looks for it.
    pub(super) fn registry(&self) -> registry::Settings {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let home = || set("HOME").map(|home| PathBuf::from(home).join(".docker"));
        registry::Settings {
            user: self
                .config
                .clone()
                .or_else(|| set("DOCKER_CONFIG").map(PathBuf::from))
                .or_else(home),
            auth_config: std::env::var("DOCKER_AUTH_CONFIG")
                .ok()
                .filter(|text| !text.is_empty()),
            ..registry::Settings::default()
        }
    }

    /// At most so many operations at once; `None`: no limit.
    pub(super) fn parallel(&self) -> Result<Option<usize>> {
        match self.parallel {
            None | Some(-1) => Ok(None),
            Some(number) => match usize::try_from(number) {
                Ok(number) if number > 0 => Ok(Some(number)),
                _ => Err(Error::Failed(format!(
                    "invalid value {number} for --parallel"
                ))),
            },
        }
    }

    /// How the project is found and read.
    pub(super) fn project(&self) -> Result<loader::Options> {
        if self.compatibility {
            return Err(Error::Failed(
                "--compatibility is not carried out by ketch yet".into(),
            ));
        }
        let failed = |what: &str, error: std::io::Error| Error::Failed(format!("{what}: {error}"));
        let working_dir =
            std::env::current_dir().map_err(|error| failed("working directory", error))?;
        // A variable that is not Unicode can't stand in a compose file either.
        let environment: IndexMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Ok(loader::Options {
            working_dir,
            config_files: self.files.clone(),
            project_directory: self.project_directory.clone(),
            project_name: self.project_name.clone(),
            env_files: self.env_files.clone(),
            profiles: self.profiles.clone(),
            environment,
            all_resources: self.all_resources,
            ..loader::Options::default()
        })
    }
}
