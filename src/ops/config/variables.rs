//! `config --variables`: a table, or what Compose prints as JSON or YAML.

use serde_json::{Value, json};

use super::super::{Error, Result};
use super::Format;
use crate::loader::variables::{self, Variable};
use crate::ui::table::{self, Layout};
use crate::yaml::{Map, Node, write};

/// Every variable of a tree, by name.
pub(super) fn text(root: &Node, format: Format) -> Result<String> {
    let variables = variables::variables(root);
    match format {
        Format::Unsaid => {
            let row = |(name, it): (&String, &Variable)| {
                let (default, alternate) = (it.default.clone(), it.alternate.clone());
                vec![name.clone(), it.required.to_string(), default, alternate]
            };
            let rows: Vec<Vec<String>> = variables.iter().map(row).collect();
            let head = ["NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"];
            Ok(table::render(Layout::Compose, &head, &rows))
        }
        Format::Json => {
            let pair = |(name, it): (String, Variable)| {
                let value = json!({
                    "Name": name,
                    "DefaultValue": it.default,
                    "PresenceValue": it.alternate,
                    "Required": it.required,
                });
                (name, value)
            };
            indented(&Value::Object(variables.into_iter().map(pair).collect()))
        }
        Format::Yaml => {
            let span = root.span;
            let mut map = Map::new();
            for (name, it) in variables {
                let mut fields = Map::new();
                fields.insert("name", span, Node::string(&name, span));
                fields.insert("defaultvalue", span, Node::string(it.default, span));
                fields.insert("presencevalue", span, Node::string(it.alternate, span));
                fields.insert("required", span, Node::bool(it.required, span));
                map.insert(name, span, Node::map(fields, span));
            }
            // Compose leaves the indent of this one document at four.
            let text = write::to_yaml(&Node::map(map, span));
            Ok(text.replace("\n  ", "\n    "))
        }
    }
}

fn indented(value: &Value) -> Result<String> {
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    serde::Serialize::serialize(value, &mut serializer)
        .map_err(|error| Error::Failed(error.to_string()))?;
    text.push(b'\n');
    String::from_utf8(text).map_err(|error| Error::Failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Diagnostics, FileId};
    use crate::yaml::parse;

    fn shown(format: Format) -> String {
        let text = "a: ${A:-x} ${B:?say}\nb: ${A} ${C+y}";
        let root = parse(text, FileId(0), &mut Diagnostics::default())
            .remove(0)
            .root;
        super::text(&root, format).unwrap()
    }

    #[test]
    fn there_are_three_forms() {
        assert_eq!(
            shown(Format::Unsaid),
            "NAME                REQUIRED            DEFAULT VALUE       ALTERNATE VALUE\n\
             A                   false               x                   \n\
             B                   true                                    \n\
             C                   false                                   y\n"
        );
        assert_eq!(
            shown(Format::Yaml).lines().take(5).collect::<Vec<_>>(),
            [
                "A:",
                "    name: A",
                "    defaultvalue: x",
                "    presencevalue: \"\"",
                "    required: false"
            ]
        );
        assert!(shown(Format::Json).starts_with(
            "{\n    \"A\": {\n        \"Name\": \"A\",\n        \"DefaultValue\": \"x\",\n        \"PresenceValue\": \"\",\n        \"Required\": false\n    },"
        ));
    }
}
