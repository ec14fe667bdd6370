//! `--format`: a table, JSON, or the part of Go's template language that scripts use.
//!
//! `{{.Name}}`, `{{.Label "key"}}`, `{{json .}}`, `{{json .Ports}}`, `{{upper .X}}`, `{{lower .X}}`,
//! text around them, and `\t` and `\n`. Anything else is refused.

use serde_json::Value;

use super::table::{self, Layout};

/// How rows are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    Table,
    Json,
    /// Columns chosen by a template, under a heading.
    TableOf(Template),
    /// A line for each row.
    Text(Template),
}

impl Format {
    /// Reads the value of `--format`.
    ///
    /// # Errors
    /// What the template has that is not known here.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" | "table" | "pretty" => Ok(Self::Table),
            "json" | "{{json .}}" => Ok(Self::Json),
            _ => match text.strip_prefix("table ") {
                Some(columns) => Template::parse(columns).map(Self::TableOf),
                None => Template::parse(text).map(Self::Text),
            },
        }
    }
}

/// A template taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A value, passed through functions from the inside out.
    Value {
        function: Option<Function>,
        field: Vec<String>,
        argument: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Json,
    Upper,
    Lower,
}

impl Template {
    /// Takes a template apart.
    ///
    /// # Errors
    /// An action that is not closed, or not known here.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("{{") {
            push_text(&mut parts, &rest[..start]);
            let Some(length) = rest[start..].find("}}") else {
                return Err(format!(
                    "template parsing error: unclosed action in {text:?}"
                ));
            };
            parts.push(parse_action(
                rest[start + 2..start + length].trim_matches(['-', ' ']),
            )?);
            rest = &rest[start + length + 2..];
        }
        push_text(&mut parts, rest);
        Ok(Self(parts))
    }

    /// The text for one row.
    ///
    /// # Errors
    /// A field that the row does not have.
    pub fn apply(&self, row: &Value) -> Result<String, String> {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Value {
                    function,
                    field,
                    argument,
                } => {
                    let value = look_up(row, field, argument.as_deref())?;
                    out.push_str(&match function {
                        Some(Function::Json) => json(&value),
                        Some(Function::Upper) => plain(&value).to_uppercase(),
                        Some(Function::Lower) => plain(&value).to_lowercase(),
                        None => plain(&value),
                    });
                }
            }
        }
        Ok(out)
    }

    /// The heading of a table: each field's name in capitals.
    fn heading(&self) -> String {
        let heading = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Value {
                field, argument, ..
            } => argument
                .clone()
                .or_else(|| field.last().cloned())
                .unwrap_or_default()
                .to_uppercase(),
        };
        self.0.iter().map(heading).collect()
    }
}

/// All rows as a template wants them.
///
/// # Errors
/// A field that the rows do not have.
pub fn render(template: &Template, with_heading: bool, rows: &[Value]) -> Result<String, String> {
    let mut lines = Vec::with_capacity(rows.len() + 1);
    if with_heading {
        lines.push(template.heading());
    }
    for row in rows {
        lines.push(template.apply(row)?);
    }
    if with_heading {
        return Ok(table::align(Layout::Docker, &lines));
    }
    Ok(lines.iter().map(|line| format!("{line}\n")).collect())
}

/// One line of JSON with `<`, `>` and `&` escaped, as Go's encoder does.
pub fn json(value: &Value) -> String {
    escaped(&value.to_string())
}

/// JSON text with those three escaped; they can only stand inside its strings.
pub fn escaped(text: &str) -> String {
    text.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Text(text.replace("\\t", "\t").replace("\\n", "\n")));
    }
}

fn parse_action(action: &str) -> Result<Part, String> {
    let words = split_words(action);
    let refuse = || {
        Err(format!(
            "template parsing error: {{{{{action}}}}} is not known here"
        ))
    };
    let (function, words) = match words.first().map(String::as_str) {
        Some("json") => (Some(Function::Json), &words[1..]),
        Some("upper") => (Some(Function::Upper), &words[1..]),
        Some("lower") => (Some(Function::Lower), &words[1..]),
        Some(_) => (None, &words[..]),
        None => return refuse(),
    };
    let (field, argument) = match words {
        [field] => (field, None),
        [field, argument] if argument.starts_with('"') => {
            (field, Some(argument.trim_matches('"').to_owned()))
        }
        _ => return refuse(),
    };
    let Some(path) = field.strip_prefix('.') else {
        return refuse();
    };
    let field: Vec<String> = path
        .split('.')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    let is_name = |name: &String| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !field.iter().all(is_name) {
        return refuse();
    }
    Ok(Part::Value {
        function,
        field,
        argument,
    })
}

/// Words separated by blanks; a quoted one stays whole, with its quotes.
fn split_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for character in text.chars() {
        match character {
            '"' => {
                quoted = !quoted;
                word.push('"');
            }
            blank if blank.is_whitespace() && !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            other => word.push(other),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn look_up(row: &Value, field: &[String], argument: Option<&str>) -> Result<Value, String> {
    if let ([name], Some(key)) = (field, argument)
        && name == "Label"
    {
        let labels = row
            .get("Labels")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let value = labels
            .split(',')
            .filter_map(|pair| pair.split_once('='))
            .find_map(|(name, value)| (name == key).then_some(value));
        return Ok(Value::from(value.unwrap_or_default()));
    }
    let mut value = row;
    for name in field {
        value = value.get(name).ok_or_else(|| {
            format!(
                "template: can't evaluate field {name}: the fields are {}",
                names(value)
            )
        })?;
    }
    Ok(value.clone())
}

fn names(value: &Value) -> String {
    match value {
        Value::Object(map) => map
            .keys()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", "),
        _ => "none".into(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row() -> Value {
        json!({"Name": "app-db-1", "State": "running", "Labels": "a=b,c=d", "Ports": "1->2", "Health": {"Status": "ok"}})
    }

    fn apply(text: &str) -> Result<String, String> {
        Template::parse(text)?.apply(&row())
    }

    #[test]
    fn fields_and_text_mix() {
        assert_eq!(
            apply("{{.Name}}: {{ .State }}").unwrap(),
            "app-db-1: running"
        );
        assert_eq!(apply(r#"{{.Label "c"}}"#).unwrap(), "d");
        assert_eq!(apply("{{.Health.Status}}").unwrap(), "ok");
        assert_eq!(apply("{{upper .State}}").unwrap(), "RUNNING");
    }

    #[test]
    fn json_escapes_as_go_does() {
        assert_eq!(apply("{{json .Ports}}").unwrap(), "\"1-\\u003e2\"");
    }

    #[test]
    fn an_unknown_field_or_function_is_an_error() {
        assert!(apply("{{.Nmae}}").unwrap_err().contains("Nmae"));
        assert!(Template::parse("{{range .X}}").is_err());
        assert!(Template::parse("{{.X").is_err());
    }

    #[test]
    fn a_table_template_has_a_heading() {
        let Format::TableOf(template) = Format::parse(r"table {{.Name}}\t{{.State}}").unwrap()
        else {
            panic!("not a table");
        };
        assert_eq!(
            render(&template, true, &[row()]).unwrap(),
            "NAME       STATE\napp-db-1   running\n"
        );
    }
}
