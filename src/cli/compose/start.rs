//! `start`.

use crate::ops::{self, Context, Result};

/// Start services
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Wait for services to be running|healthy. Implies detached mode.
    #[arg(long)]
    wait: bool,
    /// Maximum duration in seconds to wait for the project to be running|healthy
    #[arg(long, value_name = "int", allow_negative_numbers = true)]
    wait_timeout: Option<i64>,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        ops::start::run(
            context,
            &ops::start::Options {
                services: self.services,
                wait: self.wait,
                wait_timeout: super::wait_timeout(self.wait_timeout),
            },
        )
    }
}
