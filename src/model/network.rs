//! Networks, and a service's place in one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use indexmap::IndexMap;

use super::Resource;
use crate::diag::Span;

/// A network of the application.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    pub resource: Resource,
    pub driver: Option<String>,
    pub driver_opts: IndexMap<String, String>,
    pub internal: bool,
    pub attachable: bool,
    pub enable_ipv4: Option<bool>,
    pub enable_ipv6: Option<bool>,
    pub ipam: Vec<IpamConfig>,
}

/// One entry of `ipam.config`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IpamConfig {
    pub subnet: Option<String>,
    pub gateway: Option<IpAddr>,
    pub ip_range: Option<String>,
    pub aux_addresses: IndexMap<String, IpAddr>,
}

/// One entry of a service's `networks`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceNetwork {
    pub span: Span,
    pub aliases: Vec<String>,
    pub ipv4_address: Option<Ipv4Addr>,
    pub ipv6_address: Option<Ipv6Addr>,
    pub mac_address: Option<String>,
    pub driver_opts: IndexMap<String, String>,
    pub interface_name: Option<String>,
    pub gw_priority: i64,
    /// Higher ones are joined first; the first is the primary network.
    pub priority: i64,
}
