//! Pure: which subnet a network gets, which address a container gets.
//!
//! Subnets come from Docker's pools in Docker's order. Addresses are leased to the pair
//! (network, container name) and outlive the container: whoever is recreated under the
//! same name gets the same address and hardware address again, so that a proxy which
//! resolved a name once keeps working. A lease ends with its network, or when the pool is
//! full and its holder is gone (or, at last, not running).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::Subnet;
use crate::error::{Error, ErrorKind, Result};
use crate::store::id::Id;

/// An address family's arithmetic.
pub trait Address: Copy + Ord + std::fmt::Display {
    const BITS: u8;
    fn bits(self) -> u128;
    /// The upper bits are dropped.
    fn from_u128(bits: u128) -> Self;
}

impl Address for Ipv4Addr {
    const BITS: u8 = 32;
    fn bits(self) -> u128 {
        u128::from(self.to_bits())
    }
    fn from_u128(bits: u128) -> Self {
        let bytes = bits.to_be_bytes();
        Self::new(bytes[12], bytes[13], bytes[14], bytes[15])
    }
}

impl Address for Ipv6Addr {
    const BITS: u8 = 128;
    fn bits(self) -> u128 {
        self.to_bits()
    }
    fn from_u128(bits: u128) -> Self {
        Self::from_bits(bits)
    }
}

/// An address range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix<A> {
    pub network: A,
    pub length: u8,
}

impl<A: Address> Prefix<A> {
    /// The range that holds `address`; the host bits are cleared.
    pub fn of(address: A, length: u8) -> Self {
        let network = A::from_u128(address.bits() & !host_mask::<A>(length));
        Self { network, length }
    }

    /// The first address, as a number.
    pub fn first(self) -> u128 {
        self.network.bits()
    }

    /// The last address, as a number.
    pub fn last(self) -> u128 {
        self.network.bits() | host_mask::<A>(self.length)
    }

    pub fn contains(self, address: A) -> bool {
        (self.first()..=self.last()).contains(&address.bits())
    }

    pub fn overlaps(self, other: Self) -> bool {
        self.first() <= other.last() && other.first() <= self.last()
    }
}

impl<A: Address> From<&Subnet<A>> for Prefix<A> {
    fn from(subnet: &Subnet<A>) -> Self {
        Self {
            network: subnet.network,
            length: subnet.prefix_len,
        }
    }
}

fn host_mask<A: Address>(length: u8) -> u128 {
    let host_bits = A::BITS.saturating_sub(length);
    if host_bits >= 128 {
        u128::MAX
    } else {
        (1u128 << host_bits) - 1
    }
}

/// A range as the user wrote it, of either family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnyPrefix {
    V4(Prefix<Ipv4Addr>),
    V6(Prefix<Ipv6Addr>),
}

/// `192.0.2.0/24`; host bits may be set and are dropped.
pub fn parse_prefix(text: &str) -> Result<AnyPrefix> {
    let invalid = || Error::new(ErrorKind::Invalid, format!("invalid CIDR address: {text}"));
    let (address, length) = text.split_once('/').ok_or_else(invalid)?;
    let address: IpAddr = address.parse().map_err(|_| invalid())?;
    let length: u8 = length.parse().map_err(|_| invalid())?;
    match address {
        IpAddr::V4(address) if length <= 32 => Ok(AnyPrefix::V4(Prefix::of(address, length))),
        IpAddr::V6(address) if length <= 128 => Ok(AnyPrefix::V6(Prefix::of(address, length))),
        _ => Err(invalid()),
    }
}

/// Docker's pools: base, base length, and the length of what is cut from it.
const IPV4_POOLS: [(Ipv4Addr, u8, u8); 7] = [
    (Ipv4Addr::new(172, 17, 0, 0), 16, 16),
    (Ipv4Addr::new(172, 18, 0, 0), 16, 16),
    (Ipv4Addr::new(172, 19, 0, 0), 16, 16),
    (Ipv4Addr::new(172, 20, 0, 0), 14, 16),
    (Ipv4Addr::new(172, 24, 0, 0), 14, 16),
    (Ipv4Addr::new(172, 28, 0, 0), 14, 16),
    (Ipv4Addr::new(192, 168, 0, 0), 16, 20),
];

/// The first subnet of the pools that overlaps nothing in `taken`.
pub fn choose_ipv4(taken: &[Prefix<Ipv4Addr>]) -> Result<Subnet<Ipv4Addr>> {
    IPV4_POOLS
        .iter()
        .flat_map(|&(base, length, size)| {
            (0..1u128 << (size - length)).map(move |index| Prefix {
                network: Ipv4Addr::from_u128(base.bits() + (index << (32 - size))),
                length: size,
            })
        })
        .find(|candidate| taken.iter().all(|other| !candidate.overlaps(*other)))
        .map(|prefix| subnet_of(prefix, None))
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Unavailable,
                "all predefined address pools have been fully subnetted",
            )
        })
}

/// The first free /64 of this host's unique local /48 (`fd` and 40 bits of the host's own).
pub fn choose_ipv6(host: [u8; 5], taken: &[Prefix<Ipv6Addr>]) -> Result<Subnet<Ipv6Addr>> {
    let mut bytes = [0u8; 16];
    bytes[0] = 0xfd;
    bytes[1..6].copy_from_slice(&host);
    let base = u128::from_be_bytes(bytes);
    (0..1u128 << 16)
        .map(|index| Prefix {
            network: Ipv6Addr::from_u128(base + (index << 64)),
            length: 64,
        })
        .find(|candidate| taken.iter().all(|other| !candidate.overlaps(*other)))
        .map(|prefix| subnet_of(prefix, None))
        .ok_or_else(|| Error::new(ErrorKind::Unavailable, "no IPv6 subnet is left"))
}

/// A subnet with its gateway: the given one, else the first address.
pub fn subnet_of<A: Address>(prefix: Prefix<A>, gateway: Option<A>) -> Subnet<A> {
    let first = if prefix.length >= A::BITS - 1 {
        prefix.first()
    } else {
        prefix.first() + 1
    };
    Subnet {
        network: prefix.network,
        prefix_len: prefix.length,
        gateway: gateway.unwrap_or_else(|| A::from_u128(first)),
    }
}

/// What addresses of one family a network may give out.
#[derive(Debug, Clone)]
pub struct Pool<A> {
    pub prefix: Prefix<A>,
    /// `ip_range`: restricts what is given out unasked.
    pub range: Option<Prefix<A>>,
    /// The gateway and the `aux_addresses`.
    pub reserved: BTreeSet<u128>,
}

impl<A: Address> Pool<A> {
    fn is_usable(&self, address: u128) -> bool {
        let edges = self.prefix.length < A::BITS - 1;
        let edge = address == self.prefix.first() || address == self.prefix.last();
        (self.prefix.first()..=self.prefix.last()).contains(&address)
            && !(edges && edge)
            && !self.reserved.contains(&address)
    }

    /// The next address after `last`, once around, that is free: not the lowest, so that caches
    /// of neighbours and connections do not meet a new owner at once.
    fn next_after(&self, last: Option<A>, taken: &BTreeSet<u128>) -> Option<A> {
        let range = self.range.unwrap_or(self.prefix);
        let (first, end) = (range.first(), range.last());
        let start = match last.map(A::bits) {
            Some(last) if last >= first && last < end => last + 1,
            _ => first,
        };
        (start..=end)
            .chain(first..start)
            // Among one more than what is taken or unusable there is a free one, if any.
            .take(taken.len() + self.reserved.len() + 3)
            .find(|address| self.is_usable(*address) && !taken.contains(address))
            .map(A::from_u128)
    }
}

/// `networks/<id>.leases.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Leases {
    last_ipv4: Option<Ipv4Addr>,
    last_ipv6: Option<Ipv6Addr>,
    by_name: BTreeMap<String, Lease>,
}

/// What a container name has in one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub ipv4: Option<Ipv4Addr>,
    pub ipv6: Option<Ipv6Addr>,
    pub mac_address: [u8; 6],
    /// Who joined with it last.
    pub container: Id,
}

/// Who asks for addresses.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    pub name: &'a str,
    pub container: &'a Id,
    pub ipv4: Option<Ipv4Addr>,
    pub ipv6: Option<Ipv6Addr>,
    pub mac_address: Option<[u8; 6]>,
    /// For a holder that has none yet.
    pub fresh_mac: [u8; 6],
}

/// What is known about other holders of leases.
pub trait Holders {
    /// Joined to this network at this moment.
    fn is_joined(&self, container: &Id) -> bool;
    /// A container of this name exists.
    fn exists(&self, name: &str) -> bool;
}

impl Leases {
    /// Gives addresses to a container that joins.
    pub fn grant(
        &mut self,
        ipv4: Option<&Pool<Ipv4Addr>>,
        ipv6: Option<&Pool<Ipv6Addr>>,
        request: &Request<'_>,
        holders: &dyn Holders,
    ) -> Result<Lease> {
        let old = self.by_name.remove(request.name);
        // A renamed container that still runs keeps its addresses, under its id.
        let old = match old {
            Some(lease)
                if lease.container != *request.container && holders.is_joined(&lease.container) =>
            {
                self.by_name.insert(lease.container.to_string(), lease);
                None
            }
            other => other,
        };
        let mut lease = Lease {
            ipv4: None,
            ipv6: None,
            mac_address: request
                .mac_address
                .or(old.as_ref().map(|old| old.mac_address))
                .unwrap_or(request.fresh_mac),
            container: request.container.clone(),
        };
        if let Some(pool) = ipv4 {
            let old = old.as_ref().and_then(|old| old.ipv4);
            lease.ipv4 =
                Some(
                    self.give(pool, request.ipv4, old, self.last_ipv4, holders, |lease| {
                        &mut lease.ipv4
                    })?,
                );
            if request.ipv4.is_none() && old != lease.ipv4 {
                self.last_ipv4 = lease.ipv4;
            }
        }
        if let Some(pool) = ipv6 {
            let old = old.as_ref().and_then(|old| old.ipv6);
            lease.ipv6 =
                Some(
                    self.give(pool, request.ipv6, old, self.last_ipv6, holders, |lease| {
                        &mut lease.ipv6
                    })?,
                );
            if request.ipv6.is_none() && old != lease.ipv6 {
                self.last_ipv6 = lease.ipv6;
            }
        }
        self.by_name.insert(request.name.to_owned(), lease.clone());
        Ok(lease)
    }

    fn give<A: Address>(
        &mut self,
        pool: &Pool<A>,
        wanted: Option<A>,
        old: Option<A>,
        last: Option<A>,
        holders: &dyn Holders,
        field: fn(&mut Lease) -> &mut Option<A>,
    ) -> Result<A> {
        if let Some(wanted) = wanted {
            self.take_over(pool, wanted, holders, field)?;
            return Ok(wanted);
        }
        let taken = self.taken(field);
        let range = pool.range.unwrap_or(pool.prefix);
        if let Some(old) = old
            && pool.is_usable(old.bits())
            && range.contains(old)
            && !taken.contains(&old.bits())
        {
            return Ok(old);
        }
        if let Some(address) = pool.next_after(last, &taken) {
            return Ok(address);
        }
        // Full: first those whose container is gone lose theirs, then those who do not run.
        self.by_name
            .retain(|name, lease| holders.exists(name) || holders.is_joined(&lease.container));
        if let Some(address) = pool.next_after(last, &self.taken(field)) {
            return Ok(address);
        }
        self.by_name
            .retain(|_, lease| holders.is_joined(&lease.container));
        pool.next_after(last, &self.taken(field)).ok_or_else(|| {
            Error::new(
                ErrorKind::Unavailable,
                "no available addresses on this pool",
            )
        })
    }

    /// A configured address: only a holder that runs keeps it.
    fn take_over<A: Address>(
        &mut self,
        pool: &Pool<A>,
        wanted: A,
        holders: &dyn Holders,
        field: fn(&mut Lease) -> &mut Option<A>,
    ) -> Result<()> {
        if !pool.prefix.contains(wanted) {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "invalid endpoint settings: no configured subnet contains IP address {wanted}"
                ),
            ));
        }
        if !pool.is_usable(wanted.bits()) {
            return Err(Error::new(ErrorKind::Conflict, "Address already in use"));
        }
        for lease in self.by_name.values_mut() {
            let joined = holders.is_joined(&lease.container);
            let address = field(lease);
            if *address == Some(wanted) {
                if joined {
                    return Err(Error::new(ErrorKind::Conflict, "Address already in use"));
                }
                *address = None;
            }
        }
        Ok(())
    }

    fn taken<A: Address>(&mut self, field: fn(&mut Lease) -> &mut Option<A>) -> BTreeSet<u128> {
        self.by_name
            .values_mut()
            .filter_map(|lease| field(lease).map(A::bits))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct World {
        joined: Vec<Id>,
        existing: Vec<&'static str>,
    }

    impl Holders for World {
        fn is_joined(&self, container: &Id) -> bool {
            self.joined.contains(container)
        }
        fn exists(&self, name: &str) -> bool {
            self.existing.contains(&name)
        }
    }

    fn pool(text: &str) -> Pool<Ipv4Addr> {
        let AnyPrefix::V4(prefix) = parse_prefix(text).unwrap() else {
            panic!("not IPv4")
        };
        let gateway = subnet_of(prefix, None).gateway;
        Pool {
            prefix,
            range: None,
            reserved: BTreeSet::from([gateway.bits()]),
        }
    }

    fn ask<'a>(name: &'a str, container: &'a Id) -> Request<'a> {
        Request {
            name,
            container,
            ipv4: None,
            ipv6: None,
            mac_address: None,
            fresh_mac: [2, 0, 0, 0, 0, 1],
        }
    }

    fn address(
        leases: &mut Leases,
        pool: &Pool<Ipv4Addr>,
        request: &Request<'_>,
        world: &World,
    ) -> String {
        match leases.grant(Some(pool), None, request, world) {
            Ok(lease) => lease.ipv4.unwrap().to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn subnets_come_in_dockers_order_and_skip_what_is_taken() {
        let taken = |text: &str| match parse_prefix(text).unwrap() {
            AnyPrefix::V4(prefix) => prefix,
            AnyPrefix::V6(_) => panic!("not IPv4"),
        };
        assert_eq!(choose_ipv4(&[]).unwrap().gateway.to_string(), "172.17.0.1");
        let mut all = vec![taken("172.17.3.0/24"), taken("172.18.0.0/15")];
        assert_eq!(choose_ipv4(&all).unwrap().network.to_string(), "172.20.0.0");
        all.push(taken("172.16.0.0/12"));
        let subnet = choose_ipv4(&all).unwrap();
        assert_eq!(
            (subnet.network.to_string().as_str(), subnet.prefix_len),
            ("192.168.0.0", 20)
        );
        all.push(taken("192.168.0.0/16"));
        assert_eq!(
            choose_ipv4(&all).unwrap_err().to_string(),
            "all predefined address pools have been fully subnetted"
        );
    }

    #[test]
    fn there_are_thirty_one_networks() {
        let mut taken = Vec::new();
        while let Ok(subnet) = choose_ipv4(&taken) {
            taken.push(Prefix::from(&subnet));
        }
        assert_eq!(taken.len(), 31);
    }

    #[test]
    fn a_recreated_container_keeps_its_address_and_hardware_address() {
        let (pool, world) = (pool("172.18.0.0/16"), World::default());
        let (one, two, other) = (
            Id::random().unwrap(),
            Id::random().unwrap(),
            Id::random().unwrap(),
        );
        let mut leases = Leases::default();
        assert_eq!(
            address(&mut leases, &pool, &ask("db", &one), &world),
            "172.18.0.2"
        );
        assert_eq!(
            address(&mut leases, &pool, &ask("web", &other), &world),
            "172.18.0.3"
        );
        let again = leases
            .grant(
                Some(&pool),
                None,
                &Request {
                    fresh_mac: [9; 6],
                    ..ask("db", &two)
                },
                &world,
            )
            .unwrap();
        assert_eq!(again.ipv4.unwrap().to_string(), "172.18.0.2");
        assert_eq!(again.mac_address, [2, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn a_running_holder_of_the_same_name_is_not_robbed() {
        let pool = pool("172.18.0.0/16");
        let (old, new) = (Id::random().unwrap(), Id::random().unwrap());
        let world = World {
            joined: vec![old.clone()],
            ..World::default()
        };
        let mut leases = Leases::default();
        assert_eq!(
            address(&mut leases, &pool, &ask("db", &old), &world),
            "172.18.0.2"
        );
        assert_eq!(
            address(&mut leases, &pool, &ask("db", &new), &world),
            "172.18.0.3"
        );
    }

    #[test]
    fn a_full_pool_takes_from_the_gone_then_from_the_stopped() {
        let pool = pool("10.0.0.0/29");
        let ids: Vec<Id> = (0..7).map(|_| Id::random().unwrap()).collect();
        let mut world = World {
            existing: vec!["b"],
            joined: vec![ids[2].clone(), ids[3].clone(), ids[4].clone()],
        };
        let mut leases = Leases::default();
        for (name, id) in ["a", "b", "c", "d", "e"].iter().zip(&ids) {
            address(&mut leases, &pool, &ask(name, id), &world);
        }
        assert_eq!(
            address(&mut leases, &pool, &ask("f", &ids[5]), &world),
            "10.0.0.2"
        );
        world.joined.push(ids[5].clone());
        assert_eq!(
            address(&mut leases, &pool, &ask("g", &ids[6]), &world),
            "10.0.0.3"
        );
        world.joined.push(ids[6].clone());
        let more = Id::random().unwrap();
        assert_eq!(
            address(&mut leases, &pool, &ask("h", &more), &world),
            "no available addresses on this pool"
        );
    }

    #[test]
    fn configured_addresses_are_checked() {
        let pool = pool("10.0.0.0/24");
        let (one, two) = (Id::random().unwrap(), Id::random().unwrap());
        let world = World {
            joined: vec![one.clone()],
            ..World::default()
        };
        let mut leases = Leases::default();
        let at = |request: Request<'static>, text: &str| Request {
            ipv4: Some(text.parse().unwrap()),
            ..request
        };
        let (one, two): (&'static Id, &'static Id) =
            (Box::leak(Box::new(one)), Box::leak(Box::new(two)));
        assert_eq!(
            address(&mut leases, &pool, &at(ask("a", one), "10.0.0.9"), &world),
            "10.0.0.9"
        );
        assert_eq!(
            address(&mut leases, &pool, &at(ask("b", two), "10.0.0.9"), &world),
            "Address already in use"
        );
        assert_eq!(
            address(&mut leases, &pool, &at(ask("b", two), "10.0.0.1"), &world),
            "Address already in use"
        );
        assert_eq!(
            address(&mut leases, &pool, &at(ask("b", two), "10.0.1.1"), &world),
            "invalid endpoint settings: no configured subnet contains IP address 10.0.1.1"
        );
        assert_eq!(
            address(&mut leases, &pool, &ask("b", two), &world),
            "10.0.0.2"
        );
    }

    #[test]
    fn a_range_restricts_what_is_given_unasked() {
        let mut pool = pool("10.0.0.0/24");
        pool.range = Some(Prefix {
            network: Ipv4Addr::new(10, 0, 0, 128),
            length: 25,
        });
        let (id, world) = (Id::random().unwrap(), World::default());
        assert_eq!(
            address(&mut Leases::default(), &pool, &ask("a", &id), &world),
            "10.0.0.128"
        );
    }
}
