//! `extra_hosts`: `HOST=ADDRESS[,ADDRESS]`, `HOST:ADDRESS`, or a mapping.

use crate::diag::{Diagnostic, Diagnostics, Span};
use crate::yaml::{Kind, Node, Path};

/// A list of `host=address`.
pub(super) fn list(node: Node, path: Path<'_>, diagnostics: &mut Diagnostics) -> Node {
    let span = node.span;
    let mut hosts = Vec::new();
    match node.kind {
        Kind::List(items) => {
            for item in items {
                let Some(text) = item.as_str() else { continue };
                let Some((name, addresses)) = text.split_once('=').or_else(|| text.split_once(':'))
                else {
                    let message = format!("{path}: bad host entry {text:?}: missing IP address");
                    diagnostics
                        .push(Diagnostic::error(item.span, message).hint("write `name=address`"));
                    continue;
                };
                push(name, addresses, item.span, path, &mut hosts, diagnostics);
            }
        }
        Kind::Map(map) => {
            for entry in map {
                let values = entry
                    .value
                    .as_list()
                    .map_or_else(|| vec![&entry.value], |items| items.iter().collect());
                for value in values {
                    if let Some(address) = value.as_str() {
                        push(
                            &entry.key,
                            address,
                            value.span,
                            path,
                            &mut hosts,
                            diagnostics,
                        );
                    }
                }
            }
        }
        kind => return Node { kind, span },
    }
    Node::list(hosts, span)
}

fn push(
    name: &str,
    addresses: &str,
    span: Span,
    path: Path<'_>,
    hosts: &mut Vec<Node>,
    diagnostics: &mut Diagnostics,
) {
    for address in addresses.split(',') {
        let bare = address
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(address)
            .trim();
        if name.is_empty() || bare.is_empty() {
            let message =
                format!("{path}: bad host entry \"{name}={addresses}\": missing IP address");
            diagnostics.push(Diagnostic::error(span, message));
            continue;
        }
        let host = Node::string(format!("{name}={bare}"), span);
        if !hosts.iter().any(|known: &Node| known.same_value(&host)) {
            hosts.push(host);
        }
    }
}
