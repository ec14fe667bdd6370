//! `ketch network …`.

use clap::Subcommand;
use ketch_runtime::network::Network;
use serde_json::json;

use crate::ops::{Context, Error, Result};
use crate::ui::table::{self, Layout};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List networks
    #[command(visible_alias = "list")]
    Ls {
        /// Only display network IDs
        #[arg(short, long)]
        quiet: bool,
    },
    /// Display detailed information on one or more networks
    Inspect {
        #[arg(value_name = "NETWORK", required = true)]
        networks: Vec<String>,
    },
    /// Remove one or more networks
    #[command(visible_alias = "remove")]
    Rm {
        #[arg(value_name = "NETWORK", required = true)]
        networks: Vec<String>,
    },
}

impl Verb {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Ls { quiet } => list(context, quiet),
            Self::Inspect { networks } => {
                let mut found = Vec::new();
                for name in &networks {
                    found.push(details(&context.engine.network(name)?));
                }
                let text = serde_json::to_string_pretty(&found)
                    .map_err(|error| Error::Failed(error.to_string()))?;
                Ok(context.ui.line(text)?)
            }
            Self::Rm { networks } => {
                let mut failed = false;
                for name in &networks {
                    match context.engine.remove_network(name) {
                        Ok(()) => context.ui.line(name)?,
                        Err(error) => {
                            context.ui.error(error);
                            failed = true;
                        }
                    }
                }
                if failed { Err(Error::Reported) } else { Ok(()) }
            }
        }
    }
}

fn list(context: &Context, quiet: bool) -> Result<()> {
    let networks = context.engine.networks()?;
    if quiet {
        for network in &networks {
            context.ui.line(network.id.short())?;
        }
        return Ok(());
    }
    let row = |network: &Network| {
        vec![
            network.id.short().to_owned(),
            network.spec.name.clone(),
            driver(network).to_owned(),
            "local".to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = networks.iter().map(row).collect();
    let head = ["NETWORK ID", "NAME", "DRIVER", "SCOPE"];
    Ok(context
        .ui
        .data(table::render(Layout::Docker, &head, &rows).as_bytes())?)
}

fn driver(network: &Network) -> &str {
    network.spec.driver.as_deref().unwrap_or("bridge")
}

fn details(network: &Network) -> serde_json::Value {
    let mut subnets = Vec::new();
    if let Some(subnet) = &network.ipv4 {
        subnets.push(json!({
            "Subnet": format!("{}/{}", subnet.network, subnet.prefix_len),
            "Gateway": subnet.gateway.to_string(),
        }));
    }
    if let Some(subnet) = &network.ipv6 {
        subnets.push(json!({
            "Subnet": format!("{}/{}", subnet.network, subnet.prefix_len),
            "Gateway": subnet.gateway.to_string(),
        }));
    }
    json!({
        "Name": network.spec.name,
        "Id": network.id.as_str(),
        "Created": network.created.to_string(),
        "Scope": "local",
        "Driver": driver(network),
        "EnableIPv6": network.ipv6.is_some(),
        "IPAM": {"Driver": "default", "Config": subnets},
        "Internal": network.spec.internal,
        "Attachable": network.spec.attachable,
        "Options": network.spec.options,
        "Labels": network.spec.labels,
    })
}
