//! `rm`.

use crate::ops::{self, Context, Result};

/// Removes stopped service containers
///
/// By default, anonymous volumes attached to containers are not removed. Any data which is not in a volume is lost.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Don't ask to confirm removal
    #[arg(short, long)]
    force: bool,
    /// Stop the containers, if required, before removing
    #[arg(short, long)]
    stop: bool,
    /// Remove any anonymous volumes attached to containers
    #[arg(short, long)]
    volumes: bool,
    // Compose's old switch; it has had no effect for years.
    #[arg(short, long, hide = true)]
    all: bool,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let options = ops::rm::Options {
            services: self.services,
            force: self.force,
            stop: self.stop,
            volumes: self.volumes,
        };
        ops::rm::run(context, &options)
    }
}
