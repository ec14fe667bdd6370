//! The host's side in the kernel: bridges, pairs of virtual cables, addresses, routes.
//!
//! The container's end of a cable is made inside its namespace by the same message (moving
//! one there later costs some 30 ms), down, and goes up with its addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::Network;
use super::ipam::Prefix;
use super::sandbox;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::failpoint::{self, Point};
use crate::sys::netlink::{
    Message, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, Socket, attributes,
};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_PROTINFO: u16 = 12;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFLA_BRPORT_MODE: u16 = 4;
const IFF_UP: u32 = 1;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
/// No duplicate address detection: we gave the address out ourselves, and waiting costs a second.
const IFA_F_NODAD: u8 = 2;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_TABLE: u16 = 15;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RTN_UNICAST: u8 = 1;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const AF_BRIDGE: u8 = 7;

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    pub mtu: u32,
    pub is_up: bool,
    /// What its maker wrote on it.
    pub alias: String,
}

/// What the host's interfaces and routes say.
#[derive(Debug, Default)]
pub struct HostNetwork {
    pub links: Vec<Link>,
    /// Destinations of all routes but the default ones.
    pub ipv4_routes: Vec<Prefix<Ipv4Addr>>,
    pub ipv6_routes: Vec<Prefix<Ipv6Addr>>,
    /// Interface of the default route with the best metric.
    default_interface: Option<u32>,
}

impl HostNetwork {
    /// Reads the namespace of `socket`.
    pub fn read(socket: &mut Socket) -> Result<Self> {
        let mut host = Self {
            links: links(socket)?,
            ..Self::default()
        };
        let mut best = u32::MAX;
        let request = Message::new(RTM_GETROUTE, NLM_F_DUMP, &[0; 12]);
        socket
            .dump(request, |kind, payload| {
                if kind == RTM_NEWROUTE {
                    host.add_route(payload, &mut best);
                }
            })
            .context(|| "list routes".into())?;
        Ok(host)
    }

    fn add_route(&mut self, payload: &[u8], best: &mut u32) {
        // struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
        let [family, length, _, _, table, _, _, kind, ..] = *payload else {
            return;
        };
        if kind != RTN_UNICAST || payload.len() < 12 || table != RT_TABLE_MAIN {
            return;
        }
        let (mut destination, mut interface, mut metric): (Option<&[u8]>, _, _) = (None, None, 0);
        for (kind, value) in attributes(&payload[12..]) {
            match (kind, value) {
                (RTA_DST, value) => destination = Some(value),
                (RTA_OIF, value) => interface = u32_of(value),
                (RTA_PRIORITY, value) => metric = u32_of(value).unwrap_or(0),
                _ => {}
            }
        }
        match (family, destination) {
            (_, None) if length == 0 && interface.is_some() && metric < *best => {
                *best = metric;
                self.default_interface = interface;
            }
            (AF_INET, Some(bytes)) => {
                if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
                    self.ipv4_routes.push(Prefix::of(bytes.into(), length));
                }
            }
            (AF_INET6, Some(bytes)) => {
                if let Ok(bytes) = <[u8; 16]>::try_from(bytes) {
                    self.ipv6_routes.push(Prefix::of(bytes.into(), length));
                }
            }
            _ => {}
        }
    }

    /// The largest packet that leaves this host whole: that of the default route's interface, but
    /// never more than 1500.
    pub fn mtu(&self) -> u32 {
        self.links
            .iter()
            .find(|link| Some(link.index) == self.default_interface)
            .map_or(1500, |link| link.mtu.min(1500))
    }

    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }
}

/// Every interface of the namespace.
pub fn links(socket: &mut Socket) -> Result<Vec<Link>> {
    let mut links = Vec::new();
    let request = Message::new(RTM_GETLINK, NLM_F_DUMP, &link_header(0, 0));
    socket
        .dump(request, |kind, payload| {
            if kind == RTM_NEWLINK && payload.len() >= 16 {
                links.push(decode_link(payload));
            }
        })
        .context(|| "list interfaces".into())?;
    Ok(links)
}

fn decode_link(payload: &[u8]) -> Link {
    let mut link = Link {
        index: u32_of(&payload[4..8]).unwrap_or(0),
        name: String::new(),
        mtu: 1500,
        is_up: u32_of(&payload[8..12]).is_some_and(|flags| flags & IFF_UP != 0),
        alias: String::new(),
    };
    for (kind, value) in attributes(&payload[16..]) {
        match kind {
            IFLA_IFNAME => {
                link.name = String::from_utf8_lossy(value)
                    .trim_end_matches('\0')
                    .to_owned();
            }
            IFLA_IFALIAS => {
                link.alias = String::from_utf8_lossy(value)
                    .trim_end_matches('\0')
                    .to_owned();
            }
            IFLA_MTU => link.mtu = u32_of(value).unwrap_or(1500),
            _ => {}
        }
    }
    link
}

/// Makes the bridge of a network as its record says. Nothing happens to one that is there.
/// `owner` is written on it.
pub fn create(socket: &mut Socket, network: &Network, mtu: u32, owner: &str) -> Result<()> {
    let name = &network.bridge;
    // An own address: otherwise it changes with the lowest one of the ports.
    let mac = random_mac()?;
    let mut link = Message::new(
        RTM_NEWLINK,
        NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
        &link_header(0, 0),
    );
    link.attr_str(IFLA_IFNAME, name)
        .attr_u32(IFLA_MTU, mtu)
        .attr(IFLA_ADDRESS, &mac)
        .nest(IFLA_LINKINFO, |info| {
            info.attr_str(IFLA_INFO_KIND, "bridge");
        });
    socket
        .send(vec![link])
        .context(|| format!("create bridge {name}"))?;
    failpoint::reached(Point::BridgeMade);
    let set_up = set_alias(socket, name, owner).and_then(|()| set_up_bridge(socket, network));
    if let Err(error) = set_up {
        delete_link(socket, name)?;
        return Err(error.context(format!("set up bridge {name}")));
    }
    Ok(())
}

/// Why the kernel makes no interfaces of this kind (`bridge`, `veth`); `None` when it does, or does
/// not say. It is asked for one with a name that none can have: it looks for the kind first, then
/// refuses the name, and nothing was made.
pub fn refuses_kind(socket: &mut Socket, kind: &str) -> Result<Option<String>> {
    const IMPOSSIBLE: &str = "/";
    let mut link = Message::new(
        RTM_NEWLINK,
        NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
        &link_header(0, 0),
    );
    link.attr_str(IFLA_IFNAME, IMPOSSIBLE)
        .nest(IFLA_LINKINFO, |info| {
            info.attr_str(IFLA_INFO_KIND, kind);
            if kind == "veth" {
                // Its other end would be made first.
                info.nest(IFLA_INFO_DATA, |data| {
                    data.nest(VETH_INFO_PEER, |peer| {
                        peer.raw(&link_header(0, 0))
                            .attr_str(IFLA_IFNAME, IMPOSSIBLE);
                    });
                });
            }
        });
    let refusal = socket.try_send(vec![link])?.err();
    let unknown = refusal.filter(|refusal| refusal.errno == Errno::OPNOTSUPP);
    Ok(unknown.map(|refusal| Error::from(refusal).to_string()))
}

/// Everything but making it. Going up is the last of it: one that is down was never finished, and
/// this may be done again.
pub fn set_up_bridge(socket: &mut Socket, network: &Network) -> Result<()> {
    let name = &network.bridge;
    let index = index_of(socket, name)?;
    if sandbox::has_ipv6() {
        // Before it goes up, or it has a link-local address already.
        let disabled = if network.ipv6.is_some() { "0" } else { "1" };
        sandbox::set_sysctl(&format!("ipv6/conf/{name}/disable_ipv6"), disabled)?;
        // Containers may send router advertisements; the host must not follow them.
        sandbox::set_sysctl(&format!("ipv6/conf/{name}/accept_ra"), "0")?;
    }
    let mut messages = Vec::new();
    if let Some(subnet) = &network.ipv4 {
        messages.push(address(
            index,
            subnet.gateway.into(),
            subnet.prefix_len,
            NLM_F_REPLACE,
        ));
    }
    if let Some(subnet) = &network.ipv6 {
        messages.push(address(
            index,
            subnet.gateway.into(),
            subnet.prefix_len,
            NLM_F_REPLACE,
        ));
    }
    messages.push(up(index));
    socket.send(messages)?;
    failpoint::reached(Point::BridgeUp);
    Ok(())
}

/// Writes on an interface whose it is, for who finds it later.
fn set_alias(socket: &mut Socket, name: &str, alias: &str) -> Result<()> {
    let mut message = Message::new(RTM_SETLINK, NLM_F_ACK, &link_header(0, 0));
    message
        .attr_str(IFLA_IFNAME, name)
        // The kernel has no room for more.
        .attr(IFLA_IFALIAS, &alias.as_bytes()[..alias.len().min(255)]);
    socket
        .send(vec![message])
        .context(|| format!("set the alias of {name}"))
}

/// The two ends of a cable.
#[derive(Debug)]
pub struct Cable<'a> {
    pub host_name: &'a str,
    pub container_name: &'a str,
    pub container_mac: [u8; 6],
    pub mtu: u32,
    /// The bridge's index.
    pub bridge: u32,
    /// Send packets back to the port they came from (see [`needs_hairpin`]).
    pub hairpin: bool,
}

/// Makes a cable from a bridge into a namespace; its inner end is still down.
pub fn create_cable(socket: &mut Socket, netns: BorrowedFd<'_>, cable: &Cable<'_>) -> Result<()> {
    let host_mac = random_mac()?;
    let netns = u32::try_from(netns.as_raw_fd())
        .map_err(|_| Error::new(ErrorKind::Internal, "a namespace without a descriptor"))?;
    let mut message = Message::new(
        RTM_NEWLINK,
        NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
        &link_header(0, IFF_UP),
    );
    message
        .attr_str(IFLA_IFNAME, cable.host_name)
        .attr_u32(IFLA_MTU, cable.mtu)
        .attr(IFLA_ADDRESS, &host_mac)
        .attr_u32(IFLA_MASTER, cable.bridge)
        .nest(IFLA_LINKINFO, |info| {
            info.attr_str(IFLA_INFO_KIND, "veth")
                .nest(IFLA_INFO_DATA, |data| {
                    data.nest(VETH_INFO_PEER, |peer| {
                        peer.raw(&link_header(0, 0))
                            .attr_str(IFLA_IFNAME, cable.container_name)
                            .attr_u32(IFLA_MTU, cable.mtu)
                            .attr(IFLA_ADDRESS, &cable.container_mac)
                            .attr_u32(IFLA_NET_NS_FD, netns);
                    });
                });
        });
    socket.send(vec![message]).context(|| {
        format!(
            "create interfaces {} and {}",
            cable.host_name, cable.container_name
        )
    })?;
    if cable.hairpin {
        let index = index_of(socket, cable.host_name)?;
        let mut header = link_header(index, 0);
        header[0] = AF_BRIDGE;
        let mut message = Message::new(RTM_SETLINK, NLM_F_ACK, &header);
        message.nest(IFLA_PROTINFO, |port| {
            port.attr(IFLA_BRPORT_MODE, &[1]);
        });
        socket
            .send(vec![message])
            .context(|| format!("set hairpin mode of {}", cable.host_name))?;
    }
    Ok(())
}

/// With bridge-nf-call-iptables, addresses are translated while a packet crosses the bridge; one
/// from a container to its own published port must then leave through the port it came from.
pub fn needs_hairpin() -> bool {
    std::fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables")
        .is_ok_and(|text| text.trim() != "0")
}

/// What the inner end of a cable gets.
#[derive(Debug)]
pub struct Inside<'a> {
    pub interface: &'a str,
    pub ipv4: Option<(Ipv4Addr, u8)>,
    pub ipv6: Option<(Ipv6Addr, u8)>,
    pub ipv4_default: Option<Ipv4Addr>,
    pub ipv6_default: Option<Ipv6Addr>,
}

/// Sets up the inner ends of all cables: addresses, up, default routes. `socket` was opened
/// inside, and the caller is inside (for `/proc/sys`).
pub fn set_up_inside(socket: &mut Socket, ends: &[Inside<'_>]) -> Result<()> {
    let mut messages = vec![up(index_of(socket, "lo")?)];
    for end in ends {
        let name = end.interface;
        let index = index_of(socket, name)?;
        // Tell the neighbours when it goes up: the address may have had another owner.
        sandbox::set_sysctl(&format!("ipv4/conf/{name}/arp_notify"), "1")?;
        if sandbox::has_ipv6() {
            let disabled = if end.ipv6.is_some() { "0" } else { "1" };
            sandbox::set_sysctl(&format!("ipv6/conf/{name}/disable_ipv6"), disabled)?;
            sandbox::set_sysctl(&format!("ipv6/conf/{name}/accept_ra"), "0")?;
            if end.ipv6.is_some() {
                sandbox::set_sysctl(&format!("ipv6/conf/{name}/ndisc_notify"), "1")?;
            }
        }
        if let Some((ip, length)) = end.ipv4 {
            messages.push(address(index, ip.into(), length, NLM_F_EXCL));
        }
        if let Some((ip, length)) = end.ipv6 {
            messages.push(address(index, ip.into(), length, NLM_F_EXCL));
        }
        messages.push(up(index));
        if let Some(gateway) = end.ipv4_default {
            messages.push(default_route(index, gateway.into()));
        }
        if let Some(gateway) = end.ipv6_default {
            messages.push(default_route(index, gateway.into()));
        }
    }
    socket.send(messages)
}

/// Removes an interface; one that is gone already is no error.
pub fn delete_link(socket: &mut Socket, name: &str) -> Result<()> {
    let mut message = Message::new(RTM_DELLINK, NLM_F_ACK, &link_header(0, 0));
    message.attr_str(IFLA_IFNAME, name);
    match socket.try_send(vec![message])? {
        Ok(()) => Ok(()),
        Err(refusal) if refusal.errno == Errno::NODEV => Ok(()),
        Err(refusal) => Err(Error::from(refusal).context(format!("remove interface {name}"))),
    }
}

/// The index of an interface in the socket's namespace.
pub fn index_of(socket: &mut Socket, name: &str) -> Result<u32> {
    links(socket)?
        .into_iter()
        .find(|link| link.name == name)
        .map(|link| link.index)
        .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("no interface {name}")))
}

/// A random, locally administered, unicast hardware address.
pub fn random_mac() -> Result<[u8; 6]> {
    let mut mac = [0u8; 6];
    rustix::rand::getrandom(&mut mac, rustix::rand::GetRandomFlags::empty())?;
    mac[0] = (mac[0] & 0xfe) | 0x02;
    Ok(mac)
}

/// struct ifinfomsg: family, pad, type, index, flags, changed flags.
fn link_header(index: u32, flags: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&flags.to_ne_bytes());
    header
}

fn up(index: u32) -> Message {
    Message::new(RTM_NEWLINK, NLM_F_ACK, &link_header(index, IFF_UP))
}

/// `existing`: what of one that is there already, NLM_F_REPLACE or NLM_F_EXCL.
fn address(index: u32, ip: IpAddr, length: u8, existing: u16) -> Message {
    let (family, flags) = match ip {
        IpAddr::V4(_) => (AF_INET, 0),
        IpAddr::V6(_) => (AF_INET6, IFA_F_NODAD),
    };
    // struct ifaddrmsg: family, prefix length, flags, scope, index
    let mut header = [family, length, flags, 0, 0, 0, 0, 0];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    let mut message = Message::new(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | existing, &header);
    match ip {
        IpAddr::V4(ip) => {
            let broadcast = Prefix::of(ip, length).last().to_be_bytes();
            message
                .attr(IFA_LOCAL, &ip.octets())
                .attr(IFA_ADDRESS, &ip.octets());
            if length < 31 {
                message.attr(IFA_BROADCAST, &broadcast[12..]);
            }
        }
        IpAddr::V6(ip) => {
            message
                .attr(IFA_LOCAL, &ip.octets())
                .attr(IFA_ADDRESS, &ip.octets());
        }
    }
    message
}

fn default_route(index: u32, gateway: IpAddr) -> Message {
    let family = if gateway.is_ipv4() { AF_INET } else { AF_INET6 };
    // struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
    let header = [
        family,
        0,
        0,
        0,
        RT_TABLE_MAIN,
        RTPROT_STATIC,
        0,
        RTN_UNICAST,
        0,
        0,
        0,
        0,
    ];
    let mut message = Message::new(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &header);
    match gateway {
        IpAddr::V4(gateway) => message.attr(RTA_GATEWAY, &gateway.octets()),
        IpAddr::V6(gateway) => message.attr(RTA_GATEWAY, &gateway.octets()),
    };
    message
        .attr_u32(RTA_OIF, index)
        .attr_u32(RTA_TABLE, u32::from(RT_TABLE_MAIN));
    message
}

fn u32_of(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_ne_bytes)
}
