//! `explain`.

use crate::ops::{self, Context, Result};

/// Tell where something comes from
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Tell where a service's variables come from, and what was not taken
    Env {
        #[arg(value_name = "SERVICE")]
        service: String,
        /// Only this one
        #[arg(value_name = "VAR")]
        variable: Option<String>,
    },
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        match self.what {
            What::Env { service, variable } => {
                ops::explain::env(context, &service, variable.as_deref())
            }
        }
    }
}
