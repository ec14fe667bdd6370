//! `ports`: `[[HOST_IP:]HOST_PORT[-END]:]PORT[-END][/PROTOCOL]`.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::diag::{Diagnostic, Diagnostics, Span};
use crate::units::ranges;
use crate::yaml::{Kind, Map, Node, Path};

/// Ports of a document's ranges; every one there is, as TCP and as UDP, are 131072.
const MOST: usize = 200_000;

/// Takes out the ranges with which a document has more ports than that.
pub(super) fn bound(root: &mut Node, diagnostics: &mut Diagnostics) {
    let mut count = 0;
    let services = root.as_map_mut().and_then(|map| map.get_mut("services"));
    let services = services.and_then(Node::as_map_mut).into_iter();
    for service in services.flat_map(Map::iter_mut) {
        let ports = service
            .value
            .as_map_mut()
            .and_then(|map| map.get_mut("ports"));
        let Some(Kind::List(items)) = ports.map(|ports| &mut ports.kind) else {
            continue;
        };
        items.retain(|item| {
            let range = item.as_str().filter(|text| text.contains('-'));
            let Some(Ok(short)) = range.map(parse) else {
                return true;
            };
            let fits = count + short.target.len() <= MOST;
            if fits {
                count += short.target.len();
            } else {
                let message = format!("the ranges of ports have more than {MOST} ports in all");
                diagnostics.push(Diagnostic::error(item.span, message));
            }
            fits
        });
    }
}

/// Every entry in its long form; a range is as many entries.
pub(super) fn list(node: Node, path: Path<'_>, diagnostics: &mut Diagnostics) -> Node {
    let span = node.span;
    let Kind::List(items) = node.kind else {
        return node;
    };
    let mut ports = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let path = path.index(index);
        if item.as_map().is_some() {
            ports.push(with_defaults(item));
            continue;
        }
        let Some(text) = item.as_str() else { continue };
        if text.contains("${") {
            ports.push(item);
            continue;
        }
        match parse(text) {
            Ok(short) => ports.extend(short.expanded(item.span)),
            Err(reason) => {
                let diagnostic = Diagnostic::error(item.span, format!("{path}: {reason}"));
                let hint = "ports are written like `80`, `8080:80`, `127.0.0.1:8080:80/udp`, `8000-8010:8000-8010`";
                diagnostics.push(diagnostic.hint(hint));
            }
        }
    }
    Node::list(ports, span)
}

fn with_defaults(mut item: Node) -> Node {
    let span = item.span;
    if let Some(map) = item.as_map_mut() {
        for (key, value) in [("mode", "ingress"), ("protocol", "tcp")] {
            if !map.contains(key) {
                map.insert(key, span, Node::string(value, span));
            }
        }
        if map.get("published").and_then(Node::as_str) == Some("") {
            map.remove("published");
        }
    }
    item
}

/// A short form, taken apart.
struct Short {
    host_ip: Option<IpAddr>,
    published: Option<RangeInclusive<u16>>,
    target: RangeInclusive<u16>,
    protocol: String,
}

fn parse(text: &str) -> Result<Short, String> {
    let (rest, protocol) = match text.split_once('/') {
        Some((rest, protocol)) => (rest, protocol.to_lowercase()),
        None => (text, "tcp".to_owned()),
    };
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("invalid proto: {protocol}"));
    }
    let (front, target) = rest.rsplit_once(':').unwrap_or(("", rest));
    let (address, published) = front.rsplit_once(':').unwrap_or(("", front));
    if target.is_empty() {
        return Err(format!("no port specified: {text}"));
    }
    let target_range =
        ranges::parse_ports(target).map_err(|_| format!("invalid containerPort: {target}"))?;
    let host_ip = if address.is_empty() {
        None
    } else {
        Some(parse_address(address)?)
    };
    let published = if published.is_empty() {
        None
    } else {
        let range = ranges::parse_ports(published);
        Some(range.map_err(|_| format!("invalid hostPort: {published}"))?)
    };
    if let Some(published) = &published {
        let (hosts, containers) = (published.len(), target_range.len());
        if containers > 1 && hosts != containers {
            return Err(format!(
                "invalid ranges specified for container and host ports: {target} and {}-{}",
                published.start(),
                published.end()
            ));
        }
    }
    Ok(Short {
        host_ip,
        published,
        target: target_range,
        protocol,
    })
}

fn parse_address(text: &str) -> Result<IpAddr, String> {
    let bracketed = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let invalid = || format!("invalid IP address: {text}");
    let address: IpAddr = bracketed.unwrap_or(text).parse().map_err(|_| invalid())?;
    // Without its brackets an IPv6 address can't be told from ports.
    (address.is_ipv4() || bracketed.is_some())
        .then_some(address)
        .ok_or_else(invalid)
}

impl Short {
    fn expanded(self, span: Span) -> Vec<Node> {
        let single = self.target.len() == 1;
        let (first, published) = (*self.target.start(), self.published);
        let entry = |target: u16| {
            let published = published.as_ref().map(|range| {
                if single && range.len() > 1 {
                    format!("{}-{}", range.start(), range.end())
                } else {
                    (range.start() + (target - first)).to_string()
                }
            });
            let mut map = Map::new();
            let mut put = |key: &str, node: Node| map.insert(key, span, node);
            put("mode", Node::string("ingress", span));
            if let Some(address) = self.host_ip {
                put("host_ip", Node::string(address.to_string(), span));
            }
            put("target", Node::integer(i128::from(target), span));
            if let Some(published) = published {
                put("published", Node::string(published, span));
            }
            put("protocol", Node::string(self.protocol.clone(), span));
            Node::map(map, span)
        };
        self.target.clone().map(entry).collect()
    }
}
