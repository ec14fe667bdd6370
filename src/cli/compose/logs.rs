//! `logs`.

use crate::cli::shapes;
use crate::ops::{self, Context, Error, Result};

/// View output from containers
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    #[command(flatten)]
    logs: shapes::Reading,
    /// index of the container if service has multiple replicas
    #[arg(long, value_name = "int")]
    index: Option<u32>,
    /// Produce monochrome output
    #[arg(long)]
    no_color: bool,
    /// Don't print prefix in logs
    #[arg(long)]
    no_log_prefix: bool,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        if self.index.is_some() && self.services.len() != 1 {
            return Err(Error::Failed(
                "--index requires one service to be selected".into(),
            ));
        }
        let options = ops::logs::Options {
            query: self.logs.query()?,
            index: self.index,
            services: self.services,
            style: crate::ui::logs::Style {
                no_colour: self.no_color,
                no_prefix: self.no_log_prefix,
                timestamps: self.logs.timestamps,
                split_streams: false,
            },
        };
        ops::logs::run(context, &options)
    }
}
