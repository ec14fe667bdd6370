//! Networks in the kernel: bridges, addresses that stay, ways out, walls between projects.

use std::net::{Ipv4Addr, SocketAddrV6, TcpListener};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use ketch_runtime::error::ErrorKind;
use ketch_runtime::network::bridge;
use ketch_runtime::spec::{NetworkSpec, SubnetSpec};
use ketch_runtime::sys::netlink::Socket;
use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sockopt};

use crate::lab::{self, OUTSIDER, ask_tcp, inside};

pub(crate) fn containers_of_a_network_reach_each_other_and_no_other_network() {
    lab::run(|lab| {
        let (one, other) = (lab.network("one"), lab.network("other"));
        assert_ne!(one.ipv4, other.ipv4);
        let web = lab.attach("web", &["one"], &[]);
        let near = lab.attach("near", &["one"], &[]);
        let far = lab.attach("far", &["other"], &[]);
        web.serve_tcp(80);
        let seen = inside(&near.netns, || ask_tcp(web.address(), 80));
        assert_eq!(seen, Some(near.address().to_string()));
        assert_eq!(inside(&far.netns, || ask_tcp(web.address(), 80)), None);
        assert!(ask_tcp(web.address(), 80).is_some(), "the host reaches it");
    });
}

pub(crate) fn a_container_goes_out_under_the_hosts_address_and_nobody_comes_in() {
    lab::run(|lab| {
        let outsider = lab.outsider();
        lab.network("one");
        let web = lab.attach("web", &["one"], &[]);
        web.serve_tcp(80);
        let listener = inside(&outsider, || TcpListener::bind(("0.0.0.0", 99)).unwrap());
        let asked = inside(&web.netns, || {
            std::net::TcpStream::connect((OUTSIDER, 99)).map(|_| ())
        });
        asked.unwrap();
        let (_, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip(), lab::HOST);
        // The outsider's default route is our host: packets to the container do arrive.
        assert_eq!(inside(&outsider, || ask_tcp(web.address(), 80)), None);
    });
}

pub(crate) fn an_internal_network_has_no_way_out() {
    lab::run(|lab| {
        let outsider = lab.outsider();
        let spec = NetworkSpec {
            name: "closed".into(),
            internal: true,
            ..NetworkSpec::default()
        };
        lab.engine.create_network(&spec).unwrap();
        let db = lab.attach("db", &["closed"], &[]);
        let web = lab.attach("web", &["closed"], &[]);
        db.serve_tcp(5432);
        let _listener = inside(&outsider, || TcpListener::bind(("0.0.0.0", 99)).unwrap());
        assert_eq!(inside(&web.netns, || ask_tcp(OUTSIDER, 99)), None);
        assert!(inside(&web.netns, || ask_tcp(db.address(), 5432)).is_some());
    });
}

/// A neighbour that advertises itself as the router of everybody on the bridge (checklist 20).
pub(crate) fn nobody_believes_the_router_advertisements_of_a_neighbour() {
    lab::run(|lab| {
        let spec = NetworkSpec {
            name: "six".into(),
            enable_ipv6: Some(true),
            ..NetworkSpec::default()
        };
        let network = lab.engine.create_network(&spec).unwrap();
        let attacker = lab.attach("attacker", &["six"], &[]);
        let victim = lab.attach("victim", &["six"], &[]);
        // One that does believe them shows that they arrive.
        let gullible = lab.attach("gullible", &["six"], &[]);
        inside(&gullible.netns, || {
            std::fs::write("/proc/sys/net/ipv6/conf/eth0/accept_ra", "2").unwrap();
        });
        let deadline = Instant::now() + Duration::from_secs(20);
        while !follows_a_neighbour(&gullible.netns) {
            assert!(Instant::now() < deadline, "no advertisement arrived");
            inside(&attacker.netns, advertise);
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(!follows_a_neighbour(&victim.netns));
        let bridge = &network.bridge;
        let on_bridge =
            |line: &str| line.ends_with(bridge.as_str()) && is_default_by_neighbour(line);
        assert!(!routes().lines().any(on_bridge), "{}", routes());
    });
}

/// Says to all nodes: for half an hour, I am your router (RFC 4861, 4.2). Does nothing before the
/// interface has an address for it.
fn advertise() {
    const ADVERTISEMENT: [u8; 16] = [134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
    let addresses = std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap();
    let own = addresses
        .lines()
        .find(|line| line.starts_with("fe80") && line.ends_with("eth0"));
    let Some(index) = own.and_then(|line| line.split(' ').nth(1)) else {
        return;
    };
    let index = u32::from_str_radix(index, 16).unwrap();
    let everybody = SocketAddrV6::new("ff02::1".parse().unwrap(), 0, 0, index);
    let socket =
        rustix::net::socket(AddressFamily::INET6, SocketType::RAW, Some(ipproto::ICMPV6)).unwrap();
    sockopt::set_ipv6_multicast_hops(&socket, 255).unwrap();
    let _not_yet = rustix::net::sendto(&socket, &ADVERTISEMENT, SendFlags::empty(), &everybody);
}

fn follows_a_neighbour(netns: &OwnedFd) -> bool {
    inside(netns, routes).lines().any(is_default_by_neighbour)
}

fn routes() -> String {
    std::fs::read_to_string("/proc/thread-self/net/ipv6_route").unwrap()
}

/// Destination and its length, source and its length, next hop, …
fn is_default_by_neighbour(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let is_default = words
        .next()
        .is_some_and(|to| to.bytes().all(|byte| byte == b'0'))
        && words.next() == Some("00");
    is_default && words.nth(2).is_some_and(|hop| hop.starts_with("fe80"))
}

pub(crate) fn a_recreated_container_keeps_its_address() {
    lab::run(|lab| {
        lab.network("one");
        let first = lab.attach("db", &["one"], &[]);
        let (address, mac) = (first.address(), first.endpoints[0].mac_address.clone());
        assert!(first.detach().is_empty());
        let other = lab.attach("web", &["one"], &[]);
        assert_ne!(other.address(), address);
        let again = lab.attach("db", &["one"], &[]);
        assert_eq!(again.address(), address);
        assert_eq!(again.endpoints[0].mac_address, mac);
    });
}

pub(crate) fn a_lost_bridge_is_made_again() {
    lab::run(|lab| {
        let network = lab.network("one");
        bridge::delete_link(&mut Socket::route().unwrap(), &network.bridge).unwrap();
        let web = lab.attach("web", &["one"], &[]);
        web.serve_tcp(80);
        assert!(ask_tcp(web.address(), 80).is_some());
    });
}

pub(crate) fn a_network_in_use_stays_and_nothing_stays_of_a_removed_one() {
    lab::run(|lab| {
        let before = lab.links();
        let network = lab.network("one");
        let web = lab.attach("web", &["one", "bridge"], &[]);
        let error = lab.engine.remove_network("one").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InUse);
        assert!(
            error
                .to_string()
                .contains("network one has active endpoints (name:\"web\" id:")
        );
        assert!(web.detach().is_empty());
        lab.engine.remove_network("one").unwrap();
        assert_eq!(lab.links(), before);
        assert!(lab.engine.network(network.id.as_str()).is_err());
        let data = std::fs::read_dir(lab.roots().networks()).unwrap();
        let left: Vec<_> = data.map(|entry| entry.unwrap().file_name()).collect();
        let text = format!("{left:?}");
        assert!(!text.contains(network.id.as_str()), "{text}");
    });
}

pub(crate) fn who_leaves_takes_along_what_killed_monitors_had_begun_to_write() {
    lab::run(|lab| {
        let roots = lab.roots();
        let web = lab.attach("web", &["bridge"], &[]);
        let network = lab.engine.network("bridge").unwrap().id;
        // Of a process that is there still, as a killed one is for a moment.
        let suffix = format!("json.{:08x}00000001", std::process::id());
        let begun = [roots.network_run().join(network.as_str()), roots.networks()]
            .map(|directory| directory.join(format!(".{network}.{suffix}")));
        for file in &begun {
            std::fs::write(file, "{").unwrap();
        }
        assert!(web.detach().is_empty());
        for file in &begun {
            assert!(!file.exists(), "{}", file.display());
        }
        assert_eq!(std::fs::read_dir(roots.network_run()).unwrap().count(), 0);
    });
}

pub(crate) fn names_and_subnets_are_taken_once() {
    lab::run(|lab| {
        let spec = |name: &str, subnet: &str| NetworkSpec {
            name: name.into(),
            subnets: vec![SubnetSpec {
                subnet: Some(subnet.into()),
                ..SubnetSpec::default()
            }],
            ..NetworkSpec::default()
        };
        let one = lab
            .engine
            .create_network(&spec("one", "10.9.0.0/16"))
            .unwrap();
        assert_eq!(one.ipv4.unwrap().gateway, Ipv4Addr::new(10, 9, 0, 1));
        let text = |spec: &NetworkSpec| lab.engine.create_network(spec).unwrap_err().to_string();
        assert_eq!(
            text(&spec("one", "10.10.0.0/16")),
            "network with name one already exists"
        );
        assert_eq!(
            text(&spec("two", "10.9.4.0/24")),
            "invalid pool request: Pool overlaps with other one on this address space"
        );
        assert_eq!(
            text(&spec("host", "10.11.0.0/16")),
            "operation is not permitted on predefined host network"
        );
    });
}

pub(crate) fn two_networks_have_one_way_out() {
    lab::run(|lab| {
        let outsider = lab.outsider();
        lab.network("b-back");
        lab.network("a-front");
        let web = lab.attach("web", &["b-back", "a-front"], &[]);
        assert_eq!(
            (
                web.endpoints[0].interface.as_str(),
                web.endpoints[1].interface.as_str()
            ),
            ("eth0", "eth1")
        );
        assert!(web.endpoints[0].ipv4_gateway.is_none());
        assert!(web.endpoints[1].ipv4_gateway.is_some());
        let _listener = inside(&outsider, || TcpListener::bind(("0.0.0.0", 99)).unwrap());
        let connected = inside(&web.netns, || {
            std::net::TcpStream::connect((OUTSIDER, 99)).is_ok()
        });
        assert!(connected);
    });
}
