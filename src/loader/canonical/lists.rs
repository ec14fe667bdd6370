//! Strings that stand for lists, and lists of `K=V` that stand for mappings.

use crate::diag::{Diagnostic, Diagnostics, Span};
use crate::yaml::{Kind, Map, Node, Path};

/// One string is a list of one; empty ones are dropped.
pub(super) fn of_strings(node: Node, _path: Path<'_>, _diagnostics: &mut Diagnostics) -> Node {
    let span = node.span;
    let items = match node.kind {
        Kind::List(items) => items,
        kind => vec![Node { kind, span }],
    };
    let items = items
        .into_iter()
        .filter(|item| item.as_str() != Some(""))
        .collect();
    Node::list(items, span)
}

/// What may be a boolean is kept as text.
pub(super) fn text(node: Node, _path: Path<'_>, _diagnostics: &mut Diagnostics) -> Node {
    as_string(node)
}

/// A mapping of texts and lists of texts as one of lists.
pub(super) fn of_lists(mut node: Node, _path: Path<'_>, _diagnostics: &mut Diagnostics) -> Node {
    for entry in node.as_map_mut().into_iter().flat_map(Map::iter_mut) {
        let span = entry.value.span;
        let value = std::mem::replace(&mut entry.value, Node::null(span));
        let items = match value.kind {
            Kind::List(items) => items,
            kind => vec![Node { kind, span }],
        };
        entry.value = Node::list(items.into_iter().map(as_string).collect(), span);
    }
    node
}

/// A list of `K=V` and `K` as a mapping; values become strings.
pub(super) fn pairs(node: Node, _path: Path<'_>, _diagnostics: &mut Diagnostics) -> Node {
    let span = node.span;
    let mut pairs = Map::new();
    match node.kind {
        Kind::List(items) => {
            for item in items {
                let Some(text) = item.as_str() else { continue };
                let (key, value) = match text.split_once('=') {
                    Some((key, value)) => (key, Node::string(value, item.span)),
                    None => (text, Node::null(item.span)),
                };
                pairs.insert(key, item.span, value);
            }
        }
        Kind::Map(map) => {
            for entry in map {
                let value = as_string(entry.value);
                pairs.insert(entry.key, entry.key_span, value);
            }
        }
        kind => return Node { kind, span },
    }
    Node::map(pairs, span)
}

/// Like [`pairs`], and what has no value is empty.
pub(super) fn labels(node: Node, path: Path<'_>, diagnostics: &mut Diagnostics) -> Node {
    let mut node = pairs(node, path, diagnostics);
    for entry in node.as_map_mut().into_iter().flat_map(Map::iter_mut) {
        if entry.value.is_null() {
            entry.value = Node::string("", entry.value.span);
        }
    }
    node
}

/// Like [`pairs`], and names can't end in blanks.
pub(super) fn environment(node: Node, path: Path<'_>, diagnostics: &mut Diagnostics) -> Node {
    let node = pairs(node, path, diagnostics);
    for entry in node.as_map().into_iter().flat_map(Map::iter) {
        if entry.key.ends_with(char::is_whitespace) {
            let message = format!(
                "{path}: environment variable {:?} is declared with a trailing space",
                entry.key
            );
            diagnostics.push(
                Diagnostic::error(entry.key_span, message)
                    .hint("write `NAME=value` without blanks"),
            );
        }
    }
    node
}

fn as_string(node: Node) -> Node {
    match node.as_str() {
        Some(text) => Node::string(text, node.span),
        None => node,
    }
}

/// A path, or a list of paths and mappings.
pub(super) fn env_file(node: Node, path: Path<'_>, diagnostics: &mut Diagnostics) -> Node {
    let node = of_strings(node, path, diagnostics);
    let span = node.span;
    let Kind::List(items) = node.kind else {
        return node;
    };
    Node::list(items.into_iter().map(one_env_file).collect(), span)
}

fn one_env_file(node: Node) -> Node {
    let span = node.span;
    let required = Node::bool(true, span);
    if let Kind::Map(mut map) = node.kind {
        if !map.contains("required") {
            map.insert("required", span, required);
        }
        return Node::map(map, span);
    }
    one(span, [("path", node), ("required", required)])
}

/// A mapping of these keys.
pub(super) fn one<const N: usize>(span: Span, pairs: [(&str, Node); N]) -> Node {
    let mut map = Map::new();
    for (key, value) in pairs {
        map.insert(key, span, value);
    }
    Node::map(map, span)
}
