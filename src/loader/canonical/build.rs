//! `build: DIRECTORY`.

use crate::diag::Diagnostics;
use crate::yaml::{Map, Node, Path};

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
