//! Networks on disk and in the kernel; joining a container to them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{BorrowedFd, OwnedFd};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::container::record::Record;
use crate::container::state::{Endpoint, PublishedPort};
use crate::error::{Error, ErrorKind, Result};
use crate::spec::{NetworkSpec, Protocol};
use crate::store::Roots;
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
#[derive(Debug)]
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
    /// Bound, and listening for TCP.
    pub socket: OwnedFd,
    /// Where the forwarder connects to.
    pub target: (IpAddr, u16),
    pub protocol: Protocol,
}

/// Sockets on 127.0.0.11 inside the container's network namespace.
#[derive(Debug)]
pub struct DnsSockets {
    pub udp: OwnedFd,
    pub tcp: OwnedFd,
}

/// Joins a namespace to the networks of `record`: addresses, routes, published ports, rules,
/// names. All or nothing. The calling thread must be the process' only one (it enters the
/// namespace for a moment).
pub fn attach(_roots: &Roots, _record: &Record, _netns: BorrowedFd<'_>) -> Result<Attachment> {
    Err(Error::new(ErrorKind::Unsupported, "not written yet"))
}

/// Undoes `attach`: rules first, then ports, names, leases that are not kept, host interfaces.
/// Goes on after a failure and returns all of them.
pub fn detach(_roots: &Roots, _record: &Record, _endpoints: &[Endpoint]) -> Vec<Error> {
    Vec::new()
}
