//! `restart`.

use crate::ops::{self, Context, Result};

/// Restart service containers
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Don't restart dependent services
    #[arg(long)]
    no_deps: bool,
    /// Specify a shutdown timeout in seconds
    #[arg(short, long, value_name = "int", allow_negative_numbers = true)]
    timeout: Option<i64>,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        ops::restart::run(context, &self.services, self.timeout, !self.no_deps)
    }
}
