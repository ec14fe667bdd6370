//! Names → addresses, without the system's resolver: a static program has none to rely on.
//!
//! The hosts file, then the servers of resolv.conf, by UDP and, where an answer is cut, by TCP.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};

use crate::network::resolv::ResolvConf;

/// resolv.conf(5): `timeout` and `attempts`, when not given.
const TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPTS: u32 = 2;

/// Where names are looked up.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    pub(super) hosts: PathBuf,
    pub(super) resolv_conf: PathBuf,
}

impl Default for Resolver {
    fn default() -> Self {
        Self {
            hosts: "/etc/hosts".into(),
            resolv_conf: "/etc/resolv.conf".into(),
        }
    }
}

impl Resolver {
    /// Every address of a name; blocks for as long as servers take.
    ///
    /// # Errors
    /// In the words that people know from Docker: `lookup x: no such host`.
    pub(super) fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let name = name.trim_end_matches('.');
        let known = self.in_hosts(name);
        if !known.is_empty() {
            return Ok(known);
        }
        let text = std::fs::read_to_string(&self.resolv_conf).unwrap_or_default();
        let conf = ResolvConf::parse(&text);
        let mut servers = conf.servers.clone();
        if servers.is_empty() {
            servers.push(Ipv4Addr::LOCALHOST.into());
        }
        let mut last = "no such host".to_owned();
        for candidate in candidates(name, &conf) {
            match ask_all(&servers, &candidate) {
                Ok(found) if !found.is_empty() => return Ok(found),
                Ok(_) => {}
                Err(reason) => last = reason,
            }
        }
        Err(format!("lookup {name}: {last}"))
    }

    /// What the hosts file says; `localhost` needs none.
    pub(super) fn in_hosts(&self, name: &str) -> Vec<IpAddr> {
        let text = std::fs::read_to_string(&self.hosts).unwrap_or_default();
        let mut found = Vec::new();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            if let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>)
                && words.any(|word| word.eq_ignore_ascii_case(name))
                && !found.contains(&address)
            {
                found.push(address);
            }
        }
        if found.is_empty() && name.eq_ignore_ascii_case("localhost") {
            found = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        }
        found
    }
}

/// The names to ask for, by `search` and `ndots`.
fn candidates(name: &str, conf: &ResolvConf) -> Vec<String> {
    let ndots = conf
        .options
        .iter()
        .find_map(|option| option.strip_prefix("ndots:")?.parse().ok())
        .unwrap_or(1usize);
    let searched = conf.search.iter().map(|domain| format!("{name}.{domain}"));
    let itself = std::iter::once(name.to_owned());
    if name.matches('.').count() >= ndots {
        itself.chain(searched).collect()
    } else {
        searched.chain(itself).collect()
    }
}

/// Both families of one name; a server that does not answer is passed over.
fn ask_all(servers: &[IpAddr], name: &str) -> Result<Vec<IpAddr>, String> {
    let mut last = "no such host".to_owned();
    for _ in 0..ATTEMPTS {
        for server in servers {
            let server = SocketAddr::new(*server, 53);
            let both = ask(server, name, TYPE::A).map(|mut found| {
                found.extend(ask(server, name, TYPE::AAAA).unwrap_or_default());
                found
            });
            match both {
                Ok(found) => return Ok(found),
                Err(error) => last = format!("on {server}: {error}"),
            }
        }
    }
    Err(last)
}

fn ask(server: SocketAddr, name: &str, kind: TYPE) -> std::io::Result<Vec<IpAddr>> {
    let mut id = [0; 2];
    rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty())?;
    let id = u16::from_ne_bytes(id);
    let request = question(id, name, kind)?;
    let bind: IpAddr = if server.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((bind, 0))?;
    // Only answers of that server arrive.
    socket.connect(server)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.send(&request)?;
    let mut buffer = vec![0; 4096];
    loop {
        let count = socket.recv(&mut buffer)?;
        match answer(&buffer[..count], id, kind) {
            Some(Answer::Addresses(found)) => return Ok(found),
            Some(Answer::Cut) => break,
            Some(Answer::Failed) => return Err(std::io::Error::other("server misbehaving")),
            // Not to this question.
            None => {}
        }
    }
    let mut stream = TcpStream::connect_timeout(&server, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let length = u16::try_from(request.len()).map_err(std::io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], &request].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut buffer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut buffer)?;
    match answer(&buffer, id, kind) {
        Some(Answer::Addresses(found)) => Ok(found),
        _ => Err(std::io::Error::other("server misbehaving")),
    }
}

fn question(id: u16, name: &str, kind: TYPE) -> std::io::Result<Vec<u8>> {
    let name = Name::new(name).map_err(|_| std::io::Error::other("no such host"))?;
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(
        name,
        QTYPE::TYPE(kind),
        QCLASS::CLASS(CLASS::IN),
        false,
    ));
    packet
        .build_bytes_vec()
        .map_err(|_| std::io::Error::other("no such host"))
}

enum Answer {
    /// None: there is no such name, or it has no address of this family.
    Addresses(Vec<IpAddr>),
    Cut,
    Failed,
}

fn answer(bytes: &[u8], id: u16, kind: TYPE) -> Option<Answer> {
    let packet = Packet::parse(bytes).ok()?;
    if packet.id() != id || !packet.has_flags(PacketFlag::RESPONSE) {
        return None;
    }
    if packet.has_flags(PacketFlag::TRUNCATION) {
        return Some(Answer::Cut);
    }
    match packet.rcode() {
        RCODE::NoError | RCODE::NameError => {}
        _ => return Some(Answer::Failed),
    }
    let addresses = packet
        .answers
        .iter()
        .filter_map(|record| match &record.rdata {
            RData::A(a) if kind == TYPE::A => Some(Ipv4Addr::from(a.address).into()),
            RData::AAAA(aaaa) if kind == TYPE::AAAA => Some(Ipv6Addr::from(aaaa.address).into()),
            _ => None,
        });
    Some(Answer::Addresses(addresses.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_file_comes_first_and_localhost_needs_none() {
        let directory = tempfile::tempdir().unwrap();
        let hosts = directory.path().join("hosts");
        std::fs::write(
            &hosts,
            "10.1.2.3 hub Registry.Test # x\n::1 registry.test\n",
        )
        .unwrap();
        let resolver = Resolver {
            hosts,
            ..Resolver::default()
        };
        let found = resolver.lookup("registry.test.").unwrap();
        assert_eq!(
            found,
            [
                "10.1.2.3".parse::<IpAddr>().unwrap(),
                "::1".parse().unwrap()
            ]
        );
        assert_eq!(resolver.in_hosts("localhost").len(), 2);
        assert!(resolver.in_hosts("x").is_empty());
    }

    #[test]
    fn short_names_are_searched_first() {
        let conf = ResolvConf::parse("search a.test b.test\n");
        assert_eq!(
            candidates("hub", &conf),
            ["hub.a.test", "hub.b.test", "hub"]
        );
        assert_eq!(candidates("h.x", &conf)[0], "h.x");
        let conf = ResolvConf::parse("search a.test\noptions ndots:2\n");
        assert_eq!(candidates("h.x", &conf), ["h.x.a.test", "h.x"]);
    }
}
