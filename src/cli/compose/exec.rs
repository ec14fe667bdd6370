//! `exec`.

use std::io::IsTerminal;

use crate::ops::detach_keys::Keys;
use crate::ops::{self, Context, Error, Result};

/// Execute a command in a running container
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The service, then the command: flags end where the service stands
    #[arg(value_names = ["SERVICE", "COMMAND"], num_args = 2.., required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
    /// Detached mode: Run command in the background
    #[arg(short, long)]
    detach: bool,
    /// Set environment variables
    #[arg(short, long, value_name = "stringArray")]
    env: Vec<String>,
    /// Index of the container if service has multiple replicas
    #[arg(long, value_name = "int")]
    index: Option<u32>,
    /// Keep STDIN open even if not attached
    #[arg(short, long, hide = true, value_name = "bool", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", action = clap::ArgAction::Set)]
    interactive: bool,
    /// Disable pseudo-TTY allocation. By default a TTY is allocated when stdin and stdout are terminals.
    #[arg(short = 'T', long = "no-tty", alias = "no-TTY")]
    no_tty: bool,
    /// Give extended privileges to the process
    #[arg(long)]
    privileged: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long, hide = true)]
    tty: bool,
    /// Run the command as this user
    #[arg(short, long, value_name = "string")]
    user: Option<String>,
    /// Path to workdir directory for this command
    #[arg(short, long, value_name = "string")]
    workdir: Option<String>,
}

impl Args {
    pub(super) fn run(mut self, context: &Context) -> Result<()> {
        let service = self.words.remove(0);
        let terminals = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        if self.tty && !self.no_tty && !std::io::stdin().is_terminal() {
            return Err(Error::Failed(
                "cannot attach stdin to a TTY-enabled container because stdin is not a terminal"
                    .into(),
            ));
        }
        let options = ops::exec::Options {
            service,
            command: self.words,
            index: self.index,
            // A name without a value is passed on if it is set here.
            env: self
                .env
                .into_iter()
                .filter_map(|variable| match variable.contains('=') {
                    true => Some(variable),
                    false => Some(format!(
                        "{variable}={}",
                        context.project.environment.get(&variable)?
                    )),
                })
                .collect(),
            user: self.user,
            working_dir: self.workdir,
            privileged: self.privileged,
            streams: match () {
                () if self.detach => ops::exec::Streams::None,
                () if terminals && !self.no_tty => ops::exec::Streams::Terminal(Keys::default()),
                () => ops::exec::Streams::Pipes {
                    stdin: self.interactive,
                },
            },
        };
        ops::exec::run(context, options)
    }
}
