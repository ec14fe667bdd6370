//! `!reset` and `!override`: what a later file takes away before it is merged.

use crate::diag::{Diagnostic, Diagnostics};
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
            Some((last, way)) => remove(earlier, way, last, tagged, diagnostics),
            None => *earlier = Node::null(earlier.span),
        }
    }
}

fn remove(
    node: &mut Node,
    way: &[String],
    last: &str,
    tagged: &Tagged,
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
    if let (Some(pairs), Some(entry)) = (pairs, map.entry(last))
        && entry.key_span == entry.value.span
    {
        // One place for key and value: an item of a list, which Compose's tags don't reach.
        if tagged.tag == Tag::Reset {
            let path = tagged.path.join(".");
            let message =
                format!("!reset of {path} has no effect: it was given as an item of a list");
            diagnostics.push(
                Diagnostic::warning(tagged.span, message)
                    .label(entry.key_span, "the item")
                    .hint(format!("write `{pairs}` as a mapping there")),
            );
        }
        return;
    }
    map.remove(last);
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
}
