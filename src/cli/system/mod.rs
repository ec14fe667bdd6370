//! `ketch system …`.

use clap::Subcommand;

use super::shapes;
use crate::ops::{Context, Error, Result, events, store};

/// Get real time events: what happens to containers, images, networks and volumes
#[derive(Debug, clap::Args)]
pub(super) struct Events {
    #[command(flatten)]
    filters: shapes::Filtering,
    #[command(flatten)]
    format: shapes::Shape,
    #[command(flatten)]
    span: shapes::Span,
}

impl Events {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let (span, format) = (self.span.parse(), self.format.parse()?);
        events::all(context, &span, &self.filters.filters, &format)
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    Events(Events),
    /// Show disk usage
    Df {
        /// Show detailed information on space usage
        #[arg(short, long)]
        verbose: bool,
        #[command(flatten)]
        format: shapes::Shape,
    },
    /// Read all of the store and tell what is damaged, or needed by nobody
    Check {
        /// Fetch damaged parts again where it is known from where, and remove what nobody needs
        #[arg(long)]
        fix: bool,
    },
    /// Remove unused data
    Prune {
        /// Remove all unused images not just dangling ones
        #[arg(short, long)]
        all: bool,
        #[command(flatten)]
        prune: shapes::Pruning,
        /// Prune anonymous volumes
        #[arg(long)]
        volumes: bool,
        /// Only remove what killed commands left: bridges, name tables, cgroups, unfinished containers and temporary files that belong to nobody (with --dry-run: only list them)
        #[arg(long, conflicts_with_all = ["all", "filters", "volumes"])]
        orphans: bool,
    },
}

impl Verb {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Df { verbose, format } => store::disk_usage(context, verbose, &format.parse()?),
            Self::Events(args) => args.run(context),
            Self::Check { fix } => store::check(context, fix),
            Self::Prune { orphans: true, .. } => orphans(context),
            Self::Prune {
                all,
                prune,
                volumes,
                ..
            } => store::prune(
                context,
                &store::Prune {
                    all,
                    volumes,
                    filters: prune.filters,
                    yes: prune.force,
                },
            ),
        }
    }
}

fn orphans(context: &Context) -> Result<()> {
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
