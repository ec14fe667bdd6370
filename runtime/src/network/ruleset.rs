//! Pure: the packet filter as a value; it prints as nft text.
//!
//! Two tables, one for each family, hold everything of an installation. They are computed
//! from the records of networks and of who is joined to them, and replaced whole; nothing
//! is ever read back. Who is joined to nothing has no rules: after the last container the
//! tables are gone.
//!
//! What holds: nobody outside reaches a container but through a published port; networks
//! reach each other only that way too; an internal network reaches nothing. Published ports
//! on loopback addresses are not translated at all: the monitor's forwarder serves them, so
//! that no bridge needs `route_localnet`.

use std::fmt;
use std::net::IpAddr;

use super::Network;
use super::presence::Presence;
use crate::spec::Protocol;

/// Tables, each replaced as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ruleset {
    pub tables: Vec<Table>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub family: Family,
    pub name: String,
    pub chains: Vec<Chain>,
    pub maps: Vec<InterfaceMap>,
}

/// Address family of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Ip,
    Ip6,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    pub name: String,
    /// Absent: only jumped to.
    pub hook: Option<Hook>,
    pub rules: Vec<Rule>,
}

/// Where the kernel enters a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// `filter` or `nat`.
    pub kind: &'static str,
    pub point: Point,
    pub priority: i32,
}

/// A netfilter hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    Prerouting,
    Forward,
    Output,
    Postrouting,
}

/// Which chain to jump to for an interface: as fast for a hundred networks as for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceMap {
    pub name: String,
    /// Interface and chain.
    pub jumps: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub matches: Vec<Match>,
    pub action: Action,
    /// For people: the container's short id.
    pub comment: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    From(String),
    NotFrom(String),
    To(String),
    NotTo(String),
    Source(IpAddr, u8),
    NotSource(IpAddr, u8),
    Destination(IpAddr, u8),
    NotDestination(IpAddr, u8),
    /// The source or destination address belongs to this host.
    SourceIsLocal,
    DestinationIsLocal,
    SourcePort(Protocol, u16),
    DestinationPort(Protocol, u16),
    /// ICMP of the table's family.
    Icmp,
    /// Part of a connection that was let through.
    Established,
    /// The destination was translated.
    Translated,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Accept,
    Drop,
    Jump(String),
    /// Jump by the interface that the packet came in on.
    JumpByInput(String),
    /// Jump by the interface that the packet leaves through.
    JumpByOutput(String),
    Masquerade,
    TranslateDestination(IpAddr, u16),
    TranslateSource(IpAddr),
    TranslateSourcePort(u16),
}

/// How a network lets packets in and out, per family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatewayMode {
    Nat,
    NatUnprotected,
    Routed,
}

impl GatewayMode {
    /// From the option `com.docker.network.bridge.gateway_mode_ipv4` and its like.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "nat" => Some(Self::Nat),
            "nat-unprotected" => Some(Self::NatUnprotected),
            "routed" => Some(Self::Routed),
            _ => None,
        }
    }
}

/// A network with who is joined to it.
#[derive(Debug)]
pub struct Populated<'a> {
    pub network: &'a Network,
    pub presences: Vec<&'a Presence>,
}

/// The rules for all networks that somebody is joined to.
pub fn for_networks(table: &str, networks: &[Populated<'_>]) -> Ruleset {
    let populated = |family: Family| {
        networks
            .iter()
            .filter(|populated| {
                !populated.presences.is_empty() && family.subnet(populated.network).is_some()
            })
            .collect::<Vec<_>>()
    };
    let tables = [Family::Ip, Family::Ip6]
        .into_iter()
        .filter_map(|family| {
            let networks = populated(family);
            (!networks.is_empty()).then(|| build_table(table, family, &networks))
        })
        .collect();
    Ruleset { tables }
}

/// Inside a container's namespace: port 53 of 127.0.0.11 leads to the resolver's sockets, which
/// have random ports so that the container can have port 53 for itself.
pub fn for_resolver(address: IpAddr, udp: u16, tcp: u16) -> Ruleset {
    let both = [(Protocol::Udp, udp), (Protocol::Tcp, tcp)];
    let output = both.map(|(protocol, port)| {
        rule(
            [
                Match::Destination(address, 32),
                Match::DestinationPort(protocol, 53),
            ],
            Action::TranslateDestination(address, port),
        )
    });
    let postrouting = both.map(|(protocol, port)| {
        rule(
            [
                Match::Source(address, 32),
                Match::SourcePort(protocol, port),
            ],
            Action::TranslateSourcePort(53),
        )
    });
    Ruleset {
        tables: vec![Table {
            family: Family::Ip,
            name: "ketch-dns".into(),
            chains: vec![
                base("output", "nat", Point::Output, -100, output),
                base("postrouting", "nat", Point::Postrouting, 100, postrouting),
            ],
            maps: Vec::new(),
        }],
    }
}

impl Family {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
        }
    }

    fn holds(self, address: IpAddr) -> bool {
        address.is_ipv4() == (self == Self::Ip)
    }

    fn subnet(self, network: &Network) -> Option<(IpAddr, u8)> {
        match self {
            Self::Ip => network
                .ipv4
                .as_ref()
                .map(|subnet| (subnet.network.into(), subnet.prefix_len)),
            Self::Ip6 => network
                .ipv6
                .as_ref()
                .map(|subnet| (subnet.network.into(), subnet.prefix_len)),
        }
    }

    fn address(self, presence: &Presence) -> Option<IpAddr> {
        match self {
            Self::Ip => presence.endpoint.ipv4.map(|(ip, _)| ip.into()),
            Self::Ip6 => presence.endpoint.ipv6.map(|(ip, _)| ip.into()),
        }
    }

    fn mode(self, network: &Network) -> GatewayMode {
        let key = match self {
            Self::Ip => "com.docker.network.bridge.gateway_mode_ipv4",
            Self::Ip6 => "com.docker.network.bridge.gateway_mode_ipv6",
        };
        let text = network.spec.options.get(key).map_or("", String::as_str);
        // Refused when the network was created, if unknown.
        GatewayMode::parse(text).unwrap_or(GatewayMode::Nat)
    }

    fn loopback(self) -> Match {
        match self {
            Self::Ip => Match::NotDestination(IpAddr::from([127, 0, 0, 0]), 8),
            Self::Ip6 => Match::NotDestination(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), 128),
        }
    }
}

fn build_table(name: &str, family: Family, networks: &[&Populated<'_>]) -> Table {
    let to_ports = |matches: Vec<Match>| Rule {
        matches,
        action: Action::Jump("ports".into()),
        comment: None,
    };
    let ports: Vec<Rule> = networks
        .iter()
        .flat_map(|populated| port_rules(family, populated))
        .collect();
    let mut outgoing: Vec<Rule> = networks
        .iter()
        .filter_map(|populated| outgoing_rule(family, populated))
        .collect();
    outgoing.push(rule([], Action::JumpByOutput("post-in".into())));
    let mut chains = vec![
        Chain {
            name: "ports".into(),
            hook: None,
            rules: ports,
        },
        base(
            "raw-pre",
            "filter",
            Point::Prerouting,
            -300,
            networks
                .iter()
                .flat_map(|populated| guard_rules(family, populated))
                .collect::<Vec<_>>(),
        ),
        base(
            "nat-pre",
            "nat",
            Point::Prerouting,
            -100,
            [to_ports(vec![Match::DestinationIsLocal])],
        ),
        base(
            "nat-out",
            "nat",
            Point::Output,
            -100,
            [to_ports(vec![family.loopback(), Match::DestinationIsLocal])],
        ),
        base("nat-post", "nat", Point::Postrouting, 100, outgoing),
        base(
            "forward",
            "filter",
            Point::Forward,
            0,
            [
                rule([], Action::JumpByInput("fwd-out".into())),
                rule([], Action::JumpByOutput("fwd-in".into())),
            ],
        ),
    ];
    let maps = build_maps(family, networks, &mut chains);
    Table {
        family,
        name: name.into(),
        chains,
        maps: maps.into(),
    }
}

/// The chains of each network, and the maps that lead to them.
fn build_maps(
    family: Family,
    networks: &[&Populated<'_>],
    chains: &mut Vec<Chain>,
) -> [InterfaceMap; 3] {
    let mut maps = ["post-in", "fwd-out", "fwd-in"].map(|name| InterfaceMap {
        name: name.into(),
        jumps: Vec::new(),
    });
    for populated in networks {
        let bridge = &populated.network.bridge;
        let parts = [
            hairpin_rules(family, populated),
            leaving_rules(populated),
            entering_rules(family, populated),
        ];
        for (map, rules) in maps.iter_mut().zip(parts) {
            if rules.is_empty() {
                continue;
            }
            let chain = format!("{}-{bridge}", map.name);
            map.jumps.push((bridge.clone(), chain.clone()));
            chains.push(Chain {
                name: chain,
                hook: None,
                rules,
            });
        }
    }
    maps
}

/// Published ports, as (container address, published port, comment).
fn published<'a>(
    family: Family,
    populated: &'a Populated<'_>,
) -> impl Iterator<Item = (IpAddr, &'a crate::container::state::PublishedPort, String)> {
    populated.presences.iter().flat_map(move |presence| {
        let address = family.address(presence);
        presence
            .ports
            .iter()
            .filter(move |port| family.holds(port.host_ip))
            .filter_map(move |port| Some((address?, port, presence.container.short().to_owned())))
    })
}

fn translates(family: Family, network: &Network) -> bool {
    !network.spec.internal && family.mode(network) != GatewayMode::Routed
}

fn masquerades(network: &Network) -> bool {
    network
        .spec
        .options
        .get("com.docker.network.bridge.enable_ip_masquerade")
        .is_none_or(|text| is_true(text))
}

/// `ports`: from the host's address and port to the container's.
fn port_rules(family: Family, populated: &Populated<'_>) -> Vec<Rule> {
    if !translates(family, populated.network) {
        return Vec::new();
    }
    published(family, populated)
        .filter(|(_, port, _)| !port.host_ip.is_loopback())
        .map(|(address, port, comment)| {
            let mut matches = Vec::new();
            if family == Family::Ip6 {
                // A neighbour's link-local source address means nothing on the bridge.
                matches.push(Match::NotSource(
                    IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 0]),
                    10,
                ));
            }
            if !port.host_ip.is_unspecified() {
                matches.push(Match::Destination(port.host_ip, bits(port.host_ip)));
            }
            matches.push(Match::DestinationPort(port.protocol, port.host_port));
            Rule {
                matches,
                action: Action::TranslateDestination(address, port.container_port),
                comment: Some(comment),
            }
        })
        .collect()
}

/// `raw-pre`: nobody reaches a container's own address from elsewhere, nor a port that is
/// published on the loopback only.
fn guard_rules(family: Family, populated: &Populated<'_>) -> Vec<Rule> {
    let network = populated.network;
    let mut rules = Vec::new();
    // Without masquerading, replies from outside carry the container's own address.
    if family.mode(network) == GatewayMode::Nat && (network.spec.internal || masquerades(network)) {
        for presence in &populated.presences {
            if let Some(address) = family.address(presence) {
                rules.push(Rule {
                    matches: vec![
                        Match::NotFrom(network.bridge.clone()),
                        Match::Destination(address, bits(address)),
                    ],
                    action: Action::Drop,
                    comment: Some(presence.container.short().to_owned()),
                });
            }
        }
    }
    for (_, port, comment) in published(family, populated) {
        if port.host_ip.is_loopback() {
            rules.push(Rule {
                matches: vec![
                    Match::NotFrom("lo".into()),
                    Match::Destination(port.host_ip, bits(port.host_ip)),
                    Match::DestinationPort(port.protocol, port.host_port),
                ],
                action: Action::Drop,
                comment: Some(comment),
            });
        }
    }
    rules
}

/// `nat-post`: containers go out under the host's address.
fn outgoing_rule(family: Family, populated: &Populated<'_>) -> Option<Rule> {
    let network = populated.network;
    let option = |name: &str| network.spec.options.get(name).map(String::as_str);
    if !translates(family, network) || !masquerades(network) {
        return None;
    }
    let (subnet, length) = family.subnet(network)?;
    let fixed = match family {
        Family::Ip => option("com.docker.network.host_ipv4"),
        Family::Ip6 => option("com.docker.network.host_ipv6"),
    };
    let action = fixed
        .and_then(|text| text.parse().ok())
        .filter(|address| family.holds(*address))
        .map_or(Action::Masquerade, Action::TranslateSource);
    Some(rule(
        [
            Match::NotTo(network.bridge.clone()),
            Match::Source(subnet, length),
        ],
        action,
    ))
}

/// `post-in`: into the bridge. Packets of this host, and of containers that came by a published
/// port, must come back through us, or the reply goes around the translation.
fn hairpin_rules(family: Family, populated: &Populated<'_>) -> Vec<Rule> {
    let network = populated.network;
    let Some((subnet, length)) = family
        .subnet(network)
        .filter(|_| translates(family, network))
    else {
        return Vec::new();
    };
    vec![
        rule(
            [Match::SourceIsLocal, Match::Translated],
            Action::Masquerade,
        ),
        rule(
            [Match::Source(subnet, length), Match::Translated],
            Action::Masquerade,
        ),
    ]
}

/// `fwd-out`: what leaves the bridge. Only an internal network has something to forbid here.
fn leaving_rules(populated: &Populated<'_>) -> Vec<Rule> {
    let network = populated.network;
    if !network.spec.internal {
        return Vec::new();
    }
    vec![rule([Match::NotTo(network.bridge.clone())], Action::Drop)]
}

/// `fwd-in`: what enters the bridge.
fn entering_rules(family: Family, populated: &Populated<'_>) -> Vec<Rule> {
    let network = populated.network;
    let bridge = &network.bridge;
    let between = network
        .spec
        .options
        .get("com.docker.network.bridge.enable_icc")
        .is_none_or(|text| is_true(text));
    let among = rule(
        [Match::From(bridge.clone())],
        if between {
            Action::Accept
        } else {
            Action::Drop
        },
    );
    if network.spec.internal {
        return vec![rule([Match::NotFrom(bridge.clone())], Action::Drop), among];
    }
    let mode = family.mode(network);
    let mut rules = vec![rule([Match::Established], Action::Accept), among];
    if mode == GatewayMode::Routed {
        rules.push(rule([Match::Icmp], Action::Accept));
    }
    for (address, port, comment) in published(family, populated) {
        let one = Rule {
            matches: vec![
                Match::Destination(address, bits(address)),
                Match::DestinationPort(port.protocol, port.container_port),
            ],
            action: Action::Accept,
            comment: Some(comment),
        };
        // Published on two addresses: one rule is enough.
        if !rules.contains(&one) {
            rules.push(one);
        }
    }
    let rest = match mode {
        GatewayMode::NatUnprotected => Action::Accept,
        GatewayMode::Nat | GatewayMode::Routed => Action::Drop,
    };
    rules.push(rule([], rest));
    rules
}

/// Whether an option is on, in Go's reading of booleans.
pub fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn rule(matches: impl IntoIterator<Item = Match>, action: Action) -> Rule {
    Rule {
        matches: matches.into_iter().collect(),
        action,
        comment: None,
    }
}

fn base(
    name: &str,
    kind: &'static str,
    point: Point,
    priority: i32,
    rules: impl Into<Vec<Rule>>,
) -> Chain {
    Chain {
        name: name.into(),
        hook: Some(Hook {
            kind,
            point,
            priority,
        }),
        rules: rules.into(),
    }
}

impl fmt::Display for Ruleset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for table in &self.tables {
            writeln!(f, "table {} {} {{", table.family.as_str(), table.name)?;
            for map in &table.maps {
                writeln!(f, "  map {} {{", map.name)?;
                writeln!(f, "    type ifname : verdict")?;
                for (interface, chain) in &map.jumps {
                    writeln!(f, "    \"{interface}\" : jump {chain}")?;
                }
                writeln!(f, "  }}")?;
            }
            for chain in &table.chains {
                writeln!(f, "  chain {} {{", chain.name)?;
                if let Some(hook) = chain.hook {
                    let point = hook.point.as_str();
                    let (kind, priority) = (hook.kind, hook.priority);
                    writeln!(
                        f,
                        "    type {kind} hook {point} priority {priority}; policy accept;"
                    )?;
                }
                for rule in &chain.rules {
                    writeln!(f, "    {}", RuleText(table.family, rule))?;
                }
                writeln!(f, "  }}")?;
            }
            writeln!(f, "}}")?;
        }
        Ok(())
    }
}

impl Point {
    fn as_str(self) -> &'static str {
        match self {
            Self::Prerouting => "prerouting",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
        }
    }
}

struct RuleText<'a>(Family, &'a Rule);

impl fmt::Display for RuleText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ip = self.0.as_str();
        for one in &self.1.matches {
            match one {
                Match::From(name) => write!(f, "iifname \"{name}\" ")?,
                Match::NotFrom(name) => write!(f, "iifname != \"{name}\" ")?,
                Match::To(name) => write!(f, "oifname \"{name}\" ")?,
                Match::NotTo(name) => write!(f, "oifname != \"{name}\" ")?,
                Match::Source(address, length) => {
                    write!(f, "{ip} saddr {} ", Range(*address, *length))?;
                }
                Match::NotSource(address, length) => {
                    write!(f, "{ip} saddr != {} ", Range(*address, *length))?;
                }
                Match::Destination(address, length) => {
                    write!(f, "{ip} daddr {} ", Range(*address, *length))?;
                }
                Match::NotDestination(address, length) => {
                    write!(f, "{ip} daddr != {} ", Range(*address, *length))?;
                }
                Match::SourceIsLocal => f.write_str("fib saddr type local ")?,
                Match::DestinationIsLocal => f.write_str("fib daddr type local ")?,
                Match::SourcePort(protocol, port) => {
                    write!(f, "{} sport {port} ", protocol.as_str())?;
                }
                Match::DestinationPort(protocol, port) => {
                    write!(f, "{} dport {port} ", protocol.as_str())?;
                }
                Match::Icmp => f.write_str(match self.0 {
                    Family::Ip => "meta l4proto icmp ",
                    Family::Ip6 => "meta l4proto ipv6-icmp ",
                })?,
                Match::Established => f.write_str("ct state established,related ")?,
                Match::Translated => f.write_str("ct status dnat ")?,
            }
        }
        match &self.1.action {
            Action::Accept => f.write_str("accept")?,
            Action::Drop => f.write_str("drop")?,
            Action::Jump(chain) => write!(f, "jump {chain}")?,
            Action::JumpByInput(map) => write!(f, "iifname vmap @{map}")?,
            Action::JumpByOutput(map) => write!(f, "oifname vmap @{map}")?,
            Action::Masquerade => f.write_str("masquerade")?,
            Action::TranslateDestination(IpAddr::V4(ip), port) => write!(f, "dnat to {ip}:{port}")?,
            Action::TranslateDestination(IpAddr::V6(ip), port) => {
                write!(f, "dnat to [{ip}]:{port}")?;
            }
            Action::TranslateSource(ip) => write!(f, "snat to {ip}")?,
            Action::TranslateSourcePort(port) => write!(f, "snat to :{port}")?,
        }
        match &self.1.comment {
            Some(comment) => write!(f, " comment \"{comment}\""),
            None => Ok(()),
        }
    }
}

struct Range(IpAddr, u8);

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.1 == bits(self.0) {
            write!(f, "{}", self.0)
        } else {
            write!(f, "{}/{}", self.0, self.1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::state::{Endpoint, PublishedPort};
    use crate::network::Subnet;
    use crate::spec::NetworkSpec;
    use crate::store::id::Id;

    fn id(digit: char) -> Id {
        Id::try_from(digit.to_string().repeat(64)).unwrap()
    }

    fn network(digit: char, third: u8) -> Network {
        Network {
            id: id(digit),
            created: jiff::Timestamp::UNIX_EPOCH,
            spec: NetworkSpec::default(),
            bridge: format!("br-{digit}"),
            ipv4: Some(Subnet {
                network: [172, third, 0, 0].into(),
                prefix_len: 16,
                gateway: [172, third, 0, 1].into(),
            }),
            ipv6: None,
        }
    }

    fn presence(digit: char, ipv4: [u8; 4], ports: &[(&str, u16, u16)]) -> Presence {
        Presence {
            container: id(digit),
            name: digit.to_string(),
            endpoint: Endpoint {
                network: String::new(),
                network_id: String::new(),
                interface: "eth0".into(),
                host_interface: "veth0".into(),
                mac_address: String::new(),
                ipv4: Some((ipv4.into(), 16)),
                ipv4_gateway: None,
                ipv6: None,
                ipv6_gateway: None,
                names: Vec::new(),
            },
            ports: ports
                .iter()
                .map(|(host_ip, host_port, container_port)| PublishedPort {
                    host_ip: host_ip.parse().unwrap(),
                    host_port: *host_port,
                    container_port: *container_port,
                    protocol: Protocol::Tcp,
                })
                .collect(),
        }
    }

    fn chain<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
        text.lines()
            .skip_while(|line| line.trim() != format!("chain {name} {{"))
            .skip(1)
            .take_while(|line| line.trim() != "}")
            .map(str::trim)
            .collect()
    }

    #[test]
    fn a_published_port_prints_as_nft_text() {
        let network = network('a', 18);
        let web = presence(
            '1',
            [172, 18, 0, 2],
            &[("0.0.0.0", 8080, 80), ("::", 8080, 80)],
        );
        let ruleset = for_networks(
            "ketch",
            &[Populated {
                network: &network,
                presences: vec![&web],
            }],
        );
        let expected = r#"table ip ketch {
  map post-in {
    type ifname : verdict
    "br-a" : jump post-in-br-a
  }
  map fwd-out {
    type ifname : verdict
  }
  map fwd-in {
    type ifname : verdict
    "br-a" : jump fwd-in-br-a
  }
  chain ports {
    tcp dport 8080 dnat to 172.18.0.2:80 comment "111111111111"
  }
  chain raw-pre {
    type filter hook prerouting priority -300; policy accept;
    iifname != "br-a" ip daddr 172.18.0.2 drop comment "111111111111"
  }
  chain nat-pre {
    type nat hook prerouting priority -100; policy accept;
    fib daddr type local jump ports
  }
  chain nat-out {
    type nat hook output priority -100; policy accept;
    ip daddr != 127.0.0.0/8 fib daddr type local jump ports
  }
  chain nat-post {
    type nat hook postrouting priority 100; policy accept;
    oifname != "br-a" ip saddr 172.18.0.0/16 masquerade
    oifname vmap @post-in
  }
  chain forward {
    type filter hook forward priority 0; policy accept;
    iifname vmap @fwd-out
    oifname vmap @fwd-in
  }
  chain post-in-br-a {
    fib saddr type local ct status dnat masquerade
    ip saddr 172.18.0.0/16 ct status dnat masquerade
  }
  chain fwd-in-br-a {
    ct state established,related accept
    iifname "br-a" accept
    ip daddr 172.18.0.2 tcp dport 80 accept comment "111111111111"
    drop
  }
}
"#;
        assert_eq!(ruleset.to_string(), expected);
    }

    #[test]
    fn nobody_joined_means_no_table() {
        let network = network('a', 18);
        let empty = Populated {
            network: &network,
            presences: Vec::new(),
        };
        assert_eq!(for_networks("ketch", &[empty]), Ruleset::default());
    }

    #[test]
    fn an_internal_network_neither_translates_nor_forwards() {
        let mut network = network('a', 18);
        network.spec.internal = true;
        let db = presence('1', [172, 18, 0, 2], &[("0.0.0.0", 5432, 5432)]);
        let text = for_networks(
            "ketch",
            &[Populated {
                network: &network,
                presences: vec![&db],
            }],
        )
        .to_string();
        assert_eq!(chain(&text, "ports"), [""; 0]);
        assert_eq!(chain(&text, "fwd-out-br-a"), ["oifname != \"br-a\" drop"]);
        assert_eq!(
            chain(&text, "fwd-in-br-a"),
            ["iifname != \"br-a\" drop", "iifname \"br-a\" accept"]
        );
        assert!(!text.contains("masquerade"));
    }

    #[test]
    fn a_port_on_the_loopback_is_guarded_and_left_to_the_forwarder() {
        let network = network('a', 18);
        let db = presence('1', [172, 18, 0, 2], &[("127.0.0.1", 5432, 5432)]);
        let text = for_networks(
            "ketch",
            &[Populated {
                network: &network,
                presences: vec![&db],
            }],
        )
        .to_string();
        assert_eq!(chain(&text, "ports"), [""; 0]);
        assert!(chain(&text, "raw-pre").contains(
            &"iifname != \"lo\" ip daddr 127.0.0.1 tcp dport 5432 drop comment \"111111111111\""
        ));
    }

    #[test]
    fn options_close_the_bridge_and_keep_the_address() {
        let mut network = network('a', 18);
        network.spec.options = [
            ("com.docker.network.bridge.enable_icc", "false"),
            ("com.docker.network.host_ipv4", "192.0.2.7"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into_iter()
        .collect();
        let web = presence('1', [172, 18, 0, 2], &[("192.0.2.7", 80, 80)]);
        let text = for_networks(
            "ketch",
            &[Populated {
                network: &network,
                presences: vec![&web],
            }],
        )
        .to_string();
        assert_eq!(chain(&text, "fwd-in-br-a")[1], "iifname \"br-a\" drop");
        assert_eq!(
            chain(&text, "nat-post")[1],
            "oifname != \"br-a\" ip saddr 172.18.0.0/16 snat to 192.0.2.7"
        );
        assert_eq!(
            chain(&text, "ports"),
            ["ip daddr 192.0.2.7 tcp dport 80 dnat to 172.18.0.2:80 comment \"111111111111\""]
        );
    }

    #[test]
    fn the_resolver_is_reached_on_port_53() {
        let text = for_resolver([127, 0, 0, 11].into(), 4000, 5000).to_string();
        assert_eq!(
            chain(&text, "output")[1..],
            [
                "ip daddr 127.0.0.11 udp dport 53 dnat to 127.0.0.11:4000",
                "ip daddr 127.0.0.11 tcp dport 53 dnat to 127.0.0.11:5000"
            ]
        );
        assert_eq!(
            chain(&text, "postrouting")[1..],
            [
                "ip saddr 127.0.0.11 udp sport 4000 snat to :53",
                "ip saddr 127.0.0.11 tcp sport 5000 snat to :53"
            ]
        );
    }
}
