//! The events that a YAML text consists of, from one of two readers.
//!
//! The library reads everything, and says what is wrong. Most files are of the simple part of
//! YAML, which [`quick`] reads in a fraction of the time; it gives up on anything else, and the
//! library begins anew. Tests hold them to the same events for the same text.

mod input;
pub(super) mod library;
pub(super) mod quick;

use std::borrow::Cow;

use crate::diag::Diagnostic;

/// What comes next, and the bytes of the text that it stands at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event<'a> {
    pub data: Data<'a>,
    pub start: u32,
    pub end: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Data<'a> {
    StreamStart,
    StreamEnd,
    DocumentStart,
    DocumentEnd,
    Alias(Cow<'a, str>),
    Scalar {
        properties: Properties<'a>,
        value: Cow<'a, str>,
        style: Style,
    },
    SequenceStart(Properties<'a>),
    SequenceEnd,
    MappingStart(Properties<'a>),
    MappingEnd,
}

/// What may stand before a value: `&anchor !tag`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Properties<'a> {
    pub anchor: Option<Cow<'a, str>>,
    /// In full: `tag:yaml.org,2002:str` for `!!str`.
    pub tag: Option<String>,
}

impl Properties<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.anchor.is_none() && self.tag.is_none()
    }
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    /// `|` and `>`.
    Block,
}

/// Why there are no more events.
#[derive(Debug)]
pub(super) enum Failure {
    /// The text is no YAML.
    Syntax(Box<Diagnostic>),
    /// It may be, but is not for this reader.
    NotSimple,
}

/// One of the two readers.
pub(super) trait Source<'a> {
    fn next(&mut self) -> Result<Event<'a>, Failure>;
}

pub(super) fn to_u32(offset: usize) -> u32 {
    u32::try_from(offset).expect("files are at most 64 MiB long")
}
