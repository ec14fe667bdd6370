//! `ketch system …`.

use clap::Subcommand;

use crate::ops::{Context, Error, Result, store};
use crate::ui::template::Format;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Show disk usage
    Df {
        /// Show detailed information on space usage
        #[arg(short, long)]
        verbose: bool,
        /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or 'TEMPLATE'
        #[arg(
            long,
            value_name = "string",
            default_value = "",
            hide_default_value = true
        )]
        format: String,
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
        /// Provide filter values (e.g. "label=<key>=<value>")
        #[arg(long = "filter", value_name = "filter")]
        filters: Vec<String>,
        /// Do not prompt for confirmation
        #[arg(short, long)]
        force: bool,
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
            Self::Df { verbose, format } => {
                let format = Format::parse(&format).map_err(Error::Failed)?;
                store::disk_usage(context, verbose, &format)
            }
            Self::Check { fix } => store::check(context, fix),
            Self::Prune { orphans: true, .. } => orphans(context),
            Self::Prune {
                all,
                filters,
                force,
                volumes,
                ..
            } => store::prune(
                context,
                &store::Prune {
                    all,
                    volumes,
                    filters,
                    yes: force,
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
