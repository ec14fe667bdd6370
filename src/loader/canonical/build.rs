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

/// A list of `id` and `id=path` as a mapping. `id: path` in one text is how `config` prints it.
pub(super) fn ssh(node: Node, path: Path<'_>, diagnostics: &mut Diagnostics) -> Node {
    let span = node.span;
    let Kind::List(items) = node.kind else {
        return super::lists::pairs(node, path, diagnostics);
    };
    let mut keys = Map::new();
    for item in items {
        let Some(text) = item.as_str() else { continue };
        let (id, path) = match (text.find('='), text.find(": ")) {
            (Some(equals), colon) if colon.is_none_or(|colon| equals < colon) => {
                (&text[..equals], Some(&text[equals + 1..]))
            }
            (_, Some(colon)) => (&text[..colon], Some(&text[colon + 2..])),
            _ => (text, None),
        };
        let path = path.map_or(Node::null(item.span), |path| Node::string(path, item.span));
        keys.insert(id, item.span, path);
    }
    Node::map(keys, span)
}
