//! `why`.

use crate::ops::{self, Context, Result};

/// Tell why a service is not running or not healthy
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(value_name = "SERVICE")]
    service: String,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        ops::why::run(context, &self.service)
    }
}
