//! Joining a container to its networks, and leaving them.
//!
//! Order of joining: what can be refused first (addresses, host ports), then interfaces, then
//! the presence, then the rules, which let packets in. Leaving goes the other way. All under
//! the networks' lock: rules are computed from everybody's presence.

use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::bridge::{self, Cable, Inside, Link};
use super::endpoint::{self, Gateways, Planned};
use super::ipam::{Holders, Lease, Request};
use super::presence::{self, Presence};
use super::ruleset::{self, Family, Populated, Ruleset};
use super::{Attachment, DnsSockets, Network, nft, ports, records, resolv, sandbox};
use crate::container::record::Record;
use crate::container::state::{Endpoint, PublishedPort};
use crate::error::{Context, Error, Result};
use crate::failpoint::{self, Point};
use crate::spec::{EndpointSpec, NetworkMode};
use crate::store::Roots;
use crate::store::id::Id;
use crate::store::lock::{self, Lock};
use crate::sys::netlink::Socket;

/// Joins a namespace to the networks of `record`: addresses, routes, published ports, rules,
/// names. All or nothing. The calling thread must be the process' only one (it enters the
/// namespace for a moment).
pub fn attach(roots: &Roots, record: &Record, netns: BorrowedFd<'_>) -> Result<Attachment> {
    let specs = match &record.spec.network {
        // The namespace is another's: so are its interfaces.
        NetworkMode::Host | NetworkMode::Container(_) => return Ok(Attachment::default()),
        NetworkMode::None => {
            sandbox::inside(netns, || bridge::set_up_inside(&mut Socket::route()?, &[]))?;
            return Ok(Attachment::default());
        }
        NetworkMode::Networks(specs) => specs,
    };
    let _lock = lock::acquire(roots, Lock::Networks)?;
    let joined = join(roots, record, specs, netns);
    joined.map_err(|error| {
        // Whatever was made so far; the error that counts is the first one.
        let _further = leave(roots, record, &[]);
        error.context("failed to set up container networking")
    })
}

/// Undoes [`attach`]: rules first, then names, then host interfaces; leases are kept. The ports
/// are free when the caller drops their sockets. Goes on after a failure and returns all of them.
pub fn detach(roots: &Roots, record: &Record, endpoints: &[Endpoint]) -> Vec<Error> {
    match &record.spec.network {
        NetworkMode::Networks(_) => {}
        NetworkMode::None | NetworkMode::Host | NetworkMode::Container(_) => return Vec::new(),
    }
    match lock::acquire(roots, Lock::Networks) {
        Ok(_lock) => leave(roots, record, endpoints),
        Err(error) => vec![error],
    }
}

/// Takes over from a monitor that died while its container lived on: the same ports and new
/// resolver sockets; interfaces and addresses are as they were.
pub fn adopt(
    roots: &Roots,
    record: &Record,
    netns: BorrowedFd<'_>,
    endpoints: &[Endpoint],
    published: &[PublishedPort],
) -> Result<Attachment> {
    let mut attachment = Attachment {
        endpoints: endpoints.to_vec(),
        ..Attachment::default()
    };
    if endpoints.is_empty() {
        return Ok(attachment);
    }
    let _lock = lock::acquire(roots, Lock::Networks)?;
    let networks: Vec<Network> = endpoints
        .iter()
        .map(|endpoint| records::get(roots, &endpoint.network_id))
        .collect::<Result<_>>()?;
    let mut socket = Socket::route()?;
    let gateways = Gateways {
        ipv4: endpoints.iter().position(|one| one.ipv4_gateway.is_some()),
        ipv6: endpoints.iter().position(|one| one.ipv6_gateway.is_some()),
    };
    let bindings: Vec<_> = published
        .iter()
        .map(|port| crate::spec::PortBinding {
            container_port: port.container_port,
            protocol: port.protocol,
            host_ip: Some(port.host_ip),
            host_ports: Some(port.host_port..=port.host_port),
        })
        .collect();
    let links = bridge::links(&mut socket)?;
    let taken = taken_ports(roots, &record.id, &links)?;
    attachment.reserved = ports::reserve(&bindings, &taken, target(endpoints, gateways))?;
    attachment.ports = published.to_vec();
    publish(roots, record, endpoints, gateways, &attachment.ports)?;
    rebuild_rules(roots, &links)?;
    if networks
        .iter()
        .any(|network| network.spec.name != records::DEFAULT)
    {
        attachment.dns = Some(open_resolver(netns, gateways, nft::replace)?);
    }
    Ok(attachment)
}

fn join(
    roots: &Roots,
    record: &Record,
    specs: &[EndpointSpec],
    netns: BorrowedFd<'_>,
) -> Result<Attachment> {
    let networks = specs
        .iter()
        .map(|spec| match spec.network.as_str() {
            records::DEFAULT => records::default(roots),
            name => records::get(roots, name),
        })
        .collect::<Result<Vec<_>>>()?;
    let planned = endpoint::plan(record, specs, networks)?;
    let gateways = endpoint::gateways(&planned);
    let mut socket = Socket::route()?;
    let links = bridge::links(&mut socket)?;
    let endpoints = planned
        .iter()
        .enumerate()
        .map(|(index, one)| {
            let ways_out = (gateways.ipv4 == Some(index), gateways.ipv6 == Some(index));
            settle(roots, record, one, ways_out, &links)
        })
        .collect::<Result<Vec<_>>>()?;
    let mut attachment = Attachment::default();
    reserve_ports(
        roots,
        record,
        &planned,
        &endpoints,
        gateways,
        &links,
        &mut attachment,
    )?;
    connect(roots, &mut socket, netns, &planned, &endpoints, &links)?;
    publish(roots, record, &endpoints, gateways, &attachment.ports)?;
    failpoint::reached(Point::PresenceWritten);
    forward_packets(&endpoints)?;
    rebuild_rules(roots, &bridge::links(&mut socket)?)?;
    failpoint::reached(Point::RulesLoaded);
    let has_names = planned
        .iter()
        .any(|one| one.network.spec.name != records::DEFAULT);
    if has_names {
        attachment.dns = Some(open_resolver(netns, gateways, nft::create)?);
        failpoint::reached(Point::ResolverOpened);
    }
    attachment.endpoints = endpoints;
    Ok(attachment)
}

/// Addresses and names for one endpoint.
fn settle(
    roots: &Roots,
    record: &Record,
    planned: &Planned<'_>,
    (is_ipv4_gateway, is_ipv6_gateway): (bool, bool),
    links: &[Link],
) -> Result<Endpoint> {
    let network = &planned.network;
    let (ipv4, ipv6) = records::pools(network)?;
    let others = Others {
        roots,
        joined: records::joined(roots, network, links)?
            .into_iter()
            .map(|presence| presence.container)
            .filter(|container| *container != record.id)
            .collect(),
    };
    let request = Request {
        name: &record.name,
        container: &record.id,
        ipv4: planned.spec.ipv4_address,
        ipv6: planned.spec.ipv6_address,
        mac_address: planned.mac_address,
        fresh_mac: bridge::random_mac()?,
    };
    let lease: Lease = records::update_leases(roots, network, |leases| {
        leases.grant(ipv4.as_ref(), ipv6.as_ref(), &request, &others)
    })
    .context(|| format!("network {}", network.spec.name))?;
    failpoint::reached(Point::LeaseTaken);
    let length4 = network.ipv4.as_ref().map_or(32, |subnet| subnet.prefix_len);
    let length6 = network
        .ipv6
        .as_ref()
        .map_or(128, |subnet| subnet.prefix_len);
    let gateway4 = network.ipv4.as_ref().map(|subnet| subnet.gateway);
    let gateway6 = network.ipv6.as_ref().map(|subnet| subnet.gateway);
    let digits = Id::random()?;
    Ok(Endpoint {
        network: network.spec.name.clone(),
        network_id: network.id.to_string(),
        interface: planned.interface.clone(),
        host_interface: format!("veth{}", &digits.as_str()[..7]),
        mac_address: endpoint::mac_text(lease.mac_address),
        ipv4: lease.ipv4.map(|ip| (ip, length4)),
        ipv4_gateway: gateway4.filter(|_| is_ipv4_gateway),
        ipv6: lease.ipv6.map(|ip| (ip, length6)),
        ipv6_gateway: gateway6.filter(|_| is_ipv6_gateway),
        names: planned.names.clone(),
    })
}

/// The other holders of a network's leases.
struct Others<'a> {
    roots: &'a Roots,
    joined: Vec<Id>,
}

impl Holders for Others<'_> {
    fn is_joined(&self, container: &Id) -> bool {
        self.joined.contains(container)
    }

    fn exists(&self, name: &str) -> bool {
        self.roots.names().join(name).exists()
    }
}

fn reserve_ports(
    roots: &Roots,
    record: &Record,
    planned: &[Planned<'_>],
    endpoints: &[Endpoint],
    gateways: Gateways,
    links: &[Link],
    attachment: &mut Attachment,
) -> Result<()> {
    // Without a way out there is no way in.
    let Some(main) = gateways.ipv4.or(gateways.ipv6) else {
        return Ok(());
    };
    if record.spec.ports.is_empty() {
        return Ok(());
    }
    let network = &planned[main].network;
    let mut bindings = record.spec.ports.clone();
    if let Some(ip) = network
        .spec
        .options
        .get("com.docker.network.bridge.host_binding_ipv4")
    {
        let ip = ip.parse().ok();
        for binding in bindings
            .iter_mut()
            .filter(|binding| binding.host_ip.is_none())
        {
            binding.host_ip = ip;
        }
    }
    let taken = taken_ports(roots, &record.id, links)?;
    attachment.reserved =
        ports::reserve(&bindings, &taken, target(endpoints, gateways)).map_err(|error| {
            error.context(format!(
                "driver failed programming external connectivity on endpoint {} ({})",
                record.name, record.id
            ))
        })?;
    failpoint::reached(Point::PortsReserved);
    attachment.ports = attachment
        .reserved
        .iter()
        .map(|reserved| reserved.port.clone())
        .collect();
    Ok(())
}

/// Ports of all other containers that are alive.
fn taken_ports(roots: &Roots, own: &Id, links: &[Link]) -> Result<Vec<PublishedPort>> {
    let is_alive = |presence: &Presence| {
        links
            .iter()
            .any(|link| link.name == presence.endpoint.host_interface)
    };
    Ok(presence::list_all(roots)?
        .into_iter()
        .filter(|presence| presence.container != *own && is_alive(presence))
        .flat_map(|presence| presence.ports)
        .collect())
}

fn target(endpoints: &[Endpoint], gateways: Gateways) -> ports::Target {
    ports::Target {
        ipv4: gateways
            .ipv4
            .and_then(|index| endpoints[index].ipv4)
            .map(|(ip, _)| ip),
        ipv6: gateways
            .ipv6
            .and_then(|index| endpoints[index].ipv6)
            .map(|(ip, _)| ip),
    }
}

/// Makes the cables and sets up their inner ends.
fn connect(
    roots: &Roots,
    socket: &mut Socket,
    netns: BorrowedFd<'_>,
    planned: &[Planned<'_>],
    endpoints: &[Endpoint],
    links: &[Link],
) -> Result<()> {
    let hairpin = bridge::needs_hairpin();
    for (one, endpoint) in planned.iter().zip(endpoints) {
        let name = &one.network.bridge;
        let mut bridge = links.iter().find(|link| link.name == *name).cloned();
        if bridge.as_ref().is_none_or(|link| !link.is_up) {
            records::ensure_bridge(roots, socket, &one.network)?;
            bridge = bridge::links(socket)?
                .into_iter()
                .find(|link| link.name == *name);
        }
        let Some(bridge) = bridge else {
            return Err(Error::new(
                crate::error::ErrorKind::Internal,
                format!("bridge {name} is gone"),
            ));
        };
        let cable = Cable {
            host_name: &endpoint.host_interface,
            container_name: &endpoint.interface,
            container_mac: endpoint::parse_mac(&endpoint.mac_address)?,
            mtu: bridge.mtu,
            bridge: bridge.index,
            hairpin,
        };
        bridge::create_cable(socket, netns, &cable)?;
        failpoint::reached(Point::CableLaid);
    }
    let ends: Vec<Inside<'_>> = endpoints
        .iter()
        .map(|endpoint| Inside {
            interface: &endpoint.interface,
            ipv4: endpoint.ipv4,
            ipv6: endpoint.ipv6,
            ipv4_default: endpoint.ipv4_gateway,
            ipv6_default: endpoint.ipv6_gateway,
        })
        .collect();
    sandbox::inside(netns, || {
        bridge::set_up_inside(&mut Socket::route()?, &ends)
    })
    .context(|| "set up the container's interfaces".into())?;
    failpoint::reached(Point::InterfacesReady);
    Ok(())
}

/// Writes a presence for each endpoint; ports stand with the endpoint that publishes them.
fn publish(
    roots: &Roots,
    record: &Record,
    endpoints: &[Endpoint],
    gateways: Gateways,
    ports: &[PublishedPort],
) -> Result<()> {
    for (index, endpoint) in endpoints.iter().enumerate() {
        let publishes = |port: &&PublishedPort| {
            let own = if port.host_ip.is_ipv4() {
                gateways.ipv4
            } else {
                gateways.ipv6
            };
            // Without an address of that family the forwarder goes to the other one.
            own.or(gateways.ipv4).or(gateways.ipv6) == Some(index)
        };
        presence::write(
            roots,
            &Presence {
                container: record.id.clone(),
                name: record.name.clone(),
                endpoint: endpoint.clone(),
                ports: ports.iter().filter(publishes).cloned().collect(),
            },
        )?;
    }
    Ok(())
}

/// Lets the host pass packets on. It is left on: others may rely on it by the time we go.
fn forward_packets(endpoints: &[Endpoint]) -> Result<()> {
    if endpoints
        .iter()
        .any(|endpoint| endpoint.ipv4_gateway.is_some())
    {
        sandbox::set_sysctl("ipv4/ip_forward", "1")?;
    }
    if endpoints
        .iter()
        .any(|endpoint| endpoint.ipv6_gateway.is_some())
    {
        sandbox::set_sysctl("ipv6/conf/all/forwarding", "1")?;
    }
    Ok(())
}

/// Forgets whoever is not joined any more, going by the kernel, and rebuilds the rules when there
/// was somebody, or `always`.
pub fn refresh(roots: &Roots, always: bool) -> Result<()> {
    let _lock = lock::acquire(roots, Lock::Networks)?;
    let links = bridge::links(&mut Socket::route()?)?;
    let before = presence::list_all(roots)?.len();
    for network in records::list(roots)? {
        records::joined(roots, &network, &links)?;
    }
    if always || presence::list_all(roots)?.len() != before {
        rebuild_rules(roots, &links)?;
    }
    Ok(())
}

/// Computes all rules anew from all presences and puts them in place.
fn rebuild_rules(roots: &Roots, links: &[Link]) -> Result<()> {
    let networks = records::list(roots)?;
    let joined = networks
        .iter()
        .map(|network| records::joined(roots, network, links))
        .collect::<Result<Vec<_>>>()?;
    let populated: Vec<Populated<'_>> = networks
        .iter()
        .zip(&joined)
        .map(|(network, presences)| Populated {
            network,
            presences: presences.iter().collect(),
        })
        .collect();
    let table = records::owner(roots);
    let ruleset = ruleset::for_networks(&table, &populated);
    let mut socket = Socket::netfilter()?;
    nft::replace(&mut socket, &ruleset)?;
    for family in [Family::Ip, Family::Ip6] {
        if ruleset.tables.iter().all(|table| table.family != family) {
            nft::remove(&mut socket, family, &table)?;
        }
    }
    nft::keep_open(socket);
    Ok(())
}

/// Makes the resolver's sockets inside the namespace and leads port 53 to them, by rules that
/// `load` puts there.
fn open_resolver(
    netns: BorrowedFd<'_>,
    gateways: Gateways,
    load: fn(&mut Socket, &Ruleset) -> Result<()>,
) -> Result<DnsSockets> {
    let namespace: OwnedFd = netns.try_clone_to_owned()?;
    sandbox::inside(netns, || {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let any = SocketAddr::new(resolv::RESOLVER.into(), 0);
        let udp = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
        rustix::net::bind(&udp, &any)?;
        let tcp = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        rustix::net::bind(&tcp, &any)?;
        rustix::net::listen(&tcp, 16)?;
        let rules = ruleset::for_resolver(
            resolv::RESOLVER.into(),
            ports::local_port(&udp)?,
            ports::local_port(&tcp)?,
        );
        load(&mut Socket::netfilter()?, &rules)?;
        Ok(DnsSockets {
            udp,
            tcp,
            netns: namespace,
            internal_only: gateways == Gateways::default(),
        })
    })
    .context(|| "set up the resolver".into())
}

/// Removes what `endpoints`, or the presences on disk, say was made for the container.
fn leave(roots: &Roots, record: &Record, endpoints: &[Endpoint]) -> Vec<Error> {
    let mut errors = Vec::new();
    let mut interfaces: Vec<String> = endpoints
        .iter()
        .map(|one| one.host_interface.clone())
        .collect();
    let mut networks: Vec<String> = endpoints.iter().map(|one| one.network_id.clone()).collect();
    match presence::list_all(roots) {
        Ok(presences) => {
            for presence in presences
                .into_iter()
                .filter(|one| one.container == record.id)
            {
                interfaces.push(presence.endpoint.host_interface);
                networks.push(presence.endpoint.network_id);
            }
        }
        Err(error) => errors.push(error),
    }
    for list in [&mut interfaces, &mut networks] {
        list.sort();
        list.dedup();
    }
    for network in &networks {
        errors.extend(presence::remove(roots, network, &record.id).err());
    }
    errors.extend(presence::remove_unfinished(roots).err());
    failpoint::reached(Point::PresenceRemoved);
    errors.extend(leave_kernel(roots, &interfaces).err());
    errors
}

fn leave_kernel(roots: &Roots, interfaces: &[String]) -> Result<()> {
    let mut socket = Socket::route()?;
    let links = bridge::links(&mut socket)?;
    let rules = rebuild_rules(roots, &links);
    failpoint::reached(Point::RulesUnloaded);
    for interface in interfaces {
        if links.iter().any(|link| link.name == *interface) {
            bridge::delete_link(&mut socket, interface)?;
        }
    }
    failpoint::reached(Point::CablesRemoved);
    // Nobody removes the default network: its bridge goes with the last container.
    if let Ok(network) = records::get(roots, records::DEFAULT)
        && links.iter().any(|link| link.name == network.bridge)
        && presence::list(roots, network.id.as_str())?.is_empty()
    {
        bridge::delete_link(&mut socket, &network.bridge)?;
    }
    rules
}
