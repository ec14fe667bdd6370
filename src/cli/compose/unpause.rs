//! `unpause`.

use crate::ops::{self, Context, Result};

/// Unpause services
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        ops::pause::unpause(context, &self.services)
    }
}
