//! `kill`.

use crate::ops::{self, Context, Result};

/// Force stop service containers
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Remove containers for services not defined in the Compose file
    #[arg(long)]
    remove_orphans: bool,
    /// SIGNAL to send to the container
    #[arg(short, long, value_name = "string", default_value = "SIGKILL")]
    signal: String,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        ops::kill::run(context, &self.services, &self.signal, self.remove_orphans)
    }
}
