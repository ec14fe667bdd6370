//! `build: DIRECTORY`, and `build.ssh`.

use crate::diag::Diagnostics;
use crate::yaml::{Kind, Map, Node, Path};

/// A string is the context.
pub(super) fn lifted(node: Node, _path: Path<'_>, _diagnostics: &mut Diagnostics) -> Node {
    if node.as_str().is_none() {
        return node;
    }
    let span = node.span;
    let mut map = Map::new();
    map.insert("context", span, node);
    Node::map(map, span)
}

/// A list of `id` and `id=path` as a mapping. `id: path` in one string is how `config` prints it.
pub(super) fn ssh(node: Node, path: Path<'_>, diagnostics: &mut Diagnostics) -> Node {
    let span = node.span;
    let Kind::List(items) = node.kind else {
        return super::lists::pairs(node, path, diagnostics);
    };
    let mut keys = Map::new();
    for item in items {
        let Some(text) = item.as_str() else { continue };
        match text.split_once('=').or_else(|| text.split_once(": ")) {
            Some((id, path)) => keys.insert(id, item.span, Node::string(path, item.span)),
            None => keys.insert(text, item.span, Node::null(item.span)),
        }
    }
    Node::map(keys, span)
}
