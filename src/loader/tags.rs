//! `!reset` and `!override`: what a later file takes away before it is merged.

use std::collections::HashSet;

use indexmap::IndexMap;

use crate::diag::{Diagnostic, Diagnostics, Span};
use crate::yaml::{Node, Tag, Tagged};

/// Mappings that may be written as lists of `K=V`.
const PAIRS: [&str; 6] = [
    "environment",
    "labels",
    "annotations",
    "sysctls",
    "args",
    "additional_contexts",
];

/// Removes the tagged places of a document from what earlier files said.
pub fn apply(tags: &[Tagged], earlier: &mut Node, diagnostics: &mut Diagnostics) {
    apply_below(tags, &[], earlier, diagnostics);
}

/// The same for a part of the earlier model, such as the service that another one extends:
/// only tags below `prefix` count, and `earlier` stands at that place.
pub fn apply_below<'a>(
    tags: impl IntoIterator<Item = &'a Tagged>,
    prefix: &[&str],
    earlier: &mut Node,
    diagnostics: &mut Diagnostics,
) {
    // Mapping by mapping, so that many tags in a wide one are taken out at once.
    let mut removals: IndexMap<&[String], Vec<(&str, &Tagged)>> = IndexMap::new();
    for tagged in tags {
        let below = tagged.path.len() >= prefix.len()
            && tagged
                .path
                .iter()
                .zip(prefix)
                .all(|(key, prefix)| key == prefix);
        if !below {
            continue;
        }
        match tagged.path[prefix.len()..].split_last() {
            Some((last, way)) => removals.entry(way).or_default().push((last, tagged)),
            None => *earlier = Node::null(earlier.span),
        }
    }
    for (way, removals) in removals {
        remove(earlier, way, &removals, diagnostics);
    }
}

fn remove(
    node: &mut Node,
    way: &[String],
    removals: &[(&str, &Tagged)],
    diagnostics: &mut Diagnostics,
) {
    let mut here = node;
    for key in way {
        let Some(next) = here.as_map_mut().and_then(|map| map.get_mut(key)) else {
            return;
        };
        here = next;
    }
    let Some(map) = here.as_map_mut() else { return };
    let pairs = way.last().filter(|key| PAIRS.contains(&key.as_str()));
    let mut gone = HashSet::new();
    for (key, tagged) in removals {
        match (pairs, map.entry(key)) {
            (Some(pairs), Some(entry)) if entry.key_span == entry.value.span => {
                if tagged.tag == Tag::Reset {
                    diagnostics.push(without_effect(tagged, entry.key_span, pairs));
                }
            }
            _ => {
                gone.insert(*key);
            }
        }
    }
    map.retain(|entry| !gone.contains(entry.key.as_str()));
}

/// One place for key and value: an item of a list, which Compose's tags don't reach.
fn without_effect(tagged: &Tagged, item: Span, pairs: &str) -> Diagnostic {
    let path = tagged.path.join(".");
    let message = format!("!reset of {path} has no effect: it was given as an item of a list");
    Diagnostic::warning(tagged.span, message)
        .label(item, "the item")
        .hint(format!("write `{pairs}` as a mapping there"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Diagnostics, FileId};
    use crate::loader::merge;
    use crate::yaml::{parse, write};

    fn overridden(left: &str, right: &str) -> String {
        let mut diagnostics = Diagnostics::default();
        let mut earlier = parse(left, FileId(0), &mut diagnostics).remove(0).root;
        let later = parse(right, FileId(1), &mut diagnostics).remove(0);
        apply(&later.tags, &mut earlier, &mut diagnostics);
        write::to_json(&merge::merge(earlier, later.root, &mut diagnostics)).to_string()
    }

    #[test]
    fn reset_takes_away_and_override_replaces() {
        let left = "services: {a: {ports: [1], environment: {A: 1, B: 2}}, b: {image: x}}";
        assert_eq!(
            overridden(
                left,
                "services: {a: {ports: !override [2], environment: {A: !reset null}}, b: !reset {}}"
            ),
            r#"{"services":{"a":{"environment":{"B":2},"ports":[2]}}}"#
        );
        assert_eq!(
            overridden(
                left,
                "services: {a: {nothing: {here: !reset null}}, c: !reset null}"
            ),
            r#"{"services":{"a":{"ports":[1],"environment":{"A":1,"B":2},"nothing":{}},"b":{"image":"x"}}}"#
        );
    }

    /// One pass over the mapping, not one for each: this would take a minute.
    #[test]
    fn many_resets_in_one_mapping_are_taken_at_once() {
        let keys = |value: &str| -> String {
            let keys = (0..50_000).map(|number| format!("k{number}: {value}"));
            format!(
                "x-wide: {{{}, last: 1}}",
                keys.collect::<Vec<_>>().join(", ")
            )
        };
        let left = keys("1");
        let right = keys("!reset null").replace("last: 1", "");
        assert_eq!(overridden(&left, &right), r#"{"x-wide":{"last":1}}"#);
    }
}
