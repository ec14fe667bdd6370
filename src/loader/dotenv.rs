//! `.env`, `--env-file`, `env_file` and `label_file`: Compose's dotenv grammar, and the
//! plain `KEY=VALUE` of `format: raw`.

use indexmap::IndexMap;

use super::interpolate::{self, Lookup, MOST_TEXT, Reason};
use crate::diag::{Diagnostic, Diagnostics, FileId, Span, Spanned};

/// Variables with the places of their values. Later ones win.
pub type Variables = IndexMap<String, Spanned<String>>;

/// Reads a file in Compose's grammar into `variables`, which may hold those of earlier files:
/// they can be referred to, and are overwritten. References are looked up in `environment`
/// first. `name` is the file's in errors; after one the next line is read.
pub fn parse(
    text: &str,
    (file, name): (FileId, &str),
    environment: &Lookup<'_>,
    variables: &mut Variables,
    diagnostics: &mut Diagnostics,
) {
    let mut parser = Parser {
        text,
        file,
        at: start(text),
        made: 0,
    };
    for _ in 0..MOST_ERRORS {
        match parser.assignments(environment, variables, diagnostics) {
            Ok(()) => return,
            Err(problem) => {
                parser.at = parser.line_end(parser.at.max(problem.at));
                let unclosed = problem.unclosed;
                diagnostics.push(problem.told(text, file, name));
                if unclosed {
                    return;
                }
            }
        }
    }
}

/// Errors told of one file; the rest would be noise.
const MOST_ERRORS: usize = 1000;

/// Reads `KEY=VALUE` lines as `docker run --env-file` does: no quotes, no variables.
pub fn parse_raw(
    text: &str,
    (file, name): (FileId, &str),
    environment: &Lookup<'_>,
    variables: &mut Variables,
    diagnostics: &mut Diagnostics,
) {
    let mut at = start(text);
    let mut errors = 0;
    while at < text.len() {
        let end = text[at..]
            .find('\n')
            .map_or(text.len(), |newline| at + newline);
        let line = text[at..end].trim_end_matches('\r');
        let trimmed = line.trim_start();
        let key_at = at + (line.len() - trimmed.len());
        at = end + 1;
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let (key, value) = match trimmed.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (trimmed.trim_end(), None),
        };
        if key.is_empty() || key.contains(char::is_whitespace) {
            let message = if key.is_empty() {
                "no variable name on the line".to_owned()
            } else {
                format!("variable {key:?} contains whitespaces")
            };
            let problem = Problem::new(message, key_at, key.len());
            diagnostics.push(problem.told(text, file, name));
            errors += 1;
            if errors == MOST_ERRORS {
                return;
            }
            continue;
        }
        let value_at = key_at + key.len() + usize::from(value.is_some());
        let value = value.map(ToOwned::to_owned).or_else(|| environment(key));
        if let Some(value) = value {
            let span = span(file, value_at, trimmed.len() - (value_at - key_at));
            variables.insert(key.to_owned(), Spanned::new(value, span));
        }
    }
}

/// What is wrong with a line, and where.
struct Problem {
    message: String,
    at: usize,
    length: usize,
    /// A quote is open until the end: there is no next line.
    unclosed: bool,
}

impl Problem {
    fn new(message: impl Into<String>, at: usize, length: usize) -> Self {
        Self {
            message: message.into(),
            at,
            length,
            unclosed: false,
        }
    }

    fn told(self, text: &str, file: FileId, name: &str) -> Diagnostic {
        let line = text[..self.at.min(text.len())].matches('\n').count() + 1;
        let message = format!("failed to read {name}: line {line}: {}", self.message);
        let diagnostic = Diagnostic::error(span(file, self.at, self.length), message);
        match self.unclosed {
            true => diagnostic.hint("the quote is never closed"),
            false => diagnostic,
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    file: FileId,
    at: usize,
    /// Bytes of the values so far.
    made: usize,
}

impl Parser<'_> {
    /// Reads up to the end, or to the first error.
    fn assignments(
        &mut self,
        environment: &Lookup<'_>,
        variables: &mut Variables,
        diagnostics: &mut Diagnostics,
    ) -> Result<(), Problem> {
        while self.statement(environment, variables, diagnostics)? {}
        Ok(())
    }

    /// Reads one assignment; `false` at the end of the file.
    fn statement(
        &mut self,
        environment: &Lookup<'_>,
        variables: &mut Variables,
        diagnostics: &mut Diagnostics,
    ) -> Result<bool, Problem> {
        self.skip_to_statement();
        if self.at == self.text.len() {
            return Ok(false);
        }
        let (key, key_at, has_value) = self.key()?;
        if !has_value {
            if let Some(value) = environment(&key) {
                let span = span(self.file, key_at, key.len());
                variables.insert(key, Spanned::new(value, span));
            }
            return Ok(true);
        }
        let raw = self.value()?;
        let value = if raw.expands {
            // The shell's variables win over those of the file.
            let lookup = |name: &str| {
                environment(name).or_else(|| variables.get(name).map(|value| value.value.clone()))
            };
            self.expand(&raw, &lookup, diagnostics)?
        } else {
            raw.text
        };
        variables.insert(
            key,
            Spanned::new(value, span(self.file, raw.at, raw.length)),
        );
        Ok(true)
    }

    fn skip_to_statement(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            self.at += rest.len() - rest.trim_start().len();
            if !self.text[self.at..].starts_with('#') {
                return;
            }
            self.at = self.line_end(self.at);
        }
    }

    /// The key, where it stands, and whether a value follows.
    fn key(&mut self) -> Result<(String, usize, bool), Problem> {
        if let Some(rest) = self.text[self.at..].strip_prefix("export") {
            let trimmed = rest.trim_start_matches([' ', '\t']);
            if trimmed.len() < rest.len() {
                self.at = self.text.len() - trimmed.len();
            }
        }
        let start = self.at;
        let end = self.line_end(start);
        let line = &self.text[start..end];
        let mut found = None;
        for (offset, letter) in line.char_indices() {
            match letter {
                '=' | ':' => {
                    found = Some(offset);
                    break;
                }
                '_' | '.' | '-' | '[' | ']' => {}
                letter if letter.is_alphanumeric() || letter.is_whitespace() => {}
                letter => {
                    let message = format!(
                        "unexpected character {letter:?} in variable name {:?}",
                        line.trim_end()
                    );
                    return Err(Problem::new(message, start + offset, letter.len_utf8()));
                }
            }
        }
        let key = line[..found.unwrap_or(line.len())].trim_end();
        if key.contains(char::is_whitespace) {
            return Err(Problem::new("key cannot contain a space", start, key.len()));
        }
        if key.is_empty() {
            return Err(Problem::new("a variable name is missing", start, 1));
        }
        self.at = found.map_or(end, |offset| start + offset + 1);
        Ok((key.to_owned(), start, found.is_some()))
    }

    fn value(&mut self) -> Result<Raw, Problem> {
        let end = self.line_end(self.at);
        let line = &self.text[self.at..end];
        let trimmed = line.trim_start();
        let at = self.at + (line.len() - trimmed.len());
        if let Some(quote @ (b'"' | b'\'')) = trimmed.bytes().next() {
            return self.quoted(at, char::from(quote));
        }
        self.at = end;
        let value = if trimmed.starts_with('#') && at > end - line.len() {
            ""
        } else {
            trimmed
                .find(" #")
                .map_or(trimmed, |comment| &trimmed[..comment])
                .trim_end()
        };
        Ok(Raw {
            text: value.to_owned(),
            at,
            length: value.len(),
            expands: true,
            verbatim: true,
        })
    }

    /// A value in quotes, which may go over several lines.
    fn quoted(&mut self, start: usize, quote: char) -> Result<Raw, Problem> {
        let mut text = String::new();
        let mut escaped = false;
        for (offset, letter) in self.text[start + 1..].char_indices() {
            if letter == quote && !escaped {
                let end = start + 1 + offset + 1;
                self.at = end;
                let verbatim = text.len() == offset && !text.contains('\\');
                let expands = quote == '"';
                if expands {
                    text = unescape(&text);
                }
                return Ok(Raw {
                    text,
                    at: start,
                    length: end - start,
                    expands,
                    verbatim,
                });
            }
            if letter == '\\' && !escaped {
                escaped = true;
                continue;
            }
            if escaped && letter != quote {
                text.push('\\');
            }
            escaped = false;
            let crlf = letter == '\r' && self.text[start + 1 + offset..].starts_with("\r\n");
            if !crlf {
                text.push(letter);
            }
        }
        let line = &self.text[start..self.line_end(start)];
        let message = format!("unterminated quoted value {line}");
        Err(Problem {
            unclosed: true,
            ..Problem::new(message, start, line.len())
        })
    }

    /// What variables may make has an end, and the reading with it.
    fn too_long(&mut self, at: usize, length: usize) -> Problem {
        self.at = self.text.len();
        let most = MOST_TEXT >> 20;
        Problem::new(
            format!("variables make the values larger than {most} MiB"),
            at,
            length,
        )
    }

    fn expand(
        &mut self,
        raw: &Raw,
        lookup: &Lookup<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Result<String, Problem> {
        let place = |at: usize, length: usize| {
            // Inside quotes the text begins one letter later; with escapes the place is lost.
            let quotes = raw.length.saturating_sub(raw.text.len()) / 2;
            if raw.verbatim {
                (raw.at + quotes + at, length)
            } else {
                (raw.at, raw.length)
            }
        };
        match interpolate::substitute(&raw.text, lookup) {
            Ok(replaced) => {
                self.made += replaced.text.len();
                if self.made > MOST_TEXT {
                    return Err(self.too_long(raw.at, raw.length));
                }
                for unset in replaced.unset {
                    let (at, length) = place(unset.at, unset.length);
                    interpolate::warn_unset(&unset.name, span(self.file, at, length), diagnostics);
                }
                Ok(replaced.text)
            }
            Err(problem) => {
                let (at, length) = place(problem.at, problem.length);
                let message = match problem.reason {
                    Reason::Format => {
                        "invalid interpolation format; you may need to escape any $ with another $"
                            .to_owned()
                    }
                    Reason::Required(message) => message,
                    Reason::TooLong => return Err(self.too_long(at, length)),
                };
                Err(Problem::new(message, at, length))
            }
        }
    }

    fn line_end(&self, from: usize) -> usize {
        self.text[from..]
            .find('\n')
            .map_or(self.text.len(), |newline| from + newline)
    }
}

/// A value before its variables are replaced.
struct Raw {
    text: String,
    at: usize,
    /// In the file, quotes included.
    length: usize,
    expands: bool,
    /// Whether the text stands in the file letter by letter.
    verbatim: bool,
}

/// The escapes of double quotes; others are kept. `\$` becomes `$$`, a dollar for later.
fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let letter = after.chars().next();
        let (plain, used) = match letter {
            Some('a') => (Some('\u{7}'), 1),
            Some('b') => (Some('\u{8}'), 1),
            Some('f') => (Some('\u{c}'), 1),
            Some('n') => (Some('\n'), 1),
            Some('r') => (Some('\r'), 1),
            Some('t') => (Some('\t'), 1),
            Some('v') => (Some('\u{b}'), 1),
            Some('\\') => (Some('\\'), 1),
            Some('"') => (Some('"'), 1),
            Some('0') => (octal(&after[1..]), 4),
            _ => (None, 0),
        };
        if letter == Some('$') {
            out.push_str("$$");
            rest = &after[1..];
        } else if let Some(plain) = plain {
            out.push(plain);
            rest = &after[used..];
        } else {
            out.push('\\');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

fn octal(digits: &str) -> Option<char> {
    let digits = digits.get(..3)?;
    if !digits.bytes().all(|digit| (b'0'..b'8').contains(&digit)) {
        return None;
    }
    u32::from_str_radix(digits, 8)
        .ok()
        .filter(|value| *value < 256)
        .and_then(char::from_u32)
}

/// Behind the byte order mark.
fn start(text: &str) -> usize {
    if text.starts_with('\u{feff}') {
        '\u{feff}'.len_utf8()
    } else {
        0
    }
}

fn span(file: FileId, at: usize, length: usize) -> Span {
    let number = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
    Span::new(file, number(at), number(at + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_with(text: &str, raw: bool) -> String {
        let environment = |name: &str| match name {
            "SHELL_VAR" | "F" => Some("shell".to_owned()),
            _ => None,
        };
        let mut variables = Variables::new();
        let mut diagnostics = Diagnostics::default();
        let read = if raw { parse_raw } else { parse };
        read(
            text,
            (FileId(0), ".env"),
            &environment,
            &mut variables,
            &mut diagnostics,
        );
        if let Some(diagnostic) = diagnostics.iter().next() {
            return diagnostic.message.clone();
        }
        let pairs = variables
            .iter()
            .map(|(key, value)| format!("{key}={}", value.value));
        pairs.collect::<Vec<_>>().join("|")
    }

    #[test]
    fn the_grammar_is_composes() {
        let rows = [
            ("\u{feff}# c\n\n  # d\nA=plain  # c\n", "A=plain"),
            ("B=a#b", "B=a#b"),
            ("A=#b\nB= # c\nC=x\t # d", "A=#b|B=|C=x"),
            ("C='single $A # x'", "C=single $A # x"),
            (r"C='it\'s \n'", r"C=it's \n"),
            (
                "A=1\nD=\"double $A \\n\\t\\q\\\"\"",
                "A=1|D=double 1 \n\t\\q\"",
            ),
            (r#"D="\$A \\ \0101 \c""#, r"D=$A \ A \c"),
            ("Q=\"a\nb\" # c\nR='x\r\ny'\r\nS=1\r\n", "Q=a\nb|R=x\ny|S=1"),
            (
                "export G=x\nH: yaml\nI = spaced\n\texport\tJ=2",
                "G=x|H=yaml|I=spaced|J=2",
            ),
            ("exported=1", "exported=1"),
            ("E=\nF\nG", "E=|F=shell"),
            (
                "A=1\nL=${A}-x\nM=${U:-d}\nS=$SHELL_VAR",
                "A=1|L=1-x|M=d|S=shell",
            ),
            ("SHELL_VAR=file\nA=$SHELL_VAR", "SHELL_VAR=file|A=shell"),
            ("A=v\nN=$$lit\nX=\\$A", "A=v|N=$lit|X=\\v"),
            (r"O=a\nb", r"O=a\nb"),
            (
                "dotted.key=1\ndash-key=2\n1NUM=3\nÜ=4\na[0]=5",
                "dotted.key=1|dash-key=2|1NUM=3|Ü=4|a[0]=5",
            ),
            ("A=1\nA=2", "A=2"),
            ("A=x=y", "A=x=y"),
            (
                "A B=1",
                "failed to read .env: line 1: key cannot contain a space",
            ),
            (
                "X=1\nA*=1",
                "failed to read .env: line 2: unexpected character '*' in variable name \"A*=1\"",
            ),
            (
                "\nA=\"x\nb",
                "failed to read .env: line 2: unterminated quoted value \"x",
            ),
            (
                "=1",
                "failed to read .env: line 1: a variable name is missing",
            ),
            (
                "A=${U?gone}",
                "failed to read .env: line 1: required variable U is missing a value: gone",
            ),
            (
                "A=$U",
                "The \"U\" variable is not set. Defaulting to a blank string.",
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(read_with(text, false), expected, "{text}");
        }
    }

    #[test]
    fn raw_files_are_taken_letter_by_letter() {
        let rows = [
            (
                "# c\nA='x' $B # c \n  B=\nF\nG\n",
                "A='x' $B # c |B=|F=shell",
            ),
            (
                "A B=1",
                "failed to read .env: line 1: variable \"A B\" contains whitespaces",
            ),
            (
                "=1",
                "failed to read .env: line 1: no variable name on the line",
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(read_with(text, true), expected, "{text}");
        }
    }

    #[test]
    fn values_know_their_places() {
        let text = "A=1\nB=\"x ${A}\"  \nC=";
        let mut variables = Variables::new();
        parse(
            text,
            (FileId(0), "f"),
            &|_| None,
            &mut variables,
            &mut Diagnostics::default(),
        );
        let parts: Vec<&str> = variables
            .values()
            .map(|value| &text[value.span.start as usize..value.span.end as usize])
            .collect();
        assert_eq!(parts, ["1", "\"x ${A}\"", ""]);
    }

    #[test]
    fn values_that_double_have_an_end() {
        let mut text = "A0=0123456789\n".to_owned();
        for number in 1..100 {
            let before = number - 1;
            text.push_str(&format!("A{number}=$A{before}$A{before}\n"));
        }
        let mut diagnostics = Diagnostics::default();
        let mut variables = Variables::new();
        let name = (FileId(0), "f");
        parse(&text, name, &|_| None, &mut variables, &mut diagnostics);
        assert!(variables.len() > 20 && variables.len() < 25);
        let told: Vec<&str> = diagnostics.iter().map(|it| it.message.as_str()).collect();
        assert_eq!(
            told,
            ["failed to read f: line 23: variables make the values larger than 64 MiB"]
        );
    }
}
