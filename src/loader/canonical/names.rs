//! Lists of names that stand for mappings: `depends_on`, `networks`, `models`; and `external`.

use super::lists::one;
use crate::diag::Diagnostics;
use crate::yaml::{Kind, Map, Node, Path};

/// A list waits for the start of each; `required` is the default.
pub(super) fn depends_on(node: Node, _path: Path<'_>, _diagnostics: &mut Diagnostics) -> Node {
    let span = node.span;
    let mut map = Map::new();
    match node.kind {
        Kind::List(items) => {
            for item in items {
                let Some(name) = item.as_str() else { continue };
                let started = [
                    ("condition", Node::string("service_started", item.span)),
                    ("required", Node::bool(true, item.span)),
                ];
                map.insert(name, item.span, one(item.span, started));
            }
        }
        Kind::Map(dependencies) => {
            for mut entry in dependencies {
                let at = entry.value.span;
                if let Some(settings) = entry.value.as_map_mut()
                    && !settings.contains("required")
                {
                    settings.insert("required", at, Node::bool(true, at));
                }
                map.insert(entry.key, entry.key_span, entry.value);
            }
        }
        kind => return Node { kind, span },
    }
    Node::map(map, span)
}

/// A list joins, or uses, each without settings.
pub(super) fn without_settings(
    node: Node,
    _path: Path<'_>,
    _diagnostics: &mut Diagnostics,
) -> Node {
    let span = node.span;
    let Kind::List(items) = node.kind else {
        return node;
    };
    let mut map = Map::new();
    for item in items {
        if let Some(name) = item.as_str() {
            map.insert(name, item.span, Node::null(item.span));
        }
    }
    Node::map(map, span)
}

/// `external: {name: x}` and `external: "true"` of old files.
pub(super) fn external(node: Node, _path: Path<'_>, _diagnostics: &mut Diagnostics) -> Node {
    let span = node.span;
    let Kind::Map(mut map) = node.kind else {
        return node;
    };
    if let Some(entry) = map.entry("external").cloned() {
        let at = entry.value.span;
        match &entry.value.kind {
            Kind::Map(settings) => {
                if let Some(name) = settings.entry("name").cloned()
                    && !map.contains("name")
                {
                    map.insert("name", name.key_span, name.value);
                }
                map.insert("external", entry.key_span, Node::bool(true, at));
            }
            Kind::Scalar(scalar) => {
                let is = matches!(
                    scalar.text.to_lowercase().as_str(),
                    "true" | "yes" | "y" | "on"
                );
                map.insert("external", entry.key_span, Node::bool(is, at));
            }
            Kind::Null | Kind::List(_) => {}
        }
    }
    Node::map(map, span)
}
