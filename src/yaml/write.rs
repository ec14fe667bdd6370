//! From [`Node`] to text, as `config` prints it: YAML in the manner of Go's yaml, and JSON.
//!
//! By hand, because the quoting is part of what scripts see: strings are plain where they
//! read back as the same string, in double quotes where they would read as something else,
//! in single quotes where YAML 1.1 would (`y`, `off`) or the syntax asks for it.

use super::{Kind, Map, Node, Resolved, Scalar, scalar};

/// YAML text, ending with a newline.
pub fn to_yaml(node: &Node) -> String {
    let mut text = String::new();
    match &node.kind {
        Kind::Map(map) if !map.is_empty() => write_map(&mut text, map, 0, false),
        Kind::List(items) if !items.is_empty() => write_list(&mut text, items, 0, false),
        _ => {
            write_leaf(&mut text, node, 0);
            text.push('\n');
        }
    }
    text
}

/// The same as a JSON value.
pub fn to_json(node: &Node) -> serde_json::Value {
    use serde_json::Value;
    match &node.kind {
        Kind::Null => Value::Null,
        Kind::List(items) => Value::Array(items.iter().map(to_json).collect()),
        Kind::Map(map) => {
            let pairs = map
                .iter()
                .map(|entry| (entry.key.as_str().to_owned(), to_json(&entry.value)));
            Value::Object(pairs.collect())
        }
        Kind::Scalar(scalar) => match scalar.resolved {
            Resolved::Bool(value) => Value::Bool(value),
            Resolved::Integer(value) => i64::try_from(value)
                .map(Value::from)
                .or_else(|_| u64::try_from(value).map(Value::from))
                .unwrap_or_else(|_| Value::String(scalar.text.as_str().to_owned())),
            Resolved::Float(value) => json_float(value),
            Resolved::String | Resolved::Timestamp => {
                Value::String(scalar.text.as_str().to_owned())
            }
        },
    }
}

/// `1.0` is `1`, as Go writes it.
fn json_float(value: f64) -> serde_json::Value {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whole and below 2^53, checked in the line above"
    )]
    if value.fract() == 0.0 && value.abs() < 9e15 {
        return serde_json::Value::from(value as i64);
    }
    serde_json::Number::from_f64(value).map_or(serde_json::Value::Null, serde_json::Value::Number)
}

/// `first_inline`: the first pair stands on the line that is already begun (`- a: b`).
fn write_map(text: &mut String, map: &Map, indent: usize, first_inline: bool) {
    for (number, entry) in map.iter().enumerate() {
        if number > 0 || !first_inline {
            push_indent(text, indent);
        }
        write_key(text, &entry.key);
        text.push(':');
        match &entry.value.kind {
            Kind::Map(inner) if !inner.is_empty() => {
                text.push('\n');
                write_map(text, inner, indent + 2, false);
            }
            Kind::List(items) if !items.is_empty() => {
                text.push('\n');
                write_list(text, items, indent + 2, false);
            }
            _ => {
                text.push(' ');
                write_leaf(text, &entry.value, indent);
                text.push('\n');
            }
        }
    }
}

fn write_list(text: &mut String, items: &[Node], indent: usize, first_inline: bool) {
    for (number, item) in items.iter().enumerate() {
        if number > 0 || !first_inline {
            push_indent(text, indent);
        }
        text.push_str("- ");
        match &item.kind {
            Kind::Map(inner) if !inner.is_empty() => write_map(text, inner, indent + 2, true),
            Kind::List(inner) if !inner.is_empty() => write_list(text, inner, indent + 2, true),
            _ => {
                write_leaf(text, item, indent);
                text.push('\n');
            }
        }
    }
}

/// A scalar or an empty collection, without the newline behind it.
fn write_leaf(text: &mut String, node: &Node, indent: usize) {
    match &node.kind {
        Kind::Null => text.push_str("null"),
        Kind::List(_) => text.push_str("[]"),
        Kind::Map(_) => text.push_str("{}"),
        Kind::Scalar(Scalar {
            text: value,
            resolved,
        }) => match resolved {
            Resolved::Bool(_) | Resolved::Integer(_) => text.push_str(value),
            Resolved::Float(value) if value.is_infinite() => {
                text.push_str(if *value > 0.0 { ".inf" } else { "-.inf" });
            }
            Resolved::Float(value) if value.is_nan() => text.push_str(".nan"),
            Resolved::Float(_) => text.push_str(value),
            Resolved::String | Resolved::Timestamp => write_string(text, value, indent),
        },
    }
}

fn write_key(text: &mut String, key: &str) {
    // Plain, it would merge what stands under it.
    if key.contains('\n') || key == "<<" {
        write_double_quoted(text, key);
    } else {
        write_string(text, key, 0);
    }
}

fn write_string(text: &mut String, value: &str, indent: usize) {
    let shape = Shape::of(value);
    if value.contains('\n') {
        if shape.block {
            write_literal(text, value, indent);
        } else {
            write_double_quoted(text, value);
        }
    } else if !shape.single {
        write_double_quoted(text, value);
    } else if is_old_bool(value) {
        write_single_quoted(text, value);
    } else if !is_string(value) || is_base_60(value) {
        write_double_quoted(text, value);
    } else if shape.plain {
        text.push_str(value);
    } else {
        write_single_quoted(text, value);
    }
}

/// Whether it reads back as a string when it stands plain.
fn is_string(value: &str) -> bool {
    value == "<<" || scalar::resolve_plain(value) == scalar::Plain::String
}

/// What YAML 1.1 takes for a boolean.
fn is_old_bool(value: &str) -> bool {
    matches!(
        value,
        "y" | "Y"
            | "yes"
            | "Yes"
            | "YES"
            | "on"
            | "On"
            | "ON"
            | "n"
            | "N"
            | "no"
            | "No"
            | "NO"
            | "off"
            | "Off"
            | "OFF"
    )
}

/// `1:30:00`: a number in YAML 1.1.
fn is_base_60(value: &str) -> bool {
    let unsigned = value.strip_prefix(['-', '+']).unwrap_or(value);
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((whole, fraction)) => (whole, fraction),
        None => (unsigned, ""),
    };
    let mut parts = whole.split(':');
    let digits = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'_')
    };
    let first = parts.next().unwrap_or_default();
    if !first.starts_with(|letter: char| letter.is_ascii_digit())
        || !digits(first)
        || !digits(fraction)
    {
        return false;
    }
    let mut count = 0;
    for part in parts {
        count += 1;
        let fits = match part.as_bytes() {
            [digit] => digit.is_ascii_digit(),
            [tens, ones] => (b'0'..=b'5').contains(tens) && ones.is_ascii_digit(),
            _ => false,
        };
        if !fits {
            return false;
        }
    }
    count > 0
}

/// Which styles can hold a string, by libyaml's rules for block context.
struct Shape {
    plain: bool,
    single: bool,
    block: bool,
}

impl Shape {
    fn of(value: &str) -> Self {
        let mut shape = Self {
            plain: true,
            single: true,
            block: true,
        };
        if value.starts_with("---") || value.starts_with("...") {
            shape.plain = false;
        }
        let letters: Vec<char> = value.chars().collect();
        let blank = |letter: Option<&char>| {
            letter.is_none_or(|letter| matches!(letter, ' ' | '\t' | '\n' | '\r'))
        };
        for (at, letter) in letters.iter().enumerate() {
            let next = letters.get(at + 1);
            match letter {
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"'
                | '%' | '@' | '`'
                    if at == 0 =>
                {
                    shape.plain = false;
                }
                '?' | '-' if at == 0 && blank(next) => shape.plain = false,
                ':' if blank(next) => shape.plain = false,
                '#' if matches!(letters.get(at.wrapping_sub(1)), Some(' ' | '\t')) => {
                    shape.plain = false;
                }
                '\t' => (shape.plain, shape.single) = (false, false),
                ' ' if next == Some(&'\n') => {
                    (shape.plain, shape.single, shape.block) = (false, false, false);
                }
                '\n' => {
                    shape.plain = false;
                    if next == Some(&' ') {
                        shape.single = false;
                    }
                }
                '\u{feff}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                    (shape.plain, shape.single, shape.block) = (false, false, false);
                }
                letter if letter.is_control() => {
                    (shape.plain, shape.single, shape.block) = (false, false, false);
                }
                _ => {}
            }
        }
        if value.starts_with(' ') {
            shape.plain = false;
        }
        if value.ends_with(' ') {
            (shape.plain, shape.block) = (false, false);
        }
        shape
    }
}

fn write_single_quoted(text: &mut String, value: &str) {
    text.push('\'');
    text.push_str(&value.replace('\'', "''"));
    text.push('\'');
}

fn write_double_quoted(text: &mut String, value: &str) {
    text.push('"');
    for letter in value.chars() {
        match letter {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            '\r' => text.push_str("\\r"),
            '\0' => text.push_str("\\0"),
            '\u{7}' => text.push_str("\\a"),
            '\u{8}' => text.push_str("\\b"),
            '\u{b}' => text.push_str("\\v"),
            '\u{c}' => text.push_str("\\f"),
            '\u{1b}' => text.push_str("\\e"),
            '\u{85}' => text.push_str("\\N"),
            '\u{2028}' => text.push_str("\\L"),
            '\u{2029}' => text.push_str("\\P"),
            '\u{feff}' => text.push_str("\\uFEFF"),
            letter if letter.is_control() => {
                text.push_str(&format!("\\x{:02X}", u32::from(letter)));
            }
            letter => text.push(letter),
        }
    }
    text.push('"');
}

/// `|` with what YAML needs to give back the same line ends.
fn write_literal(text: &mut String, value: &str, indent: usize) {
    text.push('|');
    if value.starts_with([' ', '\n', '\t']) {
        text.push('2');
    }
    let body = value.strip_suffix('\n');
    match body {
        None => text.push('-'),
        Some(body) if body.is_empty() || body.ends_with('\n') => text.push('+'),
        Some(_) => {}
    }
    for line in body.unwrap_or(value).split('\n') {
        text.push('\n');
        if !line.is_empty() {
            push_indent(text, indent + 2);
            text.push_str(line);
        }
    }
}

fn push_indent(text: &mut String, indent: usize) {
    text.extend(std::iter::repeat_n(' ', indent));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Diagnostics, FileId, Span};
    use crate::yaml::parse;

    #[test]
    fn strings_are_quoted_only_when_they_must_be() {
        let rows = [
            ("nginx:1.27", "nginx:1.27"),
            ("8080", "\"8080\""),
            ("1.5", "\"1.5\""),
            ("true", "\"true\""),
            ("null", "\"null\""),
            ("", "\"\""),
            ("y", "'y'"),
            ("yes", "'yes'"),
            ("off", "'off'"),
            ("22:22", "\"22:22\""),
            ("2001-12-14", "\"2001-12-14\""),
            ("a: b", "'a: b'"),
            ("a #b", "'a #b'"),
            ("a#b", "a#b"),
            ("it's", "it's"),
            ("'q'", "'''q'''"),
            ("- x", "'- x'"),
            ("-x", "-x"),
            ("*x", "'*x'"),
            (" x", "' x'"),
            ("a\tb", "\"a\\tb\""),
            ("\u{1}", "\"\\x01\""),
            ("<<", "<<"),
            ("$$HOME", "$$HOME"),
            ("a\nb\n", "|\n  a\n  b"),
            ("a\nb", "|-\n  a\n  b"),
            ("a\n\n", "|+\n  a\n"),
            ("a \nb", "\"a \\nb\""),
            ("1GiB", "1GiB"),
            ("0.0.0.0", "0.0.0.0"),
            ("é", "é"),
        ];
        for (value, expected) in rows {
            let mut text = String::new();
            write_string(&mut text, value, 0);
            assert_eq!(text, expected);
        }
    }

    fn first(text: &str) -> Node {
        let mut diagnostics = Diagnostics::default();
        let mut documents = parse(text, FileId(0), &mut diagnostics);
        assert!(diagnostics.is_empty(), "{diagnostics:?} in {text}");
        documents.remove(0).root
    }

    #[test]
    fn lists_are_indented_under_their_key() {
        let text = "\
services:
  web:
    command: null
    environment:
      A: \"1\"
      B: |
        x
        y
    ports:
      - mode: ingress
        target: 80
      - - a
        - b
    volumes: []
    x: {}
";
        assert_eq!(to_yaml(&first(text)), text);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]
        #[test]
        fn every_string_reads_back(value in "[ -~\\n\\t\u{85}é€#:'\"\\\\\\-]{0,12}", key in "[ -~\\n\\t]{0,6}") {
            let span = Span::new(FileId(0), 0, 0);
            let mut map = Map::new();
            map.insert(key.clone(), span, Node::string(value.clone(), span));
            map.insert("list", span, Node::list(vec![Node::string(value.clone(), span)], span));
            let text = to_yaml(&Node::map(map, span));
            let root = first(&text);
            let map = root.as_map().unwrap();
            if key != "list" {
                proptest::prop_assert_eq!(map.get(&key).and_then(Node::as_str), Some(value.as_str()), "{}", text);
            }
            let list = map.get("list").and_then(Node::as_list).unwrap();
            proptest::prop_assert_eq!(list[0].as_str(), Some(value.as_str()), "{}", text);
        }
    }
}
