//! What a user is told about their files, and where in them it comes from.

pub mod json;
pub mod render;
pub mod secret;
pub mod sources;
pub mod span;
pub mod suggest;

pub use sources::{Lines, Sources};
pub use span::{FileId, Span, Spanned};
pub use suggest::did_you_mean;

/// One thing to say, with the places it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// A lower-case fragment that names the thing.
    pub message: String,
    /// The first label is the place itself; further ones explain ("first defined here").
    pub labels: Vec<Label>,
    /// What to do about it.
    pub hints: Vec<String>,
}

/// A place and what is to be said there (may be empty).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    pub span: Span,
    pub text: String,
}

/// Whether the work can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

impl Diagnostic {
    /// An error at this place.
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, message).label(span, "")
    }

    /// A warning at this place.
    pub fn warning(span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, message).label(span, "")
    }

    /// One that belongs to no place in a file.
    pub fn new(severity: Severity, message: impl Into<String>) -> Self {
        Self {
            severity,
            message: shortened(message.into()),
            labels: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// Adds a place.
    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label {
            span,
            text: shortened(text.into()),
        });
        self
    }

    /// Adds a place to one that is told already, once, unless there are many already.
    pub fn also(&mut self, span: Span, text: impl Into<String>) {
        let new = self.labels.iter().all(|label| label.span != span);
        if new && self.labels.len() < MOST_PLACES {
            self.labels.push(Label {
                span,
                text: text.into(),
            });
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(shortened(hint.into()));
        self
    }
}

/// Places of one diagnostic.
const MOST_PLACES: usize = 100;

/// Bytes of a text that is told; what users wrote may be of any length.
const LONGEST: usize = 2000;

fn shortened(mut text: String) -> String {
    if text.len() > LONGEST {
        let mut end = LONGEST;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Kept of each severity; more would help nobody, and would cost time and memory without end.
const MOST: usize = 1000;

/// Everything found so far. Loading goes on after an error to find the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics {
    kept: Vec<Diagnostic>,
    errors: usize,
    left_out: usize,
}

impl Diagnostics {
    /// Adds one; the same one twice is kept once.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let error = diagnostic.severity == Severity::Error;
        let alike = match error {
            true => self.errors,
            false => self.kept.len() - self.errors,
        };
        if alike >= MOST {
            self.left_out += 1;
        } else if !self.kept.contains(&diagnostic) {
            self.errors += usize::from(error);
            self.kept.push(diagnostic);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// How many more there would be than are kept.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Whether further errors are left out: no need to look for what was meant.
    pub fn is_full(&self) -> bool {
        self.errors >= MOST
    }

    /// The one that says this, to add another place to it.
    pub fn find(&mut self, message: &str) -> Option<&mut Diagnostic> {
        self.kept
            .iter_mut()
            .find(|diagnostic| diagnostic.message == message)
    }

    /// Those that came after the first `count`.
    pub fn after(&mut self, count: usize) -> &mut [Diagnostic] {
        self.kept.get_mut(count..).unwrap_or_default()
    }

    /// Whether any of them is an error.
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// As the files are read, whatever phase found them; what has no place comes last.
    pub fn in_order(&self) -> Vec<&Diagnostic> {
        let mut ordered: Vec<&Diagnostic> = self.kept.iter().collect();
        ordered.sort_by_key(|diagnostic| {
            let first = diagnostic.labels.first().map(|label| label.span);
            (first.is_none(), first)
        });
        ordered
    }

    /// All of them, to be told better.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Diagnostic> {
        self.kept.iter_mut()
    }

    /// In the order in which they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.kept.iter()
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.kept.into_iter()
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, diagnostics: I) {
        for diagnostic in diagnostics {
            self.push(diagnostic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_has_an_end() {
        let mut diagnostics = Diagnostics::default();
        for number in 0..3000 {
            diagnostics.push(Diagnostic::new(Severity::Warning, format!("w{number}")));
        }
        assert!(!diagnostics.has_errors() && !diagnostics.is_full());
        for number in 0..1500 {
            diagnostics.push(Diagnostic::new(Severity::Error, format!("e{number}")));
        }
        assert!(diagnostics.has_errors() && diagnostics.is_full());
        assert_eq!((diagnostics.len(), diagnostics.left_out()), (2000, 2500));
        let long = Diagnostic::new(Severity::Error, "€".repeat(1_000_000));
        assert_eq!(long.message.len(), 1998 + "…".len());
    }
}
