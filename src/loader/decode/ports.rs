//! `ports`.

use super::Fields;
use crate::model::Port;
use crate::units::ranges;

/// One entry in its long form.
pub(super) fn port(mut fields: Fields<'_>) -> Option<Port> {
    fields.node.as_map()?;
    let target = fields.integer_from("target", 1, 65535);
    let published = match fields.text("published") {
        Some(text) if !text.is_empty() => match ranges::parse_ports(&text) {
            Ok(range) => Some(range),
            Err(reason) => {
                fields.error("published", reason);
                None
            }
        },
        _ => None,
    };
    // Docker reads 0 as "any free port".
    let published = published.filter(|range| *range.end() != 0);
    let protocol = fields.text("protocol").unwrap_or_else(|| "tcp".to_owned());
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        fields.error(
            "protocol",
            format!("unknown protocol {protocol:?}: it is tcp, udp or sctp"),
        );
    }
    let host_ip = fields.parsed("host_ip", "an IP address");
    Some(Port {
        span: fields.node.span,
        target: target?,
        published,
        host_ip,
        protocol,
        mode: fields.text("mode").unwrap_or_else(|| "ingress".to_owned()),
        name: fields.text("name"),
        app_protocol: fields.text("app_protocol"),
    })
}
