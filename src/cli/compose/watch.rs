//! `watch`.

use crate::ops::{self, Context, Result};

/// Watch build context for service and rebuild/refresh containers when files are updated
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Carry out changes of the compose file at once
    #[arg(long)]
    apply: bool,
    /// Do not derive rules for services without a 'develop' section
    #[arg(long)]
    no_infer: bool,
    /// Do not build & start services before watching
    #[arg(long)]
    no_up: bool,
    /// Prune dangling images on rebuild
    #[arg(
        long,
        value_name = "bool",
        num_args = 0..=1,
        require_equals = true,
        default_value = "true",
        default_missing_value = "true",
        hide_possible_values = true,
        action = clap::ArgAction::Set
    )]
    prune: bool,
    /// hide build output
    #[arg(long)]
    quiet: bool,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let up = (!self.no_up).then(|| ops::up::Options {
            services: self.services.clone(),
            images: ops::images::Policy {
                build: true,
                quiet: self.quiet,
                ..ops::images::Policy::default()
            },
            start: true,
            ..ops::up::Options::default()
        });
        let options = ops::watch::Options {
            services: self.services,
            prune: self.prune,
            quiet: self.quiet,
            infer: !self.no_infer,
            apply: self.apply,
        };
        ops::watch::run(context, &options, up.as_ref())
    }
}
