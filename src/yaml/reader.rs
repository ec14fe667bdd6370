//! Typed reading of a [`Node`], with errors that name the path and point at the place:
//! `services.web.ports must be a list, not a string`.
//!
//! Every method gives `None` after it has pushed an error, so that reading goes on and
//! finds the others. A string that says a number or a boolean is taken for one wherever
//! one is wanted: that is how interpolated values arrive.

use std::time::Duration;

use indexmap::IndexMap;

use super::{Entry, Kind, Map, Node, Path, Resolved, scalar};
use crate::diag::{Diagnostic, Diagnostics, Span, Spanned, did_you_mean};
use crate::units::{bytes, duration};

/// A node and the way to it.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    pub node: &'a Node,
    pub path: Path<'a>,
}

impl<'a> Reader<'a> {
    /// The top of a document.
    pub fn root(node: &'a Node) -> Self {
        Self {
            node,
            path: Path::ROOT,
        }
    }

    /// A node further down.
    pub fn new(node: &'a Node, path: Path<'a>) -> Self {
        Self { node, path }
    }

    /// Where it was written.
    pub fn span(&self) -> Span {
        self.node.span
    }

    /// The value of a key; absent when the key is missing, null, or this is no mapping.
    pub fn get<'b>(&'b self, key: &'b str) -> Option<Reader<'b>> {
        let node = self.node.as_map()?.get(key)?;
        (!node.is_null()).then(|| Reader::new(node, self.path.key(key)))
    }

    /// The value of a key, be it null.
    pub fn get_or_null<'b>(&'b self, key: &'b str) -> Option<Reader<'b>> {
        let node = self.node.as_map()?.get(key)?;
        Some(Reader::new(node, self.path.key(key)))
    }

    /// A mapping.
    pub fn map(&self, diagnostics: &mut Diagnostics) -> Option<&'a Map> {
        match &self.node.kind {
            Kind::Map(map) => Some(map),
            _ => self.wrong("a mapping", diagnostics),
        }
    }

    /// The pairs of a mapping, each with a reader of its value. Null has none.
    pub fn entries<'b>(&'b self, diagnostics: &mut Diagnostics) -> Vec<(&'a Entry, Reader<'b>)>
    where
        'a: 'b,
    {
        if self.node.is_null() {
            return Vec::new();
        }
        let Some(map) = self.map(diagnostics) else {
            return Vec::new();
        };
        map.iter()
            .map(|entry| (entry, Reader::new(&entry.value, self.path.key(&entry.key))))
            .collect()
    }

    /// The items of a list. Null has none.
    pub fn items<'b>(&'b self, diagnostics: &mut Diagnostics) -> Vec<Reader<'b>>
    where
        'a: 'b,
    {
        let items: &'a [Node] = match &self.node.kind {
            Kind::Null => &[],
            Kind::List(items) => items,
            _ => {
                let _told: Option<()> = self.wrong("a list", diagnostics);
                &[]
            }
        };
        items
            .iter()
            .enumerate()
            .map(|(index, item)| Reader::new(item, self.path.index(index)))
            .collect()
    }

    /// A string, strictly: numbers and booleans are errors.
    pub fn string(&self, diagnostics: &mut Diagnostics) -> Option<String> {
        match &self.node.kind {
            Kind::Scalar(scalar) if scalar.resolved == Resolved::String => {
                Some(scalar.text.as_str().to_owned())
            }
            Kind::Scalar(scalar) => {
                let message = format!(
                    "{} must be a string, not {}",
                    self.path,
                    self.node.describe()
                );
                let hint = format!("put it in quotes: \"{}\"", scalar.text);
                diagnostics.push(Diagnostic::error(self.span(), message).hint(hint));
                None
            }
            _ => self.wrong("a string", diagnostics),
        }
    }

    /// A string with its place.
    pub fn spanned(&self, diagnostics: &mut Diagnostics) -> Option<Spanned<String>> {
        self.string(diagnostics)
            .map(|text| Spanned::new(text, self.span()))
    }

    /// A string, number or boolean as text: `1.10` is `1.1`.
    pub fn text(&self, diagnostics: &mut Diagnostics) -> Option<String> {
        match &self.node.kind {
            Kind::Scalar(scalar) if scalar.resolved == Resolved::Timestamp => {
                self.quoting("a string", diagnostics)
            }
            Kind::Scalar(scalar) => Some(scalar.text.as_str().to_owned()),
            _ => self.wrong("a string", diagnostics),
        }
    }

    /// A string or a number as text.
    pub fn string_or_number(&self, diagnostics: &mut Diagnostics) -> Option<String> {
        match &self.node.kind {
            Kind::Scalar(scalar) => match scalar.resolved {
                Resolved::String | Resolved::Integer(_) | Resolved::Float(_) => {
                    Some(scalar.text.as_str().to_owned())
                }
                Resolved::Bool(_) | Resolved::Timestamp => {
                    self.quoting("a string or a number", diagnostics)
                }
            },
            _ => self.wrong("a string or a number", diagnostics),
        }
    }

    /// A string or a whole number as text. `08080` is neither: YAML reads a float.
    pub fn string_or_whole(&self, diagnostics: &mut Diagnostics) -> Option<String> {
        match &self.node.kind {
            Kind::Scalar(scalar)
                if matches!(scalar.resolved, Resolved::String | Resolved::Integer(_)) =>
            {
                Some(scalar.text.as_str().to_owned())
            }
            Kind::Scalar(_) => self.quoting("a string or an integer", diagnostics),
            _ => self.wrong("a string or an integer", diagnostics),
        }
    }

    /// A boolean. `yes`, `off` and their like are taken with a warning.
    pub fn bool(&self, diagnostics: &mut Diagnostics) -> Option<bool> {
        let Kind::Scalar(scalar) = &self.node.kind else {
            return self.wrong("true or false", diagnostics);
        };
        if let Resolved::Bool(value) = scalar.resolved {
            return Some(value);
        }
        let (value, old) = match scalar.text.to_lowercase().as_str() {
            "true" => (true, false),
            "false" => (false, false),
            "y" | "yes" | "on" => (true, true),
            "n" | "no" | "off" => (false, true),
            _ => {
                let message = format!(
                    "{} must be true or false: invalid boolean: {}",
                    self.path, scalar.text
                );
                diagnostics.push(Diagnostic::error(self.span(), message));
                return None;
            }
        };
        if old {
            let message = format!(
                "{}: {:?} for a boolean is not supported by YAML 1.2",
                self.path, scalar.text
            );
            diagnostics
                .push(Diagnostic::warning(self.span(), message).hint(format!("write `{value}`")));
        }
        Some(value)
    }

    /// A whole number, or a string that says one.
    pub fn integer(&self, diagnostics: &mut Diagnostics) -> Option<i64> {
        let found = match &self.node.kind {
            Kind::Scalar(scalar) => match scalar.resolved {
                Resolved::Integer(value) => i64::try_from(value).ok(),
                Resolved::Float(value) => whole(value),
                Resolved::String => {
                    scalar::integer(&scalar.text).and_then(|value| i64::try_from(value).ok())
                }
                Resolved::Bool(_) | Resolved::Timestamp => None,
            },
            _ => None,
        };
        found.or_else(|| self.wrong_value("an integer", diagnostics))
    }

    /// A whole number that is written as one: in quotes it is an error.
    pub fn plain_integer(&self, diagnostics: &mut Diagnostics) -> Option<i64> {
        if let Kind::Scalar(scalar) = &self.node.kind
            && scalar.resolved == Resolved::String
        {
            let message = format!("{} must be an integer, not a string", self.path);
            diagnostics.push(Diagnostic::error(self.span(), message).hint("remove the quotes"));
            return None;
        }
        self.integer(diagnostics)
    }

    /// A whole number of a narrower type, with the range in the error.
    pub fn integer_in<T>(
        &self,
        range: std::ops::RangeInclusive<i64>,
        diagnostics: &mut Diagnostics,
    ) -> Option<T>
    where
        T: TryFrom<i64>,
    {
        let value = self.integer(diagnostics)?;
        let fits = range
            .contains(&value)
            .then(|| T::try_from(value).ok())
            .flatten();
        if fits.is_none() {
            let message = if *range.end() == i64::MAX {
                format!(
                    "{} must be {} or more, not {value}",
                    self.path,
                    range.start()
                )
            } else {
                format!(
                    "{} must be between {} and {}, not {value}",
                    self.path,
                    range.start(),
                    range.end()
                )
            };
            diagnostics.push(Diagnostic::error(self.span(), message));
        }
        fits
    }

    /// A number, or a string that says one.
    pub fn float(&self, diagnostics: &mut Diagnostics) -> Option<f64> {
        let found = match &self.node.kind {
            Kind::Scalar(scalar) => match scalar.resolved {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "what Docker does with large numbers too"
                )]
                Resolved::Integer(value) => Some(value as f64),
                Resolved::Float(value) => Some(value),
                Resolved::String => scalar::resolve_float(&scalar.text),
                Resolved::Bool(_) | Resolved::Timestamp => None,
            },
            _ => None,
        };
        found.or_else(|| self.wrong_value("a number", diagnostics))
    }

    /// `1m30s`; a number without a unit is an error.
    pub fn duration(&self, diagnostics: &mut Diagnostics) -> Option<Duration> {
        let text = self.duration_text(diagnostics)?;
        match duration::parse(&text) {
            Ok(value) => Some(value),
            Err(reason) => {
                diagnostics.push(Diagnostic::error(
                    self.span(),
                    format!("{}: {reason}", self.path),
                ));
                None
            }
        }
    }

    fn duration_text(&self, diagnostics: &mut Diagnostics) -> Option<String> {
        match &self.node.kind {
            Kind::Scalar(scalar) if scalar.resolved == Resolved::String => {
                Some(scalar.text.as_str().to_owned())
            }
            Kind::Scalar(scalar)
                if matches!(scalar.resolved, Resolved::Integer(_) | Resolved::Float(_)) =>
            {
                let message = format!("{} must be a duration, not a number", self.path);
                let hint = format!("add the unit: `{}s`", scalar.text);
                diagnostics.push(Diagnostic::error(self.span(), message).hint(hint));
                None
            }
            _ => self.wrong("a duration", diagnostics),
        }
    }

    /// `512m`, `1.5g`, `1024`.
    pub fn bytes(&self, diagnostics: &mut Diagnostics) -> Option<u64> {
        match self.signed_bytes(diagnostics)? {
            -1 => {
                let message = format!("{} must be a size, not -1", self.path);
                diagnostics.push(Diagnostic::error(self.span(), message));
                None
            }
            value => u64::try_from(value).ok(),
        }
    }

    /// A size, or -1 for "without limit".
    pub fn signed_bytes(&self, diagnostics: &mut Diagnostics) -> Option<i64> {
        let text = self.string_or_number(diagnostics)?;
        match bytes::parse(&text) {
            Ok(value) => Some(value),
            Err(reason) => {
                let diagnostic = Diagnostic::error(self.span(), format!("{}: {reason}", self.path));
                diagnostics.push(diagnostic.hint("sizes are written like `512m` or `1.5gb`"));
                None
            }
        }
    }

    /// One of these words.
    pub fn one_of<'w>(&self, words: &[&'w str], diagnostics: &mut Diagnostics) -> Option<&'w str> {
        let text = self.string(diagnostics)?;
        if let Some(word) = words.iter().find(|word| **word == text) {
            return Some(word);
        }
        let allowed: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
        let message = format!(
            "{} must be one of {}, not {text:?}",
            self.path,
            allowed.join(", ")
        );
        let mut diagnostic = Diagnostic::error(self.span(), message);
        if let Some(word) = did_you_mean(&text, words.iter().copied()) {
            diagnostic = diagnostic.hint(format!("did you mean `{word}`?"));
        }
        diagnostics.push(diagnostic);
        None
    }

    /// A list of strings.
    pub fn strings(&self, diagnostics: &mut Diagnostics) -> Vec<String> {
        let items = self.items(diagnostics);
        items
            .iter()
            .filter_map(|item| item.string(diagnostics))
            .collect()
    }

    /// A list of strings and numbers, as text.
    pub fn texts(&self, diagnostics: &mut Diagnostics) -> Vec<String> {
        let items = self.items(diagnostics);
        items
            .iter()
            .filter_map(|item| item.string_or_number(diagnostics))
            .collect()
    }

    /// One string, or a list of them.
    pub fn string_or_list(&self, diagnostics: &mut Diagnostics) -> Vec<Spanned<String>> {
        match &self.node.kind {
            Kind::List(_) => {
                let items = self.items(diagnostics);
                items
                    .iter()
                    .filter_map(|item| item.spanned(diagnostics))
                    .collect()
            }
            Kind::Scalar(_) => self.spanned(diagnostics).into_iter().collect(),
            Kind::Null => Vec::new(),
            Kind::Map(_) => {
                let _told: Option<()> = self.wrong("a string or a list", diagnostics);
                Vec::new()
            }
        }
    }

    /// A mapping, or a list of `KEY=VALUE` and `KEY`. Later ones win. `None`: no value.
    pub fn list_or_dict(&self, diagnostics: &mut Diagnostics) -> IndexMap<String, Option<String>> {
        let mut pairs = IndexMap::new();
        match &self.node.kind {
            Kind::Null => {}
            Kind::Map(_) => {
                for (entry, value) in self.entries(diagnostics) {
                    let value = if value.node.is_null() {
                        Some(None)
                    } else {
                        value.text(diagnostics).map(Some)
                    };
                    if let Some(value) = value {
                        pairs.insert(entry.key.as_str().to_owned(), value);
                    }
                }
            }
            Kind::List(_) => {
                for item in self.items(diagnostics) {
                    if let Some(text) = item.text(diagnostics) {
                        let (key, value) = match text.split_once('=') {
                            Some((key, value)) => (key, Some(value.to_owned())),
                            None => (text.as_str(), None),
                        };
                        pairs.insert(key.to_owned(), value);
                    }
                }
            }
            Kind::Scalar(_) => {
                let _told: Option<()> = self.wrong("a mapping or a list", diagnostics);
            }
        }
        pairs
    }

    /// Tells about keys that are not among these, with a suggestion. `x-*` may stand anywhere.
    pub fn only_keys(&self, keys: &[&str], diagnostics: &mut Diagnostics) {
        let Some(map) = self.node.as_map() else {
            return;
        };
        for entry in map {
            if keys.contains(&entry.key.as_str()) || entry.key.starts_with("x-") {
                continue;
            }
            let message = format!(
                "{}: additional properties '{}' not allowed",
                self.path, entry.key
            );
            let mut diagnostic = Diagnostic::error(entry.key_span, message);
            if let Some(meant) = did_you_mean(&entry.key, keys.iter().copied()) {
                diagnostic = diagnostic.hint(format!("did you mean `{meant}`?"));
            }
            diagnostics.push(diagnostic);
        }
    }

    /// An error about this value: `PATH MESSAGE`.
    pub fn error(&self, message: impl std::fmt::Display) -> Diagnostic {
        Diagnostic::error(self.span(), format!("{} {message}", self.path))
    }

    /// Tells that it should be something else.
    pub fn wrong<T>(&self, wanted: &str, diagnostics: &mut Diagnostics) -> Option<T> {
        let found = self.node.describe();
        let message = format!("{} must be {wanted}, not {found}", self.path);
        let mut diagnostic = Diagnostic::error(self.span(), message);
        if wanted == "a list" && self.node.as_str().is_some() {
            diagnostic = diagnostic.hint("begin each item with `- ` on a line of its own");
        }
        diagnostics.push(diagnostic);
        None
    }

    fn wrong_value<T>(&self, wanted: &str, diagnostics: &mut Diagnostics) -> Option<T> {
        match self.node.as_str() {
            Some(text) => {
                let message = format!("{} must be {wanted}, not {text:?}", self.path);
                diagnostics.push(Diagnostic::error(self.span(), message));
                None
            }
            None => self.wrong(wanted, diagnostics),
        }
    }

    fn quoting<T>(&self, wanted: &str, diagnostics: &mut Diagnostics) -> Option<T> {
        let message = format!(
            "{} must be {wanted}, not {}",
            self.path,
            self.node.describe()
        );
        diagnostics.push(Diagnostic::error(self.span(), message).hint("put it in quotes"));
        None
    }
}

fn whole(value: f64) -> Option<i64> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whole and in range, checked here"
    )]
    (value.fract() == 0.0 && value.abs() < 9e18).then_some(value as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::FileId;
    use crate::yaml::parse;

    fn with<T: std::fmt::Debug>(
        value: &str,
        read: impl Fn(&Reader<'_>, &mut Diagnostics) -> T,
    ) -> String {
        let mut diagnostics = Diagnostics::default();
        let root = parse(&format!("a:\n  b: {value}"), FileId(0), &mut diagnostics)
            .remove(0)
            .root;
        let root = Reader::root(&root);
        let a = root.get("a").unwrap();
        let Some(b) = a.get_or_null("b") else {
            return "absent".to_owned();
        };
        let seen = read(&b, &mut diagnostics);
        match diagnostics.iter().next() {
            Some(diagnostic) => diagnostic.message.clone(),
            None => format!("{seen:?}"),
        }
    }

    #[test]
    fn values_are_read_or_refused_in_words() {
        assert_eq!(
            with("x", |b, d| b.items(d).len()),
            "a.b must be a list, not a string"
        );
        assert_eq!(
            with("[x]", |b, d| b.map(d).is_some()),
            "a.b must be a mapping, not a list"
        );
        assert_eq!(
            with("[x, [y]]", |b, d| b.strings(d)),
            "a.b[1] must be a string, not a list"
        );
        assert_eq!(
            with("3", |b, d| b.string(d)),
            "a.b must be a string, not a number"
        );
        assert_eq!(with("1.10", |b, d| b.text(d)), "Some(\"1.1\")");
        assert_eq!(
            with("2001-01-01", |b, d| b.text(d)),
            "a.b must be a string, not a date"
        );
        assert_eq!(with("'3'", |b, d| b.integer(d)), "Some(3)");
        assert_eq!(with("3.0", |b, d| b.integer(d)), "Some(3)");
        assert_eq!(
            with("3.5", |b, d| b.integer(d)),
            "a.b must be an integer, not \"3.5\""
        );
        assert_eq!(
            with("70000", |b, d| b.integer_in::<u16>(1..=65535, d)),
            "a.b must be between 1 and 65535, not 70000"
        );
        assert_eq!(with("'0.5'", |b, d| b.float(d)), "Some(0.5)");
        assert_eq!(
            with("x", |b, d| b.float(d)),
            "a.b must be a number, not \"x\""
        );
        assert_eq!(with("TRUE", |b, d| b.bool(d)), "Some(true)");
        assert_eq!(
            with("yes", |b, d| b.bool(d)),
            "a.b: \"yes\" for a boolean is not supported by YAML 1.2"
        );
        assert_eq!(
            with("maybe", |b, d| b.bool(d)),
            "a.b must be true or false: invalid boolean: maybe"
        );
        assert_eq!(with("90s", |b, d| b.duration(d)), "Some(90s)");
        assert_eq!(
            with("90", |b, d| b.duration(d)),
            "a.b must be a duration, not a number"
        );
        assert_eq!(with("1.5k", |b, d| b.bytes(d)), "Some(1536)");
        assert_eq!(with("-1", |b, d| b.signed_bytes(d)), "Some(-1)");
        assert_eq!(
            with("x", |b, d| b.one_of(&["tcp", "udp"], d)),
            "a.b must be one of `tcp`, `udp`, not \"x\""
        );
        assert_eq!(
            with("[A=1, B]", |b, d| b.list_or_dict(d)),
            "{\"A\": Some(\"1\"), \"B\": None}"
        );
        assert_eq!(
            with("{A: 1, B: }", |b, d| b.list_or_dict(d)),
            "{\"A\": Some(\"1\"), \"B\": None}"
        );
        assert_eq!(
            with("{imag: 1}", |b, d| b.only_keys(&["image"], d)),
            "a.b: additional properties 'imag' not allowed"
        );
    }
}
