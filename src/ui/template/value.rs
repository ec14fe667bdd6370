//! Pure: JSON as a value of Go's.

use serde_json::{Map, Value};

/// A value; `None` is what a map has for a key that it does not have.
pub(super) type Found = Option<Value>;

/// Fields of Docker's objects that are left out of their JSON while they are empty.
const LEFT_OUT: [(&str, Found); 3] = [
    ("Health", None),
    ("Name", Some(Value::String(String::new()))),
    ("Driver", Some(Value::String(String::new()))),
];

/// Whether an object is a map, and not one of Docker's structures, whose fields are capitalized.
pub(super) fn is_map(fields: &Map<String, Value>) -> bool {
    let is_field = |name: &String| {
        name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.chars().all(|c| c.is_ascii_alphanumeric())
    };
    fields.is_empty() || !fields.keys().all(is_field)
}

/// What a path of fields leads to.
///
/// # Errors
/// A field that is not there.
pub(super) fn field(value: &Found, path: &[String]) -> Result<Found, String> {
    let mut value = value.clone();
    for name in path {
        value = match value {
            Some(Value::Object(mut fields)) => match fields.remove(name) {
                Some(found) => Some(found),
                None if is_map(&fields) => None,
                None => left_out(name).ok_or_else(|| {
                    let names: Vec<&str> = fields.keys().map(String::as_str).collect();
                    format!(
                        "can't evaluate field {name}: the fields are {}",
                        names.join(", ")
                    )
                })?,
            },
            None | Some(Value::Null) => None,
            Some(other) => {
                let other = shown(&other);
                return Err(format!("can't evaluate field {name} in {other}"));
            }
        };
    }
    Ok(value)
}

fn left_out(name: &str) -> Option<Found> {
    let mut known = LEFT_OUT.into_iter();
    known.find_map(|(field, value)| (field == name).then_some(value))
}

pub(super) fn is_true(value: &Found) -> bool {
    match value {
        None | Some(Value::Null) => false,
        Some(Value::Bool(value)) => *value,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(fields)) => !fields.is_empty(),
    }
}

/// As `%v` shows it.
pub(super) fn shown_operand(value: &Found) -> String {
    value.as_ref().map_or_else(|| "<no value>".into(), shown)
}

/// The same of a value that is there.
pub(super) fn shown(value: &Value) -> String {
    match value {
        // Of Docker's fields that may be null, nearly all are lists.
        Value::Null => "[]".into(),
        Value::Bool(value) => value.to_string(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) if float.fract() == 0.0 && float.abs() < 1e21 => format!("{float:.0}"),
            _ => number.to_string(),
        },
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(shown).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(fields) if is_map(fields) => {
            let mut entries: Vec<_> = fields.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            let entries: Vec<String> = entries
                .into_iter()
                .map(|(key, value)| format!("{key}:{}", shown(value)))
                .collect();
            format!("map[{}]", entries.join(" "))
        }
        Value::Object(fields) => {
            let values: Vec<String> = fields.values().map(shown).collect();
            format!("{{{}}}", values.join(" "))
        }
    }
}
