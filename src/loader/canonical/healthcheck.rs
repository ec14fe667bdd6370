//! `healthcheck.test`.

use crate::diag::{Diagnostic, Diagnostics};
use crate::yaml::{Node, Path};

/// A string runs in the image's shell; a list says with its first item how it runs.
pub(super) fn test(node: Node, path: Path<'_>, diagnostics: &mut Diagnostics) -> Node {
    let span = node.span;
    if node.as_str().is_some() {
        return Node::list(vec![Node::string("CMD-SHELL", span), node], span);
    }
    let Some(items) = node.as_list() else {
        return node;
    };
    let first = items.first().and_then(Node::as_str);
    if let Some(first) = first
        && !matches!(first, "NONE" | "CMD" | "CMD-SHELL")
    {
        let message = format!(
            "{path} must start either by \"CMD\", \"CMD-SHELL\" or \"NONE\", not {first:?}"
        );
        let hint =
            format!("write `[CMD, {first}, …]` to run a program, or a string to run it in a shell");
        diagnostics.push(Diagnostic::error(items[0].span, message).hint(hint));
    }
    node
}
