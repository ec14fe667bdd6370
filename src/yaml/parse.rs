//! From text to [`Node`]s: documents, anchors, merge keys, tags.
//!
//! Events are pulled one by one, and the caps below end hostile input before it costs
//! anything: the scanner's cost grows with the flow depth, and aliases multiply.

use std::borrow::Cow;
use std::cell::OnceCell;

use indexmap::IndexMap;

use super::events::library::{Input, Library};
use super::events::quick::Quick;
use super::events::{Data, Event, Failure, Properties, Source, Style, to_u32};
use super::scalar::{self, Plain};
use super::{BYTES_OF_ONE, Kind, Map, Node, Resolved, Scalar, Text};
use crate::diag::{Diagnostic, Diagnostics, FileId, Lines, Span};

/// Collections open at once. Real files stay under 20; at 5,000 the scanner needs seconds.
const MOST_DEPTH: usize = 200;
/// Values copied for anchors and aliases; in larger documents, twice what they have themselves.
const MOST_ALIASED: usize = 1_000_000;
/// Bytes of one file.
const MOST_BYTES: usize = 64 << 20;
/// Errors told of one file; the rest would be noise.
const MOST_ERRORS: usize = 1000;

/// One document of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    pub root: Node,
    /// The `!reset` and `!override` tags in it, by place. A value tagged `!reset` is no
    /// longer in the tree.
    pub tags: Vec<Tagged>,
}

/// A tag that says how a value meets that of an earlier file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged {
    /// The keys from the top to the value.
    pub path: Vec<String>,
    pub tag: Tag,
    pub span: Span,
}

/// The two tags that Compose gives a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// Take the earlier value away.
    Reset,
    /// Replace the earlier value instead of merging into it.
    Override,
}

/// What was read of a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parsed {
    pub documents: Vec<Document>,
    /// An error left the rest unreadable; these are the documents before it.
    pub cut: bool,
}

/// Reads all documents of a file.
pub fn parse(text: &str, file: FileId, diagnostics: &mut Diagnostics) -> Vec<Document> {
    parse_as_far_as_possible(text, file, diagnostics).documents
}

/// The same, and says whether there would have been more.
pub fn parse_as_far_as_possible(text: &str, file: FileId, diagnostics: &mut Diagnostics) -> Parsed {
    if text.len() > MOST_BYTES {
        let span = Span::new(file, 0, 0);
        let message = format!("the file is larger than {} MiB", MOST_BYTES >> 20);
        diagnostics.push(Diagnostic::error(span, message));
        return Parsed {
            documents: Vec::new(),
            cut: true,
        };
    }
    let quick = Quick::new(text).map(|quick| read(quick, text, file));
    let (parsed, told) = match quick {
        Some(Ok(read)) => read,
        // Whatever is wrong with the text, the library says it.
        Some(Err(NotSimple)) | None => read_by_library(text, file),
    };
    diagnostics.extend(told);
    parsed
}

/// The same by the library alone: what the quick reader of events is held to.
pub fn parse_by_library(text: &str, file: FileId, diagnostics: &mut Diagnostics) -> Parsed {
    let (parsed, told) = read_by_library(text, file);
    diagnostics.extend(told);
    parsed
}

fn read_by_library(text: &str, file: FileId) -> (Parsed, Diagnostics) {
    let input = Input::new(text);
    read(Library::new(text, &input, file), text, file).unwrap_or_default()
}

/// The text has something that this reader of events leaves to the other.
struct NotSimple;

/// Reads all documents from a reader's events.
fn read<'a, S: Source<'a>>(
    source: S,
    text: &'a str,
    file: FileId,
) -> Result<(Parsed, Diagnostics), NotSimple> {
    let mut builder = Builder {
        source,
        text,
        lines: OnceCell::new(),
        file,
        diagnostics: Diagnostics::default(),
        errors: 0,
        anchors: IndexMap::new(),
        open: Vec::new(),
        path: Vec::new(),
        own: 0,
        aliased: 0,
    };
    let mut documents = Vec::new();
    let cut = match builder.documents(&mut documents) {
        Ok(()) => false,
        // The way out was told when it was taken.
        Err(Stop::Told) => true,
        Err(Stop::NotSimple) => return Err(NotSimple),
    };
    Ok((Parsed { documents, cut }, builder.diagnostics))
}

/// Why the rest is not read.
enum Stop {
    /// It can't be; a diagnostic says why.
    Told,
    /// It is not for this reader of events.
    NotSimple,
}

type Step<T> = Result<T, Stop>;

struct Builder<'a, S> {
    source: S,
    text: &'a str,
    lines: OnceCell<Lines>,
    file: FileId,
    diagnostics: Diagnostics,
    errors: usize,
    anchors: IndexMap<String, Anchored>,
    /// The anchors of the collections that are open, by depth; empty when without.
    open: Vec<String>,
    /// The way down to the present value, for messages.
    path: Vec<Below>,
    own: usize,
    aliased: usize,
}

/// A step of the way down.
enum Below {
    Key(Text),
    Item(usize),
}

/// A finished value.
#[derive(Clone)]
struct Built {
    node: Node,
    /// How it was tagged itself.
    tag: Option<Tag>,
    /// Tags further down, by the keys from here.
    tags: Vec<Tagged>,
    /// Nodes in it, itself included, and how deep they go.
    size: usize,
    height: usize,
    /// A plain scalar `<<`.
    merges: bool,
    /// Nothing is known of it, which was told; its key is left out.
    lost: bool,
}

/// What an anchor stands for.
enum Anchored {
    Open,
    Done(Box<Built>),
}

impl<'a, S: Source<'a>> Builder<'a, S> {
    fn documents(&mut self, documents: &mut Vec<Document>) -> Step<()> {
        loop {
            let event = self.next()?;
            match event.data {
                Data::StreamEnd => return Ok(()),
                Data::DocumentStart => {
                    self.anchors.clear();
                    (self.own, self.aliased) = (0, 0);
                    let first = self.next()?;
                    let built = self.value(first)?;
                    let mut tags = built.tags;
                    if let Some(tag) = built.tag {
                        tags.push(Tagged {
                            path: Vec::new(),
                            tag,
                            span: built.node.span,
                        });
                    }
                    documents.push(Document {
                        root: built.node,
                        tags,
                    });
                }
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Step<Event<'a>> {
        self.source.next().map_err(|failure| match failure {
            Failure::NotSimple => Stop::NotSimple,
            Failure::Syntax(diagnostic) => {
                self.diagnostics.push(*diagnostic);
                Stop::Told
            }
        })
    }

    fn value(&mut self, event: Event<'a>) -> Step<Built> {
        self.own += 1;
        let span = self.span(&event);
        match event.data {
            Data::Alias(anchor) => self.alias(&anchor, span),
            Data::Scalar {
                properties,
                value,
                style,
            } => {
                let span = self.without_properties(span, &value, style, !properties.is_empty());
                let built = self.scalar(&value, properties.tag.as_deref(), style, span)?;
                self.anchored(properties.anchor, built)
            }
            Data::SequenceStart(properties) => self.collection(properties, span, Self::sequence),
            Data::MappingStart(properties) => self.collection(properties, span, Self::mapping),
            _ => {
                self.error(Diagnostic::error(span, "invalid YAML: a value is missing"))?;
                Err(Stop::Told)
            }
        }
    }

    // Collections.

    fn collection(
        &mut self,
        properties: Properties<'a>,
        span: Span,
        items: fn(&mut Self, Span) -> Step<Built>,
    ) -> Step<Built> {
        self.opened(properties.anchor.as_deref(), span)?;
        let mut built = items(self, span)?;
        self.open.pop();
        built.tag = compose_tag(properties.tag.as_deref());
        self.anchored(properties.anchor, built)
    }

    fn opened(&mut self, anchor: Option<&str>, span: Span) -> Step<()> {
        if self.open.len() >= MOST_DEPTH {
            let message = format!(
                "nested too deeply: more than {MOST_DEPTH} lists and mappings in each other"
            );
            self.error(Diagnostic::error(span, message))?;
            return Err(Stop::Told);
        }
        self.open.push(anchor.unwrap_or_default().to_owned());
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor.to_owned(), Anchored::Open);
        }
        Ok(())
    }

    fn anchored(&mut self, anchor: Option<Cow<'a, str>>, built: Built) -> Step<Built> {
        if let Some(anchor) = anchor {
            self.copied(&built, built.node.span)?;
            self.anchors
                .insert(anchor.into_owned(), Anchored::Done(Box::new(built.clone())));
        }
        Ok(built)
    }

    /// Counts a copy of what an anchor stands for.
    fn copied(&mut self, built: &Built, span: Span) -> Step<()> {
        self.aliased += built.size;
        if self.aliased <= MOST_ALIASED.max(2 * self.own) {
            return Ok(());
        }
        self.error(Diagnostic::error(
            span,
            "document contains excessive aliasing",
        ))?;
        Err(Stop::Told)
    }

    fn alias(&mut self, anchor: &str, span: Span) -> Step<Built> {
        let built = match self.anchors.get(anchor) {
            Some(Anchored::Done(built)) => built.clone(),
            Some(Anchored::Open) => {
                self.error(Diagnostic::error(
                    span,
                    format!("anchor '{anchor}' value contains itself"),
                ))?;
                return Ok(Built::lost(span));
            }
            None => {
                let names = self.anchors.keys().map(String::as_str);
                let meant = crate::diag::did_you_mean(anchor, names)
                    .map(|name| format!("did you mean `*{name}`?"));
                let mut diagnostic =
                    Diagnostic::error(span, format!("unknown anchor '{anchor}' referenced"));
                diagnostic.hints.extend(meant);
                self.error(diagnostic)?;
                return Ok(Built::lost(span));
            }
        };
        self.copied(&built, span)?;
        if self.open.len() + built.height > MOST_DEPTH {
            let message = format!(
                "nested too deeply: more than {MOST_DEPTH} lists and mappings in each other"
            );
            self.error(Diagnostic::error(span, message))?;
            return Err(Stop::Told);
        }
        Ok(*built)
    }

    fn sequence(&mut self, span: Span) -> Step<Built> {
        let mut built = Built::leaf(Node::null(span));
        let mut items = Vec::new();
        let mut end = span;
        loop {
            let event = self.next()?;
            if event.data == Data::SequenceEnd {
                end = self.closing(&event, end);
                break;
            }
            self.path.push(Below::Item(items.len()));
            let item = self.value(event)?;
            self.path.pop();
            built.size += item.size;
            built.height = built.height.max(item.height + 1);
            end = item.node.span_if_in(end);
            if item.tag != Some(Tag::Reset) && !item.lost {
                items.push(item.node);
            }
        }
        built.height = built.height.max(1);
        built.node = Node::list(items, span.to(end));
        Ok(built)
    }

    fn mapping(&mut self, span: Span) -> Step<Built> {
        let mut built = Built::leaf(Node::null(span));
        let mut map = Map::new();
        let mut merged: Option<(Span, Vec<Map>)> = None;
        let mut end = span;
        loop {
            let event = self.next()?;
            if event.data == Data::MappingEnd {
                end = self.closing(&event, end);
                break;
            }
            let key = self.value(event)?;
            let (key_span, key_size, merges) = (key.node.span, key.size, key.merges);
            end = key.node.span_if_in(end);
            let name = self.key(key)?;
            let named = name.is_some();
            // Kept on the way while its value is read, and taken back.
            self.path.push(Below::Key(name.unwrap_or_default()));
            let event = self.next()?;
            let value = self.value(event)?;
            let Some(Below::Key(name)) = self.path.pop() else {
                return Err(Stop::Told);
            };
            built.size += key_size + value.size;
            built.height = built.height.max(value.height + 1);
            end = value.node.span_if_in(end);
            if !named || value.lost {
                continue;
            }
            if merges {
                self.merge_key(key_span, value, &mut merged)?;
                continue;
            }
            if let Some(first) = map.entry(&name) {
                let diagnostic = self.duplicate(&name, key_span, first.key_span);
                self.error(diagnostic)?;
                continue;
            }
            for mut tagged in value.tags {
                tagged.path.insert(0, name.to_string());
                built.tags.push(tagged);
                built.size += 1;
            }
            if let Some(tag) = value.tag {
                built.tags.push(Tagged {
                    path: vec![name.to_string()],
                    tag,
                    span: value.node.span,
                });
            }
            if value.tag == Some(Tag::Reset) {
                continue;
            }
            map.insert(name, key_span, value.node);
        }
        // Explicit keys win over merged ones wherever `<<` stands; earlier maps over later.
        for entry in merged.into_iter().flat_map(|(_, maps)| maps).flatten() {
            if !map.contains(&entry.key) {
                map.insert(entry.key, entry.key_span, entry.value);
            }
        }
        built.height = built.height.max(1);
        built.node = Node::map(map, span.to(end));
        Ok(built)
    }

    /// A key's text; `None` when it can't be one, which has been told.
    fn key(&mut self, key: Built) -> Step<Option<Text>> {
        let span = key.node.span;
        let kind = match key.node.kind {
            Kind::Scalar(Scalar {
                text,
                resolved: Resolved::String,
            }) => return Ok(Some(text)),
            kind => kind,
        };
        let path = self.path_in_words();
        let place = if path.is_empty() {
            "at top level".to_owned()
        } else {
            format!("in {path}")
        };
        let (shown, quotable) = match kind {
            Kind::Scalar(scalar) => (scalar.text, true),
            Kind::Null => ("null".into(), false),
            Kind::List(_) => ("a list".into(), false),
            Kind::Map(_) => ("a mapping".into(), false),
        };
        let mut diagnostic = Diagnostic::error(span, format!("non-string key {place}: {shown}"));
        if quotable {
            diagnostic = diagnostic.hint(format!("quote it: \"{shown}\""));
        }
        self.error(diagnostic)?;
        Ok(None)
    }

    fn merge_key(
        &mut self,
        key_span: Span,
        value: Built,
        merged: &mut Option<(Span, Vec<Map>)>,
    ) -> Step<()> {
        if let Some((first, _)) = merged {
            let diagnostic = self.duplicate("<<", key_span, *first);
            return self.error(diagnostic);
        }
        let span = value.node.span;
        let nodes = match value.node.kind {
            Kind::List(items) => items,
            kind => vec![Node { kind, span }],
        };
        let mut maps = Vec::new();
        for node in nodes {
            let span = node.span;
            let Kind::Map(map) = node.kind else {
                let diagnostic = Diagnostic::error(
                    span,
                    "map merge requires map or sequence of maps as the value",
                )
                .hint("`<<` takes an alias of a mapping: `<<: *name`; quote it to use it as a key");
                self.error(diagnostic)?;
                continue;
            };
            maps.push(map);
        }
        *merged = Some((key_span, maps));
        Ok(())
    }

    fn duplicate(&self, key: &str, span: Span, first: Span) -> Diagnostic {
        let lines = self.lines.get_or_init(|| Lines::new(self.text));
        let (line, _) = lines.at(first.start as usize);
        Diagnostic::error(
            span,
            format!("mapping key {key:?} already defined at line {line}"),
        )
        .label(first, "first defined here")
    }

    // Scalars.

    fn scalar(&mut self, value: &str, tag: Option<&str>, style: Style, span: Span) -> Step<Built> {
        let plain = style == Style::Plain;
        let string = |value: &str| Node::string(value, span);
        let mut built = Built::leaf(Node::null(span));
        built.size += value.len() / BYTES_OF_ONE;
        self.own += value.len() / BYTES_OF_ONE;
        built.tag = compose_tag(tag);
        let core = tag.and_then(|tag| tag.strip_prefix("tag:yaml.org,2002:"));
        built.merges = (plain && tag.is_none() && value == "<<") || core == Some("merge");
        built.node = match (tag, core) {
            (None, _) if plain => resolved(value, span),
            _ if built.tag.is_some() && plain => resolved(value, span),
            (_, Some("str")) => string(value),
            (_, Some("binary")) => {
                match base64(value).and_then(|bytes| String::from_utf8(bytes).ok()) {
                    Some(text) => string(&text),
                    None => return self.mistagged(span, value, "!!binary"),
                }
            }
            (_, Some(core @ ("int" | "float" | "bool" | "null" | "timestamp"))) => {
                let node = resolved(value, span);
                let fits = match &node.kind {
                    Kind::Null => core == "null",
                    Kind::Scalar(scalar) => match scalar.resolved {
                        Resolved::Bool(_) => core == "bool",
                        Resolved::Integer(_) => matches!(core, "int" | "float"),
                        Resolved::Float(_) => core == "float",
                        Resolved::Timestamp => core == "timestamp",
                        Resolved::String => false,
                    },
                    Kind::List(_) | Kind::Map(_) => false,
                };
                if fits {
                    node
                } else {
                    return self.mistagged(span, value, &format!("!!{core}"));
                }
            }
            _ => string(value),
        };
        Ok(built)
    }

    fn mistagged(&mut self, span: Span, value: &str, tag: &str) -> Step<Built> {
        self.error(Diagnostic::error(
            span,
            format!("cannot decode `{value}` as a {tag}"),
        ))?;
        Ok(Built::lost(span))
    }

    /// A scalar's own span, without the anchor and tag before it.
    fn without_properties(&self, span: Span, value: &str, style: Style, has: bool) -> Span {
        if !has {
            return span;
        }
        let source = self
            .text
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default();
        let offset = match style {
            Style::Plain if source.ends_with(value) => source.len() - value.len(),
            Style::SingleQuoted => source.find('\'').unwrap_or(0),
            Style::DoubleQuoted => source.find('"').unwrap_or(0),
            _ => 0,
        };
        Span::new(span.file, span.start + to_u32(offset), span.end)
    }

    // Places and errors.

    fn span(&self, event: &Event<'a>) -> Span {
        Span::new(self.file, event.start, event.end)
    }

    /// Where a collection ends: at its bracket, or with its last value.
    fn closing(&self, event: &Event<'a>, last: Span) -> Span {
        let span = self.span(event);
        if span.start < span.end { span } else { last }
    }

    fn path_in_words(&self) -> String {
        let mut words = String::new();
        for step in &self.path {
            match step {
                Below::Item(index) => words.push_str(&format!("[{index}]")),
                Below::Key(key) if words.is_empty() => words.push_str(key),
                Below::Key(key) => words.push_str(&format!(".{key}")),
            }
        }
        words
    }

    fn error(&mut self, diagnostic: Diagnostic) -> Step<()> {
        self.diagnostics.push(diagnostic);
        self.errors += 1;
        if self.errors >= MOST_ERRORS {
            Err(Stop::Told)
        } else {
            Ok(())
        }
    }
}

impl Built {
    fn leaf(node: Node) -> Self {
        Self {
            node,
            tag: None,
            tags: Vec::new(),
            size: 1,
            height: 0,
            merges: false,
            lost: false,
        }
    }

    fn lost(span: Span) -> Self {
        Self {
            lost: true,
            ..Self::leaf(Node::null(span))
        }
    }
}

impl Node {
    /// Its span when it ends behind `end` in the same file: aliases lie elsewhere.
    fn span_if_in(&self, end: Span) -> Span {
        if self.span.file == end.file && self.span.end > end.end {
            self.span
        } else {
            end
        }
    }
}

fn compose_tag(tag: Option<&str>) -> Option<Tag> {
    match tag {
        Some("!reset") => Some(Tag::Reset),
        Some("!override") => Some(Tag::Override),
        _ => None,
    }
}

fn resolved(value: &str, span: Span) -> Node {
    match scalar::resolve_plain(value) {
        Plain::Null => Node::null(span),
        Plain::String => Node::string(value, span),
        Plain::Typed(resolved, text) => Node {
            kind: Kind::Scalar(Scalar {
                text: text.into(),
                resolved,
            }),
            span,
        },
    }
}

/// What `!!binary` says.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    let letters: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    for letter in letters.iter().copied().take_while(|letter| *letter != b'=') {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count).to_le_bytes()[0]);
        }
    }
    letters.len().is_multiple_of(4).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Sources, render};
    use crate::yaml::write;

    fn read(text: &str) -> (Vec<Document>, String) {
        let mut sources = Sources::default();
        let file = sources.add("f", text.into());
        let mut diagnostics = Diagnostics::default();
        let documents = parse(text, file, &mut diagnostics);
        let lines = diagnostics
            .iter()
            .map(|diagnostic| render::render_line(diagnostic, &sources));
        (documents, lines.collect::<Vec<_>>().join("\n"))
    }

    /// The first document as JSON, or the errors.
    fn shown(text: &str) -> String {
        let (documents, errors) = read(text);
        if !errors.is_empty() {
            return errors;
        }
        documents.first().map_or_else(String::new, |document| {
            write::to_json(&document.root).to_string()
        })
    }

    #[test]
    fn documents_are_read_as_docker_reads_them() {
        let rows = [
            ("a: 1\nb: [x, 'y', \"z\"]\n", r#"{"a":1,"b":["x","y","z"]}"#),
            ("{a: 1, b}", r#"{"a":1,"b":null}"#),
            ("[a: b]", r#"[{"a":"b"}]"#),
            ("{a:1}", r#"{"a:1":null}"#),
            ("\u{feff}a: b\r\nc: d\r\n", r#"{"a":"b","c":"d"}"#),
            ("a: b\rc: d\r", r#"{"a":"b","c":"d"}"#),
            (
                "a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}",
                r#"{"a":{"p":1,"q":2},"b":{"q":3,"p":1}}"#,
            ),
            (
                "b: {q: 3, <<: [{p: 1}, {p: 2, r: 4}]}",
                r#"{"b":{"q":3,"p":1,"r":4}}"#,
            ),
            ("{\"<<\": 1}", r#"{"<<":1}"#),
            ("a: <<\nb: =", r#"{"a":"<<","b":"="}"#),
            ("a: &x 1\nb: &x 2\nc: *x", r#"{"a":1,"b":2,"c":2}"#),
            ("&k a: 1\nb: *k", r#"{"a":1,"b":"a"}"#),
            (
                "a: !!str 12\nb: !!int '12'\nc: !foo 12\nd: !!binary aGk=\ne: !!float 1",
                r#"{"a":"12","b":12,"c":"12","d":"hi","e":1}"#,
            ),
            (
                "a: |\n  x\n  y\nb: >-\n  p\n  q\n",
                r#"{"a":"x\ny\n","b":"p q"}"#,
            ),
            ("a: ~\nb:\nc: ''", r#"{"a":null,"b":null,"c":""}"#),
            ("\u{fb00}: 1", "{\"\u{fb00}\":1}"),
            ("# nothing", ""),
        ];
        for (text, expected) in rows {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn of_anchors_that_are_equally_near_the_same_is_meant_every_time() {
        let text = "x: [&x1 1, &x2 2, &x3 3, &x4 4, &x5 5, *x]";
        for _ in 0..8 {
            let mut diagnostics = Diagnostics::default();
            parse(text, FileId(0), &mut diagnostics);
            let hints = &diagnostics.iter().next().unwrap().hints;
            assert_eq!(hints[..], ["did you mean `*x1`?"]);
        }
    }

    #[test]
    fn errors_name_the_place() {
        let rows = [
            (
                "a: 1\na: 2",
                "f:2:1: mapping key \"a\" already defined at line 1",
            ),
            ("x-a:\n  1: b", "f:2:3: non-string key in x-a: 1"),
            ("true: b", "f:1:1: non-string key at top level: true"),
            ("? [a]\n: b", "f:1:3: non-string key at top level: a list"),
            ("a: &x [*x]", "f:1:8: anchor 'x' value contains itself"),
            ("a: *x", "f:1:4: unknown anchor 'x' referenced"),
            (
                "<<: 1",
                "f:1:5: map merge requires map or sequence of maps as the value",
            ),
            (
                "<<: {a: 1}\n<<: {b: 1}",
                "f:2:1: mapping key \"<<\" already defined at line 1",
            ),
            ("a: !!bool yes", "f:1:11: cannot decode `yes` as a !!bool"),
            (
                "a:\n\tb: 1",
                "f:2:1: invalid YAML: a tab cannot indent a line",
            ),
            (
                "a: b: c",
                "f:1:5: invalid YAML: mapping values are not allowed in this context",
            ),
            (
                "a: @b",
                "f:1:4: invalid YAML: a value cannot begin with `@`",
            ),
            (
                "a: [1, 2\nb: 3",
                "f:2:2: invalid YAML: did not find expected ',' or ']'",
            ),
            (
                "a: \"b",
                "f:1:6: invalid YAML: found unexpected end of stream",
            ),
            (
                "a: \u{1}",
                "f:1:4: invalid YAML: control characters are not allowed",
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn several_errors_are_told_at_once() {
        let (_, errors) = read("a: 1\na: 2\n2: x\nb: *no\n");
        assert_eq!(errors.lines().count(), 3, "{errors}");
    }

    #[test]
    fn spans_are_bytes_of_the_file() {
        let text = "\u{feff}\u{e4}: &n !!str  \u{f6}\r\nb: \"q\"\r\nc:\n  - d\n\n# e\nf: {g: h}\n";
        let (documents, _) = read(text);
        let root = documents[0].root.as_map().unwrap();
        let part = |span: Span| &text[span.start as usize..span.end as usize];
        let spans: Vec<&str> = root
            .iter()
            .flat_map(|entry| [part(entry.key_span), part(entry.value.span)])
            .collect();
        assert_eq!(
            spans,
            ["\u{e4}", "\u{f6}", "b", "\"q\"", "c", "- d", "f", "{g: h}"]
        );
    }

    #[test]
    fn several_documents_and_tags() {
        let (documents, errors) =
            read("a: 1\n---\nb:\n  c: !reset null\n  d: !override {e: 1}\n  f: [1, !reset 2]\n");
        assert_eq!(errors, "");
        assert_eq!(documents.len(), 2);
        assert_eq!(
            write::to_json(&documents[1].root).to_string(),
            r#"{"b":{"d":{"e":1},"f":[1]}}"#
        );
        let tags: Vec<_> = documents[1]
            .tags
            .iter()
            .map(|tagged| (tagged.path.join("."), tagged.tag))
            .collect();
        assert_eq!(
            tags,
            [
                ("b.c".to_owned(), Tag::Reset),
                ("b.d".to_owned(), Tag::Override)
            ]
        );
    }

    #[test]
    fn hostile_input_ends_quickly() {
        let started = std::time::Instant::now();
        let mut bomb = "x0: &x0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
        for level in 1..9 {
            let before = vec![format!("*x{}", level - 1); 10].join(", ");
            bomb.push_str(&format!("x{level}: &x{level} [{before}]\n"));
        }
        let deep = format!(
            "a: &a {0}1{1}\nb: {0}*a{1}",
            "[".repeat(150),
            "]".repeat(150)
        );
        // A long text many times over, and anchors within anchors.
        let long = format!(
            "a: &a {}\nb: [{}]",
            "x".repeat(100_000),
            "*a, ".repeat(1000)
        );
        let items = "1, ".repeat(20_000);
        let nested = format!("a: {}{items}{}", "[&x [".repeat(99), "]]".repeat(99));
        let rows = [
            ("[".repeat(100_000), "nested too deeply"),
            ("{b: ".repeat(100_000), "nested too deeply"),
            ("- ".repeat(50_000), "nested too deeply"),
            (bomb, "excessive aliasing"),
            (deep, "nested too deeply"),
            (long, "excessive aliasing"),
            (nested, "excessive aliasing"),
        ];
        for (text, expected) in rows {
            let (_, errors) = read(&text);
            assert!(errors.contains(expected), "{errors}");
        }
        assert!(started.elapsed().as_secs() < 20);
    }

    #[test]
    fn texts_may_end_anywhere() {
        let rows = [
            ("a: |\n  b", r#"{"a":"b"}"#),
            ("a: |\n  b\n", r#"{"a":"b\n"}"#),
            ("a: |+\n  b", r#"{"a":"b"}"#),
            ("a: >\n  b\n  c", r#"{"a":"b c"}"#),
            ("a: |", r#"{"a":""}"#),
            ("a: b", r#"{"a":"b"}"#),
            ("a: [b,\nc]", r#"{"a":["b","c"]}"#),
        ];
        for (text, expected) in rows {
            assert_eq!(shown(text), expected, "{text}");
        }
        let text = "a: \"b\nc: [!x y, 'z !d,e', \"!f,\"]\n# !g,\nh: |-\n  \\";
        for end in 0..=text.len() {
            read(&text[..end]);
        }
    }

    #[test]
    fn a_comma_behind_a_tag_is_an_error_and_elsewhere_a_letter() {
        assert_eq!(
            shown("a: 1\nb: [!x, c]"),
            "f:2:7: invalid YAML: did not find expected whitespace or line break"
        );
        assert_eq!(
            shown("a: [!x b, 'c !d,e', f !g, \"!h,\"]\ni: j !k, l"),
            r#"{"a":["b","c !d,e","f !g","!h,"],"i":"j !k, l"}"#
        );
    }
}
