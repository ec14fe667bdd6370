//! Networks on disk and in the kernel; joining a container to them.
//!
//! A network is a record ([`records`]) with a bridge ([`bridge`]). A container that starts is
//! joined by its monitor: addresses ([`ipam`]), host ports ([`ports`]), a cable into its
//! namespace, a [`presence`] that others see, and the packet filter ([`ruleset`], carried out
//! by [`nft`]) computed anew from all presences. Names are answered from presences too
//! ([`names`], [`answer`]); [`resolv`] says what stands in resolv.conf.

pub mod host;
pub mod resolv;

pub mod answer;
pub mod names;
pub mod presence;

pub mod ipam;
pub mod nft;
pub mod ruleset;

pub mod bridge;
pub mod ports;
pub mod sandbox;

pub mod endpoint;
pub mod join;
pub mod records;

pub use join::{adopt, attach, detach, refresh};
pub use sandbox::inside;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::container::state::{Endpoint, PublishedPort};
use crate::spec::{NetworkSpec, Protocol};
use crate::store::id::Id;

/// A network, as created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Network {
    pub id: Id,
    pub created: Timestamp,
    /// What was asked, with nothing filled in.
    pub spec: NetworkSpec,
    /// The host's interface: `br-` and the short id.
    pub bridge: String,
    pub ipv4: Option<Subnet<Ipv4Addr>>,
    pub ipv6: Option<Subnet<Ipv6Addr>>,
}

/// An address range in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet<A> {
    pub network: A,
    pub prefix_len: u8,
    pub gateway: A,
}

/// What a container holds while it is joined to its networks; owned by its monitor.
#[derive(Debug, Default)]
pub struct Attachment {
    pub endpoints: Vec<Endpoint>,
    pub ports: Vec<PublishedPort>,
    /// The sockets that keep the host ports, for the monitor's forwarder.
    pub reserved: Vec<ReservedPort>,
    /// The resolver's sockets inside the container's namespace; absent without user networks.
    pub dns: Option<DnsSockets>,
}

/// A host port that is ours.
#[derive(Debug)]
pub struct ReservedPort {
    pub port: PublishedPort,
    /// Bound, and listening for TCP. Does not block.
    pub socket: OwnedFd,
    /// Where the forwarder connects to.
    pub target: (IpAddr, u16),
    pub protocol: Protocol,
}

/// Sockets on 127.0.0.11 inside the container's network namespace. They do not block.
#[derive(Debug)]
pub struct DnsSockets {
    pub udp: OwnedFd,
    pub tcp: OwnedFd,
    /// The namespace itself: the user's own servers are asked from there.
    pub netns: OwnedFd,
    /// No network leads out: servers of the host are not asked.
    pub internal_only: bool,
}
