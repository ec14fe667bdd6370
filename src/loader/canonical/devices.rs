//! `devices`: `SOURCE[:TARGET[:PERMISSIONS]]`.

use super::lists::one;
use crate::diag::{Diagnostic, Diagnostics};
use crate::yaml::{Kind, Node, Path};

/// Strings become mappings; defaults are filled in.
pub(super) fn list(node: Node, path: Path<'_>, diagnostics: &mut Diagnostics) -> Node {
    let span = node.span;
    let Kind::List(items) = node.kind else {
        return node;
    };
    let items = items.into_iter().enumerate();
    let items = items.filter_map(|(index, item)| device(item, path.index(index), diagnostics));
    Node::list(items.collect(), span)
}

fn device(item: Node, path: Path<'_>, diagnostics: &mut Diagnostics) -> Option<Node> {
    let span = item.span;
    let Some(text) = item.as_str() else {
        return Some(with_defaults(item));
    };
    let parts: Vec<&str> = text.split(':').collect();
    if parts[0].is_empty() {
        let message = format!("{path}: invalid device specification: {text}");
        let diagnostic = Diagnostic::error(span, message);
        diagnostics
            .push(diagnostic.hint("devices are written like `/dev/x` or `/dev/x:/dev/y:rw`"));
        return None;
    }
    let (source, target, permissions) = match parts[..] {
        [source] => (source, source, "rwm"),
        [source, target] => (source, target, "rwm"),
        [source, target, permissions] => (source, target, permissions),
        _ => {
            let message =
                format!("{path}: confusing device mapping, please use long syntax: {text}");
            diagnostics.push(Diagnostic::error(span, message));
            return None;
        }
    };
    let or = |text, default| if str::is_empty(text) { default } else { text };
    let (target, permissions) = (or(target, source), or(permissions, "rwm"));
    let text = |text: &str| Node::string(text, span);
    Some(one(
        span,
        [
            ("source", text(source)),
            ("target", text(target)),
            ("permissions", text(permissions)),
        ],
    ))
}

fn with_defaults(mut item: Node) -> Node {
    let span = item.span;
    if let Some(map) = item.as_map_mut() {
        if !map.contains("target")
            && let Some(source) = map.get("source").cloned()
        {
            map.insert("target", span, source);
        }
        if !map.contains("permissions") {
            map.insert("permissions", span, Node::string("rwm", span));
        }
    }
    item
}
