//! `pull`.

use crate::ops::{self, Context, Result};

/// Pull service images
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Ignore images that can be built
    #[arg(long)]
    ignore_buildable: bool,
    /// Pull what it can and ignores images with pull failures
    #[arg(long)]
    ignore_pull_failures: bool,
    /// Also pull services declared as dependencies
    #[arg(long)]
    include_deps: bool,
    /// Apply pull policy ("missing"|"always")
    #[arg(long, value_name = "string")]
    policy: Option<String>,
    /// Pull without printing progress information
    #[arg(short, long)]
    quiet: bool,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let options = ops::pull::Options {
            services: self.services,
            ignore_buildable: self.ignore_buildable,
            ignore_failures: self.ignore_pull_failures,
            include_dependencies: self.include_deps,
            policy: self.policy,
            quiet: self.quiet,
        };
        ops::pull::run(context, &options)
    }
}
