//! What is added to diagnostics when all is told: who included or extended the file that a
//! mistake is in, and what variables had made of the value.

use std::collections::BTreeMap;

use super::extends::Extended;
use crate::diag::{Diagnostic, Diagnostics, FileId, Severity, Span, Spanned};

/// Where another file asks for a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) at: Span,
    pub(super) how: How,
}

/// What for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Included,
    Extended,
}

/// Files that ask for each other are told apart from a circle by this many steps.
const MOST_STEPS: usize = 20;

impl How {
    fn words(self) -> &'static str {
        match self {
            How::Included => "included from here",
            How::Extended => "extended from here",
        }
    }
}

/// Adds the notes.
pub(super) fn add(
    diagnostics: &mut Diagnostics,
    asked: &BTreeMap<FileId, Option<Asked>>,
    replaced: &mut [Spanned<String>],
) {
    replaced.sort_by_key(|value| value.span);
    for diagnostic in diagnostics.after(0) {
        add_value(diagnostic, replaced);
        add_askers(diagnostic, asked);
    }
}

/// To what is told of a service that extends another: where it does, when the mistake is not
/// in its own part.
pub(super) fn add_extending(told: &mut [Diagnostic], extended: &Extended) {
    let own = extended.own;
    for diagnostic in told {
        let Some(at) = diagnostic.labels.first().map(|label| label.span) else {
            continue;
        };
        let inside = at.file == own.file && (own.start..=own.end).contains(&at.start);
        if !inside {
            diagnostic.also(extended.at, How::Extended.words());
        }
    }
}

/// Up the chain of files; a step that is shown already is not shown again.
fn add_askers(diagnostic: &mut Diagnostic, asked: &BTreeMap<FileId, Option<Asked>>) {
    let Some(mut file) = diagnostic.labels.first().map(|label| label.span.file) else {
        return;
    };
    for _ in 0..MOST_STEPS {
        let Some(Some(asker)) = asked.get(&file) else {
            return;
        };
        let words = asker.how.words();
        let shown = diagnostic
            .labels
            .iter()
            .any(|label| label.span.file == asker.at.file && label.text == words);
        if !shown {
            diagnostic.also(asker.at, words);
        }
        file = asker.at.file;
    }
}

/// Beside the text that was written, the value that it stands for.
fn add_value(diagnostic: &mut Diagnostic, replaced: &[Spanned<String>]) {
    let Some(label) = diagnostic.labels.first_mut() else {
        return;
    };
    if diagnostic.severity != Severity::Error || !label.text.is_empty() {
        return;
    }
    let found = replaced.binary_search_by_key(&label.span, |value| value.span);
    if let Ok(found) = found {
        label.text = format!("is {:?} after interpolation", short(&replaced[found].value));
    }
}

/// As much of a value as fits beside it.
fn short(value: &str) -> String {
    const MOST: usize = 60;
    match value.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}
