//! `ps`.

use crate::ops::{self, Context, Error, Result};

/// List containers
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Show all stopped containers (including those created by the run command)
    #[arg(short, long)]
    all: bool,
    /// Filter services by a property (supported filters: status)
    #[arg(long, value_name = "string")]
    filter: Option<String>,
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or 'TEMPLATE'
    #[arg(
        long,
        value_name = "string",
        default_value = "table",
        hide_default_value = true
    )]
    format: String,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Include orphaned services (not declared by project)
    #[arg(long, value_name = "bool", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", action = clap::ArgAction::Set, hide_possible_values = true, hide_default_value = true)]
    orphans: bool,
    /// Only display IDs
    #[arg(short, long)]
    quiet: bool,
    /// Display services
    #[arg(long = "services")]
    list_services: bool,
    /// Filter services by status. Values: [paused | restarting | removing | running | dead | created | exited]
    #[arg(long, value_name = "stringArray")]
    status: Vec<String>,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let mut statuses = self.status;
        match self.filter.as_deref().map(|filter| filter.split_once('=')) {
            None => {}
            Some(Some(("status", status))) => statuses.push(status.to_owned()),
            Some(Some((name, _))) => return Err(Error::Failed(format!("unknown filter {name}"))),
            Some(None) => {
                return Err(Error::Failed(
                    "arguments to --filter should be in form KEY=VAL".into(),
                ));
            }
        }
        let show = match () {
            () if self.quiet => ops::ps::Show::Ids,
            () if self.list_services => ops::ps::Show::Services,
            () => ops::ps::Show::Rows(
                crate::ui::template::Format::parse(&self.format).map_err(Error::Failed)?,
            ),
        };
        let options = ops::ps::Options {
            services: self.services,
            all: self.all,
            orphans: self.orphans,
            full: self.no_trunc,
            statuses,
            show,
        };
        ops::ps::run(context, &options)
    }
}
