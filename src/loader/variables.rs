//! Which variables the files ask for, and with what in their stead: `config --variables`.

use std::collections::BTreeMap;

use super::interpolate::{self, Operator};
use crate::yaml::{Kind, Node};

/// One variable, whatever it is set to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variable {
    /// `${VAR?…}` somewhere: without a value nothing can be loaded.
    pub required: bool,
    /// The first `${VAR:-default}`.
    pub default: String,
    /// The first `${VAR:+alternate}`.
    pub alternate: String,
}

/// Every variable in the values of a tree, by name.
pub fn variables(root: &Node) -> BTreeMap<String, Variable> {
    let mut found = BTreeMap::new();
    collect(root, &mut found);
    found
}

fn collect(node: &Node, found: &mut BTreeMap<String, Variable>) {
    match &node.kind {
        Kind::Null => {}
        Kind::List(items) => items.iter().for_each(|item| collect(item, found)),
        Kind::Map(map) => map.iter().for_each(|entry| collect(&entry.value, found)),
        Kind::Scalar(scalar) => of_text(&scalar.text, found),
    }
}

fn of_text(text: &str, found: &mut BTreeMap<String, Variable>) {
    for used in interpolate::uses(text) {
        let variable = found.entry(used.name.to_owned()).or_default();
        let place = match used.operator {
            Some(Operator::Default) => &mut variable.default,
            Some(Operator::Alternate) => &mut variable.alternate,
            Some(Operator::Required) => {
                variable.required = true;
                of_text(used.word, found);
                continue;
            }
            None => continue,
        };
        if place.is_empty() {
            used.word.clone_into(place);
        }
        of_text(used.word, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Diagnostics, FileId};
    use crate::yaml::parse;

    #[test]
    fn every_use_counts_and_the_first_word_is_kept() {
        let text = "a: $A ${B:-b} $$NO\nb: [\"${B:-other}\", '${C:?say ${D}}']\nc: {d: '${E+${F-f}}', e: '${A?}', f: 1}";
        let root = parse(text, FileId(0), &mut Diagnostics::default())
            .remove(0)
            .root;
        let shown: Vec<String> = variables(&root)
            .iter()
            .map(|(name, it)| format!("{name} {} {:?} {:?}", it.required, it.default, it.alternate))
            .collect();
        assert_eq!(
            shown,
            [
                "A true \"\" \"\"",
                "B false \"b\" \"\"",
                "C true \"\" \"\"",
                "D false \"\" \"\"",
                "E false \"\" \"${F-f}\"",
                "F false \"f\" \"\"",
            ]
        );
    }

    #[test]
    fn what_is_malformed_has_no_variables() {
        let root = Node::string(
            "${} ${1} ${A!} $ ${B",
            crate::diag::Span::new(FileId(0), 0, 0),
        );
        assert!(variables(&root).is_empty());
    }
}
