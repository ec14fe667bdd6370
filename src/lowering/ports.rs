//! Pure: published and documented ports.

use ketch_runtime::spec::{PortBinding, Protocol};

use super::Context;
use crate::diag::Diagnostic;
use crate::model::NetworkMode;

/// One binding for each entry of `ports`.
pub(super) fn lower_ports(context: &mut Context<'_>) -> Vec<PortBinding> {
    let service = context.service;
    let mode = service.network_mode.as_ref().map(|mode| &mode.value);
    if let (Some(NetworkMode::Host), Some(port)) = (mode, service.ports.first()) {
        let message = "published ports are discarded when using host network mode";
        context.report(Diagnostic::warning(port.span, message));
        return Vec::new();
    }
    let mut bindings = Vec::new();
    for port in &service.ports {
        let Some(protocol) = protocol(&port.protocol) else {
            let message = format!("invalid protocol {:?} of a port", port.protocol);
            let hint = "use `tcp`, `udp` or `sctp`";
            context.report(Diagnostic::error(port.span, message).hint(hint));
            continue;
        };
        bindings.push(PortBinding {
            container_port: port.target,
            protocol,
            host_ip: port.host_ip,
            // `published: "0"` asks for any free port, as absence does.
            host_ports: port.published.clone().filter(|range| *range.end() != 0),
        });
    }
    bindings
}

/// `80`, `80-82/udp`.
pub(super) fn lower_expose(context: &mut Context<'_>) -> Vec<(u16, Protocol)> {
    let mut exposed = Vec::new();
    for (index, text) in context.service.expose.iter().enumerate() {
        match parse_expose(text) {
            Some(ports) => exposed.extend(ports),
            None => {
                let message = format!("invalid exposed port {text:?}");
                context.error("expose", Some(index), message);
            }
        }
    }
    exposed
}

fn parse_expose(text: &str) -> Option<Vec<(u16, Protocol)>> {
    let (ports, word) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol(word)?;
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last) = (first.parse::<u16>().ok()?, last.parse::<u16>().ok()?);
    if first == 0 || first > last {
        return None;
    }
    Some((first..=last).map(|port| (port, protocol)).collect())
}

fn protocol(word: &str) -> Option<Protocol> {
    match word.to_ascii_lowercase().as_str() {
        "tcp" | "" => Some(Protocol::Tcp),
        "udp" => Some(Protocol::Udp),
        "sctp" => Some(Protocol::Sctp),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exposed_ranges_are_taken_apart() {
        let udp = |port| (port, Protocol::Udp);
        assert_eq!(parse_expose("80-81/udp"), Some(vec![udp(80), udp(81)]));
        assert_eq!(parse_expose("80"), Some(vec![(80, Protocol::Tcp)]));
        assert_eq!(parse_expose("81-80"), None);
        assert_eq!(parse_expose("80/icmp"), None);
    }
}
