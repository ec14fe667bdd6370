//! Networks on disk: finding, creating and removing them.
//!
//! `networks/<id>.json` is the network, `networks/<id>.leases.json` the addresses in it. The
//! bridge is derived: made with the network, made again by whoever joins and misses it (a
//! reboot), removed with it. Callers hold the networks' lock where they change something.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use super::bridge::{self, HostNetwork};
use super::host as host_files;
use super::ipam::{self, Address, AnyPrefix, Leases, Pool, Prefix};
use super::presence::{self, Presence};
use super::ruleset::GatewayMode;
use super::{Network, Subnet};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::failpoint::{self, Point};
use crate::spec::{NetworkSpec, SubnetSpec};
use crate::store::Roots;
use crate::store::document::{self, Durability};
use crate::store::id::{Id, is_valid_name};
use crate::sys::netlink::Socket;

/// The network that a container joins when nothing else is said; made on demand.
pub const DEFAULT: &str = "bridge";
/// Names that mean something else than a network of ours.
const PREDEFINED: [&str; 3] = [DEFAULT, "host", "none"];
const VERSION: u64 = 1;
const OPTION_NAME: &str = "com.docker.network.bridge.name";
const OPTION_MTU: &str = "com.docker.network.driver.mtu";

/// All networks, by name.
pub fn list(roots: &Roots) -> Result<Vec<Network>> {
    let mut networks = Vec::new();
    for file in presence::names(&roots.networks())? {
        let id = file.strip_suffix(".json").map(str::to_owned);
        if let Some(Ok(id)) = id.map(Id::try_from)
            && let Some(network) = document::find_versioned(&path(roots, &id), VERSION)?
        {
            networks.push(network);
        }
    }
    networks.sort_by(|one: &Network, other: &Network| one.spec.name.cmp(&other.spec.name));
    Ok(networks)
}

/// One network, by name, id, or unique beginning of its id.
pub fn get(roots: &Roots, name: &str) -> Result<Network> {
    select(list(roots)?, name)
}

fn select(networks: Vec<Network>, name: &str) -> Result<Network> {
    let mut found: Vec<Network> = Vec::new();
    for network in networks {
        if network.spec.name == name || network.id.as_str() == name {
            return Ok(network);
        }
        if !name.is_empty() && network.id.as_str().starts_with(name) {
            found.push(network);
        }
    }
    match (found.pop(), found.is_empty()) {
        (Some(network), true) => Ok(network),
        (Some(_), false) => Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "network {name} is ambiguous ({} matches found on name)",
                found.len() + 1
            ),
        )),
        (None, _) => Err(Error::new(
            ErrorKind::NotFound,
            format!("network {name} not found"),
        )),
    }
}

/// Makes a network as a user asks for it.
pub fn create(roots: &Roots, spec: &NetworkSpec) -> Result<Network> {
    if PREDEFINED.contains(&spec.name.as_str()) {
        return Err(Error::new(
            ErrorKind::Denied,
            format!(
                "operation is not permitted on predefined {} network",
                spec.name
            ),
        ));
    }
    if !is_valid_name(&spec.name) {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("invalid network name: {:?}", spec.name),
        ));
    }
    let id = Id::random()?;
    let bridge = match spec.options.get(OPTION_NAME) {
        Some(name) => name.clone(),
        None => format!("br-{}", id.short()),
    };
    create_as(roots, spec, id, &bridge)
}

/// The default network, made if it is not there.
pub fn default(roots: &Roots) -> Result<Network> {
    match get(roots, DEFAULT) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        found => return found,
    }
    let links = bridge::links(&mut Socket::route()?)?;
    let is_free = |name: &String| links.iter().all(|link| link.name != *name);
    // Another installation on this host may have the first one.
    let bridge = (0..100)
        .map(|number| format!("ketch{number}"))
        .find(is_free);
    let spec = NetworkSpec {
        name: DEFAULT.into(),
        ..NetworkSpec::default()
    };
    create_as(
        roots,
        &spec,
        Id::random()?,
        &bridge.unwrap_or_else(|| "ketch0".into()),
    )
}

fn create_as(roots: &Roots, spec: &NetworkSpec, id: Id, bridge: &str) -> Result<Network> {
    check(spec, bridge)?;
    let others = list(roots)?;
    if others.iter().any(|other| other.spec.name == spec.name) {
        return Err(Error::new(
            ErrorKind::AlreadyExists,
            format!("network with name {} already exists", spec.name),
        ));
    }
    let mut socket = Socket::route()?;
    let host = HostNetwork::read(&mut socket)?;
    if host.link(bridge).is_some() {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "create network {}: interface {bridge} exists already",
                spec.name
            ),
        ));
    }
    let (ipv4, ipv6) = subnets(spec, &others, &host)?;
    let network = Network {
        id,
        created: jiff::Timestamp::now(),
        spec: spec.clone(),
        bridge: bridge.to_owned(),
        ipv4,
        ipv6,
    };
    // The record first: a bridge without one would be nobody's.
    let file = path(roots, &network.id);
    document::write_versioned(&file, VERSION, &network, Durability::PowerLoss)?;
    failpoint::reached(Point::NetworkRecorded);
    if let Err(error) = bridge::create(&mut socket, &network, mtu(&network, &host), &owner(roots)) {
        let _left_over = std::fs::remove_file(&file);
        return Err(error.context(format!("create network {}", spec.name)));
    }
    Ok(network)
}

/// Makes the bridge again if it is missing, and finishes one whose maker was killed.
pub fn ensure_bridge(roots: &Roots, socket: &mut Socket, network: &Network) -> Result<()> {
    let host = HostNetwork::read(socket)?;
    match host.link(&network.bridge) {
        Some(link) if link.is_up => Ok(()),
        Some(_) => bridge::set_up_bridge(socket, network),
        None => bridge::create(socket, network, mtu(network, &host), &owner(roots)),
    }
}

/// The installation's name in the kernel: `ketch`; one elsewhere than in /run has a number of its
/// own, so that two do not meddle with each other's rules and bridges.
pub fn owner(roots: &Roots) -> String {
    if roots.run() == std::path::Path::new("/run/ketch") {
        return "ketch".into();
    }
    // FNV-1a: short, and the same in every version of ketch.
    let bytes = roots.run().as_os_str().as_encoded_bytes();
    let hash = bytes.iter().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    format!("ketch-{hash:08x}")
}

fn mtu(network: &Network, host: &HostNetwork) -> u32 {
    let given = network.spec.options.get(OPTION_MTU);
    given
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| host.mtu())
}

/// Removes a network that nobody is joined to, with its bridge and leases.
pub fn remove(roots: &Roots, name: &str) -> Result<()> {
    let network = get(roots, name)?;
    let name = &network.spec.name;
    if name == DEFAULT {
        return Err(Error::new(
            ErrorKind::Denied,
            format!("{name} is a pre-defined network and cannot be removed"),
        ));
    }
    let mut socket = Socket::route()?;
    let joined = joined(roots, &network, &bridge::links(&mut socket)?)?;
    if !joined.is_empty() {
        let who: Vec<String> = joined
            .iter()
            .map(|presence| {
                format!(
                    "name:{:?} id:{:?}",
                    presence.name,
                    presence.container.short()
                )
            })
            .collect();
        return Err(Error::new(
            ErrorKind::InUse,
            format!(
                "error while removing network: network {name} has active endpoints ({})",
                who.join(", ")
            ),
        ));
    }
    bridge::delete_link(&mut socket, &network.bridge)?;
    failpoint::reached(Point::BridgeRemoved);
    // Empty, but for the unfinished file of a monitor that was killed.
    let _absent = std::fs::remove_dir_all(presence::directory(roots, network.id.as_str()));
    for (file, point) in [
        (leases_path(roots, &network.id), Point::LeasesRemoved),
        (path(roots, &network.id), Point::NetworkRemoved),
    ] {
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context(|| format!("remove {}", file.display()));
            }
            _ => failpoint::reached(point),
        }
    }
    Ok(())
}

/// Who is joined, going by the kernel: the others are forgotten.
pub fn joined(roots: &Roots, network: &Network, links: &[bridge::Link]) -> Result<Vec<Presence>> {
    let mut joined = Vec::new();
    for presence in presence::list(roots, network.id.as_str())? {
        if links
            .iter()
            .any(|link| link.name == presence.endpoint.host_interface)
        {
            joined.push(presence);
        } else {
            presence::remove(roots, network.id.as_str(), &presence.container)?;
        }
    }
    Ok(joined)
}

/// Changes the leases of a network.
pub fn update_leases<R>(
    roots: &Roots,
    network: &Network,
    change: impl FnOnce(&mut Leases) -> Result<R>,
) -> Result<R> {
    document::update(&leases_path(roots, &network.id), Durability::Crash, change)
}

/// What a network gives out, per family.
pub type Pools = (Option<Pool<Ipv4Addr>>, Option<Pool<Ipv6Addr>>);

/// What may be given out, per family.
pub fn pools(network: &Network) -> Result<Pools> {
    let mut ipv4 = network.ipv4.as_ref().map(pool);
    let mut ipv6 = network.ipv6.as_ref().map(pool);
    for spec in &network.spec.subnets {
        for address in spec.aux_addresses.values() {
            match address {
                IpAddr::V4(ip) => ipv4.iter_mut().for_each(|pool| {
                    pool.reserved.insert(ip.bits());
                }),
                IpAddr::V6(ip) => ipv6.iter_mut().for_each(|pool| {
                    pool.reserved.insert(ip.bits());
                }),
            }
        }
        match spec
            .ip_range
            .as_deref()
            .map(ipam::parse_prefix)
            .transpose()?
        {
            Some(AnyPrefix::V4(range)) => ipv4.iter_mut().for_each(|pool| pool.range = Some(range)),
            Some(AnyPrefix::V6(range)) => ipv6.iter_mut().for_each(|pool| pool.range = Some(range)),
            None => {}
        }
    }
    Ok((ipv4, ipv6))
}

fn pool<A: Address>(subnet: &Subnet<A>) -> Pool<A> {
    Pool {
        prefix: subnet.into(),
        range: None,
        reserved: BTreeSet::from([subnet.gateway.bits()]),
    }
}

fn path(roots: &Roots, id: &Id) -> PathBuf {
    roots.networks().join(format!("{id}.json"))
}

fn leases_path(roots: &Roots, id: &Id) -> PathBuf {
    roots.networks().join(format!("{id}.leases.json"))
}

fn check(spec: &NetworkSpec, bridge: &str) -> Result<()> {
    let invalid = |message: String| Err(Error::new(ErrorKind::Invalid, message));
    match spec.driver.as_deref() {
        None | Some("" | "default" | "bridge") => {}
        Some(driver) => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("network {}: driver {driver:?} is not supported", spec.name),
            ));
        }
    }
    if bridge.is_empty()
        || bridge.len() > 15
        || bridge.contains(['/', ' ', '"'])
        || bridge.starts_with('.')
    {
        return invalid(format!(
            "network {}: invalid interface name {bridge:?}",
            spec.name
        ));
    }
    for family in ["4", "6"] {
        let key = format!("com.docker.network.bridge.gateway_mode_ipv{family}");
        if let Some(mode) = spec.options.get(&key)
            && GatewayMode::parse(mode).is_none()
        {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("network {}: {key}={mode} is not supported", spec.name),
            ));
        }
    }
    match spec.options.get(OPTION_MTU).map(|text| text.parse::<u32>()) {
        Some(Err(_)) | Some(Ok(0..68)) => {
            invalid(format!("network {}: invalid {OPTION_MTU}", spec.name))
        }
        _ => Ok(()),
    }
}

type Subnets = (Option<Subnet<Ipv4Addr>>, Option<Subnet<Ipv6Addr>>);

/// Those that the user wrote, else free ones.
fn subnets(spec: &NetworkSpec, others: &[Network], host: &HostNetwork) -> Result<Subnets> {
    let mut taken4: Vec<Prefix<Ipv4Addr>> = others
        .iter()
        .filter_map(|other| other.ipv4.as_ref())
        .map(Prefix::from)
        .collect();
    let mut taken6: Vec<Prefix<Ipv6Addr>> = others
        .iter()
        .filter_map(|other| other.ipv6.as_ref())
        .map(Prefix::from)
        .collect();
    let (mut ipv4, mut ipv6) = (None, None);
    for subnet in &spec.subnets {
        match subnet
            .subnet
            .as_deref()
            .map(ipam::parse_prefix)
            .transpose()?
        {
            Some(AnyPrefix::V4(prefix)) if ipv4.is_none() => {
                ipv4 = Some(given(prefix, subnet, &taken4, |gateway| match gateway {
                    IpAddr::V4(ip) => Some(ip),
                    IpAddr::V6(_) => None,
                })?);
            }
            Some(AnyPrefix::V6(prefix)) if ipv6.is_none() => {
                ipv6 = Some(given(prefix, subnet, &taken6, |gateway| match gateway {
                    IpAddr::V6(ip) => Some(ip),
                    IpAddr::V4(_) => None,
                })?);
            }
            Some(_) => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("network {}: more than one subnet of a family", spec.name),
                ));
            }
            None => {}
        }
    }
    taken4.extend(&host.ipv4_routes);
    taken6.extend(&host.ipv6_routes);
    // The host's own servers must stay reachable.
    for server in host_files::resolv_conf().servers {
        match server {
            IpAddr::V4(ip) => taken4.push(Prefix::of(ip, 32)),
            IpAddr::V6(ip) => taken6.push(Prefix::of(ip, 128)),
        }
    }
    if ipv4.is_none() && spec.enable_ipv4 != Some(false) {
        ipv4 = Some(ipam::choose_ipv4(&taken4)?);
    }
    if ipv6.is_none() && spec.enable_ipv6 == Some(true) {
        ipv6 = Some(ipam::choose_ipv6(host_number()?, &taken6)?);
    }
    if spec.enable_ipv6 != Some(true) {
        ipv6 = None;
    }
    Ok((ipv4.filter(|_| spec.enable_ipv4 != Some(false)), ipv6))
}

fn given<A: Address>(
    prefix: Prefix<A>,
    spec: &SubnetSpec,
    taken: &[Prefix<A>],
    family: fn(IpAddr) -> Option<A>,
) -> Result<Subnet<A>> {
    if taken.iter().any(|other| other.overlaps(prefix)) {
        return Err(Error::new(
            ErrorKind::Conflict,
            "invalid pool request: Pool overlaps with other one on this address space",
        ));
    }
    let gateway = spec.gateway.and_then(family);
    if let Some(gateway) = gateway.filter(|gateway| !prefix.contains(*gateway)) {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("no matching subnet for gateway {gateway}"),
        ));
    }
    Ok(ipam::subnet_of(prefix, gateway))
}

/// 40 bits that are this host's: the same at every call, so that subnets follow each other.
fn host_number() -> Result<[u8; 5]> {
    let id = std::fs::read("/etc/machine-id")
        .or_else(|_| std::fs::read("/proc/sys/kernel/random/boot_id"));
    let digest = Sha256::digest(id.context(|| "read the host's id".into())?);
    let mut number = [0; 5];
    number.copy_from_slice(&digest[..5]);
    Ok(number)
}
