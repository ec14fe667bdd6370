//! `down`.

use clap::ValueEnum;

use crate::ops::{self, Context, Result};

/// Stop and remove containers, networks
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(value_name = "SERVICES")]
    services: Vec<String>,
    /// Remove containers for services not defined in the Compose file
    #[arg(long)]
    remove_orphans: bool,
    /// Remove images used by services. "local" remove only images that don't have a custom tag ("local"|"all")
    #[arg(long, value_name = "string", hide_possible_values = true)]
    rmi: Option<Rmi>,
    /// Specify a shutdown timeout in seconds
    #[arg(short, long, value_name = "int", allow_negative_numbers = true)]
    timeout: Option<i64>,
    /// Remove named volumes declared in the "volumes" section of the Compose file and anonymous volumes attached to containers
    #[arg(short, long, alias = "volume")]
    volumes: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Rmi {
    Local,
    All,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let options = ops::down::Options {
            services: self.services,
            remove_orphans: self.remove_orphans,
            images: self.rmi.map(|which| match which {
                Rmi::Local => ops::down::Images::Local,
                Rmi::All => ops::down::Images::All,
            }),
            timeout: self.timeout,
            volumes: self.volumes,
        };
        ops::down::run(context, &options)
    }
}
