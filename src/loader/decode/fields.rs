//! Reading the fields of one mapping.

use std::time::Duration;

use indexmap::IndexMap;

use crate::diag::{Diagnostics, Span, Spanned};
use crate::yaml::{Map, Node, Path, Reader};

/// A mapping that is being read, and where errors go.
pub(super) struct Fields<'a> {
    pub(super) node: &'a Node,
    pub(super) path: Path<'a>,
    pub(super) diagnostics: &'a mut Diagnostics,
}

impl<'a> Fields<'a> {
    pub(super) fn new(node: &'a Node, path: Path<'a>, diagnostics: &'a mut Diagnostics) -> Self {
        Self {
            node,
            path,
            diagnostics,
        }
    }

    /// A key's value, unless it is null.
    pub(super) fn node(&self, key: &str) -> Option<&'a Node> {
        let node = self.node.as_map()?.get(key)?;
        (!node.is_null()).then_some(node)
    }

    /// Where a key's value stands, or else the whole.
    pub(super) fn span(&self, key: &str) -> Span {
        self.node(key).map_or(self.node.span, |node| node.span)
    }

    pub(super) fn below<T>(&mut self, key: &str, read: impl FnOnce(Fields<'_>) -> T) -> Option<T> {
        let node = self.node(key)?;
        let path = self.path.key(key);
        Some(read(Fields::new(node, path, self.diagnostics)))
    }

    fn read<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&Reader<'_>, &mut Diagnostics) -> T,
    ) -> Option<T> {
        let node = self.node(key)?;
        let path = self.path.key(key);
        Some(read(&Reader::new(node, path), self.diagnostics))
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        self.read(key, |reader, told| reader.string_or_number(told))?
    }

    pub(super) fn spanned(&mut self, key: &str) -> Option<Spanned<String>> {
        let span = self.span(key);
        self.text(key).map(|text| Spanned::new(text, span))
    }

    pub(super) fn bool(&mut self, key: &str) -> Option<bool> {
        self.read(key, |reader, told| reader.bool(told))?
    }

    pub(super) fn float(&mut self, key: &str) -> Option<f64> {
        self.read(key, |reader, told| reader.float(told))?
    }

    pub(super) fn integer(&mut self, key: &str) -> Option<i64> {
        self.read(key, |reader, told| reader.integer(told))?
    }

    /// An integer of at least `least`.
    pub(super) fn integer_from<T: TryFrom<i64>>(
        &mut self,
        key: &str,
        least: i64,
        most: i64,
    ) -> Option<T> {
        self.read(key, |reader, told| reader.integer_in(least..=most, told))?
    }

    pub(super) fn bytes(&mut self, key: &str) -> Option<u64> {
        self.read(key, |reader, told| reader.bytes(told))?
    }

    pub(super) fn signed_bytes(&mut self, key: &str) -> Option<i64> {
        self.read(key, |reader, told| reader.signed_bytes(told))?
    }

    pub(super) fn duration(&mut self, key: &str) -> Option<Duration> {
        self.read(key, |reader, told| reader.duration(told))?
    }

    /// A list of strings; absent is empty.
    pub(super) fn texts(&mut self, key: &str) -> Vec<String> {
        self.read(key, |reader, told| reader.texts(told))
            .unwrap_or_default()
    }

    pub(super) fn list(&mut self, key: &str) -> Option<Vec<String>> {
        self.read(key, |reader, told| reader.texts(told))
    }

    /// A mapping of strings.
    pub(super) fn pairs(&mut self, key: &str) -> IndexMap<String, Option<String>> {
        self.read(key, |reader, told| reader.list_or_dict(told))
            .unwrap_or_default()
    }

    /// The keys of a mapping, with their places.
    pub(super) fn keys(&mut self, key: &str) -> Vec<Spanned<String>> {
        let map = self.node(key).and_then(Node::as_map);
        map.into_iter()
            .flat_map(Map::iter)
            .map(|entry| Spanned::new(entry.key.as_str().to_owned(), entry.key_span))
            .collect()
    }

    /// A mapping of strings; null is empty.
    pub(super) fn labels(&mut self, key: &str) -> IndexMap<String, String> {
        let pairs = self.pairs(key).into_iter();
        pairs
            .map(|(key, value)| (key, value.unwrap_or_default()))
            .collect()
    }

    /// Each item of a list, read by `read`.
    pub(super) fn each<T>(
        &mut self,
        key: &str,
        mut read: impl FnMut(Fields<'_>) -> Option<T>,
    ) -> Vec<T> {
        let Some(node) = self.node(key) else {
            return Vec::new();
        };
        let list = self.path.key(key);
        let mut items = Vec::new();
        for (index, item) in node.as_list().into_iter().flatten().enumerate() {
            items.extend(read(Fields::new(item, list.index(index), self.diagnostics)));
        }
        items
    }

    /// Each pair of a mapping, read by `read`.
    pub(super) fn entries<T>(
        &mut self,
        key: &str,
        mut read: impl FnMut(&str, Fields<'_>) -> Option<T>,
    ) -> IndexMap<String, T> {
        let Some(node) = self.node(key) else {
            return IndexMap::new();
        };
        let map = self.path.key(key);
        let mut entries = IndexMap::new();
        for entry in node.as_map().into_iter().flat_map(Map::iter) {
            let fields = Fields::new(&entry.value, map.key(&entry.key), self.diagnostics);
            if let Some(value) = read(&entry.key, fields) {
                entries.insert(entry.key.as_str().to_owned(), value);
            }
        }
        entries
    }

    /// A string that parses as something.
    pub(super) fn parsed<T: std::str::FromStr>(&mut self, key: &str, wanted: &str) -> Option<T> {
        let text = self.spanned(key)?;
        if text.value.is_empty() {
            return None;
        }
        let parsed = text.value.parse().ok();
        if parsed.is_none() {
            let message = format!(
                "{} must be {wanted}, not {:?}",
                self.path.key(key),
                text.value
            );
            self.diagnostics
                .push(crate::diag::Diagnostic::error(text.span, message));
        }
        parsed
    }

    /// Tells about a key.
    pub(super) fn error(&mut self, key: &str, message: impl std::fmt::Display) {
        let message = format!("{}: {message}", self.path.key(key));
        let span = self.span(key);
        self.diagnostics
            .push(crate::diag::Diagnostic::error(span, message));
    }
}

/// The `x-*` of a mapping.
pub(super) fn extensions(node: &Node) -> IndexMap<String, Node> {
    node.as_map()
        .into_iter()
        .flat_map(Map::iter)
        .filter(|entry| entry.key.starts_with("x-"))
        .map(|entry| (entry.key.as_str().to_owned(), entry.value.clone()))
        .collect()
}
