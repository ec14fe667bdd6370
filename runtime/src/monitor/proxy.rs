//! The user-space side of published ports: what the packet filter does not translate arrives on
//! the reserved sockets (from the host's loopback, and over IPv6 for a container without it) and
//! is carried to the container here.
//!
//! One epoll of its own, nested in the monitor's; nothing blocks. A connection that nothing is
//! stuck in owns no buffer. Half-closes are passed on; a connection that cannot be made is reset.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::error::Result;
use crate::network::ReservedPort;
use crate::spec::Protocol;

/// A UDP flow without a packet for so long is forgotten.
const UDP_IDLE: Duration = Duration::from_secs(90);
const MAX_CONNECTIONS: usize = 4096;
const MAX_FLOWS: usize = 1024;
/// Read at once, and held at most per direction.
const CHUNK_BYTES: usize = 16 << 10;
/// Events handled in one go; the others wait for the next.
const EVENTS: usize = 32;
/// Rounds for one connection before the others get their turn.
const ROUNDS: usize = 8;
/// Listeners have the tokens below; then each connection or flow has two.
const FIRST_ID: u64 = 1 << 20;

/// Carries what arrives on reserved host ports to their container.
#[derive(Debug)]
pub struct Forwarder {
    epoll: OwnedFd,
    listeners: Vec<Listener>,
    connections: BTreeMap<u64, Connection>,
    flows: BTreeMap<u64, Flow>,
    next_id: u64,
    /// Out of descriptors: listeners are left alone until something ends.
    paused: bool,
}

#[derive(Debug)]
struct Listener {
    socket: Socket,
    target: SocketAddr,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Udp(UdpSocket),
    /// Only held, so that nobody else takes the port.
    Held(#[expect(dead_code, reason = "dropping it frees the port")] OwnedFd),
}

/// Two sockets and what is on its way between them.
#[derive(Debug)]
struct Connection {
    client: TcpStream,
    target: TcpStream,
    /// The target has not answered yet.
    connecting: bool,
    to_target: Half,
    to_client: Half,
    /// What epoll waits for, on the client's and the target's side; absent: not registered.
    interest: [Option<EventFlags>; 2],
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Half {
    /// Read, but not taken by the other side yet.
    pending: Vec<u8>,
    ended: bool,
    passed_end: bool,
}

#[derive(Debug)]
struct Flow {
    listener: usize,
    client: SocketAddr,
    socket: UdpSocket,
    last: Instant,
}

impl Forwarder {
    /// Takes the sockets over; the ports are free again when it is dropped.
    pub fn new(reserved: Vec<ReservedPort>) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut listeners = Vec::new();
        for port in reserved {
            let token = EventData::new_u64(listeners.len() as u64);
            let target = SocketAddr::new(port.target.0, port.target.1);
            if port.protocol != Protocol::Sctp {
                epoll::add(&epoll, &port.socket, token, EventFlags::IN)?;
            }
            let socket = match port.protocol {
                Protocol::Tcp => Socket::Tcp(port.socket.into()),
                Protocol::Udp => Socket::Udp(port.socket.into()),
                Protocol::Sctp => Socket::Held(port.socket),
            };
            listeners.push(Listener { socket, target });
        }
        Ok(Self {
            epoll,
            listeners,
            connections: BTreeMap::new(),
            flows: BTreeMap::new(),
            next_id: FIRST_ID,
            paused: false,
        })
    }

    /// Readable when [`Forwarder::ready`] has something to do.
    pub fn poll_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Handles what has happened; never blocks.
    pub fn ready(&mut self) {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS);
        let now = rustix::time::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        if epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut events),
            Some(&now),
        )
        .is_err()
        {
            return;
        }
        let mut scratch = vec![0; CHUNK_BYTES];
        for event in events {
            let token = event.data.u64();
            if token < FIRST_ID {
                self.listener_ready(usize::try_from(token).unwrap_or(usize::MAX), &mut scratch);
            } else if self.flows.contains_key(&(token / 2)) {
                self.flow_ready(token / 2);
            } else {
                self.connection_ready(token / 2, event.flags, &mut scratch);
            }
        }
    }

    /// When [`Forwarder::tick`] wants to be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.flows.values().map(|flow| flow.last + UDP_IDLE).min()
    }

    /// Forgets idle flows.
    pub fn tick(&mut self, now: Instant) {
        let before = self.flows.len();
        self.flows.retain(|_, flow| flow.last + UDP_IDLE > now);
        if self.flows.len() < before {
            self.resume();
        }
    }

    fn listener_ready(&mut self, index: usize, scratch: &mut [u8]) {
        let Some(listener) = self.listeners.get(index) else {
            return;
        };
        match &listener.socket {
            Socket::Tcp(_) => self.accept(index, scratch),
            Socket::Udp(_) => self.receive(index),
            Socket::Held(_) => {}
        }
    }

    fn accept(&mut self, index: usize, scratch: &mut [u8]) {
        for _ in 0..EVENTS {
            let Listener {
                socket: Socket::Tcp(listener),
                target,
            } = &self.listeners[index]
            else {
                return;
            };
            if self.connections.len() >= MAX_CONNECTIONS {
                self.pause();
                return;
            }
            let (client, target) = match listener.accept() {
                Ok((client, _)) => match connect(*target) {
                    Ok(target) => (client, target),
                    Err(Errno::MFILE | Errno::NFILE) => {
                        reset(&client);
                        self.pause();
                        return;
                    }
                    Err(_) => {
                        reset(&client);
                        continue;
                    }
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_out_of_descriptors(&error) => {
                    self.pause();
                    return;
                }
                // The client gave up before we came.
                Err(_) => continue,
            };
            if client.set_nonblocking(true).is_err() {
                continue;
            }
            for stream in [&client, &target] {
                // Only dead peers notice the difference.
                let _unsupported = sockopt::set_socket_keepalive(stream, true);
                let _unsupported = stream.set_nodelay(true);
            }
            let id = self.next_id;
            self.next_id += 1;
            let connection = Connection {
                client,
                target,
                connecting: true,
                to_target: Half::default(),
                to_client: Half::default(),
                interest: [None, None],
            };
            self.connections.insert(id, connection);
            self.settle(id, scratch);
        }
    }

    fn connection_ready(&mut self, id: u64, flags: EventFlags, scratch: &mut [u8]) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if connection.connecting {
            match sockopt::socket_error(&connection.target) {
                Ok(Ok(())) if flags.intersects(EventFlags::OUT) => connection.connecting = false,
                Ok(Ok(())) => {}
                _ => {
                    reset(&connection.client);
                    self.end(id);
                    return;
                }
            }
        }
        self.settle(id, scratch);
    }

    /// Moves what can be moved and waits for the rest.
    fn settle(&mut self, id: u64, scratch: &mut [u8]) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let going_on = connection.connecting || connection.pump(scratch);
        if !going_on || connection.update_interest(&self.epoll, id).is_err() {
            self.end(id);
        }
    }

    fn end(&mut self, id: u64) {
        // Closing the descriptors takes them out of epoll.
        self.connections.remove(&id);
        self.resume();
    }

    fn receive(&mut self, index: usize) {
        // A datagram can be larger than a chunk.
        let mut datagram = vec![0; 64 << 10];
        for _ in 0..EVENTS {
            let Listener {
                socket: Socket::Udp(socket),
                target,
            } = &self.listeners[index]
            else {
                return;
            };
            let (length, client) = match socket.recv_from(&mut datagram) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => continue,
            };
            let known = self
                .flows
                .iter()
                .find(|(_, flow)| flow.listener == index && flow.client == client);
            let id = match known {
                Some((id, _)) => *id,
                None => match self.new_flow(index, client, *target) {
                    Some(id) => id,
                    None => continue,
                },
            };
            if let Some(flow) = self.flows.get_mut(&id) {
                flow.last = Instant::now();
                // Datagrams may be lost; "connection refused" of an earlier one comes here too.
                let _lost = flow.socket.send(&datagram[..length]);
            }
        }
    }

    fn new_flow(&mut self, listener: usize, client: SocketAddr, target: SocketAddr) -> Option<u64> {
        if self.flows.len() >= MAX_FLOWS {
            let oldest = self
                .flows
                .iter()
                .min_by_key(|(_, flow)| flow.last)
                .map(|(id, _)| *id)?;
            self.flows.remove(&oldest);
        }
        let socket = open(target, SocketType::DGRAM).ok()?;
        rustix::net::connect(&socket, &target).ok()?;
        let id = self.next_id;
        self.next_id += 1;
        epoll::add(
            &self.epoll,
            &socket,
            EventData::new_u64(id * 2),
            EventFlags::IN,
        )
        .ok()?;
        let flow = Flow {
            listener,
            client,
            socket: socket.into(),
            last: Instant::now(),
        };
        self.flows.insert(id, flow);
        Some(id)
    }

    fn flow_ready(&mut self, id: u64) {
        let mut datagram = vec![0; 64 << 10];
        let Some(flow) = self.flows.get_mut(&id) else {
            return;
        };
        let Some(Listener {
            socket: Socket::Udp(listener),
            ..
        }) = self.listeners.get(flow.listener)
        else {
            return;
        };
        for _ in 0..EVENTS {
            match flow.socket.recv(&mut datagram) {
                Ok(length) => {
                    flow.last = Instant::now();
                    let _lost = listener.send_to(&datagram[..length], flow.client);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Nobody listens in the container: the client hears nothing, as with real UDP
                // through a translator.
                Err(_) => {}
            }
        }
    }

    fn pause(&mut self) {
        self.paused = true;
        self.listen_for(EventFlags::empty());
    }

    fn resume(&mut self) {
        if self.paused {
            self.paused = false;
            self.listen_for(EventFlags::IN);
        }
    }

    fn listen_for(&self, flags: EventFlags) {
        for (listener, token) in self.listeners.iter().zip(0..) {
            if let Socket::Tcp(socket) = &listener.socket {
                // It was added in `new`; a change of flags cannot fail.
                let _changed = epoll::modify(&self.epoll, socket, EventData::new_u64(token), flags);
            }
        }
    }
}

impl Connection {
    /// Moves bytes both ways as far as it goes; false when the connection is over.
    fn pump(&mut self, scratch: &mut [u8]) -> bool {
        let moved = self
            .to_target
            .pump(&self.client, &self.target, scratch)
            .and_then(|()| self.to_client.pump(&self.target, &self.client, scratch));
        match moved {
            Ok(()) => !(self.to_target.passed_end && self.to_client.passed_end),
            Err(_) => {
                reset(&self.client);
                reset(&self.target);
                false
            }
        }
    }

    fn update_interest(&mut self, epoll: &OwnedFd, id: u64) -> rustix::io::Result<()> {
        let wanted = if self.connecting {
            [EventFlags::empty(), EventFlags::OUT]
        } else {
            [
                interest(&self.to_target, &self.to_client),
                interest(&self.to_client, &self.to_target),
            ]
        };
        let streams = [&self.client, &self.target];
        for ((stream, wanted), (current, token)) in streams
            .into_iter()
            .zip(wanted)
            .zip(self.interest.iter_mut().zip(id * 2..))
        {
            let data = EventData::new_u64(token);
            // A side that is waited for in no way would still report a hang-up, for ever.
            let wanted = (!wanted.is_empty()).then_some(wanted);
            match (*current, wanted) {
                (None, Some(flags)) => epoll::add(epoll, stream, data, flags)?,
                (Some(_), None) => epoll::delete(epoll, stream)?,
                (Some(old), Some(flags)) if old != flags => {
                    epoll::modify(epoll, stream, data, flags)?;
                }
                _ => {}
            }
            *current = wanted;
        }
        Ok(())
    }
}

/// What to wait for on a socket that `reads` reads from and `writes` writes to.
fn interest(reads: &Half, writes: &Half) -> EventFlags {
    let mut flags = EventFlags::empty();
    if !reads.ended && reads.pending.is_empty() {
        flags |= EventFlags::IN;
    }
    if !writes.pending.is_empty() {
        flags |= EventFlags::OUT;
    }
    flags
}

impl Half {
    fn pump(
        &mut self,
        mut from: &TcpStream,
        mut to: &TcpStream,
        scratch: &mut [u8],
    ) -> io::Result<()> {
        for _ in 0..ROUNDS {
            while !self.pending.is_empty() {
                match to.write(&self.pending) {
                    Ok(length) => drop(self.pending.drain(..length)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            self.pending = Vec::new();
            if self.ended {
                break;
            }
            match from.read(scratch) {
                Ok(0) => self.ended = true,
                Ok(length) => {
                    let written = match to.write(&scratch[..length]) {
                        Ok(written) => written,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                        Err(error) => return Err(error),
                    };
                    self.pending.extend_from_slice(&scratch[written..length]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.ended && self.pending.is_empty() && !self.passed_end {
            self.passed_end = true;
            // Fails only when the other side is gone altogether; its own direction says so.
            let _gone = to.shutdown(Shutdown::Write);
        }
        Ok(())
    }
}

fn open(target: SocketAddr, kind: SocketType) -> rustix::io::Result<OwnedFd> {
    let family = if target.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    rustix::net::socket_with(
        family,
        kind,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )
}

fn connect(target: SocketAddr) -> rustix::io::Result<TcpStream> {
    let socket = open(target, SocketType::STREAM)?;
    match rustix::net::connect(&socket, &target) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket.into()),
        Err(errno) => Err(errno),
    }
}

/// Closing it will then tell the peer "reset", as a closed port would.
fn reset(stream: &TcpStream) {
    let _gone = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}

/// Whether the kernel has nothing left for a new connection.
pub(super) fn is_out_of_descriptors(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::state::PublishedPort;

    /// Runs the forwarder until `done`, or fails after five seconds.
    fn run(forwarder: &mut Forwarder, mut done: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(5);
        while !done() {
            assert!(Instant::now() < end, "nothing happened");
            let wait = rustix::time::Timespec {
                tv_sec: 0,
                tv_nsec: 20_000_000,
            };
            let mut fds = [rustix::event::PollFd::from_borrowed_fd(
                forwarder.poll_fd(),
                rustix::event::PollFlags::IN,
            )];
            let _ready = rustix::event::poll(&mut fds, Some(&wait));
            forwarder.ready();
        }
    }

    fn reserved(socket: OwnedFd, target: SocketAddr, protocol: Protocol) -> ReservedPort {
        ReservedPort {
            port: PublishedPort {
                host_ip: [127, 0, 0, 1].into(),
                host_port: 0,
                container_port: target.port(),
                protocol,
            },
            socket,
            target: (target.ip(), target.port()),
            protocol,
        }
    }

    fn listening(target: SocketAddr) -> (Forwarder, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let forwarder =
            Forwarder::new(vec![reserved(listener.into(), target, Protocol::Tcp)]).unwrap();
        (forwarder, address)
    }

    #[test]
    fn bytes_and_half_closes_go_both_ways() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut forwarder, address) = listening(server.local_addr().unwrap());
        // More than all the buffers on the way hold together.
        let sent: Vec<u8> = (0..8u32 << 20)
            .map(|number| number.to_le_bytes()[1])
            .collect();
        let expected = sent.len();
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            stream.write_all(&all).unwrap();
        });
        let asking = std::thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(&sent).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            assert!(all == sent);
            all.len()
        });
        run(&mut forwarder, || asking.is_finished());
        assert_eq!(asking.join().unwrap(), expected);
        answering.join().unwrap();
        forwarder.ready();
        assert!(forwarder.connections.is_empty());
    }

    #[test]
    fn a_closed_port_of_the_container_resets_the_client() {
        let nobody = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let (mut forwarder, address) = listening(nobody);
        let asking = std::thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.read(&mut [0; 1]).unwrap_err().kind()
        });
        run(&mut forwarder, || asking.is_finished());
        assert_eq!(asking.join().unwrap(), io::ErrorKind::ConnectionReset);
        assert!(forwarder.connections.is_empty());
    }

    #[test]
    fn datagrams_find_their_way_back_and_flows_end() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let target = server.local_addr().unwrap();
        let mut forwarder =
            Forwarder::new(vec![reserved(listener.into(), target, Protocol::Udp)]).unwrap();
        let answering = std::thread::spawn(move || {
            let mut buffer = [0; 10];
            let (length, from) = server.recv_from(&mut buffer).unwrap();
            server.send_to(&buffer[..length], from).unwrap();
        });
        let asking = std::thread::spawn(move || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect(address).unwrap();
            socket.send(b"ping").unwrap();
            let mut buffer = [0; 10];
            let length = socket.recv(&mut buffer).unwrap();
            buffer[..length].to_vec()
        });
        run(&mut forwarder, || asking.is_finished());
        assert_eq!(asking.join().unwrap(), b"ping");
        answering.join().unwrap();
        let deadline = forwarder.deadline().unwrap();
        forwarder.tick(deadline);
        assert_eq!(forwarder.deadline(), None);
    }
}
