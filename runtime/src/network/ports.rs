//! Host ports: taking them, and telling who has them when they are taken.
//!
//! A published port is a real socket that stays bound (and listening, for TCP) as long as it is
//! published: no other program can take it, and what the packet filter does not translate
//! (loopback, and IPv6 for a container without it) arrives there, for the monitor's forwarder.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use super::ReservedPort;
use crate::container::state::PublishedPort;
use crate::error::{Error, ErrorKind, Result};
use crate::spec::{PortBinding, Protocol};

/// Connections that may wait before the forwarder takes them.
const BACKLOG: i32 = 1024;
/// How often another automatic port is tried.
const TRIES: usize = 10;

/// Where the container listens.
#[derive(Debug, Clone, Copy, Default)]
pub struct Target {
    pub ipv4: Option<Ipv4Addr>,
    pub ipv6: Option<Ipv6Addr>,
}

/// Takes the host ports of all bindings, or none. `taken` are those of our other containers.
pub fn reserve(
    bindings: &[PortBinding],
    taken: &[PublishedPort],
    target: Target,
) -> Result<Vec<ReservedPort>> {
    let mut taken = taken.to_vec();
    let mut reserved: Vec<ReservedPort> = Vec::new();
    for binding in bindings {
        let sockets = reserve_binding(binding, &taken)?;
        for (host_ip, host_port, socket) in sockets {
            let port = PublishedPort {
                host_ip,
                host_port,
                container_port: binding.container_port,
                protocol: binding.protocol,
            };
            taken.push(port.clone());
            let Some(address) = target.for_family(host_ip) else {
                continue;
            };
            reserved.push(ReservedPort {
                port,
                socket,
                target: (address, binding.container_port),
                protocol: binding.protocol,
            });
        }
    }
    Ok(reserved)
}

impl Target {
    /// The address of the same family; the forwarder can also go from one to the other.
    fn for_family(self, host_ip: IpAddr) -> Option<IpAddr> {
        let (ipv4, ipv6) = (self.ipv4.map(IpAddr::V4), self.ipv6.map(IpAddr::V6));
        if host_ip.is_ipv4() {
            ipv4.or(ipv6)
        } else {
            ipv6.or(ipv4)
        }
    }
}

/// Why a host port can't be had at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// A socket has it; whose, if /proc tells.
    Held(Option<Holder>),
    /// No interface of this host has the address.
    NoSuchAddress,
    /// In the kernel's words: missing rights, an unknown protocol.
    Refused(String),
}

/// A process that has a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub program: String,
    pub pid: u32,
}

/// What stands in the way of a host port now, and at which address; nothing is kept. The kernel is
/// asked by binding, for a moment and without listening: nothing else knows all its rules.
pub fn obstacle(
    address: Option<IpAddr>,
    port: u16,
    protocol: Protocol,
) -> Option<(IpAddr, Obstacle)> {
    let addresses = addresses(address);
    addresses.iter().find_map(|&one| {
        let why = match bind(one, port, protocol) {
            Ok(_released) => return None,
            Err(errno) if is_without_ipv6(one, errno) && addresses.len() > 1 => return None,
            Err(Errno::ADDRINUSE) => Obstacle::Held(holder(one, port, protocol)),
            Err(Errno::ADDRNOTAVAIL) => Obstacle::NoSuchAddress,
            Err(errno) => Obstacle::Refused(Error::from(errno).to_string()),
        };
        Some((one, why))
    })
}

/// No address stands for every address of both families.
pub fn addresses(address: Option<IpAddr>) -> Vec<IpAddr> {
    match address {
        Some(address) => vec![address],
        None => vec![
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        ],
    }
}

/// Asked for "every address" on a host without IPv6.
fn is_without_ipv6(address: IpAddr, errno: Errno) -> bool {
    address == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        && matches!(errno, Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)
}

type Taken = Vec<(IpAddr, u16, OwnedFd)>;

fn reserve_binding(binding: &PortBinding, taken: &[PublishedPort]) -> Result<Taken> {
    let addresses = addresses(binding.host_ip);
    let mut refusal = None;
    let candidates: Box<dyn Iterator<Item = u16>> = match &binding.host_ports {
        Some(range) => Box::new(range.clone()),
        // 0: the kernel chooses from ip_local_port_range.
        None => Box::new(std::iter::repeat_n(0, TRIES)),
    };
    for port in candidates {
        match reserve_port(&addresses, port, binding.protocol, taken) {
            Ok(sockets) => return Ok(sockets),
            // Another port of the range may do; not so for a missing address or missing rights.
            Err(error) if error.kind() == ErrorKind::InUse => refusal = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(refusal.unwrap_or_else(|| Error::new(ErrorKind::Invalid, "an empty range of host ports")))
}

/// The same port on every address.
fn reserve_port(
    addresses: &[IpAddr],
    mut port: u16,
    protocol: Protocol,
    taken: &[PublishedPort],
) -> Result<Taken> {
    let mut sockets: Taken = Vec::new();
    for &address in addresses {
        if taken
            .iter()
            .any(|other| conflicts(other, address, port, protocol))
        {
            return Err(Error::new(
                ErrorKind::InUse,
                format!(
                    "Bind for {} failed: port is already allocated",
                    SocketAddr::new(address, port)
                ),
            ));
        }
        match bind_and_listen(address, port, protocol) {
            Ok(socket) => {
                if port == 0 {
                    port = local_port(&socket)?;
                }
                sockets.push((address, port, socket));
            }
            Err(errno) if is_without_ipv6(address, errno) && addresses.len() > 1 => {}
            Err(errno) => return Err(refused(address, port, protocol, errno)),
        }
    }
    Ok(sockets)
}

/// 0.0.0.0 stands for every IPv4 address, and :: for every IPv6 address.
pub fn conflicts(other: &PublishedPort, address: IpAddr, port: u16, protocol: Protocol) -> bool {
    other.protocol == protocol
        && other.host_port == port
        && other.host_ip.is_ipv4() == address.is_ipv4()
        && (other.host_ip == address || other.host_ip.is_unspecified() || address.is_unspecified())
}

fn bind_and_listen(address: IpAddr, port: u16, protocol: Protocol) -> rustix::io::Result<OwnedFd> {
    let socket = bind(address, port, protocol)?;
    if protocol != Protocol::Udp {
        rustix::net::listen(&socket, BACKLOG)?;
    }
    Ok(socket)
}

fn bind(address: IpAddr, port: u16, protocol: Protocol) -> rustix::io::Result<OwnedFd> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let (kind, number) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        Protocol::Sctp => (SocketType::STREAM, ipproto::SCTP),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, kind, flags, Some(number))?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if protocol == Protocol::Tcp {
        // Connections of the last run may still be in TIME_WAIT.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    rustix::net::bind(&socket, &SocketAddr::new(address, port))?;
    Ok(socket)
}

/// The port that a socket is bound to.
pub fn local_port(socket: &OwnedFd) -> Result<u16> {
    let address = SocketAddr::try_from(rustix::net::getsockname(socket)?)?;
    Ok(address.port())
}

fn refused(address: IpAddr, port: u16, protocol: Protocol, errno: Errno) -> Error {
    let what = format!(
        "failed to bind host port {}/{}",
        SocketAddr::new(address, port),
        protocol.as_str()
    );
    match errno {
        Errno::ADDRINUSE => {
            let holder = match holder(address, port, protocol) {
                Some(Holder { program, pid }) => format!(" (by {program}, pid {pid})"),
                None => String::new(),
            };
            Error::new(
                ErrorKind::InUse,
                format!("{what}: address already in use{holder}"),
            )
        }
        Errno::ADDRNOTAVAIL => Error::new(
            ErrorKind::Invalid,
            format!("{what}: cannot assign requested address"),
        ),
        errno => Error::from(errno).context(what),
    }
}

/// The program that has a port of this namespace, if /proc tells.
fn holder(address: IpAddr, port: u16, protocol: Protocol) -> Option<Holder> {
    let inodes: Vec<String> = ["", "6"]
        .iter()
        .filter_map(|family| {
            let file = format!("/proc/thread-self/net/{}{family}", protocol.as_str());
            std::fs::read_to_string(file).ok()
        })
        .flat_map(|table| socket_inodes(&table, address, port, protocol))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let Ok(descriptors) = std::fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        for descriptor in descriptors.flatten() {
            let Ok(target) = std::fs::read_link(descriptor.path()) else {
                continue;
            };
            if inodes
                .iter()
                .any(|inode| target.as_os_str() == inode.as_str())
            {
                let name = std::fs::read_to_string(process.path().join("comm")).ok()?;
                return Some(Holder {
                    program: name.trim().to_owned(),
                    pid,
                });
            }
        }
    }
    None
}

/// Inodes of the sockets that stand in the way of a port, from the text of /proc/net/tcp and its
/// like.
fn socket_inodes(table: &str, address: IpAddr, port: u16, protocol: Protocol) -> Vec<String> {
    let listening = match protocol {
        Protocol::Tcp | Protocol::Sctp => "0A",
        Protocol::Udp => "07",
    };
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let (local, local_port) = fields.get(1)?.rsplit_once(':')?;
            let bound = local_address(local)?;
            // [::] may stand for IPv4 too, whatever the table says.
            let meets = bound == address
                || (bound.is_unspecified() && (bound.is_ipv6() || address.is_ipv4()))
                || (address.is_unspecified() && address.is_ipv4() == bound.is_ipv4());
            let matches = meets
                && u16::from_str_radix(local_port, 16) == Ok(port)
                && fields.get(3) == Some(&listening);
            matches.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
        })
        .collect()
}

/// `0100007F`: words in the machine's own order, each as a hexadecimal number.
fn local_address(text: &str) -> Option<IpAddr> {
    let mut bytes = Vec::new();
    for word in text.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(bytes) => Some(IpAddr::from(bytes)),
        Err(_) => Some(IpAddr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(port: Option<(u16, u16)>) -> PortBinding {
        PortBinding {
            container_port: 80,
            protocol: Protocol::Tcp,
            host_ip: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            host_ports: port.map(|(first, last)| first..=last),
        }
    }

    const TARGET: Target = Target {
        ipv4: Some(Ipv4Addr::new(172, 18, 0, 2)),
        ipv6: None,
    };

    #[test]
    fn an_automatic_port_is_a_real_one() {
        let reserved = reserve(&[binding(None)], &[], TARGET).unwrap();
        assert_eq!(reserved.len(), 1);
        assert_ne!(reserved[0].port.host_port, 0);
        assert_eq!(
            local_port(&reserved[0].socket).unwrap(),
            reserved[0].port.host_port
        );
    }

    #[test]
    fn a_port_of_another_program_is_told_with_its_holder() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = other.local_addr().unwrap().port();
        let error = reserve(&[binding(Some((port, port)))], &[], TARGET).unwrap_err();
        let wanted =
            format!("failed to bind host port 127.0.0.1:{port}/tcp: address already in use (by ");
        assert!(error.to_string().starts_with(&wanted), "{error}");
        assert!(
            error
                .to_string()
                .contains(&format!("pid {}", std::process::id())),
            "{error}"
        );
    }

    #[test]
    fn an_obstacle_names_the_program_and_takes_nothing() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = other.local_addr().unwrap().port();
        let (address, why) = obstacle(None, port, Protocol::Tcp).unwrap();
        assert_eq!(address, IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let Obstacle::Held(Some(holder)) = why else {
            panic!("{why:?}");
        };
        assert_eq!(holder.pid, std::process::id());
        drop(other);
        assert_eq!(obstacle(None, port, Protocol::Tcp), None);
        assert_eq!(obstacle(None, port, Protocol::Tcp), None);
        let documentation = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
        let (_, why) = obstacle(documentation, port, Protocol::Tcp).unwrap();
        assert_eq!(why, Obstacle::NoSuchAddress);
    }

    #[test]
    fn addresses_are_read_from_the_kernels_tables() {
        let loopback = u32::from_ne_bytes([127, 0, 0, 1]);
        let read = local_address(&format!("{loopback:08X}"));
        assert_eq!(read, Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        let read = local_address(&"0".repeat(32));
        assert_eq!(read, Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
        assert_eq!(local_address("zz"), None);
    }

    #[test]
    fn a_port_of_our_own_has_dockers_words() {
        let taken = [PublishedPort {
            host_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            host_port: 8080,
            container_port: 80,
            protocol: Protocol::Tcp,
        }];
        let error = reserve(&[binding(Some((8080, 8080)))], &taken, TARGET).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Bind for 127.0.0.1:8080 failed: port is already allocated"
        );
    }

    #[test]
    fn a_range_goes_on_to_the_next_port() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = other.local_addr().unwrap().port();
        if port < u16::MAX - 20 {
            let reserved = reserve(&[binding(Some((port, port + 20)))], &[], TARGET).unwrap();
            assert!(reserved[0].port.host_port > port);
        }
    }
}
