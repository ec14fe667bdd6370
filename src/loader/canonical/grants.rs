//! A service's `secrets` and `configs`.

use super::lists::one;
use crate::diag::Diagnostics;
use crate::yaml::{Kind, Node, Path};

/// A name is the source.
pub(super) fn list(node: Node, _path: Path<'_>, _diagnostics: &mut Diagnostics) -> Node {
    let span = node.span;
    let Kind::List(items) = node.kind else {
        return node;
    };
    let items = items.into_iter().map(|item| {
        let at = item.span;
        match item.as_str() {
            Some(_) => one(at, [("source", item)]),
            None => with_octal_mode(item),
        }
    });
    Node::list(items.collect(), span)
}

/// A mode given as a string is octal; it is kept as `0440`.
fn with_octal_mode(mut item: Node) -> Node {
    if let Some(mode) = item.as_map_mut().and_then(|map| map.get_mut("mode"))
        && let Kind::Scalar(scalar) = &mode.kind
    {
        let number = match scalar.resolved {
            crate::yaml::Resolved::Integer(number) => u32::try_from(number).ok(),
            _ => u32::from_str_radix(&scalar.text, 8).ok(),
        };
        if let Some(number) = number {
            *mode = Node::string(format!("0{number:o}"), mode.span);
        }
    }
    item
}
