//! Pure: YAML values that remember their places.
//!
//! A [`Node`] keeps its span through merge, extends, include and interpolation, so that
//! every later error can point at what the user wrote. Scalars keep their text and style
//! until someone asks for a type: `0755` is a number only where a number is wanted.

mod events;
pub mod order;
pub mod parse;
pub mod path;
pub mod reader;
pub mod scalar;
pub mod write;

use std::collections::HashMap;

use crate::diag::Span;

/// A text of a file: short ones, which nearly all are, without an allocation.
pub use compact_str::CompactString as Text;
use compact_str::ToCompactString as _;

pub use parse::{Document, Tag, Tagged, parse, parse_by_library};
pub use path::Path;
pub use reader::Reader;

/// Bytes of a text that count like another value.
const BYTES_OF_ONE: usize = 64;
/// Maps longer than this keep an index beside their entries.
const INDEXED_FROM: usize = 32;

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
    pub text: Text,
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
#[derive(Debug, Clone, Default)]
pub struct Map {
    entries: Vec<Entry>,
    /// Where each key stands, once there are many.
    #[expect(
        clippy::box_collection,
        reason = "most maps have none, and every value is as large as this"
    )]
    index: Option<Box<HashMap<Text, usize>>>,
}

impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

/// One pair of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub key: Text,
    pub key_span: Span,
    /// Tells most other keys apart without reading them.
    mark: u32,
    pub value: Node,
}

/// The length of a key and three of its bytes.
fn mark(key: &str) -> u32 {
    let bytes = key.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return 0;
    };
    u32::from_le_bytes([
        key.len().to_le_bytes()[0],
        *first,
        bytes[bytes.len() / 2],
        *last,
    ])
}

impl Node {
    /// A string scalar, for values that no file spells out.
    pub fn string(text: impl Into<Text>, span: Span) -> Self {
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
            text: value.to_compact_string(),
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
            text: value.to_compact_string(),
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

    /// How many values it is of, itself included; long texts count as several.
    pub fn size(&self) -> usize {
        1 + match &self.kind {
            Kind::Null => 0,
            Kind::Scalar(scalar) => scalar.text.len() / BYTES_OF_ONE,
            Kind::List(items) => items.iter().map(Self::size).sum(),
            Kind::Map(map) => map.iter().map(|entry| entry.value.size()).sum(),
        }
    }

    /// Whether both say the same, wherever they were written.
    pub fn same_value(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Null, Kind::Null) => true,
            (Kind::Scalar(left), Kind::Scalar(right)) => left == right,
            (Kind::List(left), Kind::List(right)) => {
                left.len() == right.len()
                    && left
                        .iter()
                        .zip(right)
                        .all(|(left, right)| left.same_value(right))
            }
            (Kind::Map(left), Kind::Map(right)) => {
                let same = |entry: &Entry| {
                    right
                        .get(&entry.key)
                        .is_some_and(|other| entry.value.same_value(other))
                };
                left.len() == right.len() && left.iter().all(same)
            }
            _ => false,
        }
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
        let position = self.position(key)?;
        Some(&mut self.entries[position].value)
    }

    /// The pair of a key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        Some(&self.entries[self.position(key)?])
    }

    /// Whether the key is there, be its value null.
    pub fn contains(&self, key: &str) -> bool {
        self.position(key).is_some()
    }

    /// Sets a key, in its old place or at the end.
    pub fn insert(&mut self, key: impl Into<Text>, key_span: Span, value: Node) {
        let key = key.into();
        let entry = Entry {
            mark: mark(&key),
            key,
            key_span,
            value,
        };
        match self.position(&entry.key) {
            Some(position) => self.entries[position] = entry,
            None => self.push(entry),
        }
    }

    /// Adds a pair at the end whose key is known to be new.
    fn push(&mut self, entry: Entry) {
        if let Some(index) = &mut self.index {
            index.insert(entry.key.clone(), self.entries.len());
        }
        self.entries.push(entry);
        if self.entries.len() > INDEXED_FROM && self.index.is_none() {
            self.rebuild_index();
        }
    }

    /// Takes a key out. For many at once there is [`Self::retain`].
    pub fn remove(&mut self, key: &str) -> Option<Entry> {
        let position = self.position(key)?;
        let entry = self.entries.remove(position);
        self.rebuild_index();
        Some(entry)
    }

    /// Keeps the pairs that `keep` says yes to; it may change their values.
    pub fn retain(&mut self, keep: impl FnMut(&mut Entry) -> bool) {
        let before = self.entries.len();
        self.entries.retain_mut(keep);
        if self.entries.len() < before {
            self.rebuild_index();
        }
    }

    /// Puts the pairs in another order, for output.
    pub fn sort_by_key<K: Ord>(&mut self, key: impl FnMut(&Entry) -> K) {
        self.entries.sort_by_cached_key(key);
        self.rebuild_index();
    }

    fn position(&self, key: &str) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(key).copied(),
            None => {
                let mark = mark(key);
                let is_it = |entry: &Entry| entry.mark == mark && entry.key == key;
                self.entries.iter().position(is_it)
            }
        }
    }

    fn rebuild_index(&mut self) {
        let positions = self.entries.iter().enumerate();
        self.index = (positions.len() > INDEXED_FROM).then(|| {
            let index = positions.map(|(position, entry)| (entry.key.clone(), position));
            Box::new(index.collect())
        });
    }

    /// In the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.entries.iter()
    }

    /// In the order of the file. For the values: a changed key would not be found again.
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

impl<'a> IntoIterator for &'a Map {
    type Item = &'a Entry;
    type IntoIter = std::slice::Iter<'a, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::FileId;

    #[test]
    fn a_large_map_finds_replaces_and_removes() {
        let span = Span::new(FileId(0), 0, 0);
        let mut map = Map::new();
        for number in 0..100 {
            map.insert(format!("k{number}"), span, Node::integer(number, span));
        }
        map.insert("k50", span, Node::bool(true, span));
        assert!(map.remove("k10").is_some());
        assert!(map.remove("k10").is_none());
        assert_eq!(map.len(), 99);
        assert_eq!(map.get("k99").and_then(Node::as_str), Some("99"));
        assert_eq!(map.get("k50").and_then(Node::as_str), Some("true"));
        assert_eq!(
            map.iter().nth(49).map(|entry| entry.key.as_str()),
            Some("k50")
        );
        assert!(!map.contains("k100"));
        map.retain(|entry| entry.key.len() == 2);
        assert_eq!(map.len(), 10);
        assert_eq!(map.get("k9").and_then(Node::as_str), Some("9"));
        assert!(!map.contains("k99"));
    }
}
