//! `volumes`.

use crate::cli::shapes;
use crate::ops::{self, Context, Result};

/// List volumes
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    #[command(flatten)]
    format: shapes::Shape,
    /// Only display volume names
    #[arg(short, long)]
    quiet: bool,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        ops::volumes::of_project(context, &self.services, &self.format.parse()?, self.quiet)
    }
}
