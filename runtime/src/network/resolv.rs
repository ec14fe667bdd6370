//! Pure: what a container's resolv.conf says, and whom its resolver asks.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::spec::DnsSpec;

/// Where the embedded resolver is, seen from inside a container.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// Asked when a host has no usable server: the same as Docker's.
const FALLBACK: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)),
    IpAddr::V4(Ipv4Addr::new(8, 8, 4, 4)),
];
const FALLBACK_IPV6: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::new(0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8888)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8844)),
];

/// The host's resolv.conf where only systemd's stub is in the usual one.
pub const SYSTEMD_PATH: &str = "/run/systemd/resolve/resolv.conf";

/// A resolv.conf, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolvConf {
    pub servers: Vec<IpAddr>,
    pub search: Vec<String>,
    pub options: Vec<String>,
}

impl ResolvConf {
    /// Takes what it understands, like resolv.conf(5): the last `search` or `domain` counts.
    pub fn parse(text: &str) -> Self {
        let mut conf = Self::default();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => conf.servers.extend(words.next().and_then(parse_server)),
                Some("search" | "domain") => conf.search = words.map(str::to_owned).collect(),
                Some("options") => conf.options.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        conf
    }

    /// Whether only systemd's stub is listed, so that its own file should be read instead.
    pub fn is_systemd_stub(&self) -> bool {
        self.servers == [IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53))]
    }

    fn overridden(&self, dns: &DnsSpec) -> Self {
        let search = match dns.search.as_slice() {
            [] => self.search.clone(),
            // A lone dot is an empty list.
            [dot] if dot == "." => Vec::new(),
            given => given.to_vec(),
        };
        Self {
            servers: if dns.servers.is_empty() {
                self.servers.clone()
            } else {
                dns.servers.clone()
            },
            search,
            options: if dns.options.is_empty() {
                self.options.clone()
            } else {
                dns.options.clone()
            },
        }
    }

    fn print(&self) -> String {
        let mut text = String::new();
        for server in &self.servers {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "nameserver {server}");
        }
        if !self.search.is_empty() {
            let _ = writeln!(text, "search {}", self.search.join(" "));
        }
        if !self.options.is_empty() {
            let _ = writeln!(text, "options {}", self.options.join(" "));
        }
        text
    }
}

/// For a container in user networks: the embedded resolver.
pub fn for_user_networks(host: &ResolvConf, dns: &DnsSpec) -> String {
    let mut conf = host.overridden(dns);
    let servers = Upstreams::new(host, dns);
    conf.servers = vec![RESOLVER.into()];
    if !conf
        .options
        .iter()
        .any(|option| option.starts_with("ndots:"))
    {
        conf.options.push("ndots:0".into());
    }
    let mut text = conf.print();
    let listed: Vec<String> = servers
        .servers
        .iter()
        .map(|server| {
            if server.from_host {
                format!("host({})", server.address)
            } else {
                server.address.to_string()
            }
        })
        .collect();
    if listed.is_empty() {
        text.push_str("# NO EXTERNAL NAMESERVERS DEFINED\n");
    } else {
        let _ = writeln!(text, "\n# ExtServers: [{}]", listed.join(" "));
    }
    let overrides: Vec<&str> = [
        ("nameservers", dns.servers.is_empty()),
        ("search", dns.search.is_empty()),
        ("options", dns.options.is_empty()),
    ]
    .into_iter()
    .filter_map(|(name, absent)| (!absent).then_some(name))
    .collect();
    let _ = writeln!(text, "# Overrides: [{}]", overrides.join(" "));
    text
}

/// For the default network, and for a container with none: the host's servers, without those
/// that only the host can reach.
pub fn for_default_network(host: &ResolvConf, dns: &DnsSpec, has_ipv6: bool) -> String {
    let mut conf = host.overridden(dns);
    if dns.servers.is_empty() {
        conf.servers
            .retain(|server| !server.is_loopback() && (has_ipv6 || server.is_ipv4()));
        if conf.servers.is_empty() {
            conf.servers.extend(FALLBACK);
            if has_ipv6 {
                conf.servers.extend(FALLBACK_IPV6);
            }
        }
    }
    conf.print()
}

/// For a container in the host's network: the host's file as it is, unless told otherwise.
pub fn for_host_network(host_text: &str, dns: &DnsSpec) -> String {
    if *dns == DnsSpec::default() {
        return host_text.to_owned();
    }
    ResolvConf::parse(host_text).overridden(dns).print()
}

/// Whom the embedded resolver asks about names it does not know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Upstreams {
    pub servers: Vec<Upstream>,
    /// The user set `ndots` himself: names of one label are not asked outside.
    pub ndots_given: bool,
}

/// One server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upstream {
    pub address: IpAddr,
    /// Asked from the host's namespace, so that a stub on its loopback works; the user's own
    /// servers are asked from the container's.
    pub from_host: bool,
}

impl Upstreams {
    /// At most three are asked, in their order.
    pub fn new(host: &ResolvConf, dns: &DnsSpec) -> Self {
        let from_host = dns.servers.is_empty();
        let servers = if from_host {
            &host.servers
        } else {
            &dns.servers
        };
        Self {
            servers: servers
                .iter()
                .take(3)
                .map(|&address| Upstream { address, from_host })
                .collect(),
            ndots_given: dns
                .options
                .iter()
                .any(|option| option.starts_with("ndots:")),
        }
    }
}

/// An address, perhaps with a zone (`fe80::1%eth0`), which means nothing in a container.
fn parse_server(text: &str) -> Option<IpAddr> {
    text.split('%').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "# made by hand\nnameserver 127.0.0.53\nnameserver 192.0.2.53 ; main\nnameserver fe80::1%eth0\nsearch example.org lan\noptions edns0 trust-ad\n";

    #[test]
    fn user_networks_get_the_embedded_resolver() {
        let text = for_user_networks(&ResolvConf::parse(HOST), &DnsSpec::default());
        assert_eq!(
            text,
            "nameserver 127.0.0.11\nsearch example.org lan\noptions edns0 trust-ad ndots:0\n\n\
             # ExtServers: [host(127.0.0.53) host(192.0.2.53) host(fe80::1)]\n# Overrides: []\n"
        );
    }

    #[test]
    fn what_the_user_says_goes_before_the_host() {
        let dns = DnsSpec {
            servers: vec!["192.0.2.1".parse().unwrap()],
            search: vec![".".into()],
            options: vec!["ndots:2".into()],
        };
        let host = ResolvConf::parse(HOST);
        assert_eq!(
            for_user_networks(&host, &dns),
            "nameserver 127.0.0.11\noptions ndots:2\n\n# ExtServers: [192.0.2.1]\n# Overrides: [nameservers search options]\n"
        );
        let upstreams = Upstreams::new(&host, &dns);
        assert!(upstreams.ndots_given && !upstreams.servers[0].from_host);
    }

    #[test]
    fn the_default_network_leaves_out_what_only_the_host_reaches() {
        let host = ResolvConf::parse(HOST);
        assert_eq!(
            for_default_network(&host, &DnsSpec::default(), false),
            "nameserver 192.0.2.53\nsearch example.org lan\noptions edns0 trust-ad\n"
        );
        let stub = ResolvConf::parse("nameserver 127.0.0.53\n");
        assert!(stub.is_systemd_stub());
        assert_eq!(
            for_default_network(&stub, &DnsSpec::default(), false),
            "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"
        );
    }

    #[test]
    fn the_host_network_gets_the_hosts_file() {
        assert_eq!(for_host_network(HOST, &DnsSpec::default()), HOST);
    }
}
