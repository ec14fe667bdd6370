//! `attach`.

use crate::cli::shapes::Staying;
use crate::ops::containers::attach;
use crate::ops::{Context, Result};

/// Attach local standard input, output, and error streams to a service's running container
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(value_name = "SERVICE")]
    service: String,
    /// index of the container if service has multiple replicas.
    #[arg(long, value_name = "int")]
    index: Option<u32>,
    /// Do not attach STDIN
    #[arg(long)]
    no_stdin: bool,
    #[command(flatten)]
    staying: Staying,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let mut attach = self.staying.parse(context)?;
        attach.stdin = !self.no_stdin;
        attach::service(context, &self.service, self.index, &attach)
    }
}
