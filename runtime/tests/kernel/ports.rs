//! Published ports: every way to them, and what is said when one is taken.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};

use ketch_runtime::error::ErrorKind;
use ketch_runtime::spec::Protocol;

use crate::lab::{self, HOST, ask_tcp, ask_udp, inside, publish};

pub(crate) fn every_way_to_a_published_port_works() {
    lab::run(|lab| {
        let outsider = lab.outsider();
        let network = lab.network("one");
        lab.network("other");
        let gateway = network.ipv4.unwrap().gateway;
        let web = lab.attach("web", &["one"], &[publish(None, 8080, 80, Protocol::Tcp)]);
        let near = lab.attach("near", &["one"], &[]);
        let far = lab.attach("far", &["other"], &[]);
        web.serve_tcp(80);
        let from_outside = inside(&outsider, || ask_tcp(HOST, 8080));
        assert_eq!(
            from_outside,
            Some(lab::OUTSIDER.to_string()),
            "with its own address"
        );
        assert!(ask_tcp(HOST, 8080).is_some(), "the host, by its address");
        assert!(
            ask_tcp(gateway, 8080).is_some(),
            "the host, by the bridge's address"
        );
        let gateway_text = Some(gateway.to_string());
        assert_eq!(
            ask_tcp(Ipv4Addr::LOCALHOST, 8080),
            gateway_text,
            "the host, 127.0.0.1"
        );
        assert_eq!(
            ask_tcp(Ipv6Addr::LOCALHOST, 8080),
            gateway_text,
            "the host, [::1]"
        );
        for (name, netns) in [
            ("near", &near.netns),
            ("far", &far.netns),
            ("itself", &web.netns),
        ] {
            assert!(inside(netns, || ask_tcp(HOST, 8080)).is_some(), "{name}");
        }
        assert!(
            inside(&near.netns, || ask_tcp(gateway, 8080)).is_some(),
            "hairpin"
        );
    });
}

pub(crate) fn datagrams_go_the_same_ways() {
    lab::run(|lab| {
        let outsider = lab.outsider();
        lab.network("one");
        let dns = lab.attach("dns", &["one"], &[publish(None, 5353, 53, Protocol::Udp)]);
        let near = lab.attach("near", &["one"], &[]);
        dns.serve_udp(53);
        assert!(
            inside(&outsider, || ask_udp(HOST, 5353)).is_some(),
            "outside"
        );
        assert!(ask_udp(HOST, 5353).is_some(), "host");
        assert!(ask_udp(Ipv4Addr::LOCALHOST, 5353).is_some(), "127.0.0.1");
        assert!(ask_udp(Ipv6Addr::LOCALHOST, 5353).is_some(), "[::1]");
        assert!(
            inside(&near.netns, || ask_udp(HOST, 5353)).is_some(),
            "hairpin"
        );
    });
}

pub(crate) fn a_port_on_the_loopback_is_the_hosts_alone() {
    lab::run(|lab| {
        let outsider = lab.outsider();
        lab.network("one");
        let db = lab.attach(
            "db",
            &["one"],
            &[publish(Some("127.0.0.1"), 5432, 5432, Protocol::Tcp)],
        );
        db.serve_tcp(5432);
        assert!(ask_tcp(Ipv4Addr::LOCALHOST, 5432).is_some());
        assert_eq!(ask_tcp(HOST, 5432), None);
        assert_eq!(inside(&outsider, || ask_tcp(HOST, 5432)), None);
    });
}

pub(crate) fn a_taken_port_names_its_holder_and_leaves_nothing() {
    lab::run(|lab| {
        lab.network("one");
        let before = lab.links();
        let other = TcpListener::bind(("0.0.0.0", 8080)).unwrap();
        let wanted = [publish(None, 8080, 80, Protocol::Tcp)];
        let Err(error) = lab.try_attach("web", &["one"], &wanted) else {
            panic!("the port is taken");
        };
        assert_eq!(error.kind(), ErrorKind::InUse);
        let text = error.to_string();
        assert!(
            text.contains("failed to bind host port 0.0.0.0:8080/tcp: address already in use (by "),
            "{text}"
        );
        assert!(
            text.contains(&format!("pid {})", std::process::id())),
            "{text}"
        );
        assert_eq!(lab.links(), before);
        drop(other);
        let _web = lab.attach("web", &["one"], &wanted);
        let Err(error) = lab.try_attach("web2", &["one"], &wanted) else {
            panic!("the port is taken");
        };
        assert!(
            error
                .to_string()
                .ends_with("Bind for 0.0.0.0:8080 failed: port is already allocated"),
            "{error}"
        );
    });
}

pub(crate) fn a_port_is_free_again_after_the_container() {
    lab::run(|lab| {
        lab.network("one");
        let web = lab.attach("web", &["one"], &[publish(None, 0, 80, Protocol::Tcp)]);
        web.serve_tcp(80);
        let port = web.ports[0].host_port;
        assert!(
            web.ports.iter().all(|other| other.host_port == port),
            "the same in both families"
        );
        assert!(ask_tcp(Ipv4Addr::LOCALHOST, port).is_some());
        assert!(web.detach().is_empty());
        let _listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
    });
}

pub(crate) fn a_new_monitor_takes_ports_and_names_over() {
    lab::run(|lab| {
        let outsider = lab.outsider();
        lab.network("one");
        let mut web = lab.attach("web", &["one"], &[publish(None, 8080, 80, Protocol::Tcp)]);
        web.serve_tcp(80);
        let ports = web.ports.clone();
        web.adopt(&ports);
        assert!(ask_tcp(Ipv4Addr::LOCALHOST, 8080).is_some());
        assert!(inside(&outsider, || ask_tcp(HOST, 8080)).is_some());
        assert!(web.detach().is_empty());
    });
}
