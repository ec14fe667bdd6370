//! `ketch system …`.

use clap::Subcommand;

use crate::ops::{Context, Error, Result};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Remove what killed commands left behind
    Prune {
        /// Remove bridges, name tables, cgroups, unfinished containers and temporary files that belong to nobody (with --dry-run: only list them)
        #[arg(long, required = true)]
        orphans: bool,
    },
}

impl Verb {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let Self::Prune { orphans: _ } = self;
        let mut failed = false;
        for orphan in context.engine.orphans()? {
            if !context.dry_run
                && let Err(error) = context.engine.remove_orphan(&orphan)
            {
                context.ui.error(error);
                failed = true;
                continue;
            }
            context.ui.line(orphan)?;
        }
        if failed { Err(Error::Reported) } else { Ok(()) }
    }
}
