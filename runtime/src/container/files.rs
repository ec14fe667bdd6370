//! Pure: the text of the files that every container gets: /etc/hosts and /etc/hostname.
//!
//! (/etc/resolv.conf belongs to `network`.) They are bind mounted, so whoever writes
//! them truncates and writes in place, never renames.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::state::Endpoint;

/// What /etc/hosts of a container is made of.
#[derive(Debug, Clone, Copy)]
pub struct Hosts<'a> {
    pub hostname: &'a str,
    pub domainname: Option<&'a str>,
    /// Name, and an address or `host-gateway`.
    pub extra: &'a [(String, String)],
    pub endpoints: &'a [Endpoint],
    /// Whether the namespace has IPv6.
    pub ipv6: bool,
}

/// /etc/hosts of a container with a network namespace of its own.
pub fn hosts(hosts: &Hosts<'_>) -> String {
    let mut text = String::from("127.0.0.1\tlocalhost\n");
    if hosts.ipv6 {
        text.push_str(
            "::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::\tip6-localnet\n\
             ff00::\tip6-mcastprefix\n\
             ff02::1\tip6-allnodes\n\
             ff02::2\tip6-allrouters\n",
        );
    }
    push_extra(&mut text, hosts.extra, hosts.endpoints);
    let own = match hosts.domainname {
        Some(domain) if !domain.is_empty() => {
            format!("{0}.{domain} {0}", hosts.hostname)
        }
        _ => hosts.hostname.to_owned(),
    };
    for endpoint in hosts.endpoints {
        if let Some((address, _)) = endpoint.ipv4 {
            push_line(&mut text, &address.to_string(), &own);
        }
        if let Some((address, _)) = endpoint.ipv6 {
            push_line(&mut text, &address.to_string(), &own);
        }
    }
    text
}

/// /etc/hosts of a container in the host's network: the host's file and the extra lines.
pub fn host_network_hosts(host_file: &str, extra: &[(String, String)]) -> String {
    let mut text = host_file.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    push_extra(&mut text, extra, &[]);
    text
}

/// /etc/hostname.
pub fn hostname(hostname: &str) -> String {
    format!("{hostname}\n")
}

fn push_extra(text: &mut String, extra: &[(String, String)], endpoints: &[Endpoint]) {
    for (name, address) in extra {
        if address == "host-gateway" {
            for gateway in gateways(endpoints) {
                push_line(text, &gateway.to_string(), name);
            }
        } else {
            let bare = address.trim_start_matches('[').trim_end_matches(']');
            push_line(text, bare, name);
        }
    }
}

/// The host as the container sees it: the gateway of its first network that has one; without
/// a network of its own, the host's loopback.
fn gateways(endpoints: &[Endpoint]) -> Vec<IpAddr> {
    let Some(endpoint) = endpoints
        .iter()
        .find(|endpoint| endpoint.ipv4_gateway.is_some() || endpoint.ipv6_gateway.is_some())
    else {
        return vec![IpAddr::from([127, 0, 0, 1])];
    };
    let ipv4 = endpoint.ipv4_gateway.map(IpAddr::from);
    let ipv6 = endpoint.ipv6_gateway.map(IpAddr::from);
    ipv4.into_iter().chain(ipv6).collect()
}

fn push_line(text: &mut String, address: &str, names: &str) {
    // Writing to a string cannot fail.
    let _infallible = writeln!(text, "{address}\t{names}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint {
            network: "app_default".into(),
            network_id: "0".repeat(64),
            interface: "eth0".into(),
            host_interface: "veth0".into(),
            mac_address: "02:42:ac:12:00:02".into(),
            ipv4: Some(([172, 18, 0, 2].into(), 16)),
            ipv4_gateway: Some([172, 18, 0, 1].into()),
            ipv6: None,
            ipv6_gateway: None,
            names: vec![],
        }
    }

    #[test]
    fn a_container_finds_itself_and_its_extra_hosts() {
        let text = hosts(&Hosts {
            hostname: "web",
            domainname: Some("example.org"),
            extra: &[
                ("db.test".into(), "10.0.0.9".into()),
                ("six".into(), "[fd00::1]".into()),
                ("host.docker.internal".into(), "host-gateway".into()),
            ],
            endpoints: &[endpoint()],
            ipv6: false,
        });
        assert_eq!(
            text,
            "127.0.0.1\tlocalhost\n10.0.0.9\tdb.test\nfd00::1\tsix\n\
             172.18.0.1\thost.docker.internal\n172.18.0.2\tweb.example.org web\n"
        );
    }

    #[test]
    fn without_a_network_there_is_no_own_line() {
        let text = hosts(&Hosts {
            hostname: "web",
            domainname: None,
            extra: &[],
            endpoints: &[],
            ipv6: true,
        });
        assert!(text.starts_with("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost"));
        assert!(!text.contains("web"));
    }

    #[test]
    fn the_hosts_own_file_is_kept_in_its_network() {
        assert_eq!(
            host_network_hosts("127.0.0.1 localhost", &[("a".into(), "1.2.3.4".into())]),
            "127.0.0.1 localhost\n1.2.3.4\ta\n"
        );
    }
}
