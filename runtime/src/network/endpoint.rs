//! Pure: a container's places in its networks, before anything is made.

use std::collections::BTreeSet;

use super::Network;
use super::records::DEFAULT;
use crate::container::record::Record;
use crate::error::{Error, ErrorKind, Result};
use crate::spec::EndpointSpec;

const OPTION_PREFIX: &str = "com.docker.network.container_iface_prefix";

/// One endpoint to make.
#[derive(Debug)]
pub struct Planned<'a> {
    pub spec: &'a EndpointSpec,
    pub network: Network,
    /// Inside the container.
    pub interface: String,
    /// Names that resolve to it.
    pub names: Vec<String>,
    pub mac_address: Option<[u8; 6]>,
}

/// Which endpoints lead out, by their positions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gateways {
    pub ipv4: Option<usize>,
    pub ipv6: Option<usize>,
}

/// Checks what was asked for and settles names; `networks` belong to `specs`, one each.
pub fn plan<'a>(
    record: &Record,
    specs: &'a [EndpointSpec],
    networks: Vec<Network>,
) -> Result<Vec<Planned<'a>>> {
    let mut interfaces: BTreeSet<String> = specs
        .iter()
        .filter_map(|spec| spec.interface_name.clone())
        .collect();
    let mut planned: Vec<Planned<'_>> = Vec::new();
    for (spec, network) in specs.iter().zip(networks) {
        check(spec, &network)?;
        if planned.iter().any(|other| other.network.id == network.id) {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "endpoint with name {} already exists in network {}",
                    record.name, network.spec.name
                ),
            ));
        }
        let interface = match &spec.interface_name {
            Some(name) => name.clone(),
            None => free_interface(&network, &interfaces),
        };
        interfaces.insert(interface.clone());
        let mac_address = match &spec.mac_address {
            Some(text) => Some(parse_mac(text)?),
            None => None,
        };
        planned.push(Planned {
            spec,
            names: names(record, spec, &network),
            network,
            interface,
            mac_address,
        });
    }
    Ok(planned)
}

fn check(spec: &EndpointSpec, network: &Network) -> Result<()> {
    let refuse = |message: &str| Err(Error::new(ErrorKind::Invalid, message));
    if network.spec.name == DEFAULT {
        if spec.ipv4_address.is_some() || spec.ipv6_address.is_some() {
            return refuse(
                "invalid endpoint settings: user-specified IP address is supported on user-defined networks only",
            );
        }
        if !spec.aliases.is_empty() {
            return refuse(
                "invalid endpoint settings: network-scoped aliases are only supported for user-defined networks",
            );
        }
    }
    let missing = |address: String| {
        Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "invalid endpoint settings: no configured subnet contains IP address {address}"
            ),
        ))
    };
    match (spec.ipv4_address, spec.ipv6_address) {
        (Some(address), _) if network.ipv4.is_none() => missing(address.to_string()),
        (_, Some(address)) if network.ipv6.is_none() => missing(address.to_string()),
        _ => Ok(()),
    }
}

/// `eth0`, or the lowest number that nobody has.
fn free_interface(network: &Network, taken: &BTreeSet<String>) -> String {
    let prefix = network
        .spec
        .options
        .get(OPTION_PREFIX)
        .map_or("eth", String::as_str);
    let mut number = 0;
    loop {
        let name = format!("{prefix}{number}");
        if !taken.contains(&name) {
            return name;
        }
        number += 1;
    }
}

/// Container name, aliases, short id, host name. On the default network there are none.
fn names(record: &Record, spec: &EndpointSpec, network: &Network) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    if network.spec.name == DEFAULT {
        return names;
    }
    let own = [record.name.as_str()];
    let others = [record.id.short(), record.hostname.as_str()];
    for name in own
        .into_iter()
        .chain(spec.aliases.iter().map(String::as_str))
        .chain(others)
    {
        if !name.is_empty() && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// Chooses the way out for each family: the highest `gw_priority`; a network that has both
/// families before one that has not; then the name. An internal network is never a way out.
pub fn gateways(planned: &[Planned<'_>]) -> Gateways {
    let best = |has: &dyn Fn(&Network) -> bool| {
        planned
            .iter()
            .enumerate()
            .filter(|(_, one)| has(&one.network) && !one.network.spec.internal)
            .min_by_key(|(_, one)| {
                let both = one.network.ipv4.is_some() && one.network.ipv6.is_some();
                (
                    -i128::from(one.spec.gw_priority),
                    !both,
                    one.network.spec.name.as_str(),
                )
            })
            .map(|(index, _)| index)
    };
    Gateways {
        ipv4: best(&|network| network.ipv4.is_some()),
        ipv6: best(&|network| network.ipv6.is_some()),
    }
}

/// `02:42:ac:11:00:02`, with colons or dashes.
pub fn parse_mac(text: &str) -> Result<[u8; 6]> {
    let parts: Option<Vec<u8>> = text
        .split([':', '-'])
        .map(|part| {
            u8::from_str_radix(part, 16)
                .ok()
                .filter(|_| part.len() == 2)
        })
        .collect();
    parts
        .and_then(|bytes| <[u8; 6]>::try_from(bytes).ok())
        .filter(|mac| mac[0] & 1 == 0)
        .ok_or_else(|| Error::new(ErrorKind::Invalid, format!("invalid MAC address {text:?}")))
}

/// With colons.
pub fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Subnet;
    use crate::spec::NetworkSpec;
    use crate::store::id::Id;

    fn planned<'a>(spec: &'a EndpointSpec, name: &str, internal: bool, ipv6: bool) -> Planned<'a> {
        Planned {
            spec,
            network: Network {
                id: Id::random().unwrap(),
                created: jiff::Timestamp::UNIX_EPOCH,
                spec: NetworkSpec {
                    name: name.into(),
                    internal,
                    ..NetworkSpec::default()
                },
                bridge: String::new(),
                ipv4: Some(Subnet {
                    network: [10, 0, 0, 0].into(),
                    prefix_len: 8,
                    gateway: [10, 0, 0, 1].into(),
                }),
                ipv6: ipv6.then(|| Subnet {
                    network: "fd00::".parse().unwrap(),
                    prefix_len: 64,
                    gateway: "fd00::1".parse().unwrap(),
                }),
            },
            interface: "eth0".into(),
            names: Vec::new(),
            mac_address: None,
        }
    }

    #[test]
    fn the_way_out_is_by_priority_then_families_then_name() {
        let plain = EndpointSpec::default();
        let preferred = EndpointSpec {
            gw_priority: 1,
            ..EndpointSpec::default()
        };
        let networks = [
            planned(&plain, "b", false, false),
            planned(&plain, "a", false, false),
        ];
        assert_eq!(gateways(&networks).ipv4, Some(1));
        let networks = [
            planned(&plain, "b", false, true),
            planned(&plain, "a", false, false),
        ];
        assert_eq!(
            gateways(&networks),
            Gateways {
                ipv4: Some(0),
                ipv6: Some(0)
            }
        );
        let networks = [
            planned(&plain, "a", false, false),
            planned(&preferred, "b", false, false),
        ];
        assert_eq!(gateways(&networks).ipv4, Some(1));
        let networks = [planned(&preferred, "a", true, false)];
        assert_eq!(gateways(&networks).ipv4, None);
    }

    #[test]
    fn hardware_addresses_are_unicast() {
        assert_eq!(
            mac_text(parse_mac("02:42:AC-11:00:02").unwrap()),
            "02:42:ac:11:00:02"
        );
        assert!(parse_mac("01:00:5e:00:00:01").is_err());
        assert!(parse_mac("02:42").is_err());
    }
}
