//! From text to [`Node`]s: documents, anchors, merge keys, tags.
//!
//! The only file that names the YAML library. Its events are pulled one by one, and the
//! caps below end hostile input before it costs anything: the scanner's cost grows with
//! the flow depth, and aliases multiply.

use std::cell::OnceCell;
use std::collections::HashMap;

use libyaml_safer::{Encoding, Error, Event, EventData, Mark, Parser, ScalarStyle};

use super::input::{self, Input};
use super::scalar::{self, Plain};
use super::{BYTES_OF_ONE, Kind, Map, Node, Resolved, Scalar};
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
#[derive(Debug, Clone, Default)]
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
    let input = Input::new(text);
    let mut parser = Parser::new();
    parser.set_encoding(Encoding::Utf8);
    parser.set_input(input.reader());
    let mut builder = Builder {
        parser,
        text,
        lines: OnceCell::new(),
        input: &input,
        file,
        diagnostics,
        errors: 0,
        anchors: HashMap::new(),
        open: Vec::new(),
        path: Vec::new(),
        own: 0,
        aliased: 0,
    };
    let mut documents = Vec::new();
    // The way out was told when it was taken.
    let cut = builder.documents(&mut documents).is_err();
    Parsed { documents, cut }
}

/// The rest of the file can't be read; a diagnostic says why.
struct Stop;

type Step<T> = Result<T, Stop>;

struct Builder<'a> {
    parser: Parser<input::Reader<'a>>,
    text: &'a str,
    lines: OnceCell<Lines>,
    input: &'a Input<'a>,
    file: FileId,
    diagnostics: &'a mut Diagnostics,
    errors: usize,
    anchors: HashMap<String, Anchored>,
    /// The anchors of the collections that are open, by depth; empty when without.
    open: Vec<String>,
    /// The way down to the present value, for messages.
    path: Vec<Below>,
    own: usize,
    aliased: usize,
}

/// A step of the way down.
enum Below {
    Key(String),
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

impl Builder<'_> {
    fn documents(&mut self, documents: &mut Vec<Document>) -> Step<()> {
        loop {
            let event = self.next()?;
            match event.data {
                EventData::StreamEnd => return Ok(()),
                EventData::DocumentStart { .. } => {
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

    fn next(&mut self) -> Step<Event> {
        match self.parser.parse() {
            Ok(event) => Ok(event),
            Err(error) => {
                let diagnostic = self.syntax_error(&error);
                self.diagnostics.push(diagnostic);
                Err(Stop)
            }
        }
    }

    fn value(&mut self, event: Event) -> Step<Built> {
        self.own += 1;
        let span = self.span(event.start_mark, event.end_mark);
        match event.data {
            EventData::Alias { anchor } => self.alias(&anchor, span),
            EventData::Scalar {
                anchor,
                tag,
                value,
                style,
                ..
            } => {
                let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                let value = self.input.value(value, block, event.end_mark.index);
                if tag.is_some()
                    && value.is_empty()
                    && self.input.is_parted_comma(span.end as usize)
                {
                    let end = Span::new(self.file, span.end, span.end + 1);
                    let message = "invalid YAML: did not find expected whitespace or line break";
                    self.error(
                        Diagnostic::error(end, message).label(span, "while scanning a tag"),
                    )?;
                    return Err(Stop);
                }
                let span =
                    self.without_properties(span, &value, style, anchor.is_some() || tag.is_some());
                let built = self.scalar(value, tag.as_deref(), style, span)?;
                self.anchored(anchor, built)
            }
            EventData::SequenceStart { anchor, tag, .. } => {
                self.opened(anchor.as_deref(), span)?;
                let built = self.sequence(span)?;
                self.closed(anchor, tag.as_deref(), built)
            }
            EventData::MappingStart { anchor, tag, .. } => {
                self.opened(anchor.as_deref(), span)?;
                let built = self.mapping(span)?;
                self.closed(anchor, tag.as_deref(), built)
            }
            _ => {
                self.error(Diagnostic::error(span, "invalid YAML: a value is missing"))?;
                Err(Stop)
            }
        }
    }

    // Collections.

    fn opened(&mut self, anchor: Option<&str>, span: Span) -> Step<()> {
        if self.open.len() >= MOST_DEPTH {
            let message = format!(
                "nested too deeply: more than {MOST_DEPTH} lists and mappings in each other"
            );
            self.error(Diagnostic::error(span, message))?;
            return Err(Stop);
        }
        self.open.push(anchor.unwrap_or_default().to_owned());
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor.to_owned(), Anchored::Open);
        }
        Ok(())
    }

    fn closed(
        &mut self,
        anchor: Option<String>,
        tag: Option<&str>,
        mut built: Built,
    ) -> Step<Built> {
        self.open.pop();
        built.tag = compose_tag(tag);
        self.anchored(anchor, built)
    }

    fn anchored(&mut self, anchor: Option<String>, built: Built) -> Step<Built> {
        if let Some(anchor) = anchor {
            self.copied(&built, built.node.span)?;
            self.anchors
                .insert(anchor, Anchored::Done(Box::new(built.clone())));
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
        Err(Stop)
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
            return Err(Stop);
        }
        Ok(*built)
    }

    fn sequence(&mut self, span: Span) -> Step<Built> {
        let mut built = Built::leaf(Node::null(span));
        let mut items = Vec::new();
        let mut end = span;
        loop {
            let event = self.next()?;
            if event.data == EventData::SequenceEnd {
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
            if event.data == EventData::MappingEnd {
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
                return Err(Stop);
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
                tagged.path.insert(0, name.clone());
                built.tags.push(tagged);
                built.size += 1;
            }
            if let Some(tag) = value.tag {
                built.tags.push(Tagged {
                    path: vec![name.clone()],
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
    fn key(&mut self, key: Built) -> Step<Option<String>> {
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
            Kind::Null => ("null".to_owned(), false),
            Kind::List(_) => ("a list".to_owned(), false),
            Kind::Map(_) => ("a mapping".to_owned(), false),
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

    fn scalar(
        &mut self,
        value: String,
        tag: Option<&str>,
        style: ScalarStyle,
        span: Span,
    ) -> Step<Built> {
        let plain = style == ScalarStyle::Plain;
        let string = |value: String| Node::string(value, span);
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
                match base64(&value).and_then(|bytes| String::from_utf8(bytes).ok()) {
                    Some(text) => string(text),
                    None => return self.mistagged(span, &value, "!!binary"),
                }
            }
            (_, Some(core @ ("int" | "float" | "bool" | "null" | "timestamp"))) => {
                let node = resolved(value.clone(), span);
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
                    return self.mistagged(span, &value, &format!("!!{core}"));
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
    fn without_properties(&self, span: Span, value: &str, style: ScalarStyle, has: bool) -> Span {
        if !has {
            return span;
        }
        let source = self
            .text
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default();
        let offset = match style {
            ScalarStyle::Plain if source.ends_with(value) => source.len() - value.len(),
            ScalarStyle::SingleQuoted => source.find('\'').unwrap_or(0),
            ScalarStyle::DoubleQuoted => source.find('"').unwrap_or(0),
            _ => 0,
        };
        Span::new(span.file, span.start + to_u32(offset), span.end)
    }

    // Places and errors.

    fn span(&self, start: Mark, end: Mark) -> Span {
        Span::new(self.file, self.offset(start), self.offset(end))
    }

    fn offset(&self, mark: Mark) -> u32 {
        to_u32(self.input.offset(mark.index))
    }

    /// Where a collection ends: at its bracket, or with its last value.
    fn closing(&self, event: &Event, last: Span) -> Span {
        let span = self.span(event.start_mark, event.end_mark);
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
            Err(Stop)
        } else {
            Ok(())
        }
    }

    fn syntax_error(&self, error: &Error) -> Diagnostic {
        let problem = error.problem();
        let at = match error.problem_mark() {
            Some(mark) => self.offset(mark),
            None => self.first_control_character(),
        };
        let here = self
            .text
            .get(at as usize..)
            .and_then(|rest| rest.chars().next());
        let span = Span::new(
            self.file,
            at,
            at + here.map_or(0, |letter| to_u32(letter.len_utf8())),
        );
        let message = match (problem, here) {
            ("found character that cannot start any token", Some('\t')) => {
                "a tab cannot indent a line".to_owned()
            }
            ("found character that cannot start any token", Some(letter)) => {
                format!("a value cannot begin with `{letter}`")
            }
            _ => problem.to_owned(),
        };
        let mut diagnostic = Diagnostic::error(span, format!("invalid YAML: {message}"));
        if let (Some(context), Some(mark)) = (error.context(), error.context_mark()) {
            let start = self.offset(mark);
            // Often the same place, or the top of the file: no help then.
            if start != at && start as usize > self.input.offset(0) {
                diagnostic = diagnostic.label(Span::new(self.file, start, start), context);
            }
        }
        let in_tabs = self.line_up_to(at).contains('\t');
        match syntax_hint(problem, error.context().unwrap_or_default(), here, in_tabs) {
            Some(hint) => diagnostic.hint(hint),
            None => diagnostic,
        }
    }

    fn line_up_to(&self, at: u32) -> &str {
        let before = self.text.get(..at as usize).unwrap_or_default();
        before.rsplit('\n').next().unwrap_or_default()
    }

    fn first_control_character(&self) -> u32 {
        let odd = |letter: char| {
            (letter.is_control() && !matches!(letter, '\t' | '\n' | '\r' | '\u{85}'))
                || matches!(letter, '\u{feff}' | '\u{fffe}' | '\u{ffff}')
        };
        let start = self.input.offset(0);
        to_u32(start + self.text[start..].find(odd).unwrap_or(0))
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

fn resolved(value: String, span: Span) -> Node {
    match scalar::resolve_plain(&value) {
        Plain::Null => Node::null(span),
        Plain::String => Node::string(value, span),
        Plain::Typed(resolved, text) => Node {
            kind: Kind::Scalar(Scalar { text, resolved }),
            span,
        },
    }
}

/// What to do about an error of the YAML library.
fn syntax_hint(
    problem: &str,
    context: &str,
    here: Option<char>,
    in_tabs: bool,
) -> Option<&'static str> {
    if here == Some('\t') || in_tabs {
        return Some("YAML is indented with spaces; replace the tab");
    }
    let hint = match problem {
        "found character that cannot start any token" => "put the value in quotes",
        "mapping values are not allowed in this context" => {
            "check the indentation; a value that contains `: ` must be in quotes"
        }
        "did not find expected key" | "did not find expected '-' indicator" => {
            "entries that belong together begin in the same column"
        }
        "could not find expected ':'" => "a key is followed by a colon and a space",
        "did not find expected ',' or ']'" => "the list opened with `[` is not closed by `]`",
        "did not find expected ',' or '}'" => "the mapping opened with `{` is not closed by `}`",
        "found unexpected end of stream" if context.contains("quoted scalar") => {
            "the quote is never closed"
        }
        "found unknown escape character" => {
            "double backslashes in double quotes, or use single quotes"
        }
        "block sequence entries are not allowed in this context" => {
            "a list begins on the line after its key, with `- ` before each item"
        }
        _ => return None,
    };
    Some(hint)
}

fn to_u32(offset: usize) -> u32 {
    u32::try_from(offset).expect("files are at most 64 MiB long")
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
