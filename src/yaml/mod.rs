//! Pure: YAML values that remember their places.
//!
//! A [`Node`] keeps its span through merge, extends, include and interpolation, so that
//! every later error can point at what the user wrote. Scalars keep their text and style
//! until someone asks for a type: `0755` is a number only where a number is wanted.

use crate::diag::Span;

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub kind: Kind,
    pub span: Span,
}

/// The three shapes of YAML, and nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Null,
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Map),
}

/// A scalar as YAML's core schema (Docker's reading of it) resolves it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar {
    /// The text that stands for it where a string is wanted: `1.10` is `1.1`, `0x10` is `16`.
    pub text: String,
    pub resolved: Resolved,
}

/// What an unquoted scalar means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Resolved {
    String,
    Bool(bool),
    Integer(i128),
    Float(f64),
    /// A date: an error in most places.
    Timestamp,
}

/// A mapping in the order of the file. Keys are unique strings.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Map {
    entries: Vec<Entry>,
}

/// One pair of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub key: String,
    pub key_span: Span,
    pub value: Node,
}

impl Node {
    /// A string scalar, for values that no file spells out.
    pub fn string(text: impl Into<String>, span: Span) -> Self {
        Self {
            kind: Kind::Scalar(Scalar {
                text: text.into(),
                resolved: Resolved::String,
            }),
            span,
        }
    }

    /// A boolean scalar.
    pub fn bool(value: bool, span: Span) -> Self {
        let scalar = Scalar {
            text: value.to_string(),
            resolved: Resolved::Bool(value),
        };
        Self {
            kind: Kind::Scalar(scalar),
            span,
        }
    }

    /// An integer scalar.
    pub fn integer(value: i128, span: Span) -> Self {
        let scalar = Scalar {
            text: value.to_string(),
            resolved: Resolved::Integer(value),
        };
        Self {
            kind: Kind::Scalar(scalar),
            span,
        }
    }

    /// A list.
    pub fn list(items: Vec<Node>, span: Span) -> Self {
        Self {
            kind: Kind::List(items),
            span,
        }
    }

    /// A mapping.
    pub fn map(map: Map, span: Span) -> Self {
        Self {
            kind: Kind::Map(map),
            span,
        }
    }

    /// Nothing.
    pub fn null(span: Span) -> Self {
        Self {
            kind: Kind::Null,
            span,
        }
    }

    /// The mapping, when it is one.
    pub fn as_map(&self) -> Option<&Map> {
        if let Kind::Map(map) = &self.kind {
            Some(map)
        } else {
            None
        }
    }

    /// The mapping, when it is one.
    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        if let Kind::Map(map) = &mut self.kind {
            Some(map)
        } else {
            None
        }
    }

    /// The list, when it is one.
    pub fn as_list(&self) -> Option<&[Node]> {
        if let Kind::List(items) = &self.kind {
            Some(items)
        } else {
            None
        }
    }

    /// The scalar's text, when it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Kind::Scalar(scalar) = &self.kind {
            Some(&scalar.text)
        } else {
            None
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        self.kind == Kind::Null
    }

    /// What it is, for errors: `a list`, `a mapping`, `a string`, `a number`, …
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "null",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
            Kind::Scalar(scalar) => match scalar.resolved {
                Resolved::String => "a string",
                Resolved::Bool(_) => "a boolean",
                Resolved::Integer(_) | Resolved::Float(_) => "a number",
                Resolved::Timestamp => "a date",
            },
        }
    }
}

impl Map {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The value of a key.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.entries
            .iter_mut()
            .find(|entry| entry.key == key)
            .map(|entry| &mut entry.value)
    }

    /// The pair of a key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Whether the key is there, be its value null.
    pub fn contains(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// Sets a key, in its old place or at the end.
    pub fn insert(&mut self, key: impl Into<String>, key_span: Span, value: Node) {
        let key = key.into();
        match self.entries.iter_mut().find(|entry| entry.key == key) {
            Some(entry) => {
                *entry = Entry {
                    key,
                    key_span,
                    value,
                }
            }
            None => self.entries.push(Entry {
                key,
                key_span,
                value,
            }),
        }
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &str) -> Option<Entry> {
        let position = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(position))
    }

    /// In the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.entries.iter()
    }

    /// In the order of the file.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Entry> {
        self.entries.iter_mut()
    }

    /// How many pairs.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl IntoIterator for Map {
    type Item = Entry;
    type IntoIter = std::vec::IntoIter<Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl FromIterator<Entry> for Map {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        let mut map = Self::new();
        for entry in entries {
            map.insert(entry.key, entry.key_span, entry.value);
        }
        map
    }
}
