//! What is allowed and probably not meant: values that YAML reads as something else than what
//! was written, and ports that two files publish.

use std::collections::BTreeMap;

use super::session::Session;
use crate::diag::{Diagnostic, Diagnostics, Span};
use crate::model::{Port, Project, Service};
use crate::yaml::scalar::{self, Plain};
use crate::yaml::{Kind, Node, Path, Resolved};

/// Warns where a string is wanted and YAML takes what was written for a number: `010` is 8 and
/// `1.10` is 1.1. To be called when values have their types and are not in long forms yet.
pub(super) fn changed_by_yaml(session: &mut Session<'_>, root: &Node) {
    let mut found = Vec::new();
    collect(session, root, Path::ROOT, &mut found);
    for (span, message, hint) in found {
        // What is reached through several aliases was written once.
        if session.changed.insert(span) {
            let warning = Diagnostic::warning(span, message).hint(hint);
            session.diagnostics.push(warning);
        }
    }
}

fn collect(
    session: &Session<'_>,
    node: &Node,
    path: Path<'_>,
    found: &mut Vec<(Span, String, String)>,
) {
    match &node.kind {
        Kind::Null => {}
        Kind::List(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(session, item, path.index(index), found);
            }
        }
        Kind::Map(map) => {
            for entry in map.iter() {
                collect(session, &entry.value, path.key(&entry.key), found);
            }
        }
        Kind::Scalar(scalar) => {
            let text = &session.sources.get(node.span.file).text;
            let written = text.get(node.span.start as usize..node.span.end as usize);
            let Some(written) = written.filter(|written| *written != scalar.text) else {
                return;
            };
            let wanted = scalar.resolved == Resolved::String
                && !is_size(path)
                && is_typed(written, &scalar.text);
            if wanted {
                let message = format!("{path}: YAML reads {written} as {}", scalar.text);
                let hint = format!("put it in quotes to keep it as it is: \"{written}\"");
                found.push((node.span, message, hint));
            }
        }
    }
}

/// Whether this was written as a number or a boolean that reads as `text`.
fn is_typed(written: &str, text: &str) -> bool {
    matches!(
        scalar::resolve_plain(written),
        Plain::Typed(Resolved::Integer(_) | Resolved::Float(_) | Resolved::Bool(_), read) if read == text
    )
}

/// Sizes are kept as strings of digits, and numbers are what they are meant to be.
fn is_size(path: Path<'_>) -> bool {
    const SIZES: [&str; 7] = [
        "mem_limit",
        "mem_reservation",
        "memswap_limit",
        "shm_size",
        "size",
        "memory",
        "rate",
    ];
    path.last_key().is_some_and(|key| SIZES.contains(&key))
}

/// Warns where a container's port is published by two files that are merged: lists of ports add
/// up, which is seldom what an override is for.
pub(super) fn published_twice(project: &Project, diagnostics: &mut Diagnostics) {
    for service in project.services.values() {
        let mut seen: BTreeMap<(u16, &str, Option<_>), &Port> = BTreeMap::new();
        for port in &service.ports {
            let key = (port.target, port.protocol.as_str(), port.host_ip);
            let Some(first) = seen.insert(key, port) else {
                continue;
            };
            if first.published == port.published || !are_merged(service, first.span, port.span) {
                continue;
            }
            let message = format!(
                "services.{}.ports: container port {}/{} is published twice: as {} and as {}",
                service.name,
                port.target,
                port.protocol,
                published(first),
                published(port)
            );
            diagnostics.push(
                Diagnostic::warning(port.span, message)
                    .label(first.span, "first published here")
                    .hint("lists of ports add up; write `ports: !override` to replace the earlier ones"),
            );
        }
    }
}

/// Whether two items of a list come from lists that were written apart.
fn are_merged(service: &Service, one: Span, other: Span) -> bool {
    let list = service.canonical.as_map().and_then(|map| map.get("ports"));
    let inside = |span: Span| {
        list.is_some_and(|list| {
            let list = list.span;
            span.file == list.file && span.start >= list.start && span.end <= list.end
        })
    };
    one.file != other.file || inside(one) != inside(other)
}

fn published(port: &Port) -> String {
    match &port.published {
        None => "any port".to_owned(),
        Some(range) if range.start() == range.end() => range.start().to_string(),
        Some(range) => format!("{}-{}", range.start(), range.end()),
    }
}
