//! The resolver at 127.0.0.11: answers for the names of the container's networks, and asks
//! servers outside about the others.
//!
//! Its sockets lie inside the container's namespace, itself does not: the host's servers are
//! asked from the host's namespace (a stub on the host's loopback works), the user's own from
//! the container's. Each question outside has a socket of its own, connected, with the
//! kernel's random port and a random number, and only an answer with that number and that
//! question counts. Names are read again when a presence changed. One epoll of its own, nested
//! in the monitor's; nothing blocks.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::proxy::is_out_of_descriptors;
use super::stdio;
use crate::container::record::Record;
use crate::container::state::Endpoint;
use crate::error::Result;
use crate::network::answer::{self, Decision, Terms};
use crate::network::host::{self, Watched};
use crate::network::names::NameTable;
use crate::network::presence::{self, Presence};
use crate::network::resolv::{Upstream, Upstreams};
use crate::network::{self, DnsSockets};
use crate::spec::{DnsSpec, NetworkMode};
use crate::store::Roots;

/// How long one server is waited for.
const SERVER_TIMEOUT: Duration = Duration::from_secs(4);
/// A TCP client that says nothing for so long is disconnected.
const CLIENT_IDLE: Duration = Duration::from_secs(15);
const MAX_OUTSTANDING: usize = 1024;
const MAX_CLIENTS: usize = 64;
/// Answers that a client over TCP has not taken yet.
const MAX_UNREAD_BYTES: usize = 256 << 10;
const EVENTS: usize = 32;
const MESSAGE_BYTES: usize = 64 << 10;

const UDP_TOKEN: u64 = 0;
const TCP_TOKEN: u64 = 1;
const FIRST_ID: u64 = 2;

/// Answers the questions of one container.
#[derive(Debug)]
pub struct Resolver {
    epoll: OwnedFd,
    udp: UdpSocket,
    tcp: TcpListener,
    /// Let go for a client when all descriptors are used up.
    spare: Option<OwnedFd>,
    netns: OwnedFd,
    internal_only: bool,
    names: Names,
    servers: Servers,
    clients: BTreeMap<u64, Client>,
    questions: BTreeMap<u64, Question>,
    next_id: u64,
}

/// The name table, and where it comes from.
#[derive(Debug)]
struct Names {
    roots: Roots,
    networks: Vec<Joined>,
    links: Vec<(String, String)>,
    table: NameTable,
}

#[derive(Debug)]
struct Joined {
    id: String,
    name: String,
    watched: Watched,
    presences: Vec<Presence>,
}

/// Whom to ask outside; the host's file is read again when it changed.
#[derive(Debug)]
struct Servers {
    spec: DnsSpec,
    watched: Watched,
    upstreams: Upstreams,
}

/// A client that came over TCP.
#[derive(Debug)]
struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// It will send no more; it may still wait for answers.
    ended: bool,
    writing: bool,
    last: Instant,
}

/// Who asked, and so where the answer goes.
#[derive(Debug, Clone, Copy)]
enum Asker {
    Udp(SocketAddr),
    Tcp(u64),
}

/// A question that a server outside is working on.
#[derive(Debug)]
struct Question {
    asker: Asker,
    request: Vec<u8>,
    /// Its number outside.
    number: u16,
    /// Servers that have not been asked yet.
    further: Vec<Upstream>,
    channel: Channel,
    deadline: Instant,
}

#[derive(Debug)]
enum Channel {
    Udp(UdpSocket),
    Tcp {
        stream: TcpStream,
        output: Vec<u8>,
        input: Vec<u8>,
    },
}

impl Resolver {
    /// Takes over the sockets of an attachment with these endpoints.
    pub fn new(
        roots: &Roots,
        record: &Record,
        sockets: DnsSockets,
        endpoints: &[Endpoint],
    ) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(
            &epoll,
            &sockets.udp,
            EventData::new_u64(UDP_TOKEN),
            EventFlags::IN,
        )?;
        epoll::add(
            &epoll,
            &sockets.tcp,
            EventData::new_u64(TCP_TOKEN),
            EventFlags::IN,
        )?;
        let links = match &record.spec.network {
            NetworkMode::Networks(specs) => {
                specs.iter().flat_map(|spec| spec.links.clone()).collect()
            }
            NetworkMode::None | NetworkMode::Host | NetworkMode::Container(_) => Vec::new(),
        };
        let networks = endpoints
            .iter()
            .map(|endpoint| Joined {
                id: endpoint.network_id.clone(),
                name: endpoint.network.clone(),
                watched: Watched::default(),
                presences: Vec::new(),
            })
            .collect();
        Ok(Self {
            epoll,
            udp: sockets.udp.into(),
            tcp: sockets.tcp.into(),
            netns: sockets.netns,
            internal_only: sockets.internal_only,
            spare: Some(stdio::null()?),
            names: Names {
                roots: roots.clone(),
                networks,
                links,
                table: NameTable::default(),
            },
            servers: Servers {
                spec: record.spec.dns.clone(),
                watched: Watched::default(),
                upstreams: Upstreams::default(),
            },
            clients: BTreeMap::new(),
            questions: BTreeMap::new(),
            next_id: FIRST_ID,
        })
    }

    /// Readable when [`Resolver::ready`] has something to do.
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
        // Kept only while there is work: an idle monitor holds no buffer.
        let mut buffer = vec![0; MESSAGE_BYTES];
        for event in events {
            match event.data.u64() {
                UDP_TOKEN => self.receive(&mut buffer),
                TCP_TOKEN => self.accept(),
                id if self.clients.contains_key(&id) => self.client_ready(id, &mut buffer),
                id => self.question_ready(id, &mut buffer),
            }
        }
    }

    /// When [`Resolver::tick`] wants to be called.
    pub fn deadline(&self) -> Option<Instant> {
        let questions = self.questions.values().map(|question| question.deadline);
        let clients = self
            .clients
            .values()
            .map(|client| client.last + CLIENT_IDLE);
        questions.chain(clients).min()
    }

    /// Gives up on servers and clients that were waited for long enough.
    pub fn tick(&mut self, now: Instant) {
        let late: Vec<u64> = self
            .questions
            .iter()
            .filter(|(_, question)| question.deadline <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            if let Some(question) = self.questions.remove(&id) {
                self.ask_next(question);
            }
        }
        self.clients
            .retain(|_, client| client.last + CLIENT_IDLE > now);
    }

    fn receive(&mut self, buffer: &mut [u8]) {
        for _ in 0..EVENTS {
            match self.udp.recv_from(buffer) {
                Ok((length, client)) => self.handle(&buffer[..length], Asker::Udp(client)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // "Connection refused" by a client that is gone already.
                Err(_) => {}
            }
        }
    }

    fn handle(&mut self, request: &[u8], asker: Asker) {
        self.names.refresh();
        self.servers.refresh();
        let terms = Terms {
            is_udp: matches!(asker, Asker::Udp(_)),
            ndots_given: self.servers.upstreams.ndots_given,
            rotation: u32::from(random_number()),
        };
        match answer::decide(request, &self.names.table, terms) {
            Decision::Drop => {}
            Decision::Reply(bytes) => self.reply(asker, &bytes),
            Decision::Forward if self.questions.len() >= MAX_OUTSTANDING => {
                self.reply(asker, &answer::bare(request, answer::REFUSED));
            }
            Decision::Forward => self.forward(request, asker),
        }
    }

    fn forward(&mut self, request: &[u8], asker: Asker) {
        let servers = &self.servers.upstreams.servers;
        // From an internal network only servers in the container's reach may be asked.
        let mut further: Vec<Upstream> = servers
            .iter()
            .filter(|server| !(self.internal_only && server.from_host))
            .copied()
            .collect();
        further.reverse();
        self.try_servers(request.to_vec(), asker, further);
    }

    /// Asks the next server; without one the answer is "server failure". `further` is in reverse.
    fn try_servers(&mut self, request: Vec<u8>, asker: Asker, mut further: Vec<Upstream>) {
        while let Some(server) = further.pop() {
            let number = random_number();
            let Ok((channel, events)) = self.open_channel(server, asker, &request, number) else {
                continue;
            };
            let id = self.next_id;
            self.next_id += 1;
            if epoll::add(&self.epoll, channel.as_fd(), EventData::new_u64(id), events).is_err() {
                continue;
            }
            let question = Question {
                asker,
                request,
                number,
                further,
                channel,
                deadline: Instant::now() + SERVER_TIMEOUT,
            };
            self.questions.insert(id, question);
            return;
        }
        self.reply(asker, &answer::bare(&request, answer::SERVER_FAILURE));
    }

    fn ask_next(&mut self, question: Question) {
        self.try_servers(question.request, question.asker, question.further);
    }

    /// A connected socket in the right namespace, over the transport that the client used.
    fn open_channel(
        &self,
        server: Upstream,
        asker: Asker,
        request: &[u8],
        number: u16,
    ) -> Result<(Channel, EventFlags)> {
        let mut message = request.to_vec();
        message[..2].copy_from_slice(&number.to_be_bytes());
        let address = SocketAddr::new(server.address, 53);
        let open = |kind| {
            if server.from_host {
                connect(address, kind)
            } else {
                network::inside(self.netns.as_fd(), || connect(address, kind))
            }
        };
        match asker {
            Asker::Udp(_) => {
                let socket = UdpSocket::from(open(SocketType::DGRAM)?);
                socket.send(&message)?;
                Ok((Channel::Udp(socket), EventFlags::IN))
            }
            Asker::Tcp(_) => {
                let stream = TcpStream::from(open(SocketType::STREAM)?);
                let channel = Channel::Tcp {
                    stream,
                    output: framed(&message),
                    input: Vec::new(),
                };
                Ok((channel, EventFlags::OUT))
            }
        }
    }

    fn question_ready(&mut self, id: u64, buffer: &mut [u8]) {
        let Some(mut question) = self.questions.remove(&id) else {
            return;
        };
        match question.progress(&self.epoll, id, buffer) {
            Progress::Waiting => {
                self.questions.insert(id, question);
            }
            Progress::Failed => self.ask_next(question),
            Progress::Answered(bytes)
                if answer::is_failure(&bytes) && !question.further.is_empty() =>
            {
                self.ask_next(question);
            }
            Progress::Answered(mut bytes) => {
                bytes[..2].copy_from_slice(&question.request[..2]);
                let too_long = matches!(question.asker, Asker::Udp(_))
                    && bytes.len() > answer::udp_limit(&question.request);
                if too_long {
                    bytes = answer::truncated(&bytes);
                }
                self.reply(question.asker, &bytes);
            }
        }
    }

    fn reply(&mut self, asker: Asker, bytes: &[u8]) {
        match asker {
            // A client that does not take its answer asks again.
            Asker::Udp(client) => drop(self.udp.send_to(bytes, client)),
            Asker::Tcp(id) => {
                if let Some(client) = self.clients.get_mut(&id) {
                    client.output.extend_from_slice(&framed(bytes));
                    client.last = Instant::now();
                    self.flush(id);
                }
                // One that asks and never takes its answers would fill our memory with them.
                let unread = self
                    .clients
                    .get(&id)
                    .map_or(0, |client| client.output.len());
                if unread > MAX_UNREAD_BYTES {
                    self.clients.remove(&id);
                }
            }
        }
    }

    fn accept(&mut self) {
        for _ in 0..EVENTS {
            let stream = match self.tcp.accept() {
                Ok((stream, _)) => stream,
                Err(error) if is_out_of_descriptors(&error) && self.spare.take().is_some() => {
                    // Let in and sent away: whoever asks sees it, and nobody waits in front.
                    let _sent_away = self.tcp.accept();
                    self.spare = stdio::null().ok();
                    continue;
                }
                Err(_) => return,
            };
            if self.clients.len() >= MAX_CLIENTS || stream.set_nonblocking(true).is_err() {
                continue;
            }
            let id = self.next_id;
            self.next_id += 1;
            if epoll::add(&self.epoll, &stream, EventData::new_u64(id), EventFlags::IN).is_ok() {
                let client = Client {
                    stream,
                    input: Vec::new(),
                    output: Vec::new(),
                    ended: false,
                    writing: false,
                    last: Instant::now(),
                };
                self.clients.insert(id, client);
            }
        }
    }

    fn client_ready(&mut self, id: u64, buffer: &mut [u8]) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        client.last = Instant::now();
        match client.stream.read(buffer) {
            Ok(0) => client.ended = true,
            Ok(length) => client.input.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => {
                self.clients.remove(&id);
                return;
            }
        }
        while let Some(request) = self
            .clients
            .get_mut(&id)
            .and_then(|client| unframed(&mut client.input))
        {
            self.handle(&request, Asker::Tcp(id));
        }
        self.flush(id);
    }

    /// Sends what is there for a client, and lets it go when nothing more can come.
    fn flush(&mut self, id: u64) {
        let waits = self
            .questions
            .values()
            .any(|question| matches!(question.asker, Asker::Tcp(asker) if asker == id));
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let sent = write_some(&mut client.stream, &mut client.output);
        let over = client.ended && !waits && client.output.is_empty();
        if sent.is_err() || over {
            self.clients.remove(&id);
            return;
        }
        let writing = !client.output.is_empty();
        let mut flags = EventFlags::empty();
        if !client.ended {
            flags |= EventFlags::IN;
        }
        if writing {
            flags |= EventFlags::OUT;
        }
        if writing != client.writing || client.ended {
            client.writing = writing;
            let _changed =
                epoll::modify(&self.epoll, &client.stream, EventData::new_u64(id), flags);
        }
    }
}

enum Progress {
    Waiting,
    Failed,
    Answered(Vec<u8>),
}

impl Question {
    fn progress(&mut self, epoll: &OwnedFd, id: u64, buffer: &mut [u8]) -> Progress {
        match &mut self.channel {
            Channel::Udp(socket) => match socket.recv(buffer) {
                Ok(length) if answer::is_answer(&buffer[..length], &self.request, self.number) => {
                    Progress::Answered(buffer[..length].to_vec())
                }
                // Somebody guesses; the right one may still come.
                Ok(_) => Progress::Waiting,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Progress::Waiting,
                Err(_) => Progress::Failed,
            },
            Channel::Tcp {
                stream,
                output,
                input,
            } => {
                if !output.is_empty() {
                    if write_some(stream, output).is_err() {
                        return Progress::Failed;
                    }
                    if output.is_empty() {
                        let data = EventData::new_u64(id);
                        let _changed = epoll::modify(epoll, &*stream, data, EventFlags::IN);
                    }
                }
                match stream.read(buffer) {
                    Ok(0) => return Progress::Failed,
                    Ok(length) => input.extend_from_slice(&buffer[..length]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => return Progress::Failed,
                }
                match unframed(input) {
                    Some(bytes) if answer::is_answer(&bytes, &self.request, self.number) => {
                        Progress::Answered(bytes)
                    }
                    Some(_) => Progress::Failed,
                    None => Progress::Waiting,
                }
            }
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Udp(socket) => socket.as_fd(),
            Self::Tcp { stream, .. } => stream.as_fd(),
        }
    }
}

impl Names {
    /// Reads the presences of those networks again where one changed.
    fn refresh(&mut self) {
        let mut changed = false;
        for joined in &mut self.networks {
            if joined
                .watched
                .has_changed(&presence::directory(&self.roots, &joined.id))
            {
                // Unreadable: nobody can be told apart from nobody there.
                joined.presences = presence::list(&self.roots, &joined.id).unwrap_or_default();
                changed = true;
            }
        }
        if changed {
            let networks = self
                .networks
                .iter()
                .map(|joined| (joined.name.as_str(), joined.presences.as_slice()));
            self.table = NameTable::new(networks, &self.links);
        }
    }
}

impl Servers {
    fn refresh(&mut self) {
        if self.watched.resolv_conf_has_changed() {
            self.upstreams = Upstreams::new(&host::resolv_conf(), &self.spec);
        }
    }
}

fn connect(address: SocketAddr, kind: SocketType) -> Result<OwnedFd> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, kind, flags, None)?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(errno.into()),
    }
}

/// Sends as much as goes; what is left stays.
fn write_some(stream: &mut TcpStream, output: &mut Vec<u8>) -> io::Result<()> {
    while !output.is_empty() {
        match stream.write(output) {
            Ok(length) => drop(output.drain(..length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Over TCP a message has its length in front.
fn framed(message: &[u8]) -> Vec<u8> {
    let message = &message[..message.len().min(usize::from(u16::MAX))];
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), message].concat()
}

/// The first whole message of what has come so far.
fn unframed(input: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = usize::from(u16::from_be_bytes([*input.first()?, *input.get(1)?]));
    let message = input.get(2..2 + length)?.to_vec();
    input.drain(..2 + length);
    Some(message)
}

fn random_number() -> u16 {
    let mut bytes = [0; 2];
    // The source cannot fail once the system is up; a zero is then as good as any.
    let _filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    u16::from_ne_bytes(bytes)
}
