//! Events from the YAML library, which accepts and rejects as Docker does.
//!
//! The only file that names it. Its errors become diagnostics here.

use libyaml_safer::{Encoding, Error, EventData, Mark, Parser, ScalarStyle};

pub(in crate::yaml) use super::input::Input;

use super::input;
use super::{Data, Event, Failure, Properties, Source, Style, to_u32};
use crate::diag::{Diagnostic, FileId, Span};

/// Reads what [`Input`] has made ready.
pub(in crate::yaml) struct Library<'a> {
    parser: Parser<input::Reader<'a>>,
    input: &'a Input<'a>,
    text: &'a str,
    file: FileId,
}

impl<'a> Library<'a> {
    pub(in crate::yaml) fn new(text: &'a str, input: &'a Input<'a>, file: FileId) -> Self {
        let mut parser = Parser::new();
        parser.set_encoding(Encoding::Utf8);
        parser.set_input(input.reader());
        Self {
            parser,
            input,
            text,
            file,
        }
    }

    /// A tag, a blank of ours, a comma: no tag may end so.
    fn refuse_parted_comma(&self, start: u32, end: u32) -> Result<(), Failure> {
        if !self.input.is_parted_comma(end as usize) {
            return Ok(());
        }
        let comma = Span::new(self.file, end, end + 1);
        let message = "invalid YAML: did not find expected whitespace or line break";
        let tag = Span::new(self.file, start, end);
        let diagnostic = Diagnostic::error(comma, message).label(tag, "while scanning a tag");
        Err(Failure::Syntax(Box::new(diagnostic)))
    }

    fn offset(&self, mark: Mark) -> u32 {
        to_u32(self.input.offset(mark.index))
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

impl<'a> Source<'a> for Library<'a> {
    fn next(&mut self) -> Result<Event<'a>, Failure> {
        let event = match self.parser.parse() {
            Ok(event) => event,
            Err(error) => return Err(Failure::Syntax(Box::new(self.syntax_error(&error)))),
        };
        let (start, end) = (self.offset(event.start_mark), self.offset(event.end_mark));
        let properties = |anchor: Option<String>, tag| Properties {
            anchor: anchor.map(Into::into),
            tag,
        };
        let data = match event.data {
            EventData::StreamStart { .. } => Data::StreamStart,
            EventData::StreamEnd => Data::StreamEnd,
            EventData::DocumentStart { .. } => Data::DocumentStart,
            EventData::DocumentEnd { .. } => Data::DocumentEnd,
            EventData::Alias { anchor } => Data::Alias(anchor.into()),
            EventData::Scalar {
                anchor,
                tag,
                value,
                style,
                ..
            } => {
                let style = match style {
                    ScalarStyle::SingleQuoted => Style::SingleQuoted,
                    ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
                    ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                    _ => Style::Plain,
                };
                let is_block = style == Style::Block;
                let value = self.input.value(value, is_block, event.end_mark.index);
                if tag.is_some() && value.is_empty() {
                    self.refuse_parted_comma(start, end)?;
                }
                Data::Scalar {
                    properties: properties(anchor, tag),
                    value: value.into(),
                    style,
                }
            }
            EventData::SequenceStart { anchor, tag, .. } => {
                Data::SequenceStart(properties(anchor, tag))
            }
            EventData::SequenceEnd => Data::SequenceEnd,
            EventData::MappingStart { anchor, tag, .. } => {
                Data::MappingStart(properties(anchor, tag))
            }
            EventData::MappingEnd => Data::MappingEnd,
        };
        Ok(Event { data, start, end })
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
