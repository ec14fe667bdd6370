//! Pure: networks, and a service's place in them.

use std::net::IpAddr;

use indexmap::IndexMap;
use ketch_runtime::spec::{DnsSpec, EndpointSpec, NetworkMode, NetworkSpec, SubnetSpec};

use super::{Context, hash, labels};
use crate::diag::{Diagnostic, Diagnostics};
use crate::model::names::label;
use crate::model::{self, Network, Project, ServiceNetwork};

/// All networks that are ours to make, by key.
pub(super) fn lower_networks(
    project: &Project,
    problems: &mut Diagnostics,
) -> IndexMap<String, NetworkSpec> {
    let ours = project
        .networks
        .iter()
        .filter(|(_, network)| !network.resource.external);
    ours.map(|(key, network)| (key.clone(), lower_network(project, network, problems)))
        .collect()
}

fn lower_network(project: &Project, network: &Network, problems: &mut Diagnostics) -> NetworkSpec {
    let resource = &network.resource;
    if let Some(driver) = network
        .driver
        .as_deref()
        .filter(|driver| *driver != "bridge")
    {
        let message = format!("network driver {driver:?} is not supported");
        problems.push(Diagnostic::error(resource.span, message).hint("use `bridge`"));
    }
    let subnets = network.ipam.iter().map(|config| SubnetSpec {
        subnet: config.subnet.clone(),
        gateway: config.gateway,
        ip_range: config.ip_range.clone(),
        aux_addresses: config.aux_addresses.clone(),
    });
    let mut spec = NetworkSpec {
        name: resource.name.clone(),
        driver: network.driver.clone(),
        internal: network.internal,
        attachable: network.attachable,
        enable_ipv4: network.enable_ipv4,
        enable_ipv6: network.enable_ipv6,
        subnets: subnets.collect(),
        options: network.driver_opts.clone(),
        labels: IndexMap::new(),
    };
    let config_hash = hash::of_network(&spec);
    spec.labels = labels::of_resource(project, resource, label::NETWORK, config_hash);
    spec
}

/// The network namespace of a service's containers.
pub(super) fn lower_mode(context: &mut Context<'_>) -> NetworkMode {
    match context
        .service
        .network_mode
        .as_ref()
        .map(|mode| &mode.value)
    {
        None => NetworkMode::Networks(endpoints(context)),
        Some(model::NetworkMode::None) => NetworkMode::None,
        Some(model::NetworkMode::Host) => NetworkMode::Host,
        Some(model::NetworkMode::Bridge) => NetworkMode::default(),
        Some(model::NetworkMode::Service(name)) => {
            NetworkMode::Container(first_container(context.project, name))
        }
        Some(model::NetworkMode::Container(name)) => NetworkMode::Container(name.clone()),
        Some(model::NetworkMode::Network(name)) => NetworkMode::Networks(vec![EndpointSpec {
            network: name.clone(),
            ..EndpointSpec::default()
        }]),
    }
}

/// The container that `service:x` means: the first one of x.
pub(super) fn first_container(project: &Project, service: &str) -> String {
    let known = project.services.get(service);
    match known.and_then(|service| service.container_name.as_ref()) {
        Some(name) => name.value.clone(),
        None => model::names::container(&project.name, service, 1),
    }
}

/// Joined high priority first, then by name; the first is the primary network.
fn endpoints(context: &Context<'_>) -> Vec<EndpointSpec> {
    let service = context.service;
    let mut networks: Vec<(&String, &ServiceNetwork)> = service.networks.iter().collect();
    networks.sort_by(|(a, one), (b, other)| {
        let by_priority = other.priority.cmp(&one.priority);
        by_priority.then_with(|| a.cmp(b))
    });
    let links = links(context);
    let endpoints = networks.into_iter().enumerate().map(|(index, (key, own))| {
        let network = context.project.networks.get(key);
        // The service's own address is that of its primary network.
        let inherited = service.mac_address.as_ref().filter(|_| index == 0);
        let mut aliases = vec![service.name.clone()];
        for alias in &own.aliases {
            if !aliases.contains(alias) {
                aliases.push(alias.clone());
            }
        }
        EndpointSpec {
            network: network.map_or_else(|| key.clone(), |network| network.resource.name.clone()),
            aliases,
            links: links.clone(),
            ipv4_address: own.ipv4_address,
            ipv6_address: own.ipv6_address,
            mac_address: own.mac_address.as_ref().or(inherited).cloned(),
            interface_name: own.interface_name.clone(),
            gw_priority: own.gw_priority,
            driver_opts: own.driver_opts.clone(),
        }
    });
    endpoints.collect()
}

/// Names that only this service's containers see, as links give them: the alias, and for each
/// container of a linked service its name with the number.
fn links(context: &Context<'_>) -> Vec<(String, String)> {
    let project = context.project;
    let mut names = Vec::new();
    for link in &context.service.links {
        // The service's name means all its containers.
        names.push((link.alias.clone(), link.target.clone()));
        let Some(linked) = project.services.get(&link.target) else {
            continue;
        };
        for number in 1..=linked.replicas() {
            let usual = model::names::container(&project.name, &linked.name, number);
            let fixed = linked.container_name.as_ref();
            let container = fixed.map_or_else(|| usual.clone(), |name| name.value.clone());
            names.push((format!("{}-{number}", linked.name), container.clone()));
            names.push((usual, container));
        }
    }
    let external = context.service.external_links.iter();
    names.extend(external.map(|link| (link.alias.clone(), link.target.clone())));
    names.retain(|(alias, target)| alias != target);
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|(alias, _)| seen.insert(alias.clone()));
    names
}

/// The resolver.
pub(super) fn lower_dns(context: &mut Context<'_>) -> DnsSpec {
    let service = context.service;
    let mut servers = Vec::new();
    for (index, server) in service.dns.iter().enumerate() {
        match server.parse::<IpAddr>() {
            Ok(address) => servers.push(address),
            Err(_) => {
                let message = format!("bad DNS server {server:?}: not an IP address");
                context.error("dns", Some(index), message);
            }
        }
    }
    DnsSpec {
        servers,
        search: service.dns_search.clone(),
        options: service.dns_opt.clone(),
    }
}
