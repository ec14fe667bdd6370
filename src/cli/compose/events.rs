//! `events`.

use crate::cli::shapes;
use crate::ops::{self, Context, Result};

/// Receive real time events from containers
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Output events as a stream of json objects
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    span: shapes::Span,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        ops::events::of_project(context, &self.services, &self.span.parse(), self.json)
    }
}
