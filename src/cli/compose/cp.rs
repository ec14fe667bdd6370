//! `cp`.

use crate::ops::{self, Context, Result};

/// Copy files/folders between a service container and the local filesystem
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(value_name = "SRC_PATH")]
    from: String,
    #[arg(value_name = "DEST_PATH", allow_hyphen_values = true)]
    to: String,
    /// Include containers created by the run command
    #[arg(long, hide = true)]
    all: bool,
    /// Archive mode (copy all uid/gid information)
    #[arg(short, long)]
    archive: bool,
    /// Always follow symbol link in SRC_PATH
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Index of the container if service has multiple replicas
    #[arg(long, value_name = "int")]
    index: Option<u32>,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let options = ops::cp::Options {
            archive: self.archive,
            follow: self.follow_link,
            quiet: true,
        };
        ops::cp::service(context, &self.from, &self.to, self.index, options)
    }
}
