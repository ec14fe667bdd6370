//! Pure: where a service's attribute was written.

use crate::diag::Span;
use crate::model::Service;

/// The place of an attribute, or of its n-th item; else of the service's key.
pub(super) fn of(service: &Service, key: &str, item: Option<usize>) -> Span {
    let node = service.canonical.as_map().and_then(|map| map.get(key));
    let Some(node) = node else {
        return service.span;
    };
    match item {
        Some(index) => match (node.as_list(), node.as_map()) {
            (Some(items), _) => items.get(index).map_or(node.span, |item| item.span),
            (_, Some(map)) => map
                .iter()
                .nth(index)
                .map_or(node.span, |entry| entry.value.span),
            _ => node.span,
        },
        None => node.span,
    }
}
