//! Pure: from a DNS question to its answer, or to the decision to ask outside.

use std::net::IpAddr;

use simple_dns::rdata::{A, AAAA, OPT, PTR, RData};
use simple_dns::{
    CLASS, Name, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, Question, ResourceRecord, TYPE,
};

use super::names::{self, Meaning, NameTable};

/// Addresses change when a container moves to another network: do not keep them for long.
const TTL_SECONDS: u32 = 5;
/// What fits into a datagram without EDNS.
const PLAIN_BYTES: usize = 512;
/// What we offer with EDNS: never fragmented on any usual link.
const EDNS_BYTES: u16 = 1232;
const HEADER_BYTES: usize = 12;

/// Response codes that we give ourselves.
const FORMAT_ERROR: u8 = 1;
pub const SERVER_FAILURE: u8 = 2;
const NOT_IMPLEMENTED: u8 = 4;
pub const REFUSED: u8 = 5;

/// What to do with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Send this back.
    Reply(Vec<u8>),
    /// Ask the servers outside.
    Forward,
    /// Not a question at all: no answer, or two such programs could talk for ever.
    Drop,
}

/// How a request came, as far as it decides the answer.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Over UDP an answer has a greatest size.
    pub is_udp: bool,
    /// Names of one label are not asked outside.
    pub ndots_given: bool,
    /// Any number: where to begin in a list of addresses.
    pub rotation: u32,
}

/// Decides about one request.
pub fn decide(request: &[u8], table: &NameTable, terms: Terms) -> Decision {
    if request.len() < HEADER_BYTES || request[2] & 0x80 != 0 {
        return Decision::Drop;
    }
    let Ok(packet) = Packet::parse(request) else {
        return Decision::Reply(bare(request, FORMAT_ERROR));
    };
    if packet.opcode() != OPCODE::StandardQuery {
        return Decision::Reply(bare(request, NOT_IMPLEMENTED));
    }
    let [question] = packet.questions.as_slice() else {
        return Decision::Reply(bare(request, FORMAT_ERROR));
    };
    if question.qclass != QCLASS::CLASS(CLASS::IN) {
        return Decision::Forward;
    }
    let name = question.qname.to_string();
    if question.qtype == QTYPE::TYPE(TYPE::PTR) {
        let known = names::parse_pointer(&name).and_then(|address| table.pointer(address));
        return match known {
            Some(pointer) => {
                Decision::Reply(reply(&packet, question, &[Answer::Name(pointer)], terms))
            }
            None => Decision::Forward,
        };
    }
    let (wants_ipv4, wants_ipv6) = match question.qtype {
        QTYPE::TYPE(TYPE::A) => (true, false),
        QTYPE::TYPE(TYPE::AAAA) => (false, true),
        QTYPE::ANY => (true, true),
        _ => (false, false),
    };
    match table.lookup(&name) {
        Meaning::Known(mut addresses) => {
            // Nothing of that family: an empty answer, never "no such name", or clients give up.
            addresses.retain(|address| {
                if address.is_ipv4() {
                    wants_ipv4
                } else {
                    wants_ipv6
                }
            });
            shuffle(&mut addresses, terms.rotation);
            let answers: Vec<Answer> = addresses.into_iter().map(Answer::Address).collect();
            Decision::Reply(reply(&packet, question, &answers, terms))
        }
        Meaning::Unknown
            if terms.ndots_given && (wants_ipv4 || wants_ipv6) && !name.contains('.') =>
        {
            Decision::Reply(reply(&packet, question, &[], terms))
        }
        Meaning::Unknown => Decision::Forward,
    }
}

enum Answer {
    Address(IpAddr),
    Name(String),
}

/// Every order of a short list comes up; clients take the first.
fn shuffle(addresses: &mut [IpAddr], mut seed: u32) {
    for last in (1..addresses.len()).rev() {
        // The constants of a common linear generator; fairness, not secrecy, is the point.
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        addresses.swap(last, (seed >> 8) as usize % (last + 1));
    }
}

fn reply(
    packet: &Packet<'_>,
    question: &Question<'_>,
    answers: &[Answer],
    terms: Terms,
) -> Vec<u8> {
    let mut reply = Packet::new_reply(packet.id());
    reply.set_flags(PacketFlag::RECURSION_AVAILABLE);
    if packet.has_flags(PacketFlag::RECURSION_DESIRED) {
        reply.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    // The name as it was spelled: some clients check.
    reply.questions.push(question.clone());
    for answer in answers {
        let data = match answer {
            Answer::Address(IpAddr::V4(ip)) => RData::A(A::from(*ip)),
            Answer::Address(IpAddr::V6(ip)) => RData::AAAA(AAAA::from(*ip)),
            Answer::Name(name) => RData::PTR(PTR(Name::new_unchecked(name))),
        };
        reply.answers.push(ResourceRecord::new(
            question.qname.clone(),
            CLASS::IN,
            TTL_SECONDS,
            data,
        ));
    }
    let limit = match packet.opt() {
        Some(opt) => {
            *reply.opt_mut() = Some(OPT {
                opt_codes: Vec::new(),
                udp_packet_size: EDNS_BYTES,
                version: 0,
            });
            usize::from(opt.udp_packet_size).max(PLAIN_BYTES)
        }
        None => PLAIN_BYTES,
    };
    let Ok(bytes) = reply.build_bytes_vec_compressed() else {
        return Vec::new();
    };
    if terms.is_udp && bytes.len() > limit {
        reply.answers.clear();
        reply.set_flags(PacketFlag::TRUNCATION);
        return reply.build_bytes_vec_compressed().unwrap_or_default();
    }
    bytes
}

/// An answer to a request that may not even parse: its header, turned round, and its question
/// when that is whole.
pub fn bare(request: &[u8], code: u8) -> Vec<u8> {
    let question = question_bytes(request);
    let mut bytes = request[..HEADER_BYTES].to_vec();
    // Keep opcode and "recursion desired"; set "response" and "recursion available".
    bytes[2] = 0x80 | (bytes[2] & 0x79);
    bytes[3] = 0x80 | (code & 0x0f);
    bytes[4..12].fill(0);
    if let Some(question) = question {
        bytes[5] = 1;
        bytes.extend_from_slice(question);
    }
    bytes
}

/// A server's answer that is longer than the client takes: the question and "ask over TCP".
pub fn truncated(answer: &[u8]) -> Vec<u8> {
    let mut bytes = bare(answer, answer[3]);
    bytes[2] |= 0x02;
    bytes
}

/// The longest answer over UDP that a client takes.
pub fn udp_limit(request: &[u8]) -> usize {
    let size = Packet::parse(request)
        .ok()
        .and_then(|packet| packet.opt().map(|opt| opt.udp_packet_size));
    size.map_or(PLAIN_BYTES, |size| usize::from(size).max(PLAIN_BYTES))
}

/// Whether `answer` belongs to `request`, which was sent as number `id`: a response with that
/// number and that question, in any case.
pub fn is_answer(answer: &[u8], request: &[u8], id: u16) -> bool {
    if answer.len() < HEADER_BYTES || answer[..2] != id.to_be_bytes() || answer[2] & 0x80 == 0 {
        return false;
    }
    // A refusal may come without the question.
    if answer[4..6] == [0, 0] && answer[3] & 0x0f != 0 {
        return true;
    }
    match (question_bytes(answer), question_bytes(request)) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
        _ => false,
    }
}

/// Whether another server should be asked: this one failed or does not want to.
pub fn is_failure(answer: &[u8]) -> bool {
    let code = answer[3] & 0x0f;
    code == SERVER_FAILURE || code == REFUSED
}

/// The bytes of the only question; `None` when there is not exactly one whole one.
fn question_bytes(message: &[u8]) -> Option<&[u8]> {
    if message.get(4..6) != Some(&[0, 1]) {
        return None;
    }
    let mut end = HEADER_BYTES;
    loop {
        match *message.get(end)? {
            0 => break,
            // A first question has nothing to point back to.
            length if length > 63 => return None,
            length => end += 1 + usize::from(length),
        }
    }
    message.get(HEADER_BYTES..end + 5)
}

#[cfg(test)]
mod tests {
    use simple_dns::RCODE;

    use super::*;
    use crate::container::state::Endpoint;
    use crate::network::presence::Presence;
    use crate::store::id::Id;

    const UDP: Terms = Terms {
        is_udp: true,
        ndots_given: false,
        rotation: 7,
    };

    fn table(count: u8) -> NameTable {
        let presences: Vec<Presence> = (0..count)
            .map(|number| Presence {
                container: Id::try_from("a".repeat(64)).unwrap(),
                name: format!("app-db-{number}"),
                endpoint: Endpoint {
                    network: "app".into(),
                    network_id: String::new(),
                    interface: "eth0".into(),
                    host_interface: String::new(),
                    mac_address: String::new(),
                    ipv4: Some(([10, 0, 0, number + 2].into(), 24)),
                    ipv4_gateway: None,
                    ipv6: None,
                    ipv6_gateway: None,
                    names: vec!["db".into()],
                },
                ports: Vec::new(),
            })
            .collect();
        NameTable::new([("app", presences.as_slice())], &[])
    }

    fn query(name: &'static str, kind: TYPE, edns: Option<u16>) -> Vec<u8> {
        let mut packet = Packet::new_query(77);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        packet.questions.push(Question::new(
            Name::new_unchecked(name),
            QTYPE::TYPE(kind),
            QCLASS::CLASS(CLASS::IN),
            false,
        ));
        *packet.opt_mut() = edns.map(|size| OPT {
            opt_codes: Vec::new(),
            udp_packet_size: size,
            version: 0,
        });
        packet.build_bytes_vec().unwrap()
    }

    fn replied(decision: Decision) -> Vec<u8> {
        match decision {
            Decision::Reply(bytes) => bytes,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_known_name_is_answered_in_its_own_spelling() {
        let bytes = replied(decide(&query("Db.App", TYPE::A, None), &table(1), UDP));
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!((packet.id(), packet.rcode()), (77, RCODE::NoError));
        assert!(packet.has_flags(PacketFlag::RECURSION_AVAILABLE | PacketFlag::RECURSION_DESIRED));
        assert_eq!(packet.answers[0].name.to_string(), "Db.App");
        assert_eq!(packet.answers[0].ttl, 5);
        assert_eq!(
            packet.answers[0].rdata,
            RData::A(A::from(std::net::Ipv4Addr::new(10, 0, 0, 2)))
        );
    }

    #[test]
    fn the_other_family_of_a_known_name_is_empty_not_absent() {
        for kind in [TYPE::AAAA, TYPE::MX] {
            let bytes = replied(decide(&query("db", kind, None), &table(1), UDP));
            let packet = Packet::parse(&bytes).unwrap();
            assert_eq!((packet.rcode(), packet.answers.len()), (RCODE::NoError, 0));
        }
    }

    #[test]
    fn unknown_names_go_outside_unless_ndots_was_given() {
        let unknown = query("example", TYPE::A, None);
        assert_eq!(decide(&unknown, &table(1), UDP), Decision::Forward);
        let terms = Terms {
            ndots_given: true,
            ..UDP
        };
        let bytes = replied(decide(&unknown, &table(1), terms));
        assert_eq!(Packet::parse(&bytes).unwrap().rcode(), RCODE::NoError);
        assert_eq!(
            decide(&query("example.org", TYPE::A, None), &table(1), terms),
            Decision::Forward
        );
    }

    #[test]
    fn an_address_leads_to_its_name() {
        let bytes = replied(decide(
            &query("2.0.0.10.in-addr.arpa", TYPE::PTR, None),
            &table(1),
            UDP,
        ));
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!(
            packet.answers[0].rdata,
            RData::PTR(PTR(Name::new_unchecked("app-db-0.app")))
        );
        assert_eq!(
            decide(
                &query("9.0.0.10.in-addr.arpa", TYPE::PTR, None),
                &table(1),
                UDP
            ),
            Decision::Forward
        );
    }

    #[test]
    fn long_answers_are_cut_for_udp_by_what_the_client_takes() {
        let plain = replied(decide(&query("db", TYPE::A, None), &table(60), UDP));
        assert!(
            Packet::parse(&plain)
                .unwrap()
                .has_flags(PacketFlag::TRUNCATION)
        );
        let edns = replied(decide(&query("db", TYPE::A, Some(4096)), &table(60), UDP));
        assert_eq!(Packet::parse(&edns).unwrap().answers.len(), 60);
        let tcp = Terms {
            is_udp: false,
            ..UDP
        };
        let tcp = replied(decide(&query("db", TYPE::A, None), &table(60), tcp));
        assert_eq!(Packet::parse(&tcp).unwrap().answers.len(), 60);
    }

    #[test]
    fn several_addresses_come_in_changing_order() {
        let first = |rotation| {
            let terms = Terms { rotation, ..UDP };
            let bytes = replied(decide(&query("db", TYPE::A, None), &table(3), terms));
            format!("{:?}", Packet::parse(&bytes).unwrap().answers[0].rdata)
        };
        let firsts: std::collections::BTreeSet<String> =
            (0..100).map(|n| first(n * 7_919)).collect();
        assert_eq!(firsts.len(), 3);
    }

    #[test]
    fn what_is_no_question_is_dropped_or_refused() {
        let mut response = query("db", TYPE::A, None);
        response[2] |= 0x80;
        assert_eq!(decide(&response, &table(1), UDP), Decision::Drop);
        assert_eq!(decide(&[1, 2, 3], &table(1), UDP), Decision::Drop);
        let mut cut = query("db", TYPE::A, None);
        cut.truncate(14);
        let bytes = replied(decide(&cut, &table(1), UDP));
        assert_eq!(bytes[3] & 0x0f, 1);
    }

    #[test]
    fn only_the_right_answer_belongs_to_a_request() {
        let request = query("Example.org", TYPE::A, None);
        let mut answer = bare(&query("example.ORG", TYPE::A, None), 3);
        answer[..2].copy_from_slice(&5u16.to_be_bytes());
        assert!(is_answer(&answer, &request, 5));
        assert!(!is_answer(&answer, &request, 6));
        assert!(!is_answer(&answer, &query("example.com", TYPE::A, None), 5));
        assert!(!is_answer(&request, &request, 77));
    }
}
