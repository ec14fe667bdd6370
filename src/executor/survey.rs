//! Engine and kernel → [`Host`]: what a plan is checked against before it is carried out.

use std::net::IpAddr;

use ketch_runtime::container::Container;
use ketch_runtime::engine::Engine;
use ketch_runtime::engine::containers::ContainerFilter;
use ketch_runtime::error::Result;
use ketch_runtime::features;
use ketch_runtime::network::ports;

use crate::model::names::label;
use crate::planner::preflight::{Host, Neighbour, Subnet, Wants};

/// Looks at what a plan for this project depends on; takes and changes nothing.
///
/// # Errors
/// When the stores can't be read.
pub fn survey(engine: &Engine, project: &str, wants: &Wants) -> Result<Host> {
    let own = ContainerFilter {
        labels: vec![(label::PROJECT.into(), Some(project.into()))],
    };
    // A damaged container of another project must not keep this one from starting.
    let containers = engine
        .containers(&ContainerFilter::default())
        .or_else(|_| engine.containers(&own))?;
    let containers: Vec<Neighbour> = containers.into_iter().map(neighbour).collect();
    let mut host = Host {
        containers,
        lacks: features::missing(&wants.features),
        unprivileged: !rustix::process::geteuid().is_root(),
        ..Host::default()
    };
    for wanted in &wants.ports {
        // The monitor of a container holds it; whether that is an obstacle, the plan says.
        if host.publishes(wanted) {
            continue;
        }
        let (address, port, protocol) = *wanted;
        if let Some((address, obstacle)) = ports::obstacle(address, port, protocol) {
            host.obstacles.push((*wanted, address, obstacle));
        }
    }
    let sources = wants.sources.iter();
    // What can't be looked at is no reason to refuse: the mount will say.
    let is_missing = |source: &&std::path::PathBuf| matches!(source.try_exists(), Ok(false));
    host.missing = sources.filter(is_missing).cloned().collect();
    if wants.subnets {
        host.subnets = engine.networks()?.into_iter().flat_map(subnets).collect();
    }
    Ok(host)
}

fn neighbour(container: Container) -> Neighbour {
    let labels = &container.record.spec.labels;
    let is_active = container.state.status.is_active();
    Neighbour {
        id: container.record.id.as_str().to_owned(),
        project: labels.get(label::PROJECT).cloned(),
        service: labels.get(label::SERVICE).cloned(),
        name: container.record.name,
        ports: if is_active {
            container.state.ports
        } else {
            Vec::new()
        },
    }
}

fn subnets(network: ketch_runtime::network::Network) -> Vec<Subnet> {
    let name = network.spec.name;
    let ipv4 = network
        .ipv4
        .map(|subnet| (IpAddr::from(subnet.network), subnet.prefix_len));
    let ipv6 = network
        .ipv6
        .map(|subnet| (IpAddr::from(subnet.network), subnet.prefix_len));
    let found = ipv4.into_iter().chain(ipv6);
    found
        .map(|(address, length)| Subnet {
            network: name.clone(),
            address,
            length,
        })
        .collect()
}
