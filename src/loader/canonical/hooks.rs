//! `post_start`, `pre_start`, `pre_stop`: commands around a container's life.

use super::{lists, within, words};
use crate::diag::Diagnostics;
use crate::yaml::{Kind, Node, Path};

/// The command of each as a list, its environment as a mapping.
pub(super) fn list(mut node: Node, path: Path<'_>, diagnostics: &mut Diagnostics) -> Node {
    if let Kind::List(items) = &mut node.kind {
        for (index, hook) in items.iter_mut().enumerate() {
            one(hook, path.index(index), diagnostics);
        }
    }
    node
}

/// The same for one.
pub(super) fn one(hook: &mut Node, path: Path<'_>, diagnostics: &mut Diagnostics) {
    within(hook, "command", path, words::command, diagnostics);
    within(hook, "environment", path, lists::environment, diagnostics);
}
