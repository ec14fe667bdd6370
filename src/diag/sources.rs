//! The texts read so far, for pictures of them.

use std::sync::Arc;

use super::span::{FileId, Span};

/// Every file that was read while loading, by [`FileId`].
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<Source>,
}

/// One text.
#[derive(Debug, Clone)]
pub struct Source {
    /// As the user should read it: relative to where they stand when it can be.
    pub name: String,
    pub text: Arc<str>,
}

impl Sources {
    /// Keeps a text and gives its id.
    pub fn add(&mut self, name: impl Into<String>, text: Arc<str>) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).expect("fewer than 2^32 files are read"));
        self.files.push(Source {
            name: name.into(),
            text,
        });
        id
    }

    /// The text of this id.
    pub fn get(&self, id: FileId) -> &Source {
        &self.files[id.0 as usize]
    }

    /// Line and column of a place, both from 1; columns count characters.
    pub fn position(&self, span: Span) -> (usize, usize) {
        let text = &self.get(span.file).text;
        let mut start = (span.start as usize).min(text.len());
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        (line, before[line_start..].chars().count() + 1)
    }
}
