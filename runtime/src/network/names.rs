//! Pure: which names a container may ask for, and what they mean.

use std::net::IpAddr;

use super::presence::Presence;

/// What one container can resolve: everyone on the networks that it shares with them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameTable {
    networks: Vec<Names>,
    /// Names that only this container sees: alias, and what it stands for.
    links: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Names {
    network: String,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    /// Lower case; the container's own name first.
    names: Vec<String>,
    /// As it is written, for pointers.
    container: String,
    addresses: Vec<IpAddr>,
}

/// The meaning of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// Nobody here has that name: ask outside.
    Unknown,
    /// All addresses of both families, in no order that means anything. It may have none of the
    /// family that was asked for; the name is known all the same.
    Known(Vec<IpAddr>),
}

impl NameTable {
    /// From the presences on each network that the asker has joined: (network's name, presences).
    pub fn new<'a>(
        networks: impl IntoIterator<Item = (&'a str, &'a [Presence])>,
        links: &[(String, String)],
    ) -> Self {
        let networks = networks
            .into_iter()
            .map(|(network, presences)| Names {
                network: network.to_lowercase(),
                entries: presences.iter().map(entry).collect(),
            })
            .collect();
        let links = links
            .iter()
            .map(|(alias, container)| (alias.to_lowercase(), container.to_lowercase()))
            .collect();
        Self { networks, links }
    }

    /// Looks a name up, in any case, with or without its final dot: `db`, or `db.app_default`
    /// for one network only.
    pub fn lookup(&self, name: &str) -> Meaning {
        let name = name.strip_suffix('.').unwrap_or(name).to_lowercase();
        let name = self
            .links
            .iter()
            .find(|(alias, _)| *alias == name)
            .map_or(name.as_str(), |(_, container)| container.as_str());
        let mut addresses: Option<Vec<IpAddr>> = None;
        for names in &self.networks {
            let limited = name
                .strip_suffix(names.network.as_str())
                .and_then(|rest| rest.strip_suffix('.'));
            for entry in &names.entries {
                let is_named = |wanted: &str| entry.names.iter().any(|known| known == wanted);
                if is_named(name) || limited.is_some_and(is_named) {
                    let found = addresses.get_or_insert_default();
                    for address in &entry.addresses {
                        if !found.contains(address) {
                            found.push(*address);
                        }
                    }
                }
            }
        }
        addresses.map_or(Meaning::Unknown, Meaning::Known)
    }

    /// The name of an address: `container.network`.
    pub fn pointer(&self, address: IpAddr) -> Option<String> {
        self.networks.iter().find_map(|names| {
            let entry = names
                .entries
                .iter()
                .find(|entry| entry.addresses.contains(&address))?;
            Some(format!("{}.{}", entry.container, names.network))
        })
    }
}

fn entry(presence: &Presence) -> Entry {
    let endpoint = &presence.endpoint;
    Entry {
        names: endpoint
            .names
            .iter()
            .map(|name| name.to_lowercase())
            .collect(),
        container: presence.name.clone(),
        addresses: [
            endpoint.ipv4.map(|(ip, _)| IpAddr::V4(ip)),
            endpoint.ipv6.map(|(ip, _)| IpAddr::V6(ip)),
        ]
        .into_iter()
        .flatten()
        .collect(),
    }
}

/// The address that a name below `in-addr.arpa` or `ip6.arpa` asks about.
pub fn parse_pointer(name: &str) -> Option<IpAddr> {
    let name = name.strip_suffix('.').unwrap_or(name).to_lowercase();
    if let Some(labels) = name.strip_suffix(".in-addr.arpa") {
        let mut bytes: Vec<u8> = labels
            .split('.')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .ok()?;
        bytes.reverse();
        return <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    }
    let labels: Vec<&str> = name.strip_suffix(".ip6.arpa")?.split('.').collect();
    if labels.len() != 32 || labels.iter().any(|label| label.len() != 1) {
        return None;
    }
    let digits: String = labels.into_iter().rev().collect();
    u128::from_str_radix(&digits, 16)
        .ok()
        .map(|bits| IpAddr::V6(bits.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::state::Endpoint;
    use crate::store::id::Id;

    fn presence(name: &str, address: [u8; 4], names: &[&str]) -> Presence {
        Presence {
            container: Id::try_from("a".repeat(64)).unwrap(),
            name: name.into(),
            endpoint: Endpoint {
                network: String::new(),
                network_id: String::new(),
                interface: "eth0".into(),
                host_interface: String::new(),
                mac_address: String::new(),
                ipv4: Some((address.into(), 16)),
                ipv4_gateway: None,
                ipv6: None,
                ipv6_gateway: None,
                names: names.iter().map(|name| (*name).to_owned()).collect(),
            },
            ports: Vec::new(),
        }
    }

    fn table() -> NameTable {
        let front = [
            presence("app-web-1", [10, 0, 0, 2], &["app-web-1", "web"]),
            presence("app-web-2", [10, 0, 0, 3], &["app-web-2", "web"]),
        ];
        let back = [
            presence(
                "app-db-1",
                [10, 1, 0, 2],
                &["app-db-1", "db", "0123456789ab"],
            ),
            presence("app-web-1", [10, 1, 0, 3], &["app-web-1", "web"]),
        ];
        NameTable::new(
            [("app_front", &front[..]), ("app_back", &back[..])],
            &[("store".into(), "app-db-1".into())],
        )
    }

    fn known(name: &str) -> Vec<String> {
        match table().lookup(name) {
            Meaning::Known(addresses) => addresses.iter().map(IpAddr::to_string).collect(),
            Meaning::Unknown => vec!["unknown".into()],
        }
    }

    #[test]
    fn a_name_means_every_container_that_has_it() {
        assert_eq!(known("web"), ["10.0.0.2", "10.0.0.3", "10.1.0.3"]);
        assert_eq!(known("DB."), ["10.1.0.2"]);
        assert_eq!(known("0123456789ab"), ["10.1.0.2"]);
        assert_eq!(known("example.org"), ["unknown"]);
    }

    #[test]
    fn the_networks_name_limits_it() {
        assert_eq!(known("web.app_back"), ["10.1.0.3"]);
        assert_eq!(known("web.app_other"), ["unknown"]);
        assert_eq!(known("xapp_back"), ["unknown"]);
    }

    #[test]
    fn links_are_further_names() {
        assert_eq!(known("store"), ["10.1.0.2"]);
    }

    #[test]
    fn addresses_lead_back_to_names() {
        assert_eq!(
            table().pointer([10, 1, 0, 2].into()).unwrap(),
            "app-db-1.app_back"
        );
        assert_eq!(
            parse_pointer("2.0.1.10.in-addr.arpa."),
            Some([10, 1, 0, 2].into())
        );
        assert_eq!(
            parse_pointer(&format!("1.{}d.f.ip6.arpa", "0.".repeat(29))),
            Some("fd00::1".parse().unwrap())
        );
        assert_eq!(parse_pointer("1.2.in-addr.arpa"), None);
    }
}
