//! `push`.

use crate::ops::{self, Context, Result};

/// Push service images
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Push what it can and ignores images with push failures
    #[arg(long)]
    ignore_push_failures: bool,
    /// Also push images of services declared as dependencies
    #[arg(long)]
    include_deps: bool,
    /// Push without printing progress information
    #[arg(short, long)]
    quiet: bool,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let options = ops::push::Options {
            services: self.services,
            ignore_failures: self.ignore_push_failures,
            include_dependencies: self.include_deps,
            quiet: self.quiet,
        };
        ops::push::run(context, options)
    }
}
