//! A [`Ruleset`] into the kernel: one nf_tables transaction, all or nothing.
//!
//! Every table is made, deleted and made again in the same transaction: that is how nf_tables
//! spells "replace". No packet sees a state in between.

use std::net::IpAddr;
use std::sync::Mutex;

use rustix::io::Errno;

use super::ruleset::{Action, Chain, Family, InterfaceMap, Match, Point, Rule, Ruleset, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::spec::Protocol;
use crate::sys::netlink::{Message, NLM_F_APPEND, NLM_F_CREATE, Refusal, Socket};

const NFNL_SUBSYS_NFTABLES: u8 = 10;
const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;
const NFT_MSG_NEWTABLE: u16 = 0;
const NFT_MSG_GETTABLE: u16 = 1;
const NFT_MSG_DELTABLE: u16 = 2;
const NFT_MSG_NEWCHAIN: u16 = 3;
const NFT_MSG_NEWRULE: u16 = 6;
const NFT_MSG_NEWSET: u16 = 9;
const NFT_MSG_NEWSETELEM: u16 = 12;

const NFTA_LIST_ELEM: u16 = 1;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFT_REG_VERDICT: u32 = 0;
const NFT_REG_1: u32 = 1;
const NFT_REG_2: u32 = 2;

const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;
/// NFT_JUMP, -3.
const NFT_JUMP: u32 = u32::MAX - 2;

/// The socket that replaced rules last. Closing one waits for the kernel to clear away what was
/// replaced (an RCU grace period, some 10 ms), and callers hold the networks' lock.
static KEPT_OPEN: Mutex<Option<Socket>> = Mutex::new(None);

/// Puts the tables of the ruleset in place of those of the same name.
pub fn replace(socket: &mut Socket, ruleset: &Ruleset) -> Result<()> {
    let mut messages = vec![batch(NFNL_MSG_BATCH_BEGIN)];
    for table in &ruleset.tables {
        messages.push(table_message(NFT_MSG_NEWTABLE, table.family, &table.name));
        messages.push(table_message(NFT_MSG_DELTABLE, table.family, &table.name));
        push_table(&mut messages, table);
    }
    load(socket, ruleset, messages)
}

/// Puts the tables of the ruleset into a namespace that has none of these names: nothing has to
/// be cleared away, so it is quicker.
pub fn create(socket: &mut Socket, ruleset: &Ruleset) -> Result<()> {
    let mut messages = vec![batch(NFNL_MSG_BATCH_BEGIN)];
    for table in &ruleset.tables {
        push_table(&mut messages, table);
    }
    load(socket, ruleset, messages)
}

/// Keeps a socket that has replaced rules open until the next one comes, or the process ends.
pub fn keep_open(socket: Socket) {
    // Poisoned: then it is closed here and now.
    if let Ok(mut kept) = KEPT_OPEN.lock() {
        *kept = Some(socket);
    }
}

fn load(socket: &mut Socket, ruleset: &Ruleset, messages: Vec<Message>) -> Result<()> {
    if ruleset.tables.is_empty() {
        return Ok(());
    }
    send(socket, messages)?.map_err(|refusal| {
        let missing = matches!(refusal.errno, Errno::OPNOTSUPP | Errno::AFNOSUPPORT);
        let error = Error::from(refusal);
        if missing {
            Error::new(
                ErrorKind::Unsupported,
                format!("this kernel has no nf_tables: {error}"),
            )
        } else {
            error.context("load packet filter rules")
        }
    })
}

/// Removes a table; one that is not there is no error.
pub fn remove(socket: &mut Socket, family: Family, name: &str) -> Result<()> {
    // Asked first, since a batch that fails costs an RCU grace period.
    let mut question = table_message(NFT_MSG_GETTABLE, family, name);
    question.request_acknowledgement();
    if let Err(refusal) = socket.try_send(vec![question])?
        && refusal.errno == Errno::NOENT
    {
        return Ok(());
    }
    let messages = vec![
        batch(NFNL_MSG_BATCH_BEGIN),
        table_message(NFT_MSG_DELTABLE, family, name),
    ];
    match send(socket, messages)? {
        Ok(()) => Ok(()),
        Err(refusal)
            if matches!(
                refusal.errno,
                Errno::NOENT | Errno::OPNOTSUPP | Errno::AFNOSUPPORT
            ) =>
        {
            Ok(())
        }
        Err(refusal) => Err(Error::from(refusal).context(format!(
            "remove packet filter table {} {name}",
            family.as_str()
        ))),
    }
}

/// Why this kernel takes no rules; `None` when it does, or does not say. Only a question is asked.
pub fn refusal() -> Option<String> {
    let mut socket = match Socket::netfilter() {
        Ok(socket) => socket,
        Err(error) if error.kind() == ErrorKind::Unsupported => return Some(error.to_string()),
        Err(_) => return None,
    };
    let mut question = table_message(NFT_MSG_GETTABLE, Family::Ip, "ketch");
    question.request_acknowledgement();
    let refusal = socket.try_send(vec![question]).ok()?.err()?;
    // Netfilter without nf_tables does not know what the question means.
    let unknown = [Errno::INVAL, Errno::OPNOTSUPP, Errno::AFNOSUPPORT].contains(&refusal.errno);
    unknown.then(|| Error::from(refusal).to_string())
}

fn send(socket: &mut Socket, mut messages: Vec<Message>) -> Result<Result<(), Refusal>> {
    // Refusals come unasked; one acknowledgement, of the last message, says that all went well.
    if let Some(last) = messages.last_mut() {
        last.request_acknowledgement();
    }
    messages.push(batch(NFNL_MSG_BATCH_END));
    socket.try_send(messages)
}

fn push_table(messages: &mut Vec<Message>, table: &Table) {
    messages.push(table_message(NFT_MSG_NEWTABLE, table.family, &table.name));
    // Chains first, so that every jump has a target; then maps; then what refers to both.
    for chain in &table.chains {
        messages.push(chain_message(table, chain));
    }
    for (map, id) in table.maps.iter().zip(1..) {
        messages.push(map_message(table, map, id));
        // An element is some 60 bytes, an attribute holds 64 KiB.
        for jumps in map.jumps.chunks(500) {
            messages.push(elements_message(table, map, jumps));
        }
    }
    for chain in &table.chains {
        for rule in &chain.rules {
            messages.push(rule_message(table, chain, rule));
        }
    }
}

/// struct nfgenmsg: family, version, resource id in network order.
fn batch(kind: u16) -> Message {
    Message::new(kind, 0, &[0, 0, 0, NFNL_SUBSYS_NFTABLES])
}

fn message(kind: u16, flags: u16, family: Family) -> Message {
    let kind = (u16::from(NFNL_SUBSYS_NFTABLES) << 8) | kind;
    Message::new(kind, flags, &[protocol_family(family), 0, 0, 0])
}

/// NFPROTO_IPV4, NFPROTO_IPV6.
fn protocol_family(family: Family) -> u8 {
    match family {
        Family::Ip => 2,
        Family::Ip6 => 10,
    }
}

fn table_message(kind: u16, family: Family, name: &str) -> Message {
    let flags = if kind == NFT_MSG_NEWTABLE {
        NLM_F_CREATE
    } else {
        0
    };
    let mut message = message(kind, flags, family);
    message.attr_str(1, name);
    message
}

fn chain_message(table: &Table, chain: &Chain) -> Message {
    let mut message = message(NFT_MSG_NEWCHAIN, NLM_F_CREATE, table.family);
    message.attr_str(1, &table.name).attr_str(3, &chain.name);
    if let Some(hook) = chain.hook {
        let number = match hook.point {
            Point::Prerouting => 0,
            Point::Forward => 2,
            Point::Output => 3,
            Point::Postrouting => 4,
        };
        message
            .nest(4, |attributes| {
                attributes
                    .attr_be32(1, number)
                    .attr(2, &hook.priority.to_be_bytes());
            })
            .attr_be32(5, NF_ACCEPT)
            .attr_str(7, hook.kind);
    }
    message
}

fn map_message(table: &Table, map: &InterfaceMap, id: u32) -> Message {
    const NFT_SET_MAP: u32 = 8;
    /// nft's own number for the type "ifname"; only so that `nft list` prints it well.
    const TYPE_IFNAME: u32 = 41;
    const NFT_DATA_VERDICT: u32 = 0xffff_ff00;
    let mut message = message(NFT_MSG_NEWSET, NLM_F_CREATE, table.family);
    message
        .attr_str(1, &table.name)
        .attr_str(2, &map.name)
        .attr_be32(3, NFT_SET_MAP)
        .attr_be32(4, TYPE_IFNAME)
        .attr_be32(5, 16)
        .attr_be32(6, NFT_DATA_VERDICT)
        .attr_be32(7, 0)
        .attr_be32(10, id)
        // For nft only: type 0 (byte order of the key), 4 bytes, 1 (the host's).
        .attr(13, &[[0, 4].as_slice(), &1u32.to_ne_bytes()].concat());
    message
}

fn elements_message(table: &Table, map: &InterfaceMap, jumps: &[(String, String)]) -> Message {
    let mut message = message(NFT_MSG_NEWSETELEM, NLM_F_CREATE, table.family);
    message
        .attr_str(1, &table.name)
        .attr_str(2, &map.name)
        .nest(3, |list| {
            for (interface, chain) in jumps {
                list.nest(NFTA_LIST_ELEM, |element| {
                    element
                        .nest(1, |key| {
                            key.attr(NFTA_DATA_VALUE, &interface_bytes(interface));
                        })
                        .nest(2, |data| verdict(data, NFT_JUMP, Some(chain)));
                });
            }
        });
    message
}

fn rule_message(table: &Table, chain: &Chain, rule: &Rule) -> Message {
    let mut message = message(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, table.family);
    message
        .attr_str(1, &table.name)
        .attr_str(2, &chain.name)
        .nest(4, |list| {
            let mut expressions = Expressions {
                list,
                family: table.family,
            };
            for one in &rule.matches {
                expressions.push_match(one);
            }
            expressions.push_action(&rule.action);
        });
    if let Some(comment) = &rule.comment {
        // nft's own layout: type 0 is a comment, then its length, then the text with a zero.
        let mut data = vec![0, u8::try_from(comment.len() + 1).unwrap_or(u8::MAX)];
        data.extend(comment.bytes().take(254));
        data.push(0);
        message.attr(7, &data);
    }
    message
}

/// A list of expressions being filled: each works on registers, and the rule ends at the first
/// comparison that fails.
struct Expressions<'a> {
    list: &'a mut Message,
    family: Family,
}

impl Expressions<'_> {
    fn push(&mut self, name: &str, fill: impl FnOnce(&mut Message)) {
        self.list.nest(NFTA_LIST_ELEM, |element| {
            element.attr_str(1, name).nest(2, fill);
        });
    }

    fn push_match(&mut self, one: &Match) {
        match one {
            Match::From(name) => self.interface(IIFNAME, EQUAL, name),
            Match::NotFrom(name) => self.interface(IIFNAME, NOT_EQUAL, name),
            Match::To(name) => self.interface(OIFNAME, EQUAL, name),
            Match::NotTo(name) => self.interface(OIFNAME, NOT_EQUAL, name),
            Match::Source(address, length) => self.address(Side::Source, EQUAL, *address, *length),
            Match::NotSource(address, length) => {
                self.address(Side::Source, NOT_EQUAL, *address, *length);
            }
            Match::Destination(address, length) => {
                self.address(Side::Destination, EQUAL, *address, *length);
            }
            Match::NotDestination(address, length) => {
                self.address(Side::Destination, NOT_EQUAL, *address, *length);
            }
            Match::SourceIsLocal => self.is_local(Side::Source),
            Match::DestinationIsLocal => self.is_local(Side::Destination),
            Match::SourcePort(protocol, port) => self.port(*protocol, 0, *port),
            Match::DestinationPort(protocol, port) => self.port(*protocol, 2, *port),
            Match::Icmp => self.protocol(match self.family {
                Family::Ip => 1,
                Family::Ip6 => 58,
            }),
            // NF_CT_STATE_BIT of IP_CT_ESTABLISHED and IP_CT_RELATED
            Match::Established => self.connection(CT_STATE, 2 | 4),
            // IPS_DST_NAT
            Match::Translated => self.connection(CT_STATUS, 1 << 5),
        }
    }

    fn push_action(&mut self, action: &Action) {
        match action {
            Action::Accept => self.verdict(NF_ACCEPT, None),
            Action::Drop => self.verdict(NF_DROP, None),
            Action::Jump(chain) => self.verdict(NFT_JUMP, Some(chain)),
            Action::JumpByInput(map) => self.lookup(IIFNAME, map),
            Action::JumpByOutput(map) => self.lookup(OIFNAME, map),
            Action::Masquerade => self.push("masq", |_| {}),
            Action::TranslateDestination(address, port) => {
                self.translate(NAT_DESTINATION, Some(*address), Some(*port));
            }
            Action::TranslateSource(address) => self.translate(NAT_SOURCE, Some(*address), None),
            Action::TranslateSourcePort(port) => self.translate(NAT_SOURCE, None, Some(*port)),
        }
    }

    fn meta(&mut self, key: u32) {
        self.push("meta", |data| {
            data.attr_be32(1, NFT_REG_1).attr_be32(2, key);
        });
    }

    fn compare(&mut self, operation: u32, value: &[u8]) {
        self.push("cmp", |data| {
            data.attr_be32(1, NFT_REG_1)
                .attr_be32(2, operation)
                .nest(3, |nested| {
                    nested.attr(NFTA_DATA_VALUE, value);
                });
        });
    }

    /// Keeps the bits of `mask` in the register.
    fn mask(&mut self, mask: &[u8]) {
        let length = u32::try_from(mask.len()).unwrap_or(16);
        self.push("bitwise", |data| {
            data.attr_be32(1, NFT_REG_1)
                .attr_be32(2, NFT_REG_1)
                .attr_be32(3, length)
                .nest(4, |nested| {
                    nested.attr(NFTA_DATA_VALUE, mask);
                })
                .nest(5, |nested| {
                    nested.attr(NFTA_DATA_VALUE, &vec![0; mask.len()]);
                });
        });
    }

    fn payload(&mut self, base: u32, offset: u32, length: u32) {
        self.push("payload", |data| {
            data.attr_be32(1, NFT_REG_1)
                .attr_be32(2, base)
                .attr_be32(3, offset)
                .attr_be32(4, length);
        });
    }

    fn interface(&mut self, key: u32, operation: u32, name: &str) {
        self.meta(key);
        self.compare(operation, &interface_bytes(name));
    }

    fn lookup(&mut self, key: u32, map: &str) {
        self.meta(key);
        self.push("lookup", |data| {
            data.attr_str(1, map)
                .attr_be32(2, NFT_REG_1)
                .attr_be32(3, NFT_REG_VERDICT);
        });
    }

    fn address(&mut self, side: Side, operation: u32, address: IpAddr, length: u8) {
        let (offset, bytes) = match (address, side) {
            (IpAddr::V4(ip), Side::Source) => (12, ip.octets().to_vec()),
            (IpAddr::V4(ip), Side::Destination) => (16, ip.octets().to_vec()),
            (IpAddr::V6(ip), Side::Source) => (8, ip.octets().to_vec()),
            (IpAddr::V6(ip), Side::Destination) => (24, ip.octets().to_vec()),
        };
        let size = if address.is_ipv4() { 4 } else { 16 };
        self.payload(NETWORK_HEADER, offset, size);
        if usize::from(length) < bytes.len() * 8 {
            let mask: Vec<u8> = (0..bytes.len())
                .map(|index| {
                    let ones = usize::from(length).saturating_sub(index * 8).min(8);
                    // The upper `ones` bits of a byte.
                    u8::try_from(0xff00_u16 >> ones & 0xff).unwrap_or(u8::MAX)
                })
                .collect();
            self.mask(&mask);
        }
        self.compare(operation, &bytes);
    }

    fn is_local(&mut self, side: Side) {
        const FIB_ADDRESS_TYPE: u32 = 3;
        const RTN_LOCAL: u32 = 2;
        let flags = match side {
            Side::Source => 1,
            Side::Destination => 2,
        };
        self.push("fib", |data| {
            data.attr_be32(1, NFT_REG_1)
                .attr_be32(2, FIB_ADDRESS_TYPE)
                .attr_be32(3, flags);
        });
        self.compare(EQUAL, &RTN_LOCAL.to_ne_bytes());
    }

    fn protocol(&mut self, number: u8) {
        const L4PROTO: u32 = 16;
        self.meta(L4PROTO);
        self.compare(EQUAL, &[number]);
    }

    fn port(&mut self, protocol: Protocol, offset: u32, port: u16) {
        self.protocol(match protocol {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        });
        self.payload(TRANSPORT_HEADER, offset, 2);
        self.compare(EQUAL, &port.to_be_bytes());
    }

    fn connection(&mut self, key: u32, bits: u32) {
        self.push("ct", |data| {
            data.attr_be32(1, NFT_REG_1).attr_be32(2, key);
        });
        self.mask(&bits.to_ne_bytes());
        self.compare(NOT_EQUAL, &0u32.to_ne_bytes());
    }

    fn verdict(&mut self, code: u32, chain: Option<&String>) {
        self.push("immediate", |data| {
            data.attr_be32(1, NFT_REG_VERDICT)
                .nest(2, |nested| verdict(nested, code, chain));
        });
    }

    fn load(&mut self, register: u32, value: &[u8]) {
        self.push("immediate", |data| {
            data.attr_be32(1, register).nest(2, |nested| {
                nested.attr(NFTA_DATA_VALUE, value);
            });
        });
    }

    fn translate(&mut self, kind: u32, address: Option<IpAddr>, port: Option<u16>) {
        match address {
            Some(IpAddr::V4(ip)) => self.load(NFT_REG_1, &ip.octets()),
            Some(IpAddr::V6(ip)) => self.load(NFT_REG_1, &ip.octets()),
            None => {}
        }
        if let Some(port) = port {
            self.load(NFT_REG_2, &port.to_be_bytes());
        }
        let family = u32::from(protocol_family(self.family));
        self.push("nat", |data| {
            data.attr_be32(1, kind).attr_be32(2, family);
            if address.is_some() {
                data.attr_be32(3, NFT_REG_1);
            }
            if port.is_some() {
                data.attr_be32(5, NFT_REG_2);
            }
        });
    }
}

const IIFNAME: u32 = 6;
const OIFNAME: u32 = 7;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
const NAT_SOURCE: u32 = 0;
const NAT_DESTINATION: u32 = 1;

#[derive(Clone, Copy)]
enum Side {
    Source,
    Destination,
}

fn verdict(data: &mut Message, code: u32, chain: Option<&String>) {
    data.nest(NFTA_DATA_VERDICT, |nested| {
        nested.attr_be32(1, code);
        if let Some(chain) = chain {
            nested.attr_str(2, chain);
        }
    });
}

/// Interface names are compared with all their 16 bytes.
fn interface_bytes(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    let length = name.len().min(15);
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    bytes
}
