//! `images`.

use crate::ops::{self, Context, Error, Result};

/// List images used by the created containers
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Format the output. Values: [table | json]
    #[arg(
        long,
        value_name = "string",
        default_value = "table",
        hide_default_value = true
    )]
    format: String,
    /// Only display IDs
    #[arg(short, long)]
    quiet: bool,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let show = match (self.quiet, self.format.as_str()) {
            (true, _) => ops::images::Show::Ids,
            (false, "json") => ops::images::Show::Json,
            (false, "table" | "pretty" | "") => ops::images::Show::Table,
            (false, other) => {
                return Err(Error::Failed(format!(
                    "format value {other:?} could not be parsed: parsing failed"
                )));
            }
        };
        ops::images::list(context, &self.services, show)
    }
}
