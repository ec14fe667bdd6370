//! `wait`.

use crate::ops::{self, Context, Result};

/// Block until containers of all (or specified) services stop.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(value_name = "SERVICE", required = true)]
    services: Vec<String>,
    /// Drops project when the first container stops
    #[arg(long)]
    down_project: bool,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        ops::wait::run(context, &self.services, self.down_project)
    }
}
