//! `run`.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use super::exclusive;
use crate::ops::{self, Context, Error, Result};

/// Run a one-off command on a service
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The service, then the command: flags end where the service stands
    #[arg(value_names = ["SERVICE", "COMMAND"], num_args = 1.., required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
    /// Build image before starting container
    #[arg(long)]
    build: bool,
    /// Add Linux capabilities
    #[arg(long, value_name = "list")]
    cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long, value_name = "list")]
    cap_drop: Vec<String>,
    /// Run container in background and print container ID
    #[arg(short, long)]
    detach: bool,
    /// Override the entrypoint of the image
    #[arg(long, value_name = "string")]
    entrypoint: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "stringArray")]
    env: Vec<String>,
    /// Set environment variables from file
    #[arg(long = "env-from-file", value_name = "stringArray")]
    env_files: Vec<PathBuf>,
    /// Keep STDIN open even if not attached
    #[arg(short, long, value_name = "bool", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", hide_possible_values = true, action = clap::ArgAction::Set)]
    interactive: bool,
    /// Add or override a label
    #[arg(short, long = "label", value_name = "stringArray")]
    labels: Vec<String>,
    /// Assign a name to the container
    #[arg(long, value_name = "string")]
    name: Option<String>,
    /// Don't start linked services
    #[arg(long)]
    no_deps: bool,
    /// Disable pseudo-TTY allocation. By default a TTY is allocated when stdin and stdout are terminals.
    #[arg(short = 'T', long = "no-tty", alias = "no-TTY")]
    no_tty: bool,
    /// Publish a container's port(s) to the host
    #[arg(short, long, value_name = "stringArray")]
    publish: Vec<String>,
    /// Pull image before running ("always"|"missing"|"never")
    #[arg(long, value_name = "string", default_value = "policy")]
    pull: String,
    /// Don't print anything to STDOUT
    #[arg(short, long)]
    quiet: bool,
    /// Suppress progress output from the build process
    #[arg(long)]
    quiet_build: bool,
    /// Pull without printing progress information
    #[arg(long)]
    quiet_pull: bool,
    /// Remove containers for services not defined in the Compose file
    #[arg(long)]
    remove_orphans: bool,
    /// Automatically remove the container when it exits
    #[arg(long = "rm")]
    remove: bool,
    /// Run command with all service's ports enabled and mapped to the host
    #[arg(short = 'P', long)]
    service_ports: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long, hide = true)]
    tty: bool,
    /// Use the service's network aliases in the network(s) the container connects to
    #[arg(long)]
    use_aliases: bool,
    /// Run as specified username or uid
    #[arg(short, long, value_name = "string")]
    user: Option<String>,
    /// Bind mount a volume
    #[arg(short, long = "volume", alias = "volumes", value_name = "stringArray")]
    volumes: Vec<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "string")]
    workdir: Option<String>,
}

impl Args {
    pub(in crate::cli) fn is_quiet(&self) -> bool {
        self.quiet
    }

    pub(super) fn run(mut self, context: &Context) -> Result<()> {
        exclusive(
            self.service_ports && !self.publish.is_empty(),
            "--service-ports",
            "--publish",
        )?;
        let stdin = std::io::stdin().is_terminal();
        if self.tty && !self.no_tty && !stdin {
            return Err(Error::Failed(
                "cannot attach stdin to a TTY-enabled container because stdin is not a terminal"
                    .into(),
            ));
        }
        let options = ops::run::Options {
            service: self.words.remove(0),
            command: self.words,
            detach: self.detach,
            remove: self.remove,
            name: self.name,
            env: self.env,
            env_files: self.env_files,
            labels: self.labels,
            user: self.user,
            working_dir: self.workdir,
            entrypoint: self.entrypoint,
            cap_add: self.cap_add,
            cap_drop: self.cap_drop,
            volumes: self.volumes,
            publish: self.publish,
            service_ports: self.service_ports,
            use_aliases: self.use_aliases,
            no_deps: self.no_deps,
            images: ops::images::Policy {
                build: self.build,
                no_build: false,
                pull: ops::images::Pull::parse(&self.pull)?,
                quiet: self.quiet_build,
                quiet_pull: self.quiet_pull,
            },
            remove_orphans: self.remove_orphans,
            quiet: self.quiet,
            interactive: self.interactive,
            tty: !self.no_tty && stdin && std::io::stdout().is_terminal(),
        };
        ops::run::run(context, &options)
    }
}
