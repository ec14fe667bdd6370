//! Which keys there are and what may stand under them; values come out in the one type
//! that later phases expect (`"0.5"` of `cpus` as a number, `1g` of `mem_limit` in bytes).
//!
//! What is wrong is told and taken out of the tree, so that later phases can go on and find
//! the rest.

use std::collections::{BTreeSet, HashMap};

use super::keys::{ROOT, SERVICE};
use crate::diag::{Diagnostic, Diagnostics, Span, did_you_mean};
use crate::units::duration;
use crate::yaml::{Kind, Node, Path, Reader, Resolved, scalar, write};

/// What may stand somewhere.
#[derive(Debug)]
pub(super) enum Shape {
    Any,
    /// Strictly a string.
    String,
    /// `K=V` in a list: a string.
    Pair,
    /// A string or a number, kept as a string.
    Text,
    /// A string or a whole number, kept as a string.
    TextOrWhole,
    /// A string or a boolean, kept as a string.
    Switch,
    /// A string, a number or a boolean, kept as a string.
    Plain,
    Bool,
    Integer,
    /// An integer, and not one in quotes.
    Whole,
    /// An integer from the first to the last.
    Between(i64, i64),
    /// An integer, or `all`, which is -1.
    Count,
    Number,
    /// A size; with -1 for "unlimited".
    Bytes,
    Duration,
    OneOf(&'static [&'static str]),
    List(&'static Shape),
    /// A list of which no two items are equal.
    Unique(&'static Shape),
    /// A mapping or a list of `K=V`.
    Pairs,
    /// A mapping whose keys the user gives.
    Map(&'static Shape),
    Object(&'static [Key]),
    /// Or nothing at all.
    Nullable(&'static Shape),
    /// The first that fits by kind.
    Either(&'static [Shape]),
}

/// One key of an object.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) required: bool,
}

/// How strictly to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// One document: a null keeps what earlier files say, and keys may be missing.
    Document,
    /// The merged whole.
    Whole,
    /// One document with its variables left in.
    Uninterpolated,
}

/// Checks and casts a tree.
pub(super) fn check(
    root: &mut Node,
    stage: Stage,
    broken: &mut BTreeSet<String>,
    diagnostics: &mut Diagnostics,
) {
    let mut checker = Checker {
        stage,
        broken,
        diagnostics,
    };
    if root.is_null() {
        return;
    }
    if root.as_map().is_none() {
        let message = "top-level object must be a mapping";
        let found = root.describe();
        let diagnostic = Diagnostic::error(root.span, message)
            .hint(format!("this is {found}; write `services:` and the like"));
        checker.diagnostics.push(diagnostic);
        *root = Node::map(crate::yaml::Map::new(), root.span);
        return;
    }
    checker.object(root, ROOT, Path::ROOT);
}

struct Checker<'a> {
    stage: Stage,
    /// The paths of mappings of which something was taken out.
    broken: &'a mut BTreeSet<String>,
    diagnostics: &'a mut Diagnostics,
}

impl Checker<'_> {
    /// Whether the value may stay.
    fn value(&mut self, node: &mut Node, shape: &Shape, path: Path<'_>) -> bool {
        if let Shape::Nullable(inner) = shape {
            return node.is_null() || self.value(node, inner, path);
        }
        if matches!(shape, Shape::Any) {
            return true;
        }
        if node.is_null() && self.stage != Stage::Whole {
            return true;
        }
        if self.stage == Stage::Uninterpolated
            && node.as_str().is_some_and(|text| text.contains('$'))
        {
            return true;
        }
        match shape {
            Shape::List(item) => self.list(node, item, path),
            Shape::Unique(item) => self.list(node, item, path) && self.unique(node, path),
            Shape::Pairs => self.pairs(node, path),
            Shape::Map(item) => self.map(node, item, path),
            Shape::Object(keys) => self.object(node, keys, path),
            Shape::Either(shapes) => self.either(node, shapes, path),
            _ => self.scalar(node, shape, path),
        }
    }

    /// Tells about items that come twice, and takes the later ones out.
    fn unique(&mut self, node: &mut Node, path: Path<'_>) -> bool {
        let Kind::List(items) = &mut node.kind else {
            return true;
        };
        let mut seen: HashMap<String, (usize, Span)> = HashMap::new();
        let mut index = 0;
        items.retain(|item| {
            let value = write::to_json(item).to_string();
            let (first, span) = *seen.entry(value).or_insert((index, item.span));
            let repeated = first != index;
            if repeated {
                let message = format!("{path}: items at {first} and {index} are equal");
                let diagnostic = Diagnostic::error(item.span, message);
                self.diagnostics
                    .push(diagnostic.label(span, "the same item"));
            }
            index += 1;
            !repeated
        });
        true
    }

    fn scalar(&mut self, node: &mut Node, shape: &Shape, path: Path<'_>) -> bool {
        if let (Shape::String | Shape::Text | Shape::Switch, Kind::Scalar(scalar)) =
            (shape, &node.kind)
            && scalar.resolved == Resolved::String
        {
            return true;
        }
        let cast = cast(&Reader::new(node, path), shape, self.diagnostics);
        let fits = cast.is_some();
        // With its variables left in, a file is shown as it was written.
        if let Some(cast) = cast.filter(|_| self.stage != Stage::Uninterpolated) {
            *node = cast;
        }
        fits
    }

    fn list(&mut self, node: &mut Node, shape: &Shape, path: Path<'_>) -> bool {
        let Kind::List(items) = &mut node.kind else {
            return self.wrong(node, "a list", path);
        };
        let mut index = 0;
        let mut kept = true;
        items.retain_mut(|item| {
            let below = path.index(index);
            index += 1;
            let good = if item.is_null() {
                self.wrong(item, kinds(shape), below)
            } else {
                self.value(item, shape, below)
            };
            kept &= good;
            good
        });
        true
    }

    fn pairs(&mut self, node: &mut Node, path: Path<'_>) -> bool {
        match &mut node.kind {
            Kind::List(_) => self.list(node, &Shape::Pair, path),
            Kind::Map(_) => self.map(node, &Shape::Nullable(&Shape::Plain), path),
            _ => self.wrong(node, "a mapping or a list", path),
        }
    }

    fn map(&mut self, node: &mut Node, shape: &Shape, path: Path<'_>) -> bool {
        let Kind::Map(map) = &mut node.kind else {
            return self.wrong(node, "a mapping", path);
        };
        map.retain(|entry| {
            let below = path.key(&entry.key);
            let good = self.value(&mut entry.value, shape, below);
            if !good {
                self.broken.insert(below.to_string());
            }
            good
        });
        true
    }

    fn object(&mut self, node: &mut Node, keys: &[Key], path: Path<'_>) -> bool {
        let Kind::Map(map) = &mut node.kind else {
            return self.wrong(node, "a mapping", path);
        };
        let before = map.len();
        map.retain(|entry| {
            if entry.key.starts_with("x-") {
                return true;
            }
            let below = path.key(&entry.key);
            let name = entry.key.as_str();
            let is_it = |key: &&Key| key.name.len() == name.len() && key.name == name;
            match keys.iter().find(is_it) {
                Some(key) => self.value(&mut entry.value, &key.shape, below),
                None => {
                    if !self.diagnostics.is_full() {
                        let diagnostic = unknown(&entry.key, keys, path);
                        self.diagnostics.push(diagnostic.label(entry.key_span, ""));
                    }
                    false
                }
            }
        });
        let told = map.len() < before;
        if told {
            self.broken.insert(path.to_string());
        }
        self.required(node, keys, path)
    }

    /// What is missing in one document may stand in another; items of lists have no others.
    fn required(&mut self, node: &Node, keys: &[Key], path: Path<'_>) -> bool {
        let map = node.as_map().into_iter().next();
        let missing = |key: &&Key| key.required && !map.is_some_and(|map| map.contains(key.name));
        let complete = match self.stage {
            Stage::Whole => true,
            Stage::Document => path.is_in_list(),
            Stage::Uninterpolated => false,
        };
        if !complete {
            return true;
        }
        let Some(key) = keys.iter().find(missing) else {
            return true;
        };
        if self.broken.contains(&path.to_string()) {
            // It may have been there, and wrong.
            return false;
        }
        let message = format!("{path} is missing property '{}'", key.name);
        self.diagnostics.push(Diagnostic::error(node.span, message));
        false
    }

    fn either(&mut self, node: &mut Node, shapes: &[Shape], path: Path<'_>) -> bool {
        match shapes.iter().find(|shape| fits(node, shape)) {
            Some(shape) => self.value(node, shape, path),
            None => {
                let mut wanted: Vec<&str> = shapes.iter().map(kinds).collect();
                wanted.dedup();
                self.wrong(node, &wanted.join(" or "), path)
            }
        }
    }

    fn wrong(&mut self, node: &Node, wanted: &str, path: Path<'_>) -> bool {
        let _told: Option<()> = Reader::new(node, path).wrong(wanted, self.diagnostics);
        false
    }
}

fn unknown(name: &str, keys: &[Key], path: Path<'_>) -> Diagnostic {
    let place = if path.depth() == 0 {
        String::new()
    } else {
        format!("{path}: ")
    };
    let message = format!("{place}additional properties '{name}' not allowed");
    let diagnostic = Diagnostic::new(crate::diag::Severity::Error, message);
    let names = keys.iter().map(|key| key.name);
    if let Some((key, value)) = name.split_once(':')
        && names.clone().any(|known| known == key)
    {
        return diagnostic.hint(format!("write a blank after the colon: `{key}: {value}`"));
    }
    if let Some(meant) = did_you_mean(name, names) {
        return diagnostic.hint(format!("did you mean `{meant}`?"));
    }
    if path.depth() == 0 && SERVICE.iter().any(|key| key.name == name) {
        return diagnostic.hint(format!("`{name}` belongs into a service"));
    }
    diagnostic
}

/// `- A: b` among pairs is a mapping where `- A=b` was meant.
fn pair(reader: &Reader<'_>, diagnostics: &mut Diagnostics) -> Option<String> {
    let mut entries = reader.node.as_map().into_iter().flatten();
    if let (Some(entry), None) = (entries.next(), entries.next()) {
        let value = entry.value.as_str().unwrap_or_default();
        let diagnostic = reader.error("must be a string, not a mapping");
        diagnostics.push(diagnostic.hint(format!("write `{}={value}`", entry.key)));
        return None;
    }
    reader.string(diagnostics)
}

fn fits(node: &Node, shape: &Shape) -> bool {
    match (shape, &node.kind) {
        (Shape::Any, _) => true,
        (Shape::Nullable(inner), _) => node.is_null() || fits(node, inner),
        (Shape::List(_) | Shape::Unique(_), Kind::List(_)) => true,
        (Shape::Pairs, Kind::List(_) | Kind::Map(_)) => true,
        (Shape::Map(_) | Shape::Object(_), Kind::Map(_)) => true,
        (Shape::String | Shape::Pair, Kind::Scalar(scalar)) => scalar.resolved == Resolved::String,
        (Shape::Bool, Kind::Scalar(scalar)) => matches!(scalar.resolved, Resolved::Bool(_)),
        (Shape::Text, Kind::Scalar(scalar)) => !matches!(scalar.resolved, Resolved::Bool(_)),
        (
            Shape::TextOrWhole
            | Shape::Switch
            | Shape::Plain
            | Shape::Integer
            | Shape::Whole
            | Shape::Between(..)
            | Shape::Count
            | Shape::Number
            | Shape::Bytes
            | Shape::Duration
            | Shape::OneOf(_),
            Kind::Scalar(_),
        ) => true,
        (Shape::Either(shapes), _) => shapes.iter().any(|shape| fits(node, shape)),
        _ => false,
    }
}

/// What a shape is called in errors.
fn kinds(shape: &Shape) -> &'static str {
    match shape {
        Shape::Any => "anything",
        Shape::String | Shape::Pair | Shape::OneOf(_) => "a string",
        Shape::Text => "a string or a number",
        Shape::Bool | Shape::Switch => "true or false",
        Shape::TextOrWhole => "a string or an integer",
        Shape::Plain => "a string, a number or a boolean",
        Shape::Integer | Shape::Whole | Shape::Between(..) => "an integer",
        Shape::Count => "a number or `all`",
        Shape::Number => "a number",
        Shape::Bytes => "a size",
        Shape::Duration => "a duration",
        Shape::List(_) | Shape::Unique(_) => "a list",
        Shape::Pairs => "a mapping or a list",
        Shape::Map(_) | Shape::Object(_) => "a mapping",
        Shape::Nullable(inner) => kinds(inner),
        Shape::Either(shapes) => shapes.first().map_or("anything", kinds),
    }
}

/// A scalar in the type that its place wants.
fn cast(reader: &Reader<'_>, shape: &Shape, diagnostics: &mut Diagnostics) -> Option<Node> {
    let span = reader.span();
    Some(match shape {
        Shape::String => Node::string(reader.string(diagnostics)?, span),
        Shape::Pair => Node::string(pair(reader, diagnostics)?, span),
        Shape::Text => Node::string(reader.string_or_number(diagnostics)?, span),
        Shape::TextOrWhole => Node::string(reader.string_or_whole(diagnostics)?, span),
        Shape::Switch | Shape::Plain => Node::string(reader.text(diagnostics)?, span),
        Shape::Bool => Node::bool(reader.bool(diagnostics)?, span),
        Shape::Integer => Node::integer(i128::from(reader.integer(diagnostics)?), span),
        Shape::Whole => Node::integer(i128::from(reader.plain_integer(diagnostics)?), span),
        Shape::Between(least, most) => {
            let value: i64 = reader.integer_in(*least..=*most, diagnostics)?;
            Node::integer(i128::from(value), span)
        }
        Shape::Count => Node::integer(i128::from(count(reader, diagnostics)?), span),
        Shape::Number => number(reader.float(diagnostics)?, span),
        Shape::Bytes => Node::string(reader.signed_bytes(diagnostics)?.to_string(), span),
        Shape::Duration => Node::string(duration::print(reader.duration(diagnostics)?), span),
        Shape::OneOf(words) => Node::string(reader.one_of(words, diagnostics)?, span),
        _ => return None,
    })
}

/// How many devices; all of them are -1.
fn count(reader: &Reader<'_>, diagnostics: &mut Diagnostics) -> Option<i64> {
    match reader.node.as_str() {
        Some(text) if text.eq_ignore_ascii_case("all") => Some(-1),
        Some(text) if scalar::integer(text).is_none() => {
            let message = format!(
                "{}: invalid value {text:?}, the only value allowed is 'all' or a number",
                reader.path
            );
            diagnostics.push(Diagnostic::error(reader.span(), message));
            None
        }
        _ => reader.integer(diagnostics),
    }
}

fn number(value: f64, span: crate::diag::Span) -> Node {
    let text = scalar::print_float(value);
    let scalar = crate::yaml::Scalar {
        text: text.into(),
        resolved: Resolved::Float(value),
    };
    Node {
        kind: Kind::Scalar(scalar),
        span,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::FileId;

    fn told(text: &str) -> Vec<String> {
        let mut diagnostics = Diagnostics::default();
        let mut root = crate::yaml::parse(text, FileId(0), &mut diagnostics)
            .remove(0)
            .root;
        check(
            &mut root,
            Stage::Whole,
            &mut BTreeSet::new(),
            &mut diagnostics,
        );
        let text = |diagnostic: Diagnostic| {
            format!("{}|{}", diagnostic.message, diagnostic.hints.join(""))
        };
        diagnostics.into_iter().map(text).collect()
    }

    #[test]
    fn unknown_keys_are_told_with_what_was_meant() {
        assert_eq!(
            told("services: {web: {imgae: nginx, prots: []}}\nservice: {}"),
            [
                "services.web: additional properties 'imgae' not allowed|did you mean `image`?",
                "services.web: additional properties 'prots' not allowed|did you mean `ports`?",
                "additional properties 'service' not allowed|did you mean `services`?",
            ]
        );
    }

    #[test]
    fn wrong_types_are_told() {
        assert_eq!(
            told("services: {web: {image: [a], ports: 80, tty: maybe}}"),
            [
                "services.web.image must be a string, not a list|",
                "services.web.ports must be a list, not a number|begin each item with `- ` on a line of its own",
                "services.web.tty must be true or false: invalid boolean: maybe|",
            ]
        );
    }

    #[test]
    fn numbers_have_their_bounds_and_forms() {
        assert_eq!(
            told(
                "services: {web: {cpu_percent: 101, gpus: [{count: some}, {count: ALL}], \
                 volumes: [{type: tmpfs, target: /t, tmpfs: {mode: '0700'}}]}}"
            ),
            [
                "services.web.cpu_percent must be between 0 and 100, not 101|",
                "services.web.gpus[0].count: invalid value \"some\", the only value allowed is 'all' or a number|",
                "services.web.volumes[0].tmpfs.mode must be an integer, not a string|remove the quotes",
            ]
        );
    }

    #[test]
    fn items_that_must_differ_do() {
        assert_eq!(
            told("services: {web: {gpus: [{capabilities: [gpu, utility, gpu]}]}}"),
            ["services.web.gpus[0].capabilities: items at 0 and 2 are equal|"]
        );
    }
}
