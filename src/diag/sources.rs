//! The texts read so far, for pictures of them.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::secret;
use super::span::{FileId, Span};

/// Every file that was read while loading, by [`FileId`].
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<Source>,
    /// Variables that are secrets by what is done with them, whatever their names.
    secrets: BTreeSet<String>,
}

/// One text.
#[derive(Debug, Clone)]
pub struct Source {
    /// As the user should read it: relative to where they stand when it can be.
    pub name: String,
    pub text: Arc<str>,
    /// A file of variables: the values of secrets in it are never shown.
    pub of_variables: bool,
    /// Made when the first place is asked for.
    lines: OnceLock<Lines>,
}

/// Where the lines of a text begin.
#[derive(Debug, Clone)]
pub struct Lines(Vec<usize>);

impl Lines {
    /// Goes through the text once.
    pub fn new(text: &str) -> Self {
        let newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        Self(std::iter::once(0).chain(newlines).collect())
    }

    /// The number of the line that this place lies in, from 1, and where it begins.
    pub fn at(&self, place: usize) -> (usize, usize) {
        let line = self.0.partition_point(|start| *start <= place);
        (line, self.0[line - 1])
    }
}

impl Source {
    /// The number of the line that this place lies in, from 1, and where it begins.
    pub fn line(&self, place: usize) -> (usize, usize) {
        self.lines.get_or_init(|| Lines::new(&self.text)).at(place)
    }
}

impl Sources {
    /// Keeps a text and gives its id.
    pub fn add(&mut self, name: impl Into<String>, text: Arc<str>) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).expect("fewer than 2^32 files are read"));
        self.files.push(Source {
            name: name.into(),
            text,
            of_variables: false,
            lines: OnceLock::new(),
        });
        id
    }

    /// From now on this is a file of variables.
    pub fn mark_variables(&mut self, id: FileId) {
        self.files[id.0 as usize].of_variables = true;
    }

    /// From now on the value of this variable is a secret.
    pub fn add_secret(&mut self, variable: &str) {
        self.secrets.insert(variable.to_owned());
    }

    /// Whether the value of this variable is a secret.
    pub fn is_secret(&self, variable: &str) -> bool {
        self.secrets.contains(variable) || secret::looks_secret(variable)
    }

    /// Whole lines of a file as they may be shown, byte by byte as long as they are.
    pub fn shown(&self, id: FileId, lines: Range<usize>) -> Cow<'_, str> {
        let source = self.get(id);
        let text = &source.text[lines];
        if !source.of_variables {
            return Cow::Borrowed(text);
        }
        let lines = text.split_inclusive('\n').map(|line| {
            let (name, at) = assignment(line);
            match name {
                Some(name) if !self.is_secret(name) => line.to_owned(),
                // Without a name it may be the rest of a secret.
                _ => format!("{}{}", &line[..at], starred(&line[at..])),
            }
        });
        Cow::Owned(lines.collect())
    }

    /// The secret that stands in the line of a file of variables where a place begins.
    pub fn secret_at(&self, span: Span) -> Option<&str> {
        let source = self.get(span.file);
        if !source.of_variables {
            return None;
        }
        let start = floor(&source.text, span.start);
        let line_start = source.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line = source.text[line_start..].lines().next()?;
        let (name, at) = assignment(line);
        (name.is_none_or(|name| self.is_secret(name))).then(|| line[at..].trim())
    }

    /// The text of this id.
    pub fn get(&self, id: FileId) -> &Source {
        &self.files[id.0 as usize]
    }

    /// Line and column of a place, both from 1; columns count characters.
    pub fn position(&self, span: Span) -> (usize, usize) {
        self.position_of(span.file, span.start)
    }

    /// Line and column behind the last letter of a place.
    pub fn end_position(&self, span: Span) -> (usize, usize) {
        self.position_of(span.file, span.end)
    }

    fn position_of(&self, file: FileId, offset: u32) -> (usize, usize) {
        let source = self.get(file);
        let place = floor(&source.text, offset);
        let (line, line_start) = source.line(place);
        (line, source.text[line_start..place].chars().count() + 1)
    }
}

/// The variable that a line of an env file sets, and where its value begins.
fn assignment(line: &str) -> (Option<&str>, usize) {
    let Some(at) = line.find(['=', ':']) else {
        return (None, 0);
    };
    let name = line[..at].trim();
    (
        Some(name.strip_prefix("export ").unwrap_or(name).trim()),
        at + 1,
    )
}

/// Stars instead of letters, as many bytes, so that places in the text stay.
fn starred(text: &str) -> String {
    let star = |letter: char| match letter {
        '\n' | '\r' => letter.to_string(),
        letter => "*".repeat(letter.len_utf8()),
    };
    text.chars().map(star).collect()
}

/// An offset inside the text and between two letters.
fn floor(text: &str, offset: u32) -> usize {
    let mut at = (offset as usize).min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_env_files_are_not_shown() {
        let text = "PORT=80\nexport DB_PASSWORD='hü\nunter'\nPIN: 1234\n";
        let mut sources = Sources::default();
        let file = sources.add(".env", text.into());
        sources.mark_variables(file);
        let all = 0..text.len();
        assert_eq!(
            sources.shown(file, all.clone()),
            "PORT=80\nexport DB_PASSWORD=****\n******\nPIN: 1234\n"
        );
        sources.add_secret("PIN");
        assert!(sources.shown(file, all.clone()).ends_with("PIN:*****\n"));
        let at = |word: &str| Span::new(file, u32::try_from(text.find(word).unwrap()).unwrap(), 0);
        assert_eq!(sources.secret_at(at("hü")), Some("'hü"));
        assert_eq!(sources.secret_at(at("PORT")), None);
        let compose = sources.add("compose.yaml", text.into());
        assert_eq!(sources.shown(compose, all), text);
    }
}
