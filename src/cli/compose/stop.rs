//! `stop`.

use crate::ops::{self, Context, Result};

/// Stop services
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Specify a shutdown timeout in seconds
    #[arg(short, long, value_name = "int", allow_negative_numbers = true)]
    timeout: Option<i64>,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        ops::stop::run(context, &self.services, self.timeout)
    }
}
