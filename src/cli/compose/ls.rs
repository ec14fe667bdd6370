//! `ls`.

use crate::ops::{self, Context, Error, Result};

/// List running compose projects
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Show all stopped Compose projects
    #[arg(short, long)]
    all: bool,
    /// Filter output based on conditions provided (name=TEXT)
    #[arg(long, value_name = "filter")]
    filter: Vec<String>,
    /// Format the output. Values: [table | json]
    #[arg(
        long,
        value_name = "string",
        default_value = "table",
        hide_default_value = true
    )]
    format: String,
    /// Only display project names
    #[arg(short, long)]
    quiet: bool,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let mut names = Vec::new();
        for filter in &self.filter {
            match filter.split_once('=') {
                Some(("name", part)) => names.push(part.to_owned()),
                _ => return Err(Error::Failed(format!("invalid filter '{filter}'"))),
            }
        }
        let json = match self.format.as_str() {
            "json" => true,
            "table" | "pretty" | "" => false,
            other => {
                return Err(Error::Failed(format!(
                    "format value {other:?} could not be parsed: parsing failed"
                )));
            }
        };
        ops::ls::run(
            context,
            &ops::ls::Options {
                all: self.all,
                names,
                json,
                quiet: self.quiet,
            },
        )
    }
}
