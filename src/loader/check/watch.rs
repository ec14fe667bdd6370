//! `develop.watch`: what each action needs.

use crate::diag::{Diagnostic, Diagnostics};
use crate::model::Service;
use crate::yaml::{Map, Node};

/// Checks the rules of a service.
pub(super) fn check(service: &Service, diagnostics: &mut Diagnostics) {
    let develop = service
        .canonical
        .as_map()
        .and_then(|map| map.get("develop"));
    let watch = develop
        .and_then(Node::as_map)
        .and_then(|map| map.get("watch"));
    let rules = watch.and_then(Node::as_list).into_iter().flatten();
    for rule in rules.filter_map(Node::as_map) {
        check_rule(service, rule, diagnostics);
    }
}

fn check_rule(service: &Service, rule: &Map, diagnostics: &mut Diagnostics) {
    let Some(action) = rule.get("action") else {
        return;
    };
    let name = action.as_str().unwrap_or_default();
    let target = rule.get("target").and_then(Node::as_str);
    if !matches!(name, "rebuild" | "restart") && target.is_none_or(str::is_empty) {
        let message = format!(
            "services.{}.develop.watch: target is required for non-rebuild actions: invalid compose project",
            service.name
        );
        let diagnostic = Diagnostic::error(action.span, message);
        diagnostics.push(diagnostic.hint("say with `target:` where the files go"));
    }
}
