//! Networks, endpoints, published ports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// A network to create.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkSpec {
    pub name: String,
    /// `bridge` when absent.
    pub driver: Option<String>,
    /// No way out, and none in.
    pub internal: bool,
    pub attachable: bool,
    /// Absent: on.
    pub enable_ipv4: Option<bool>,
    /// Absent: off.
    pub enable_ipv6: Option<bool>,
    /// Empty: one is chosen from the pools.
    pub subnets: Vec<SubnetSpec>,
    /// `com.docker.network.*`.
    pub options: IndexMap<String, String>,
    pub labels: IndexMap<String, String>,
}

/// One address range of a network, in CIDR text as the user wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubnetSpec {
    pub subnet: Option<String>,
    pub gateway: Option<IpAddr>,
    /// Restricts the addresses that are given out.
    pub ip_range: Option<String>,
    /// Reserved addresses by host name.
    pub aux_addresses: IndexMap<String, IpAddr>,
}

/// What a container's network namespace is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkMode {
    /// Its own, with only the loopback.
    None,
    /// The host's.
    Host,
    /// That of another container, by name or id.
    Container(String),
    /// Its own, joined to these networks, the first being the primary one.
    Networks(Vec<EndpointSpec>),
}

impl Default for NetworkMode {
    fn default() -> Self {
        Self::Networks(vec![EndpointSpec {
            network: "bridge".into(),
            ..EndpointSpec::default()
        }])
    }
}

/// A container's place in one network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointSpec {
    /// The network's name; `bridge` is the default network, made on demand.
    pub network: String,
    /// Names beside the container's own name and short id.
    pub aliases: Vec<String>,
    /// Names that only this container sees: alias, and the container's name.
    pub links: Vec<(String, String)>,
    pub ipv4_address: Option<Ipv4Addr>,
    pub ipv6_address: Option<Ipv6Addr>,
    pub mac_address: Option<String>,
    /// Default: the next free `ethN`.
    pub interface_name: Option<String>,
    /// The highest one supplies the default route.
    pub gw_priority: i64,
    pub driver_opts: IndexMap<String, String>,
}

/// The resolver of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DnsSpec {
    /// Empty: the host's.
    pub servers: Vec<IpAddr>,
    pub search: Vec<String>,
    pub options: Vec<String>,
}

/// One published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortBinding {
    pub container_port: u16,
    pub protocol: Protocol,
    /// Absent: every address, IPv4 and IPv6.
    pub host_ip: Option<IpAddr>,
    /// The first free one is taken; `None`: any free port.
    pub host_ports: Option<RangeInclusive<u16>>,
}

/// A transport protocol that ports belong to.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// As written after the slash: `80/tcp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}
