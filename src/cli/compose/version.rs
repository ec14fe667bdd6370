//! `version`.

use crate::ops::{Context, Error, Result};

/// Show the ketch version information
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Format the output. Values: [pretty | json]. (Default: pretty)
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    /// Shows only Compose's version number
    #[arg(long)]
    short: bool,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let version = env!("CARGO_PKG_VERSION");
        let line = match self.format.as_deref() {
            _ if self.short => version.to_owned(),
            None | Some("" | "pretty") => format!("ketch version v{version}"),
            Some("json") => serde_json::json!({"version": format!("v{version}")}).to_string(),
            Some(other) => {
                return Err(Error::Failed(format!(
                    "format value {other:?} could not be parsed: parsing failed"
                )));
            }
        };
        Ok(context.ui.line(line)?)
    }
}
