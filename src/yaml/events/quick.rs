//! Events of the simple part of YAML, by one pass over the bytes.
//!
//! Simple is: one document in block style; keys, plain and quoted scalars, flow collections each
//! on one line; anchors before values, aliases, comments. Not simple: tags, block scalars, values
//! of several lines, tabs, carriage returns, most escapes, and everything that is wrong. What
//! this reader is not sure of it gives up on, so that the library decides.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::{Data, Event, Failure, Properties, Source, Style, to_u32};

/// A longer key is none (YAML 1.2 section 7.4: implicit keys).
const LONGEST_KEY: usize = 1000;
/// Events of one line; more are left to the library, which needs not hold them all.
const MOST_OF_A_LINE: usize = 10_000;

/// Block collections in each other; `- - - …` would be one on the other on the stack.
const MOST_DEPTH: usize = 100;

/// The reader.
pub(in crate::yaml) struct Quick<'a> {
    text: &'a str,
    bytes: &'a [u8],
    /// How far it has come: the start of a line, between two.
    at: usize,
    /// What was found and not yet asked for.
    found: VecDeque<Event<'a>>,
    /// The block collections that are open, outermost first.
    open: Vec<Block>,
    /// A key or a dash whose value would stand on the next lines.
    awaited: Option<Awaited<'a>>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Start,
    Document,
    End,
}

/// An open block collection.
#[derive(Clone, Copy)]
struct Block {
    column: usize,
    kind: BlockKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum BlockKind {
    Mapping,
    Sequence,
    /// A sequence in the column of the key that it is the value of.
    Indentless,
}

struct Awaited<'a> {
    /// Where nothing stands if nothing comes: behind the colon or the dash.
    mark: usize,
    anchor: Option<Anchor<'a>>,
}

#[derive(Clone, Copy)]
struct Anchor<'a> {
    name: &'a str,
    start: usize,
}

/// This is not simple.
struct GiveUp;

type Step<T> = Result<T, GiveUp>;

impl<'a> Quick<'a> {
    /// `None` when a letter tells already that the text is not simple.
    pub(in crate::yaml) fn new(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        let is_odd = |byte: u8| (byte < b' ' && byte != b'\n') || byte == 0x7f;
        if bytes.iter().fold(false, |odd, byte| odd | is_odd(*byte)) {
            return None;
        }
        if !text.is_ascii() && text.chars().any(is_special) {
            return None;
        }
        Some(Self {
            text,
            bytes,
            at: 0,
            found: VecDeque::new(),
            open: Vec::new(),
            awaited: None,
            stage: Stage::Start,
        })
    }

    // Lines.

    /// Reads the next line that says something.
    fn line(&mut self) -> Step<()> {
        let (start, column) = loop {
            let start = self.at;
            let at = self.behind_blanks(start);
            match self.byte(at) {
                None => return self.end(),
                Some(b'\n') => self.at = at + 1,
                Some(b'#') => self.at = self.next_line(at),
                Some(_) => break (at, at - start),
            }
        };
        if column == 0 && self.is_marker(start) {
            return self.document_marker(start);
        }
        if self.stage == Stage::Start {
            self.begin();
        } else {
            self.close_for(start, column)?;
        }
        match (self.open.last().copied(), self.awaited.take()) {
            (None, _) => self.node(start, column, None, BlockKind::Sequence),
            (Some(block), Some(awaited)) => {
                let dashes = match block.column == column {
                    true => BlockKind::Indentless,
                    false => BlockKind::Sequence,
                };
                self.node(start, column, awaited.anchor, dashes)
            }
            (Some(block), None) if block.column != column => Err(GiveUp),
            (Some(block), None) => match (block.kind, self.is_dash(start)) {
                (BlockKind::Mapping, false) => self.pair(start),
                (BlockKind::Sequence | BlockKind::Indentless, true) => self.entry(start, column),
                _ => Err(GiveUp),
            },
        }
    }

    fn begin(&mut self) {
        self.stage = Stage::Document;
        self.push(Data::StreamStart, 0, 0);
        self.push(Data::DocumentStart, 0, 0);
    }

    /// `---` before everything is simple, if nothing else stands there.
    fn document_marker(&mut self, start: usize) -> Step<()> {
        if self.stage != Stage::Start || self.byte(start) != Some(b'-') {
            return Err(GiveUp);
        }
        self.finish_line(start + 3)?;
        self.begin();
        Ok(())
    }

    /// Ends what the line that begins at this column is no part of.
    fn close_for(&mut self, start: usize, column: usize) -> Step<()> {
        let is_dash = self.is_dash(start);
        if let Some(block) = self.open.last()
            && self.awaited.is_some()
        {
            let comes = column > block.column
                || (column == block.column && block.kind == BlockKind::Mapping && is_dash);
            if comes {
                return Ok(());
            }
            self.nothing_came()?;
        }
        let is_inside = !self.open.is_empty();
        while let Some(block) = self.open.last().copied() {
            let ends = block.column > column
                || (block.column == column && block.kind == BlockKind::Indentless && !is_dash);
            if !ends {
                return Ok(());
            }
            self.close(block, start);
        }
        // Further left than the document began.
        if is_inside { Err(GiveUp) } else { Ok(()) }
    }

    fn nothing_came(&mut self) -> Step<()> {
        match self.awaited.take() {
            Some(Awaited {
                anchor: Some(_), ..
            }) => Err(GiveUp),
            Some(awaited) => {
                self.push_scalar(None, "".into(), Style::Plain, awaited.mark, awaited.mark);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn close(&mut self, block: Block, at: usize) {
        self.open.pop();
        let data = match block.kind {
            BlockKind::Mapping => Data::MappingEnd,
            BlockKind::Sequence | BlockKind::Indentless => Data::SequenceEnd,
        };
        self.push(data, at, at);
    }

    fn end(&mut self) -> Step<()> {
        // Nothing at all is a document for the library to judge.
        if self.open.is_empty() {
            return Err(GiveUp);
        }
        self.nothing_came()?;
        let end = self.bytes.len();
        while let Some(block) = self.open.last().copied() {
            self.close(block, end);
        }
        self.push(Data::DocumentEnd, end, end);
        self.push(Data::StreamEnd, end, end);
        self.stage = Stage::End;
        Ok(())
    }

    // Block style.

    /// A value where a collection may begin: first on its line, or behind a dash.
    fn node(
        &mut self,
        at: usize,
        column: usize,
        anchor: Option<Anchor<'a>>,
        dashes: BlockKind,
    ) -> Step<()> {
        if self.open.len() >= MOST_DEPTH {
            return Err(GiveUp);
        }
        if self.is_dash(at) {
            self.open.push(Block {
                column,
                kind: dashes,
            });
            let start = anchor.map_or(at, |anchor| anchor.start);
            let end = at + usize::from(dashes == BlockKind::Indentless);
            self.push(Data::SequenceStart(properties(anchor)), start, end);
            return self.entry(at, column);
        }
        if self.begins_pair(at)? {
            if dashes == BlockKind::Indentless {
                return Err(GiveUp);
            }
            self.open.push(Block {
                column,
                kind: BlockKind::Mapping,
            });
            let start = anchor.map_or(at, |anchor| anchor.start);
            self.push(Data::MappingStart(properties(anchor)), start, at);
            return self.pair(at);
        }
        if anchor.is_some() || self.open.is_empty() {
            return Err(GiveUp);
        }
        self.value(at, at)
    }

    /// `- value`, at the dash.
    fn entry(&mut self, at: usize, column: usize) -> Step<()> {
        let start = self.behind_blanks(at + 1);
        if self.is_end_of_line(start) {
            return self.wait(at + 1, None, start);
        }
        match self.byte(start) {
            Some(b'&') => self.value(start, at + 1),
            _ => self.node(start, column + (start - at), None, BlockKind::Sequence),
        }
    }

    /// `key: value`, at the key.
    fn pair(&mut self, at: usize) -> Step<()> {
        let (value, style, end) = match self.byte(at) {
            Some(quote @ (b'"' | b'\'')) => self.quoted(at, quote)?,
            _ => self.plain(at)?,
        };
        let colon = self.behind_blanks(end);
        if end - at > LONGEST_KEY || !self.is_colon(colon) {
            return Err(GiveUp);
        }
        self.push_scalar(None, value, style, at, end);
        let start = self.behind_blanks(colon + 1);
        if self.is_end_of_line(start) {
            return self.wait(colon + 1, None, start);
        }
        self.value(start, colon + 1)
    }

    /// Whether `key:` stands here.
    fn begins_pair(&self, at: usize) -> Step<bool> {
        let end = match self.byte(at) {
            Some(b'[' | b'{' | b'*') => return Ok(false),
            Some(quote @ (b'"' | b'\'')) => self.quoted(at, quote)?.2,
            _ => self.plain(at)?.2,
        };
        Ok(self.is_colon(self.behind_blanks(end)))
    }

    /// The value is on the next lines, if anywhere.
    fn wait(&mut self, mark: usize, anchor: Option<Anchor<'a>>, at: usize) -> Step<()> {
        self.awaited = Some(Awaited { mark, anchor });
        self.finish_line(at)
    }

    /// A value that ends with its line; `mark`: behind the colon or dash before it.
    fn value(&mut self, at: usize, mark: usize) -> Step<()> {
        let mut anchor = None;
        let mut start = at;
        if self.byte(at) == Some(b'&') {
            let name = self.name(at + 1)?;
            anchor = Some(Anchor { name, start: at });
            start = self.behind_blanks(at + 1 + name.len());
            if self.is_end_of_line(start) {
                return self.wait(mark, anchor, start);
            }
        }
        let end = match self.byte(start) {
            Some(b'*') if anchor.is_none() => self.alias(start)?,
            Some(b'[' | b'{') => self.flow(start, anchor)?,
            _ => {
                let (value, style, end) = match self.byte(start) {
                    Some(quote @ (b'"' | b'\'')) => self.quoted(start, quote)?,
                    _ => self.plain(start)?,
                };
                self.push_scalar(anchor, value, style, start, end);
                end
            }
        };
        self.finish_line(end)
    }

    // Flow style.

    /// A collection in brackets, on one line; returns where it ends.
    fn flow(&mut self, start: usize, anchor: Option<Anchor<'a>>) -> Step<usize> {
        let mut open: Vec<Flow> = Vec::new();
        let mut at = start;
        let mut anchor = anchor;
        loop {
            if self.found.len() > MOST_OF_A_LINE {
                return Err(GiveUp);
            }
            at = self.behind_blanks(at);
            let byte = self.byte(at).ok_or(GiveUp)?;
            let state = open.last().copied();
            match (byte, state) {
                (b',' | b'}', Some(Flow::Value)) => {
                    // `{a: , b: }`
                    self.push_scalar(None, "".into(), Style::Plain, at, at);
                    set(&mut open, Flow::AfterValue);
                }
                (b',' | b'}', Some(Flow::AfterKey)) => {
                    // `{a, b}`
                    self.push_scalar(None, "".into(), Style::Plain, at, at);
                    set(&mut open, Flow::AfterValue);
                }
                (b',', Some(Flow::AfterValue)) => {
                    set(&mut open, Flow::Key);
                    at += 1;
                }
                (b',', Some(Flow::AfterItem)) => {
                    set(&mut open, Flow::Item);
                    at += 1;
                }
                (b']', Some(Flow::Item | Flow::AfterItem))
                | (b'}', Some(Flow::Key | Flow::AfterValue)) => {
                    let data = match byte {
                        b']' => Data::SequenceEnd,
                        _ => Data::MappingEnd,
                    };
                    self.push(data, at, at + 1);
                    at += 1;
                    open.pop();
                    if open.is_empty() {
                        return Ok(at);
                    }
                }
                (b':', Some(Flow::AfterKey)) => {
                    set(&mut open, Flow::Value);
                    at += 1;
                }
                (b'[' | b'{', None | Some(Flow::Item | Flow::Value)) => {
                    set(&mut open, after(state));
                    let from = anchor.map_or(at, |anchor| anchor.start);
                    let properties = properties(anchor.take());
                    let (data, inside) = match byte {
                        b'[' => (Data::SequenceStart(properties), Flow::Item),
                        _ => (Data::MappingStart(properties), Flow::Key),
                    };
                    self.push(data, from, at + 1);
                    open.push(inside);
                    at += 1;
                }
                (_, Some(Flow::Item | Flow::Value | Flow::Key)) => {
                    at = self.flow_scalar(at, byte, state == Some(Flow::Key))?;
                    set(&mut open, after(state));
                }
                _ => return Err(GiveUp),
            }
        }
    }

    /// An alias or a scalar inside brackets; returns where it ends.
    fn flow_scalar(&mut self, at: usize, byte: u8, is_key: bool) -> Step<usize> {
        let (value, style, end) = match byte {
            b'*' if !is_key => return self.alias(at),
            b'"' | b'\'' => self.quoted(at, byte)?,
            _ => self.plain_in_flow(at)?,
        };
        if is_key && end - at > LONGEST_KEY {
            return Err(GiveUp);
        }
        self.push_scalar(None, value, style, at, end);
        Ok(end)
    }

    // Scalars: the value, how it is written, and where it ends.

    fn plain(&self, at: usize) -> Step<(Cow<'a, str>, Style, usize)> {
        let first = self.byte(at).ok_or(GiveUp)?;
        let may_begin = match first {
            b'-' | b'?' | b':' => !self.is_blank(at + 1),
            _ => !b",[]{}#&*!|>'\"%@`".contains(&first),
        };
        if !may_begin {
            return Err(GiveUp);
        }
        let rest = self.bytes.get(at..).unwrap_or_default();
        let mut length = 0;
        for (offset, byte) in rest.iter().enumerate() {
            let ends = match byte {
                b'\n' => true,
                b':' => self.is_blank(at + offset + 1),
                b'#' => length < offset,
                _ => false,
            };
            if ends {
                break;
            }
            if *byte != b' ' {
                length = offset + 1;
            }
        }
        let value = self.text.get(at..at + length).ok_or(GiveUp)?;
        Ok((value.into(), Style::Plain, at + length))
    }

    fn plain_in_flow(&self, at: usize) -> Step<(Cow<'a, str>, Style, usize)> {
        let first = self.byte(at).ok_or(GiveUp)?;
        let may_begin = match first {
            b'-' => self
                .byte(at + 1)
                .is_some_and(|next| next.is_ascii_alphanumeric()),
            _ => !b"?:,[]{}#&*!|>'\"%@`".contains(&first),
        };
        if !may_begin {
            return Err(GiveUp);
        }
        let rest = self.bytes.get(at..).unwrap_or_default();
        let mut length = 0;
        for (offset, byte) in rest.iter().enumerate() {
            match byte {
                b',' | b']' | b'}' => break,
                b':' if self.is_blank(at + offset + 1) => break,
                b':' if self.is_flow_indicator(at + offset + 1) => return Err(GiveUp),
                b'#' if length == offset => {}
                b'\n' | b'[' | b'{' | b'?' | b'#' => return Err(GiveUp),
                _ => {}
            }
            if *byte != b' ' {
                length = offset + 1;
            }
        }
        let value = self.text.get(at..at + length).ok_or(GiveUp)?;
        Ok((value.into(), Style::Plain, at + length))
    }

    fn quoted(&self, at: usize, quote: u8) -> Step<(Cow<'a, str>, Style, usize)> {
        let style = match quote {
            b'"' => Style::DoubleQuoted,
            _ => Style::SingleQuoted,
        };
        let start = at + 1;
        let rest = self.bytes.get(start..).unwrap_or_default();
        let escapes = quote == b'"';
        let ends = |byte: &u8| *byte == quote || *byte == b'\n' || (escapes && *byte == b'\\');
        let mut value = Cow::Borrowed("");
        let (mut from, mut end) = (start, start);
        loop {
            end += rest[end - start..].iter().position(ends).ok_or(GiveUp)?;
            let part = self.text.get(from..end).ok_or(GiveUp)?;
            let letter = match (self.bytes[end], self.byte(end + 1)) {
                (b'\'', Some(b'\'')) => '\'',
                (b'\\', Some(b'n')) => '\n',
                (b'\\', Some(b't')) => '\t',
                (b'\\', Some(same @ (b'"' | b'\\'))) => char::from(same),
                (b'\\' | b'\n', _) => return Err(GiveUp),
                _ => {
                    value += part;
                    return Ok((value, style, end + 1));
                }
            };
            let value = value.to_mut();
            value.push_str(part);
            value.push(letter);
            end += 2;
            from = end;
        }
    }

    fn alias(&mut self, at: usize) -> Step<usize> {
        let name = self.name(at + 1)?;
        let end = at + 1 + name.len();
        self.push(Data::Alias(name.into()), at, end);
        Ok(end)
    }

    /// The name of an anchor.
    fn name(&self, at: usize) -> Step<&'a str> {
        let rest = self.text.get(at..).unwrap_or_default();
        let is_end = |letter: char| !(letter.is_ascii_alphanumeric() || "_-".contains(letter));
        let length = rest.find(is_end).unwrap_or(rest.len());
        let ends_well = matches!(
            self.byte(at + length),
            None | Some(b' ' | b'\n' | b',' | b']' | b'}')
        );
        match ends_well && length > 0 {
            true => Ok(&rest[..length]),
            false => Err(GiveUp),
        }
    }

    // Bytes.

    fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    fn behind_blanks(&self, at: usize) -> usize {
        let rest = self.bytes.get(at..).unwrap_or_default();
        at + rest.iter().take_while(|byte| **byte == b' ').count()
    }

    fn next_line(&self, at: usize) -> usize {
        let rest = self.bytes.get(at..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == b'\n');
        at + length.map_or(rest.len(), |length| length + 1)
    }

    /// A blank, the end of a line or of the text.
    fn is_blank(&self, at: usize) -> bool {
        matches!(self.byte(at), None | Some(b' ' | b'\n'))
    }

    fn is_flow_indicator(&self, at: usize) -> bool {
        self.byte(at).is_some_and(|byte| b",[]{}?".contains(&byte))
    }

    fn is_dash(&self, at: usize) -> bool {
        self.byte(at) == Some(b'-') && self.is_blank(at + 1)
    }

    fn is_colon(&self, at: usize) -> bool {
        self.byte(at) == Some(b':') && self.is_blank(at + 1)
    }

    /// `---` or `...` by itself.
    fn is_marker(&self, at: usize) -> bool {
        let mark = self.bytes.get(at..at + 3);
        (mark == Some(b"---") || mark == Some(b"...")) && self.is_blank(at + 3)
    }

    /// Nothing, or a comment behind a blank.
    fn is_end_of_line(&self, at: usize) -> bool {
        match self.byte(at) {
            None | Some(b'\n') => true,
            Some(b'#') => at == 0 || self.is_blank(at - 1),
            Some(_) => false,
        }
    }

    fn finish_line(&mut self, at: usize) -> Step<()> {
        let at = self.behind_blanks(at);
        if !self.is_end_of_line(at) {
            return Err(GiveUp);
        }
        self.at = self.next_line(at);
        Ok(())
    }

    // Events.

    fn push(&mut self, data: Data<'a>, start: usize, end: usize) {
        self.found.push_back(Event {
            data,
            start: to_u32(start),
            end: to_u32(end),
        });
    }

    fn push_scalar(
        &mut self,
        anchor: Option<Anchor<'a>>,
        value: Cow<'a, str>,
        style: Style,
        start: usize,
        end: usize,
    ) {
        let data = Data::Scalar {
            properties: properties(anchor),
            value,
            style,
        };
        self.push(data, anchor.map_or(start, |anchor| anchor.start), end);
    }
}

impl<'a> Source<'a> for Quick<'a> {
    fn next(&mut self) -> Result<Event<'a>, Failure> {
        loop {
            if let Some(event) = self.found.pop_front() {
                return Ok(event);
            }
            if self.stage == Stage::End {
                return Err(Failure::NotSimple);
            }
            self.line().map_err(|GiveUp| Failure::NotSimple)?;
        }
    }
}

/// Where in a flow collection the reader is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Item,
    AfterItem,
    Key,
    AfterKey,
    Value,
    AfterValue,
}

fn after(state: Option<Flow>) -> Flow {
    match state {
        Some(Flow::Key) => Flow::AfterKey,
        Some(Flow::Value) => Flow::AfterValue,
        _ => Flow::AfterItem,
    }
}

fn set(open: &mut [Flow], state: Flow) {
    if let Some(last) = open.last_mut() {
        *last = state;
    }
}

fn properties(anchor: Option<Anchor<'_>>) -> Properties<'_> {
    Properties {
        anchor: anchor.map(|anchor| anchor.name.into()),
        tag: None,
    }
}

/// Letters that YAML gives a meaning, or refuses.
fn is_special(letter: char) -> bool {
    matches!(
        letter,
        '\u{80}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::library::{Input, Library};
    use super::*;
    use crate::diag::FileId;

    fn by_library(text: &str) -> Vec<Event<'static>> {
        let input = Input::new(text);
        let mut library = Library::new(text, &input, FileId(0));
        let mut events = Vec::new();
        while let Ok(event) = library.next() {
            let ended = event.data == Data::StreamEnd;
            events.push(owned(&event));
            if ended {
                break;
            }
        }
        events
    }

    /// `None` when it gives up.
    fn by_quick(text: &str) -> Option<Vec<Event<'static>>> {
        let mut quick = Quick::new(text)?;
        let mut events = Vec::new();
        loop {
            let event = owned(&quick.next().ok()?);
            let ended = event.data == Data::StreamEnd;
            events.push(event);
            if ended {
                return Some(events);
            }
        }
    }

    /// Without the places of what has none: the text's and the document's ends, and where a block
    /// collection is over.
    fn owned(event: &Event<'_>) -> Event<'static> {
        let properties = |properties: &Properties<'_>| Properties {
            anchor: properties
                .anchor
                .as_ref()
                .map(|name| name.to_string().into()),
            tag: properties.tag.clone(),
        };
        let (mut start, mut end) = (event.start, event.end);
        let data = match &event.data {
            Data::StreamStart => Data::StreamStart,
            Data::StreamEnd => Data::StreamEnd,
            Data::DocumentStart => Data::DocumentStart,
            Data::DocumentEnd => Data::DocumentEnd,
            Data::Alias(name) => Data::Alias(name.to_string().into()),
            Data::Scalar {
                properties: before,
                value,
                style,
            } => Data::Scalar {
                properties: properties(before),
                value: value.to_string().into(),
                style: *style,
            },
            Data::SequenceStart(before) => Data::SequenceStart(properties(before)),
            Data::SequenceEnd => Data::SequenceEnd,
            Data::MappingStart(before) => Data::MappingStart(properties(before)),
            Data::MappingEnd => Data::MappingEnd,
        };
        let is_placeless = matches!(
            data,
            Data::StreamStart | Data::StreamEnd | Data::DocumentStart | Data::DocumentEnd
        ) || (matches!(data, Data::SequenceEnd | Data::MappingEnd)
            && start == end);
        if is_placeless {
            (start, end) = (0, 0);
        }
        Event { data, start, end }
    }

    const SIMPLE: &[&str] = &[
        "a: 1\n",
        "a: 1",
        "---\na: 1\n",
        "--- # text\n\n# more\na: 1\n",
        "# c\n\n  # d\na: b # c\n# e\nc: d#e\n\n",
        "a:\nb:\n",
        "a:\n  b:\n    c: d\n  e: f\ng: h\n",
        "a:\n- 1\n- 2\nb: 3\n",
        "a:\n  - 1\n  -\n  - b: 1\n    c: 2\n  - - x\n    - y\n  - [p, q]\nb: {c: d}\n",
        "- a\n- b: c\n-   d: e\n    f: g\n",
        "  a: b\n  c: d\n",
        "a: &x\n  b: 1\nc: &y {d: 1}\ne: &z f\ng: [*x, *y]\nh:\n  <<: *x\n  <<: [*y, *x]\n",
        "a: &x\n- 1\nb: &y\n  - 2\n",
        "a: 'it''s'\nb: \"q\\n\\\"\\\\\\t\"\n'c d': e\n\"f\": g\nh : i\n",
        "a: [a, 'b', \"c\", http://x/y, -q, x:y, 'a'  , ]\nb: {}\nc: []\n",
        "a: {b: 1, c: , d, e: {f: [1, {g: h}]}, \"i\":1, \"j\" : 2, k : l, m:n, o: }\n",
        "a:\n  'b'\nc:\n    d\n",
        "a: http://x:80/?y=z&w\nb: -x\nc: ?x\nd: :x\ne: a#b\nf: ${A:-b}\ng: <<\n<<: *a\n",
        "\u{e4}: \u{f6}\nb: '\u{20ac}'\n",
        "a:\n  - &x b\n  - *x\n  - &y [1]\n  - &z\n    c: d\n",
        "a:   \n\n\n  b: c   \n",
        "- \n- a\n-\n",
        "a:\n  b: c\n    \n  d: e\n# f\n  g: h\n",
    ];

    const LEFT_TO_THE_LIBRARY: &[&str] = &[
        "",
        "# c\n",
        "a",
        "- &z\n",
        "a: &x\nb: 1\n",
        "a: b: c\n",
        "a: - b\n",
        "a: |\n  b\n",
        "a: !x b\n",
        "a: b\n  c\n",
        "a: 'b\n  c'\n",
        "a: [b,\n  c]\n",
        "a: [b: c]\n",
        "a: [,]\n",
        "a: {b}}\n",
        "a: {[b]: c}\n",
        "a: \"\\x41\"\n",
        "\ta: b\n",
        "a: b\r\n",
        "a: b\n---\nc: d\n",
        "a: b\n...\n",
        "--- a\n",
        "  a: b\nc: d\n",
        "a:\n    b: c\n  d: e\n",
        "- a\nb: c\n",
        "? a\n: b\n",
        "*a : b\n",
        "&a b: c\n",
        "- &a b: c\n",
        "a: *b c\n",
        "\u{feff}a: b\n",
        "a: b\u{85}\n",
    ];

    #[test]
    fn what_is_simple_gives_the_library_s_events() {
        for text in SIMPLE {
            assert_eq!(by_quick(text), Some(by_library(text)), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_is_left_to_the_library() {
        for text in LEFT_TO_THE_LIBRARY {
            assert_eq!(by_quick(text), None, "{text:?}");
        }
    }

    /// Short texts that are often YAML.
    fn texts() -> impl Strategy<Value = String> {
        let pieces = [
            "a", "b: ", "c:\n", "- ", "-\n", "\n", "\n  ", "\n    ", "  ", " ", "[", "]", "{", "}",
            ", ", ",", ":", "'", "\"", "''", "&x ", "*x", "&y\n", "#", " # z", "<<: ", "x: y\n",
            "?", "|", "!t ", "\\n", "---\n", "\u{e4}", "1", "-", "'q'", "\"q\"", "[a, b]",
            "{c: d}",
        ];
        proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..14)
            .prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn never_other_events_than_the_library(text in texts()) {
            if let Some(events) = by_quick(&text) {
                prop_assert_eq!(events, by_library(&text));
            }
        }
    }
}
