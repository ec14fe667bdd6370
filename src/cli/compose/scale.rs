//! `scale`.

use crate::ops::{self, Context, Error, Result};
use ops::up::Options;

/// Scale services
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(value_name = "SERVICE=REPLICAS", required = true)]
    scales: Vec<String>,
    /// Don't start linked services
    #[arg(long)]
    no_deps: bool,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let mut scale = Vec::new();
        for text in &self.scales {
            let read = text
                .split_once('=')
                .and_then(|(service, number)| Some((service.to_owned(), number.parse().ok()?)));
            scale.push(
                read.ok_or_else(|| Error::Failed(format!("invalid scale specifier: {text}")))?,
            );
        }
        let options = Options {
            services: scale.iter().map(|(service, _)| service.clone()).collect(),
            scale,
            no_deps: self.no_deps,
            start: true,
            ..Options::default()
        };
        ops::up::run(context, &options)
    }
}
