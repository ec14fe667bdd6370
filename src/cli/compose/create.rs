//! `create`.

use crate::ops::{self, Context, Result};
use ops::up::{Options, Recreate};

use super::{exclusive, scales};

/// Creates containers for a service
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Build images before starting containers
    #[arg(long)]
    build: bool,
    /// Recreate containers even if their configuration and image haven't changed
    #[arg(long)]
    force_recreate: bool,
    /// Don't build an image, even if it's policy
    #[arg(long)]
    no_build: bool,
    /// If containers already exist, don't recreate them. Incompatible with --force-recreate.
    #[arg(long)]
    no_recreate: bool,
    /// Pull image before running ("always"|"missing"|"never"|"build")
    #[arg(long, value_name = "string", default_value = "policy")]
    pull: String,
    /// Suppress the build output
    #[arg(long)]
    quiet_build: bool,
    /// Pull without printing progress information
    #[arg(long)]
    quiet_pull: bool,
    /// Remove containers for services not defined in the Compose file
    #[arg(long)]
    remove_orphans: bool,
    /// Scale SERVICE to NUM instances. Overrides the scale setting in the Compose file if present.
    #[arg(long, value_name = "SERVICE=NUM")]
    scale: Vec<String>,
    /// Assume "yes" as answer to all prompts and run non-interactively
    #[arg(short, long, alias = "y")]
    yes: bool,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        exclusive(self.build && self.no_build, "--build", "--no-build")?;
        exclusive(
            self.force_recreate && self.no_recreate,
            "--force-recreate",
            "--no-recreate",
        )?;
        let options = Options {
            recreate: match () {
                () if self.force_recreate => Recreate::Always,
                () if self.no_recreate => Recreate::Never,
                () => Recreate::Diverged,
            },
            images: ops::images::Policy {
                build: self.build,
                no_build: self.no_build,
                pull: ops::images::Pull::parse(&self.pull)?,
                quiet: self.quiet_build,
                quiet_pull: self.quiet_pull,
            },
            remove_orphans: self.remove_orphans,
            scale: scales(&self.scale)?,
            yes: self.yes,
            start: false,
            services: self.services,
            ..Options::default()
        };
        ops::up::run(context, &options)
    }
}
