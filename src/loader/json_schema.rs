//! The tables of keys as a JSON Schema (2020-12), for editors: `config --schema`.
//!
//! What takes a number or a boolean takes a string with a variable in it as well, and sizes and
//! durations are checked by their letters. Everything else is what the loader checks by the
//! same tables; it knows more, and has the last word.

use serde_json::{Map, Value, json};

use super::keys::ROOT;
use super::schema::{Key, Shape};

/// A string that holds a variable: what it will be is not known yet.
const VARIABLE: &str = r"\$";

/// The schema of a compose file.
pub fn json_schema() -> Value {
    let mut schema = Map::new();
    schema.insert(
        "$schema".to_owned(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    schema.insert("title".to_owned(), json!("Compose file"));
    if let Value::Object(root) = object(ROOT) {
        schema.extend(root);
    }
    Value::Object(schema)
}

fn of(shape: &Shape) -> Value {
    match shape {
        Shape::Any => json!(true),
        Shape::String | Shape::Pair => json!({"type": "string"}),
        Shape::Text => json!({"type": ["string", "number"]}),
        Shape::TextOrWhole => json!({"type": ["string", "integer"]}),
        Shape::Switch => json!({"type": ["string", "boolean"]}),
        Shape::Plain => json!({"type": ["string", "number", "boolean"]}),
        Shape::Bool => or_words("boolean", "^(?i:true|false|yes|no|y|n|on|off)$"),
        Shape::Integer => or_words("integer", "^[-+]?[0-9]+$"),
        Shape::Whole => json!({"type": "integer"}),
        Shape::Between(least, most) => either(vec![
            json!({"type": "integer", "minimum": least, "maximum": most}),
            json!({"type": "string", "pattern": format!("^[-+]?[0-9]+$|{VARIABLE}")}),
        ]),
        Shape::Count => or_words("integer", "^(all|-?[0-9]+)$"),
        Shape::Number => or_words("number", "^[-+]?[0-9.]+(e[-+]?[0-9]+)?$"),
        Shape::Bytes => or_words(
            "number",
            "^-?[0-9.]+(e[-+]?[0-9]+)? ?([bB]|[kKmMgGtTpP]([iI]?[bB])?)?$",
        ),
        Shape::Duration => json!({
            "type": "string",
            "pattern": format!("^(0|([0-9.]+(ns|us|µs|ms|s|m|h|d|w))+)$|{VARIABLE}"),
        }),
        Shape::OneOf(words) => either(vec![
            json!({"enum": words}),
            json!({"type": "string", "pattern": VARIABLE}),
        ]),
        Shape::List(item) => json!({"type": "array", "items": of(item)}),
        Shape::Unique(item) => json!({"type": "array", "items": of(item), "uniqueItems": true}),
        Shape::Pairs => either(vec![
            of(&Shape::Map(&Shape::Nullable(&Shape::Plain))),
            of(&Shape::List(&Shape::Pair)),
        ]),
        Shape::Map(value) => json!({"type": "object", "additionalProperties": of(value)}),
        Shape::Object(keys) => object(keys),
        Shape::Nullable(inner) => either(vec![of(inner), json!({"type": "null"})]),
        Shape::Either(shapes) => either(shapes.iter().map(of).collect()),
    }
}

fn object(keys: &[Key]) -> Value {
    let properties: Map<String, Value> = keys
        .iter()
        .map(|key| (key.name.to_owned(), of(&key.shape)))
        .collect();
    let mut object = json!({
        "type": "object",
        "properties": properties,
        "patternProperties": {"^x-": true},
        "additionalProperties": false,
    });
    let required: Vec<&str> = keys
        .iter()
        .filter(|key| key.required)
        .map(|key| key.name)
        .collect();
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

/// A type, or a string that says a value of it or holds a variable.
fn or_words(of_type: &str, pattern: &str) -> Value {
    json!({"type": [of_type, "string"], "pattern": format!("{pattern}|{VARIABLE}")})
}

/// One of these; what is said twice is said once.
fn either(shapes: Vec<Value>) -> Value {
    let mut choices: Vec<Value> = Vec::new();
    for shape in shapes {
        match shape {
            // A choice between choices is one choice.
            Value::Object(mut map) if map.len() == 1 && map.contains_key("anyOf") => {
                if let Some(Value::Array(inner)) = map.remove("anyOf") {
                    choices.extend(inner);
                }
            }
            other => choices.push(other),
        }
    }
    let mut kept: Vec<Value> = Vec::new();
    for choice in choices {
        if !kept.contains(&choice) {
            kept.push(choice);
        }
    }
    match kept.len() {
        1 => kept.remove(0),
        _ => json!({"anyOf": kept}),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::diag::{Diagnostics, FileId};
    use crate::yaml::{Kind, Node, parse};

    /// Whether a schema is made of what this module may write, and of nothing else.
    fn assert_sound(schema: &Value, path: &str) {
        let Value::Object(map) = schema else {
            assert_eq!(schema, &json!(true), "{path}");
            return;
        };
        for (keyword, value) in map {
            let below = format!("{path}/{keyword}");
            match keyword.as_str() {
                "$schema" | "title" | "pattern" => assert!(value.is_string(), "{below}"),
                "minimum" | "maximum" => assert!(value.is_i64(), "{below}"),
                "uniqueItems" => assert_eq!(value, &json!(true), "{below}"),
                "enum" | "required" => {
                    let words = value.as_array().unwrap();
                    assert!(
                        !words.is_empty() && words.iter().all(Value::is_string),
                        "{below}"
                    );
                }
                "type" => {
                    let names = value.as_array().cloned().unwrap_or(vec![value.clone()]);
                    let known = [
                        "string", "number", "integer", "boolean", "null", "array", "object",
                    ];
                    assert!(
                        names
                            .iter()
                            .all(|name| known.contains(&name.as_str().unwrap())),
                        "{below}"
                    );
                }
                "items" => assert_sound(value, &below),
                "additionalProperties" if value == &json!(false) => {}
                "additionalProperties" => assert_sound(value, &below),
                "anyOf" => {
                    let choices = value.as_array().unwrap();
                    assert!(choices.len() > 1, "{below}");
                    choices
                        .iter()
                        .for_each(|choice| assert_sound(choice, &below));
                }
                "properties" | "patternProperties" => {
                    for (key, value) in value.as_object().unwrap() {
                        assert_sound(value, &format!("{below}/{key}"));
                    }
                }
                other => panic!("{path} has the unknown keyword {other}"),
            }
        }
    }

    #[test]
    fn every_keyword_is_json_schemas() {
        let schema = json_schema();
        assert_sound(&schema, "");
        let service = &schema["properties"]["services"]["additionalProperties"];
        assert_eq!(service["properties"]["image"], json!({"type": "string"}));
        assert_eq!(service["additionalProperties"], json!(false));
    }

    /// Whether the keys of a tree are those that the schema knows; the rest is the loader's.
    fn unknown_key(node: &Node, schema: &Value, path: &str) -> Option<String> {
        if schema == &json!(true) {
            return None;
        }
        if let Some(choices) = schema["anyOf"].as_array() {
            let tried: Vec<Option<String>> = choices
                .iter()
                .filter(|choice| is_container(node, choice))
                .map(|choice| unknown_key(node, choice, path))
                .collect();
            return match tried.iter().any(Option::is_none) {
                true => None,
                false => tried.into_iter().flatten().next(),
            };
        }
        match &node.kind {
            Kind::List(items) => items
                .iter()
                .find_map(|item| unknown_key(item, &schema["items"], path)),
            Kind::Map(map) => map.iter().find_map(|entry| {
                let below = format!("{path}.{}", entry.key);
                if entry.key.starts_with("x-") {
                    return None;
                }
                match (
                    &schema["properties"][entry.key.as_str()],
                    &schema["additionalProperties"],
                ) {
                    (Value::Null, Value::Null | Value::Bool(false)) => Some(below),
                    (Value::Null, value) | (value, _) => unknown_key(&entry.value, value, &below),
                }
            }),
            Kind::Null | Kind::Scalar(_) => None,
        }
    }

    fn is_container(node: &Node, schema: &Value) -> bool {
        match &node.kind {
            Kind::Map(_) => schema["type"] == "object" || schema == &json!(true),
            Kind::List(_) => schema["type"] == "array" || schema == &json!(true),
            Kind::Null | Kind::Scalar(_) => false,
        }
    }

    #[test]
    fn every_key_of_the_fixtures_is_known() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("compose-specs");
        let schema = json_schema();
        let mut seen = 0;
        for area in fs::read_dir(root).unwrap() {
            let area = area.unwrap().path();
            for case in area
                .is_dir()
                .then(|| fs::read_dir(&area).unwrap())
                .into_iter()
                .flatten()
            {
                let case = case.unwrap().path();
                let Ok(text) = fs::read_to_string(case.join("compose.yaml")) else {
                    continue;
                };
                let told = fs::read_to_string(case.join("expect.txt")).unwrap_or_default();
                let documents = parse(&text, FileId(0), &mut Diagnostics::default());
                for document in documents {
                    let unknown = unknown_key(&document.root, &schema, "");
                    let refused = told.contains("not allowed") || told.contains("must be");
                    assert!(
                        refused || unknown.is_none(),
                        "{}: {unknown:?}",
                        case.display()
                    );
                    seen += 1;
                }
            }
        }
        assert!(seen > 30, "only {seen} documents seen");
        let wrong = parse(
            "services: {a: {imgae: x}}",
            FileId(0),
            &mut Diagnostics::default(),
        );
        let unknown = unknown_key(&wrong[0].root, &schema, "");
        assert_eq!(unknown.as_deref(), Some(".services.a.imgae"));
    }
}
