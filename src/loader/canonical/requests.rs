//! Device requests: `gpus` and `deploy.resources.reservations.devices`.

use super::lists::{labels, one};
use super::within;
use crate::diag::{Diagnostic, Diagnostics};
use crate::yaml::{Kind, Node, Path};

/// `all` is one request for all there are; options become a mapping.
pub(super) fn list(mut node: Node, path: Path<'_>, diagnostics: &mut Diagnostics) -> Node {
    let span = node.span;
    if node.as_str() == Some("all") {
        return Node::list(vec![one(span, [("count", Node::integer(-1, span))])], span);
    }
    if let Kind::List(items) = &mut node.kind {
        for (index, request) in items.iter_mut().enumerate() {
            let below = path.index(index);
            within(request, "options", below, labels, diagnostics);
            refuse_both(request, below, diagnostics);
        }
    }
    node
}

/// Either so many devices, or these.
fn refuse_both(request: &Node, path: Path<'_>, diagnostics: &mut Diagnostics) {
    let Some(map) = request.as_map() else { return };
    let (Some(count), Some(ids)) = (map.entry("count"), map.entry("device_ids")) else {
        return;
    };
    let message = format!("{path}: \"count\" and \"device_ids\" attributes are exclusive");
    let diagnostic = Diagnostic::error(ids.key_span, message);
    let diagnostic = diagnostic.label(count.key_span, "their number is given here");
    diagnostics.push(diagnostic.hint("remove one of them"));
}
