//! Containers by their own names: `ketch container …`, and `docker …`.

mod run;

use std::io::IsTerminal as _;

use super::compose::stats::Show;
use super::shapes;
use crate::ops::containers::{self, Act, attach, inspect, list};
use crate::ops::{self, Context, Error, Result, store};
use clap::Subcommand;

/// `container ls` and what has no short form.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List containers
    #[command(visible_aliases = ["list", "ps"])]
    Ls(Ls),
    /// Display detailed information on one or more containers
    Inspect(Inspect),
    /// Remove all stopped containers
    Prune {
        #[command(flatten)]
        prune: shapes::Pruning,
    },
    #[command(flatten)]
    Common(Common),
}

impl Verb {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Ls(args) => args.run(context),
            Self::Inspect(args) => args.run(context, &[&inspect::container]),
            Self::Prune { prune } => store::prune_containers(context, &prune.filters, prune.force),
            Self::Common(verb) => verb.run(context),
        }
    }
}

/// `docker inspect` and its like.
#[derive(Debug, clap::Args)]
pub(super) struct Inspect {
    /// Format output using a custom template
    #[arg(
        short,
        long,
        value_name = "string",
        default_value = "",
        hide_default_value = true
    )]
    format: String,
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

impl Inspect {
    pub(super) fn run(self, context: &Context, kinds: &[inspect::Find<'_>]) -> Result<()> {
        inspect::run(context, &self.names, &self.format, kinds)
    }
}

/// `docker ps`.
#[derive(Debug, clap::Args)]
pub(super) struct Ls {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    filters: shapes::Filtering,
    #[command(flatten)]
    format: shapes::Shape,
    /// Show n last created containers (includes all states)
    #[arg(short = 'n', long, value_name = "int")]
    last: Option<usize>,
    /// Show the latest created container (includes all states)
    #[arg(short, long)]
    latest: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only display container IDs
    #[arg(short, long)]
    quiet: bool,
    /// Display total file sizes
    #[arg(short, long)]
    size: bool,
}

impl Ls {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let listing = list::Listing {
            all: self.all,
            filters: self.filters.filters,
            format: self.format.parse()?,
            last: if self.latest { Some(1) } else { self.last },
            full: self.no_trunc,
            quiet: self.quiet,
            size: self.size,
        };
        list::run(context, &listing)
    }
}

/// What `docker` and `docker container` have in common.
#[derive(Debug, Subcommand)]
pub(super) enum Common {
    /// Create and run a new container from an image
    #[command(disable_help_flag = true)]
    Run(run::Run),
    /// Create a new container
    #[command(disable_help_flag = true)]
    Create(run::Create),
    /// Execute a command in a running container
    Exec {
        /// Detached mode: run command in the background
        #[arg(short, long)]
        detach: bool,
        #[command(flatten)]
        keys: shapes::DetachKeys,
        /// Set environment variables
        #[arg(short, long = "env", value_name = "list")]
        env: Vec<String>,
        /// Keep STDIN open even if not attached
        #[arg(short, long)]
        interactive: bool,
        /// Give extended privileges to the command
        #[arg(long)]
        privileged: bool,
        /// Allocate a pseudo-TTY
        #[arg(short, long)]
        tty: bool,
        /// Username or UID (format: "<name|uid>[:<group|gid>]")
        #[arg(short, long, value_name = "string")]
        user: Option<String>,
        /// Working directory inside the container
        #[arg(short, long, value_name = "string")]
        workdir: Option<String>,
        #[arg(value_name = "CONTAINER")]
        container: String,
        #[arg(
            value_name = "COMMAND",
            required = true,
            trailing_var_arg = true,
            allow_hyphen_values = true
        )]
        command: Vec<String>,
    },
    /// Copy files/folders between a container and the local filesystem
    Cp {
        /// Archive mode (copy all uid/gid information)
        #[arg(short, long)]
        archive: bool,
        /// Always follow symbol link in SRC_PATH
        #[arg(short = 'L', long)]
        follow_link: bool,
        /// Suppress progress output during copy
        #[arg(
            short,
            long,
            value_name = "bool",
            num_args = 0..=1,
            require_equals = true,
            default_missing_value = "true"
        )]
        quiet: Option<bool>,
        #[arg(value_name = "SRC_PATH")]
        from: String,
        #[arg(value_name = "DEST_PATH", allow_hyphen_values = true)]
        to: String,
    },
    /// Fetch the logs of a container
    Logs {
        #[command(flatten)]
        logs: shapes::Reading,
        #[arg(value_name = "CONTAINER")]
        container: String,
    },
    /// Attach local standard input, output, and error streams to a running container
    Attach {
        /// Do not attach STDIN
        #[arg(long)]
        no_stdin: bool,
        #[command(flatten)]
        staying: shapes::Staying,
        #[arg(value_name = "CONTAINER")]
        container: String,
    },
    /// Start one or more stopped containers
    Start {
        /// Attach STDOUT/STDERR and forward signals
        #[arg(short, long)]
        attach: bool,
        /// Attach container's STDIN
        #[arg(short, long)]
        interactive: bool,
        #[command(flatten)]
        staying: shapes::Staying,
        #[arg(value_name = "CONTAINER", required = true)]
        containers: Vec<String>,
    },
    /// Stop one or more running containers
    Stop {
        /// Signal to send to the container
        #[arg(short, long, value_name = "string")]
        signal: Option<String>,
        /// Seconds to wait before killing the container
        #[arg(
            short,
            long,
            alias = "time",
            value_name = "int",
            allow_negative_numbers = true
        )]
        timeout: Option<i64>,
        #[arg(value_name = "CONTAINER", required = true)]
        containers: Vec<String>,
    },
    /// Restart one or more containers
    Restart {
        /// Signal to send to the container
        #[arg(short, long, value_name = "string")]
        signal: Option<String>,
        /// Seconds to wait before killing the container
        #[arg(
            short,
            long,
            alias = "time",
            value_name = "int",
            allow_negative_numbers = true
        )]
        timeout: Option<i64>,
        #[arg(value_name = "CONTAINER", required = true)]
        containers: Vec<String>,
    },
    /// Kill one or more running containers
    Kill {
        /// Signal to send to the container
        #[arg(short, long, value_name = "string")]
        signal: Option<String>,
        #[arg(value_name = "CONTAINER", required = true)]
        containers: Vec<String>,
    },
    /// Remove one or more containers
    Rm {
        /// Force the removal of a running container (uses SIGKILL)
        #[arg(short, long)]
        force: bool,
        /// Remove anonymous volumes associated with the container
        #[arg(short, long)]
        volumes: bool,
        #[arg(value_name = "CONTAINER", required = true)]
        containers: Vec<String>,
    },
    /// Pause all processes within one or more containers
    Pause {
        #[arg(value_name = "CONTAINER", required = true)]
        containers: Vec<String>,
    },
    /// Unpause all processes within one or more containers
    Unpause {
        #[arg(value_name = "CONTAINER", required = true)]
        containers: Vec<String>,
    },
    /// Rename a container
    Rename {
        #[arg(value_name = "CONTAINER")]
        container: String,
        #[arg(value_name = "NEW_NAME")]
        new_name: String,
    },
    /// Block until one or more containers stop, then print their exit codes
    Wait {
        #[arg(value_name = "CONTAINER", required = true)]
        containers: Vec<String>,
    },
    /// Display a live stream of container(s) resource usage statistics
    Stats {
        #[command(flatten)]
        show: Show,
        #[arg(value_name = "CONTAINER")]
        containers: Vec<String>,
    },
    /// Display the running processes of a container
    Top {
        #[arg(value_name = "CONTAINER")]
        container: String,
    },
    /// List port mappings or a specific mapping for the container
    Port {
        #[arg(value_name = "CONTAINER")]
        container: String,
        #[arg(value_name = "PRIVATE_PORT[/PROTO]")]
        port: Option<String>,
    },
}

impl Common {
    /// Whether ctrl-C has a meaning beyond the end of the program.
    pub(super) fn can_be_given_up(&self) -> bool {
        matches!(
            self,
            Self::Run(_)
                | Self::Create(_)
                | Self::Exec { .. }
                | Self::Attach { .. }
                | Self::Start { .. }
                | Self::Logs { .. }
                | Self::Stats { .. }
                | Self::Wait { .. }
        )
    }

    pub(super) fn run(self, context: &Context) -> Result<()> {
        let act = |names: &[String], act: Act| containers::act(context, names, &act);
        match self {
            Self::Run(args) => args.run(context),
            Self::Create(args) => args.run(context),
            exec @ Self::Exec { .. } => exec.exec(context),
            Self::Cp {
                archive,
                follow_link,
                quiet,
                from,
                to,
            } => {
                let options = ops::cp::Options {
                    archive,
                    follow: follow_link,
                    // Where nobody looks there is nothing to say.
                    quiet: quiet.unwrap_or_else(|| !std::io::stdout().is_terminal()),
                };
                ops::cp::run(context, &from, &to, options)
            }
            Self::Logs { logs, container } => {
                containers::logs(context, &container, &logs.query()?, logs.timestamps)
            }
            Self::Attach {
                no_stdin,
                staying,
                container,
            } => {
                let mut attach = staying.parse(context)?;
                attach.stdin = !no_stdin;
                attach::run(context, &container, &attach)
            }
            Self::Start {
                attach: outputs,
                interactive,
                staying,
                containers,
            } => {
                if !outputs && !interactive {
                    return act(&containers, Act::Start);
                }
                let [container] = containers.as_slice() else {
                    let message = "you cannot start and attach multiple containers at once";
                    return Err(Error::Failed(message.into()));
                };
                let mut attach = staying.parse(context)?;
                attach.stdin = interactive;
                attach::start(context, container, &attach)
            }
            Self::Stop {
                signal,
                timeout: seconds,
                containers,
            } => act(&containers, Act::Stop { signal, seconds }),
            Self::Restart {
                signal,
                timeout: seconds,
                containers,
            } => act(&containers, Act::Restart { signal, seconds }),
            Self::Kill { signal, containers } => act(&containers, Act::Kill { signal }),
            Self::Rm {
                force,
                volumes,
                containers,
            } => act(&containers, Act::Remove { force, volumes }),
            Self::Pause { containers } => act(&containers, Act::Pause),
            Self::Unpause { containers } => act(&containers, Act::Unpause),
            Self::Rename {
                container,
                new_name,
            } => containers::rename(context, &container, &new_name),
            Self::Wait { containers } => containers::wait(context, &containers),
            Self::Stats { show, containers } => {
                ops::stats::of_containers(context, &containers, &show.options()?)
            }
            Self::Top { container } => ops::top::of_container(context, &container),
            Self::Port { container, port } => {
                ops::port::of_container(context, &container, port.as_deref())
            }
        }
    }

    fn exec(self, context: &Context) -> Result<()> {
        let Self::Exec {
            detach,
            keys,
            env,
            interactive,
            privileged,
            tty,
            user,
            workdir,
            container,
            command,
        } = self
        else {
            return Ok(());
        };
        if tty && !detach && !std::io::stdin().is_terminal() {
            let message = "the input device is not a TTY";
            return Err(Error::Failed(message.into()));
        }
        let options = ops::exec::Options {
            service: String::new(),
            command,
            index: None,
            env: passed_on(context, env),
            user,
            working_dir: workdir,
            privileged,
            streams: if detach {
                ops::exec::Streams::None
            } else if tty {
                ops::exec::Streams::Terminal(keys.parse(context)?)
            } else {
                ops::exec::Streams::Pipes { stdin: interactive }
            },
        };
        ops::exec::in_container(context, &container, options)
    }
}

/// A name without a value is passed on if it is set here.
fn passed_on(context: &Context, env: Vec<String>) -> Vec<String> {
    env.into_iter()
        .filter_map(|variable| match variable.contains('=') {
            true => Some(variable),
            false => Some(format!(
                "{variable}={}",
                context.project.environment.get(&variable)?
            )),
        })
        .collect()
}
