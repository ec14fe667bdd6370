//! A stretch of one file.

/// Which of the texts read so far ([`super::Sources`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u32);

/// Byte offsets into one file, the end not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    pub file: FileId,
    pub start: u32,
    pub end: u32,
}

impl Span {
    /// From `start` to before `end`.
    pub fn new(file: FileId, start: u32, end: u32) -> Self {
        Self {
            file,
            start,
            end: end.max(start),
        }
    }

    /// From the beginning of this one to the end of the other, when they lie in one file.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        if self.file == other.file {
            Self::new(self.file, self.start, other.end)
        } else {
            self
        }
    }

    /// The part of it that begins `offset` bytes in and is `length` long, kept inside.
    #[must_use]
    pub fn narrow(self, offset: u32, length: u32) -> Self {
        let start = self.start.saturating_add(offset).min(self.end);
        Self::new(self.file, start, start.saturating_add(length).min(self.end))
    }
}

/// A value and where it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Spanned<T> {
    pub value: T,
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Pairs them.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}
