//! `ketch network …`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use clap::Subcommand;
use ketch_runtime::engine::containers::ContainerFilter;
use ketch_runtime::error::ErrorKind;
use ketch_runtime::network::Network;
use ketch_runtime::spec::{NetworkSpec, SubnetSpec};
use serde_json::json;

use super::shapes;
use crate::ops::filter::{Filters, labels, pairs};
use crate::ops::{Context, Error, Result, images, scope, store};
use crate::ui::template::Format;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Create a network
    Create {
        /// Driver to manage the Network
        #[arg(
            short,
            long,
            value_name = "string",
            default_value = "bridge",
            hide_default_value = true
        )]
        driver: String,
        /// Enable manual container attachment
        #[arg(long)]
        attachable: bool,
        /// Subnet in CIDR format that represents a network segment
        #[arg(long = "subnet", value_name = "strings")]
        subnets: Vec<String>,
        /// IPv4 or IPv6 Gateway for the subnet
        #[arg(long = "gateway", value_name = "strings")]
        gateways: Vec<IpAddr>,
        /// Allocate container ip from a sub-range
        #[arg(long = "ip-range", value_name = "strings")]
        ranges: Vec<String>,
        /// Restrict external access to the network
        #[arg(long)]
        internal: bool,
        /// Enable or disable IPv6 address assignment
        #[arg(long)]
        ipv6: bool,
        /// Set metadata on a network
        #[arg(long = "label", value_name = "list")]
        labels: Vec<String>,
        /// Set driver specific options
        #[arg(short, long = "opt", value_name = "map")]
        options: Vec<String>,
        #[arg(value_name = "NETWORK")]
        name: String,
    },
    /// Remove all unused networks
    Prune {
        #[command(flatten)]
        prune: shapes::Pruning,
    },
    /// List networks
    #[command(visible_alias = "list")]
    Ls {
        #[command(flatten)]
        filters: shapes::Filtering,
        #[command(flatten)]
        format: shapes::Shape,
        /// Do not truncate the output
        #[arg(long)]
        no_trunc: bool,
        /// Only display network IDs
        #[arg(short, long)]
        quiet: bool,
    },
    /// Display detailed information on one or more networks
    Inspect(super::container::Inspect),
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
            Self::Create {
                driver,
                attachable,
                subnets,
                gateways,
                ranges,
                internal,
                ipv6,
                labels,
                options,
                name,
            } => {
                let spec = NetworkSpec {
                    name,
                    driver: Some(driver),
                    internal,
                    attachable,
                    enable_ipv4: None,
                    enable_ipv6: ipv6.then_some(true),
                    subnets: subnets_of(&subnets, &gateways, &ranges)?,
                    options: pairs(&options),
                    labels: pairs(&labels),
                };
                let made = context.engine.create_network(&spec)?;
                Ok(context.ui.line(made.id)?)
            }
            Self::Prune { prune } => store::prune_networks(context, &prune.filters, prune.force),
            Self::Ls {
                filters,
                format,
                no_trunc,
                quiet,
            } => list(context, &filters.filters, &format.parse()?, no_trunc, quiet),
            Self::Inspect(args) => args.run(context, &[&find]),
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

/// Gateways and ranges belong to the subnets that they lie in, in the order of the command line.
fn subnets_of(
    subnets: &[String],
    gateways: &[IpAddr],
    ranges: &[String],
) -> Result<Vec<SubnetSpec>> {
    if subnets.is_empty() && !(gateways.is_empty() && ranges.is_empty()) {
        let message = "every ip-range or gateway must have a corresponding subnet";
        return Err(Error::Failed(message.into()));
    }
    let is_v6 = |text: &str| text.contains(':');
    let spec = |subnet: &String| SubnetSpec {
        subnet: Some(subnet.clone()),
        gateway: gateways
            .iter()
            .find(|gateway| gateway.is_ipv6() == is_v6(subnet))
            .copied(),
        ip_range: ranges
            .iter()
            .find(|range| is_v6(range) == is_v6(subnet))
            .cloned(),
        ..SubnetSpec::default()
    };
    Ok(subnets.iter().map(spec).collect())
}

fn list(
    context: &Context,
    filters: &[String],
    format: &Format,
    full: bool,
    quiet: bool,
) -> Result<()> {
    let keys = [
        "dangling", "driver", "id", "label", "label!", "name", "scope", "type",
    ];
    let filters = Filters::parse(filters, &keys)?;
    let dangling = filters.flag("dangling")?;
    let used = match dangling {
        Some(_) => scope::networks_in_use(&context.engine)?,
        None => BTreeSet::new(),
    };
    let mut networks = context.engine.networks()?;
    networks.retain(|network| {
        let name = &network.spec.name;
        dangling.is_none_or(|wanted| wanted != used.contains(name))
            && filters.labels(|key| network.spec.labels.get(key).map(String::as_str))
            && filters.any("driver", |wanted| wanted == driver(network))
            && filters.any("id", |wanted| network.id.as_str().starts_with(wanted))
            && filters.any("name", |wanted| name.contains(wanted))
            && filters.any("scope", |wanted| wanted == "local")
            && filters.any("type", |wanted| wanted == "custom")
    });
    let id = |network: &Network| match full {
        true => network.id.as_str().to_owned(),
        false => network.id.short().to_owned(),
    };
    if quiet {
        for network in &networks {
            context.ui.line(id(network))?;
        }
        return Ok(());
    }
    let row = |network: &Network| {
        json!({
            "CreatedAt": network.created.to_string(),
            "Driver": driver(network),
            "ID": id(network),
            "IPv4": "true",
            "IPv6": network.ipv6.is_some().to_string(),
            "Internal": network.spec.internal.to_string(),
            "Labels": labels(&network.spec.labels),
            "Name": network.spec.name,
            "Scope": "local",
        })
    };
    let rows: Vec<_> = networks.iter().map(row).collect();
    let head = ["NETWORK ID", "NAME", "DRIVER", "SCOPE"];
    images::formatted(
        context,
        format,
        &head,
        &["ID", "Name", "Driver", "Scope"],
        &rows,
    )
}

/// A network by its name.
pub(super) fn find(context: &Context, name: &str) -> Result<Option<serde_json::Value>> {
    match context.engine.network(name) {
        Ok(found) => {
            let mut details = details(&found);
            details["Containers"] = joined(context, &found)?;
            Ok(Some(details))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The containers that are joined to it now, by id.
fn joined(context: &Context, network: &Network) -> Result<serde_json::Value> {
    let mut joined = serde_json::Map::new();
    for container in context.engine.containers(&ContainerFilter::default())? {
        let state = &container.state;
        let mut endpoints = state.endpoints.iter().filter(|_| state.status.is_active());
        let Some(endpoint) = endpoints.find(|it| it.network == network.spec.name) else {
            continue;
        };
        let shown = |address: Option<(String, u8)>| {
            address.map_or_else(String::new, |(address, bits)| format!("{address}/{bits}"))
        };
        let address = json!({
            "Name": container.record.name,
            "EndpointID": endpoint.host_interface,
            "MacAddress": endpoint.mac_address,
            "IPv4Address": shown(endpoint.ipv4.map(|(it, bits)| (it.to_string(), bits))),
            "IPv6Address": shown(endpoint.ipv6.map(|(it, bits)| (it.to_string(), bits))),
        });
        joined.insert(container.record.id.to_string(), address);
    }
    Ok(joined.into())
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
