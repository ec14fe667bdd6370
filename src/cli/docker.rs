//! `docker …`, when ketch is called by that name.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::{container, image, login, network, system, volume};
use crate::ops::containers::inspect;
use crate::ops::{self, Context, Error, Result};

/// A self-sufficient runtime for containers
#[derive(Debug, Parser)]
#[command(
    name = "docker",
    disable_version_flag = true,
    subcommand_required = true,
    max_term_width = 100
)]
pub(super) struct Docker {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What stands before the command. There is no daemon, and so nothing to connect to.
#[derive(Debug, Args)]
pub(super) struct Global {
    /// Location of client config files
    #[arg(long, value_name = "string")]
    pub(super) config: Option<PathBuf>,
    /// Name of the context to use: only "default" is known
    #[arg(short, long, value_name = "string")]
    context: Option<String>,
    /// Enable debug mode
    #[arg(short = 'D', long)]
    debug: bool,
    /// Daemon socket to connect to: refused
    #[arg(short = 'H', long, value_name = "list")]
    host: Option<String>,
    /// Set the logging level
    #[arg(short, long, value_name = "string")]
    log_level: Option<String>,
}

impl Global {
    /// Refuses another machine's containers.
    pub(super) fn check(&self) -> std::result::Result<(), String> {
        if let Some(host) = &self.host {
            return Err(format!(
                "--host {host}: ketch has no daemon and manages this machine's containers only"
            ));
        }
        match &self.context {
            Some(context) if context != "default" => Err(format!(
                "context {context:?} does not exist: there is only \"default\""
            )),
            _ => Ok(()),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    #[command(flatten)]
    Container(container::Common),
    /// List containers
    Ps(container::Ls),
    /// Return low-level information on objects
    Inspect(container::Inspect),
    /// Build an image from a Dockerfile
    Build(Build),
    /// List images
    Images(image::Ls),
    /// Download an image from a registry
    Pull(image::Pull),
    /// Upload an image to a registry
    Push(image::Push),
    /// Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE
    Tag(image::Tag),
    /// Remove one or more images
    Rmi(image::Rm),
    /// Load an image from a tar archive or STDIN
    Load(image::Load),
    /// Save one or more images to a tar archive (streamed to STDOUT by default)
    Save(image::Save),
    /// Import the contents from a tarball to create a filesystem image
    Import(image::Import),
    /// Show the history of an image
    History(image::History),
    Login(login::Login),
    Logout(login::Logout),
    Events(system::Events),
    /// Manage containers
    #[command(subcommand, name = "container")]
    Containers(container::Verb),
    /// Manage images
    #[command(subcommand)]
    Image(image::Verb),
    /// Manage networks
    #[command(subcommand)]
    Network(network::Verb),
    /// Manage volumes
    #[command(subcommand)]
    Volume(volume::Verb),
    /// Manage what is kept
    #[command(subcommand)]
    System(system::Verb),
    /// Show the version information
    Version,
}

impl Command {
    /// Whether ctrl-C has a meaning beyond the end of the program.
    pub(super) fn can_be_given_up(&self) -> bool {
        match self {
            Self::Container(verb) | Self::Containers(container::Verb::Common(verb)) => {
                verb.can_be_given_up()
            }
            Self::Build(_) => true,
            _ => false,
        }
    }

    pub(super) fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Container(verb) => verb.run(context),
            Self::Ps(args) => args.run(context),
            Self::Inspect(args) => args.run(context, &INSPECTED),
            Self::Build(args) => args.run(context),
            Self::Images(args) => image::Verb::Ls(args).run(context),
            Self::Pull(args) => image::Verb::Pull(args).run(context),
            Self::Push(args) => image::Verb::Push(args).run(context),
            Self::Tag(args) => image::Verb::Tag(args).run(context),
            Self::Rmi(args) => image::Verb::Rm(args).run(context),
            Self::Load(args) => image::Verb::Load(args).run(context),
            Self::Save(args) => image::Verb::Save(args).run(context),
            Self::Import(args) => image::Verb::Import(args).run(context),
            Self::History(args) => image::Verb::History(args).run(context),
            Self::Login(args) => args.run(context),
            Self::Logout(args) => args.run(context),
            Self::Containers(verb) => verb.run(context),
            Self::Image(verb) => verb.run(context),
            Self::Network(verb) => verb.run(context),
            Self::Volume(verb) => verb.run(context),
            Self::System(verb) => verb.run(context),
            Self::Events(args) => args.run(context),
            Self::Version => {
                let version = env!("CARGO_PKG_VERSION");
                Ok(context.ui.line(format_args!("ketch version {version}"))?)
            }
        }
    }
}

/// A name may be that of anything.
const INSPECTED: [inspect::Find<'static>; 4] = [
    &inspect::container,
    &image::find,
    &network::find,
    &volume::find,
];

/// `docker build`.
#[derive(Debug, Args)]
pub(super) struct Build {
    /// Set build-time variables
    #[arg(long = "build-arg", value_name = "list")]
    args: Vec<String>,
    /// Name of the Dockerfile (default: "PATH/Dockerfile")
    #[arg(short, long, value_name = "string")]
    file: Option<PathBuf>,
    /// Set metadata for an image
    #[arg(long = "label", value_name = "list")]
    labels: Vec<String>,
    /// Set the networking mode for the RUN instructions during build
    #[arg(long, value_name = "string")]
    network: Option<String>,
    /// Do not use cache when building the image
    #[arg(long)]
    no_cache: bool,
    /// Always attempt to pull all referenced images
    #[arg(long)]
    pull: bool,
    /// Suppress the build output and print image ID on success
    #[arg(short, long)]
    quiet: bool,
    /// Name and optionally a tag in the "name:tag" format
    #[arg(short, long = "tag", value_name = "list")]
    tags: Vec<String>,
    /// Set the target build stage to build
    #[arg(long, value_name = "string")]
    target: Option<String>,
    #[arg(value_name = "PATH")]
    path: PathBuf,
}

impl Build {
    fn run(self, context: &Context) -> Result<()> {
        if self.path.as_os_str() == "-" {
            let message = "a context from standard input is not carried out by ketch yet";
            return Err(Error::Failed(message.into()));
        }
        ops::build::single(
            context,
            ops::build::Single {
                path: self.path,
                file: self.file,
                args: self.args,
                labels: self.labels,
                tags: self.tags,
                target: self.target,
                network: self.network,
                no_cache: self.no_cache,
                pull: self.pull,
                quiet: self.quiet,
            },
        )
    }
}
