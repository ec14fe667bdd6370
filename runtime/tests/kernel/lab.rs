//! A network laboratory: a private namespace that plays the host, others that play containers
//! and the world outside, and a small keeper for each container as its monitor would be.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ketch_runtime::container::record::{Record, Stop};
use ketch_runtime::container::state::{Endpoint, PublishedPort};
use ketch_runtime::content::digest::Digest;
use ketch_runtime::engine::Engine;
use ketch_runtime::error::{Error, Result};
use ketch_runtime::monitor::{dns::Resolver, proxy::Forwarder};
use ketch_runtime::network::bridge::{self, Cable, Inside};
use ketch_runtime::network::{self, Attachment, Network, Subnet};
use ketch_runtime::spec::{
    ContainerSpec, EndpointSpec, NetworkMode, NetworkSpec, PortBinding, Protocol,
};
use ketch_runtime::store::Roots;
use ketch_runtime::store::id::Id;
use ketch_runtime::sys::namespace;
use ketch_runtime::sys::netlink::Socket;
use rustix::event::{PollFd, PollFlags, poll};

/// The host's address towards the world, and that of somebody out there.
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(crate) const OUTSIDER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// The namespace that plays the host.
pub(crate) struct Lab {
    pub(crate) engine: Engine,
    _directory: tempfile::TempDir,
}

/// Runs a test in a laboratory of its own; what it made goes with its namespaces.
pub(crate) fn run(test: impl FnOnce(&Lab) + Send + 'static) {
    // A thread of its own, because it leaves the host's namespace for good.
    let thread = std::thread::spawn(|| {
        namespace::unshare(namespace::NEWNET).expect("kernel tests need root");
        bridge::set_up_inside(&mut Socket::route().unwrap(), &[]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let roots = Roots::new(directory.path().join("data"), directory.path().join("run"));
        test(&Lab {
            engine: Engine::open(roots).unwrap(),
            _directory: directory,
        });
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// A new, empty network namespace.
pub(crate) fn new_namespace() -> OwnedFd {
    let make = || {
        namespace::unshare(namespace::NEWNET).unwrap();
        namespace::open_own("net").unwrap()
    };
    std::thread::spawn(make).join().unwrap()
}

/// Does something inside a namespace.
pub(crate) fn inside<T>(netns: &OwnedFd, work: impl FnOnce() -> T) -> T {
    network::inside(netns.as_fd(), || Ok(work())).unwrap()
}

impl Lab {
    pub(crate) fn roots(&self) -> &Roots {
        self.engine.roots()
    }

    pub(crate) fn network(&self, name: &str) -> Network {
        let spec = NetworkSpec {
            name: name.into(),
            ..NetworkSpec::default()
        };
        self.engine.create_network(&spec).unwrap()
    }

    /// Joins a container to networks (`name` or `name=alias`).
    pub(crate) fn attach(&self, name: &str, networks: &[&str], ports: &[PortBinding]) -> Keeper {
        self.try_attach(name, networks, ports).unwrap()
    }

    pub(crate) fn try_attach(
        &self,
        name: &str,
        networks: &[&str],
        ports: &[PortBinding],
    ) -> Result<Keeper> {
        self.attach_record(record(name, networks, ports))
    }

    /// Joins a container whose record a test has changed.
    pub(crate) fn attach_record(&self, record: Record) -> Result<Keeper> {
        std::fs::create_dir_all(self.roots().names()).unwrap();
        std::fs::write(self.roots().names().join(&record.name), record.id.as_str()).unwrap();
        let netns = new_namespace();
        let attachment = network::attach(self.roots(), &record, netns.as_fd())?;
        let mut keeper = Keeper {
            roots: self.roots().clone(),
            record,
            netns,
            endpoints: attachment.endpoints.clone(),
            ports: attachment.ports.clone(),
            stop: Arc::new(AtomicBool::new(false)),
            thread: None,
        };
        keeper.keep(attachment);
        Ok(keeper)
    }

    /// Somebody outside, who knows the host's address and sends everything to it.
    pub(crate) fn outsider(&self) -> OwnedFd {
        let netns = new_namespace();
        let subnet = Subnet {
            network: Ipv4Addr::new(192, 0, 2, 0),
            prefix_len: 24,
            gateway: HOST,
        };
        let uplink = Network {
            id: Id::random().unwrap(),
            created: jiff::Timestamp::now(),
            spec: NetworkSpec::default(),
            bridge: "uplink".into(),
            ipv4: Some(subnet),
            ipv6: None,
        };
        let mut socket = Socket::route().unwrap();
        bridge::create(&mut socket, &uplink, 1500, "uplink").unwrap();
        let cable = Cable {
            host_name: "uplink-0",
            container_name: "eth0",
            container_mac: bridge::random_mac().unwrap(),
            mtu: 1500,
            bridge: bridge::index_of(&mut socket, "uplink").unwrap(),
            hairpin: false,
        };
        bridge::create_cable(&mut socket, netns.as_fd(), &cable).unwrap();
        let end = Inside {
            interface: "eth0",
            ipv4: Some((OUTSIDER, 24)),
            ipv6: None,
            ipv4_default: Some(HOST),
            ipv6_default: None,
        };
        inside(&netns, || {
            bridge::set_up_inside(&mut Socket::route().unwrap(), &[end]).unwrap();
        });
        netns
    }

    /// Names of the host's interfaces.
    pub(crate) fn links(&self) -> Vec<String> {
        let links = bridge::links(&mut Socket::route().unwrap()).unwrap();
        links.into_iter().map(|link| link.name).collect()
    }
}

/// A container as far as networks go: its namespace, its resolver, its forwarder.
pub(crate) struct Keeper {
    roots: Roots,
    pub(crate) record: Record,
    pub(crate) netns: OwnedFd,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) ports: Vec<PublishedPort>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Keeper {
    pub(crate) fn address(&self) -> IpAddr {
        IpAddr::V4(self.endpoints[0].ipv4.unwrap().0)
    }

    /// A server inside that answers each connection with the address it came from.
    pub(crate) fn serve_tcp(&self, port: u16) {
        let listener = inside(&self.netns, || {
            TcpListener::bind(("0.0.0.0", port)).unwrap()
        });
        std::thread::spawn(move || {
            while let Ok((mut stream, peer)) = listener.accept() {
                let _gone = stream.write_all(peer.ip().to_string().as_bytes());
            }
        });
    }

    /// The same for datagrams.
    pub(crate) fn serve_udp(&self, port: u16) {
        let socket = inside(&self.netns, || UdpSocket::bind(("0.0.0.0", port)).unwrap());
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
                let _gone = socket.send_to(peer.ip().to_string().as_bytes(), peer);
            }
        });
    }

    /// Leaves its networks, as at its stop.
    pub(crate) fn detach(mut self) -> Vec<Error> {
        self.stop_keeping();
        network::detach(&self.roots, &self.record, &self.endpoints)
    }

    /// Its monitor dies and another one takes over.
    pub(crate) fn adopt(&mut self, ports: &[PublishedPort]) {
        self.stop_keeping();
        let attachment = network::adopt(
            &self.roots,
            &self.record,
            self.netns.as_fd(),
            &self.endpoints,
            ports,
        )
        .unwrap();
        self.keep(attachment);
    }

    fn keep(&mut self, attachment: Attachment) {
        let resolver = attachment
            .dns
            .map(|dns| Resolver::new(&self.roots, &self.record, dns, &self.endpoints).unwrap());
        let forwarder = Forwarder::new(attachment.reserved).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        self.stop = stop.clone();
        self.thread = Some(std::thread::spawn(move || keep(resolver, forwarder, &stop)));
    }

    fn stop_keeping(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop_keeping();
    }
}

fn keep(mut resolver: Option<Resolver>, mut forwarder: Forwarder, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let mut fds = vec![PollFd::from_borrowed_fd(forwarder.poll_fd(), PollFlags::IN)];
        if let Some(resolver) = &resolver {
            fds.push(PollFd::from_borrowed_fd(resolver.poll_fd(), PollFlags::IN));
        }
        let wait = rustix::time::Timespec {
            tv_sec: 0,
            tv_nsec: 20_000_000,
        };
        let _ready = poll(&mut fds, Some(&wait));
        forwarder.ready();
        if let Some(resolver) = &mut resolver {
            resolver.ready();
            resolver.tick(Instant::now());
        }
    }
}

/// A container that asks for nothing but its networks and ports.
pub(crate) fn record(name: &str, networks: &[&str], ports: &[PortBinding]) -> Record {
    let id = Id::random().unwrap();
    let endpoints = networks
        .iter()
        .map(|text| {
            let (network, alias) = text.split_once('=').unwrap_or((text, ""));
            EndpointSpec {
                network: network.into(),
                aliases: (!alias.is_empty())
                    .then(|| alias.to_owned())
                    .into_iter()
                    .collect(),
                ..EndpointSpec::default()
            }
        })
        .collect();
    Record {
        name: name.into(),
        created: jiff::Timestamp::now(),
        image_id: Digest::try_from(format!("sha256:{}", "0".repeat(64))).unwrap(),
        layers: Vec::new(),
        process: ketch_runtime::container::record::Process::default(),
        hostname: id.short().into(),
        mounts: Vec::new(),
        health: None,
        stop: Stop {
            signal: 15,
            signal_configured: false,
            grace: None,
        },
        exposed: Vec::new(),
        spec: ContainerSpec {
            name: name.into(),
            network: NetworkMode::Networks(endpoints),
            ports: ports.to_vec(),
            ..ContainerSpec::default()
        },
        id,
    }
}

/// `[ip:]host:container`, 0 for any host port.
pub(crate) fn publish(
    host_ip: Option<&str>,
    host_port: u16,
    container_port: u16,
    protocol: Protocol,
) -> PortBinding {
    PortBinding {
        container_port,
        protocol,
        host_ip: host_ip.map(|ip| ip.parse().unwrap()),
        host_ports: (host_port != 0).then_some(host_port..=host_port),
    }
}

/// What a server says to who connects from here; `None` when there is no way.
pub(crate) fn ask_tcp(address: impl Into<IpAddr>, port: u16) -> Option<String> {
    let address = SocketAddr::new(address.into(), port);
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(800)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

/// The same by datagram.
pub(crate) fn ask_udp(address: impl Into<IpAddr>, port: u16) -> Option<String> {
    let address = SocketAddr::new(address.into(), port);
    let any: IpAddr = if address.is_ipv4() {
        [0, 0, 0, 0].into()
    } else {
        [0u16; 8].into()
    };
    let socket = UdpSocket::bind((any, 0)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(800)))
        .unwrap();
    socket.connect(address).ok()?;
    socket.send(b"?").ok()?;
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).ok()?;
    String::from_utf8(buffer[..length].to_vec()).ok()
}
