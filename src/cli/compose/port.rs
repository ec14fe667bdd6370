//! `port`.

use crate::ops::{self, Context, Result};

/// Print the public port for a port binding
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(value_name = "SERVICE")]
    service: String,
    #[arg(value_name = "PRIVATE_PORT")]
    port: u16,
    /// Index of the container if service has multiple replicas
    #[arg(long, value_name = "int")]
    index: Option<u32>,
    /// tcp or udp
    #[arg(long, value_name = "string", default_value = "tcp")]
    protocol: String,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        ops::port::run(
            context,
            &self.service,
            self.index,
            self.port,
            &self.protocol,
        )
    }
}
