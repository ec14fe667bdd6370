//! `stats`.

use crate::cli::shapes;
use crate::ops::{self, Context, Result};

/// Display a live stream of container(s) resource usage statistics
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    pub(in crate::cli) show: Show,
    #[arg(value_name = "SERVICE")]
    pub(in crate::cli) names: Vec<String>,
}

/// What `stats` of all faces know.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Show {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    format: shapes::Shape,
    /// Disable streaming stats and only pull the first result
    #[arg(long)]
    no_stream: bool,
    /// Do not truncate output
    #[arg(long)]
    no_trunc: bool,
}

impl Show {
    pub(in crate::cli) fn options(&self) -> Result<ops::stats::Options> {
        Ok(ops::stats::Options {
            all: self.all,
            format: self.format.parse()?,
            once: self.no_stream,
            full: self.no_trunc,
        })
    }
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        ops::stats::of_services(context, &self.names, &self.show.options()?)
    }
}
