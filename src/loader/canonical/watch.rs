//! `develop.watch`: what happens when files change.

use super::{hooks, lists, within};
use crate::diag::Diagnostics;
use crate::yaml::{Kind, Map, Node, Path};

/// Patterns as lists, and what is run in its long form.
pub(super) fn list(mut node: Node, path: Path<'_>, diagnostics: &mut Diagnostics) -> Node {
    let Kind::List(items) = &mut node.kind else {
        return node;
    };
    for (index, rule) in items.iter_mut().enumerate() {
        let below = path.index(index);
        within(rule, "ignore", below, lists::of_strings, diagnostics);
        within(rule, "include", below, lists::of_strings, diagnostics);
        if let Some(hook) = rule
            .as_map_mut()
            .and_then(|rule: &mut Map| rule.get_mut("exec"))
        {
            hooks::one(hook, below.key("exec"), diagnostics);
        }
    }
    node
}
