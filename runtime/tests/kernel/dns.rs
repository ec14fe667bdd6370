//! The resolver as programs in containers meet it: at 127.0.0.11, port 53.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use simple_dns::rdata::RData;
use simple_dns::{
    CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord, TYPE,
};

use crate::lab::{self, Keeper, inside};

const RESOLVER: (Ipv4Addr, u16) = (Ipv4Addr::new(127, 0, 0, 11), 53);

/// Response code and the addresses or names of the answer, sorted.
fn ask(keeper: &Keeper, name: &str, kind: TYPE, over_tcp: bool) -> (RCODE, Vec<String>) {
    let mut query = Packet::new_query(4711);
    query.set_flags(PacketFlag::RECURSION_DESIRED);
    query.questions.push(Question::new(
        Name::new_unchecked(name),
        QTYPE::TYPE(kind),
        QCLASS::CLASS(CLASS::IN),
        false,
    ));
    let query = query.build_bytes_vec().unwrap();
    let answer = inside(&keeper.netns, || {
        if over_tcp {
            exchange_tcp(&query)
        } else {
            exchange_udp(&query)
        }
    });
    let answer = Packet::parse(&answer).unwrap();
    assert_eq!(answer.id(), 4711);
    let mut texts: Vec<String> = answer
        .answers
        .iter()
        .map(|record| match &record.rdata {
            RData::A(a) => IpAddr::V4(a.address.into()).to_string(),
            RData::PTR(name) => name.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    texts.sort();
    (answer.rcode(), texts)
}

fn exchange_udp(query: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    // Connected: an answer from another address or port would not come through.
    socket.connect(RESOLVER).unwrap();
    socket.send(query).unwrap();
    let mut buffer = [0; 2048];
    let length = socket.recv(&mut buffer).unwrap();
    buffer[..length].to_vec()
}

fn exchange_tcp(query: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(RESOLVER).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let length = u16::try_from(query.len()).unwrap();
    stream
        .write_all(&[&length.to_be_bytes(), query].concat())
        .unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).unwrap();
    answer
}

fn ok(texts: &[&str]) -> (RCODE, Vec<String>) {
    (
        RCODE::NoError,
        texts.iter().map(|text| (*text).to_owned()).collect(),
    )
}

pub(crate) fn names_of_the_shared_network_resolve_while_their_containers_run() {
    lab::run(|lab| {
        lab.network("app");
        lab.network("other");
        let web = lab.attach("app-web-1", &["app=web"], &[]);
        let one = lab.attach("app-db-1", &["app=db"], &[]);
        let two = lab.attach("app-db-2", &["app=db"], &[]);
        let _far = lab.attach("far", &["other=far"], &[]);
        let (first, second) = (one.address().to_string(), two.address().to_string());
        for name in ["db", "DB", "db.app"] {
            assert_eq!(
                ask(&web, name, TYPE::A, false),
                ok(&[&first, &second]),
                "{name}"
            );
        }
        for name in ["app-db-1", "app-db-1.app", one.record.id.short()] {
            assert_eq!(ask(&web, name, TYPE::A, true), ok(&[&first]), "{name}");
        }
        assert_eq!(ask(&web, "db", TYPE::AAAA, false), ok(&[]));
        assert!(two.detach().is_empty());
        assert_eq!(ask(&web, "db", TYPE::A, false), ok(&[&first]));
    });
}

pub(crate) fn an_address_has_a_name() {
    lab::run(|lab| {
        lab.network("app");
        let web = lab.attach("app-web-1", &["app=web"], &[]);
        let IpAddr::V4(address) = web.address() else {
            panic!("not IPv4")
        };
        let [a, b, c, d] = address.octets();
        let name = format!("{d}.{c}.{b}.{a}.in-addr.arpa");
        assert_eq!(ask(&web, &name, TYPE::PTR, false), ok(&["app-web-1.app"]));
    });
}

pub(crate) fn a_container_may_have_port_53_for_itself() {
    lab::run(|lab| {
        lab.network("app");
        let web = lab.attach("web", &["app"], &[]);
        let _own = inside(&web.netns, || UdpSocket::bind(("0.0.0.0", 53)).unwrap());
        let address = web.address().to_string();
        assert_eq!(ask(&web, "web", TYPE::A, false), ok(&[&address]));
    });
}

pub(crate) fn an_internal_network_does_not_ask_outside() {
    lab::run(|lab| {
        let spec = ketch_runtime::spec::NetworkSpec {
            name: "closed".into(),
            internal: true,
            ..ketch_runtime::spec::NetworkSpec::default()
        };
        lab.engine.create_network(&spec).unwrap();
        let db = lab.attach("db", &["closed"], &[]);
        assert_eq!(
            ask(&db, "example.org", TYPE::A, false).0,
            RCODE::ServerFailure
        );
    });
}

pub(crate) fn other_names_are_asked_of_the_users_server_from_inside() {
    lab::run(|lab| {
        lab.network("app");
        let server = lab.attach("server", &["app"], &[]);
        answer_everything(&server);
        let mut record = lab::record("web", &["app"], &[]);
        // The first one does not answer: the second one is asked.
        record.spec.dns.servers = vec![Ipv4Addr::LOCALHOST.into(), server.address()];
        let web = lab.attach_record(record).unwrap();
        for over_tcp in [false, true] {
            let answer = ask(&web, "example.org", TYPE::A, over_tcp);
            assert_eq!(answer, ok(&["198.51.100.7"]), "tcp: {over_tcp}");
        }
    });
}

/// A server on port 53 of a container that has one address for every name.
fn answer_everything(keeper: &Keeper) {
    let (udp, tcp) = inside(&keeper.netns, || {
        (
            UdpSocket::bind(("0.0.0.0", 53)).unwrap(),
            TcpListener::bind(("0.0.0.0", 53)).unwrap(),
        )
    });
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, peer)) = udp.recv_from(&mut buffer) {
            udp.send_to(&answer_to(&buffer[..length]), peer).unwrap();
        }
    });
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = tcp.accept() {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut query).unwrap();
            let answer = answer_to(&query);
            let length = u16::try_from(answer.len()).unwrap();
            stream
                .write_all(&[&length.to_be_bytes(), &answer[..]].concat())
                .unwrap();
        }
    });
}

fn answer_to(query: &[u8]) -> Vec<u8> {
    let query = Packet::parse(query).unwrap();
    let mut reply = Packet::new_reply(query.id());
    let name = query.questions[0].qname.clone();
    reply.questions = query.questions.clone();
    let data = RData::A(Ipv4Addr::new(198, 51, 100, 7).into());
    reply
        .answers
        .push(ResourceRecord::new(name, CLASS::IN, 60, data));
    reply.build_bytes_vec().unwrap()
}

/// Who asks over TCP and never reads would have us keep all answers (checklist 27, 30).
pub(crate) fn a_client_that_never_takes_its_answers_is_let_go() {
    const MOST_BYTES: usize = 256 << 20;
    lab::run(|lab| {
        lab.network("app");
        let web = lab.attach("web", &["app"], &[]);
        let mut query = Packet::new_query(1);
        query.questions.push(Question::new(
            Name::new_unchecked("web"),
            QTYPE::TYPE(TYPE::A),
            QCLASS::CLASS(CLASS::IN),
            false,
        ));
        let query = query.build_bytes_vec().unwrap();
        let mut framed = u16::try_from(query.len()).unwrap().to_be_bytes().to_vec();
        framed.extend_from_slice(&query);
        let many = framed.repeat(1000);
        inside(&web.netns, || {
            let mut stream = TcpStream::connect(RESOLVER).unwrap();
            rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 4096).unwrap();
            // Once its window is shut, the kernel may probe it but every few seconds. Longer than an
            // idle client is kept, in any case.
            stream
                .set_write_timeout(Some(Duration::from_secs(60)))
                .unwrap();
            let mut sent = 0;
            let error = loop {
                match stream.write(&many) {
                    Ok(length) => sent += length,
                    Err(error) => break error,
                }
                assert!(sent < MOST_BYTES, "it keeps all answers");
            };
            use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
            assert!(
                matches!(error.kind(), BrokenPipe | ConnectionReset),
                "{error}"
            );
        });
        // And the others are answered as before.
        let address = web.address().to_string();
        assert_eq!(ask(&web, "web", TYPE::A, true), ok(&[&address]));
    });
}
