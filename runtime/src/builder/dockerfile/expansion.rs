//! Pure: `$name` and `${name…}` in words, with quotes and escapes removed.

/// Every assignment so far, in order: the last one of a name wins, whichever instruction made it.
pub type Variables = [(String, String)];

/// Expands one word.
///
/// # Errors
/// `failed to process "<word>": …`.
pub fn word(text: &str, variables: &Variables, escape: char) -> Result<String, String> {
    let mut expander = Expander {
        rest: text,
        variables,
        escape,
    };
    expander
        .until(&[])
        .map_err(|message| format!("failed to process \"{text}\": {message}"))
}

/// Expands the body of a heredoc: no quotes, and an escape only before `$`, itself or a line end.
///
/// # Errors
/// As [`word`].
pub fn heredoc(text: &str, variables: &Variables) -> Result<String, String> {
    let mut expander = Expander {
        rest: text,
        variables,
        escape: '\\',
    };
    let mut out = String::new();
    while let Some(c) = expander.next() {
        match c {
            '\\' => match expander.next() {
                Some('\n') | None => {}
                Some(next) => out.push(next),
            },
            '$' => out.push_str(&expander.variable()?),
            _ => out.push(c),
        }
    }
    Ok(out)
}

struct Expander<'a> {
    rest: &'a str,
    variables: &'a Variables,
    escape: char,
}

impl Expander<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn value(&self, name: &str) -> Option<String> {
        self.variables
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    }

    /// Up to one of `stops` outside of quotes (not consumed), or the end.
    fn until(&mut self, stops: &[char]) -> Result<String, String> {
        let mut out = String::new();
        while let Some(c) = self.peek() {
            if stops.contains(&c) {
                break;
            }
            self.next();
            match c {
                '\'' => out.push_str(&self.single_quoted()?),
                '"' => out.push_str(&self.double_quoted()?),
                '$' => out.push_str(&self.variable()?),
                c if c == self.escape => out.extend(self.next()),
                c => out.push(c),
            }
        }
        Ok(out)
    }

    fn single_quoted(&mut self) -> Result<String, String> {
        let end = self
            .rest
            .find('\'')
            .ok_or("unexpected end of statement while looking for matching single-quote")?;
        let inner = self.rest[..end].to_owned();
        self.rest = &self.rest[end + 1..];
        Ok(inner)
    }

    fn double_quoted(&mut self) -> Result<String, String> {
        let mut out = String::new();
        loop {
            match self.next() {
                None => {
                    return Err(
                        "unexpected end of statement while looking for matching double-quote"
                            .into(),
                    );
                }
                Some('"') => return Ok(out),
                Some('$') => out.push_str(&self.variable()?),
                Some(c) if c == self.escape => match self.next() {
                    Some(next) if matches!(next, '"' | '$') || next == self.escape => {
                        out.push(next);
                    }
                    Some(next) => {
                        out.push(c);
                        out.push(next);
                    }
                    None => out.push(c),
                },
                Some(c) => out.push(c),
            }
        }
    }

    /// What follows a `$`.
    fn variable(&mut self) -> Result<String, String> {
        if self.peek() == Some('{') {
            self.next();
            return self.braced();
        }
        let name = self.name();
        if !name.is_empty() {
            return Ok(self.value(&name).unwrap_or_default());
        }
        match self.peek() {
            Some(c) if "@*#?-$!".contains(c) => {
                self.next();
                Ok(String::new())
            }
            _ => Ok("$".into()),
        }
    }

    /// A name, or a run of digits (a parameter that is always empty).
    fn name(&mut self) -> String {
        let digits = self.peek().is_some_and(|c| c.is_ascii_digit());
        let fits = |c: char| {
            if digits {
                c.is_ascii_digit()
            } else {
                c.is_alphanumeric() || c == '_'
            }
        };
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        let name = self.rest[..end].to_owned();
        self.rest = &self.rest[end..];
        name
    }

    fn braced(&mut self) -> Result<String, String> {
        if matches!(self.peek(), None | Some('{' | '}' | ':')) {
            return Err("syntax error: bad substitution".into());
        }
        let mut name = self.name();
        if name.is_empty() {
            name.extend(self.next());
        }
        let value = self.value(&name);
        let Some(modifier) = self.next() else {
            return Err("syntax error: missing '}'".into());
        };
        match modifier {
            '}' => Ok(value.unwrap_or_default()),
            ':' => {
                let modifier = self.next().ok_or("syntax error: missing '}'")?;
                self.alternative(&name, value, modifier, true)
            }
            '-' | '+' | '?' => self.alternative(&name, value, modifier, false),
            '#' | '%' => {
                let longest = self.peek() == Some(modifier);
                if longest {
                    self.next();
                }
                let pattern = Pattern::parse(&self.pattern_until(&['}'])?)?;
                self.close()?;
                let value = value.unwrap_or_default();
                Ok(if modifier == '#' {
                    pattern.cut_prefix(&value, longest)
                } else {
                    pattern.cut_suffix(&value, longest)
                })
            }
            '/' => {
                let all = self.peek() == Some('/');
                if all {
                    self.next();
                }
                let pattern = Pattern::parse(&self.pattern_until(&['/', '}'])?)?;
                let replacement = if self.peek() == Some('/') {
                    self.next();
                    self.until(&['}'])?
                } else {
                    String::new()
                };
                self.close()?;
                Ok(pattern.replace(&value.unwrap_or_default(), &replacement, all))
            }
            other => Err(format!("unsupported modifier ({other}) in substitution")),
        }
    }

    fn alternative(
        &mut self,
        name: &str,
        value: Option<String>,
        modifier: char,
        or_empty: bool,
    ) -> Result<String, String> {
        let word = self.until(&['}'])?;
        self.close()?;
        let present = value
            .as_ref()
            .is_some_and(|value| !(or_empty && value.is_empty()));
        match modifier {
            '-' => Ok(if present {
                value.unwrap_or_default()
            } else {
                word
            }),
            '+' => Ok(if present { word } else { String::new() }),
            '?' if present => Ok(value.unwrap_or_default()),
            '?' if !word.is_empty() => Err(format!("{name}: {word}")),
            '?' if or_empty => Err(format!("{name}: is not allowed to be empty")),
            '?' => Err(format!("{name}: is not allowed to be unset")),
            other => Err(format!("unsupported modifier ({other}) in substitution")),
        }
    }

    /// A pattern keeps its backslashes; `\}` and `\/` stand for themselves.
    fn pattern_until(&mut self, stops: &[char]) -> Result<String, String> {
        let mut out = String::new();
        while let Some(c) = self.peek() {
            if stops.contains(&c) {
                break;
            }
            self.next();
            match c {
                '\\' => match self.next() {
                    Some(next @ ('}' | '/')) => out.push(next),
                    Some(next) => {
                        out.push('\\');
                        out.push(next);
                    }
                    None => {}
                },
                '$' => out.push_str(&self.variable()?),
                '\'' => out.push_str(&self.single_quoted()?),
                '"' => out.push_str(&self.double_quoted()?),
                c => out.push(c),
            }
        }
        Ok(out)
    }

    fn close(&mut self) -> Result<(), String> {
        match self.next() {
            Some('}') => Ok(()),
            _ => Err("syntax error: missing '}'".into()),
        }
    }
}

/// A pattern of `${n#p}` and its like: `*` and `?` only.
struct Pattern(Vec<Token>);

enum Token {
    Any,
    One,
    Literal(char),
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        let mut tokens = Vec::new();
        let mut characters = text.chars();
        while let Some(c) = characters.next() {
            tokens.push(match c {
                '*' => Token::Any,
                '?' => Token::One,
                '\\' => match characters.next() {
                    Some(next @ ('*' | '?' | '\\')) => Token::Literal(next),
                    _ => return Err("invalid escape".into()),
                },
                c => Token::Literal(c),
            });
        }
        Ok(Self(tokens))
    }

    fn matches(&self, text: &str) -> bool {
        fn go(tokens: &[Token], text: &[char]) -> bool {
            match (tokens.first(), text.first()) {
                (None, rest) => rest.is_none(),
                (Some(Token::Any), _) => {
                    (0..=text.len()).any(|taken| go(&tokens[1..], &text[taken..]))
                }
                (Some(Token::One), Some(_)) => go(&tokens[1..], &text[1..]),
                (Some(Token::Literal(c)), Some(first)) if c == first => {
                    go(&tokens[1..], &text[1..])
                }
                _ => false,
            }
        }
        go(&self.0, &text.chars().collect::<Vec<_>>())
    }

    fn cut_prefix(&self, value: &str, longest: bool) -> String {
        let mut ends: Vec<usize> = boundaries(value);
        if longest {
            ends.reverse();
        }
        let end = ends.into_iter().find(|end| self.matches(&value[..*end]));
        value[end.unwrap_or(0)..].to_owned()
    }

    fn cut_suffix(&self, value: &str, longest: bool) -> String {
        let mut starts: Vec<usize> = boundaries(value);
        if !longest {
            starts.reverse();
        }
        let start = starts
            .into_iter()
            .find(|start| self.matches(&value[*start..]));
        value[..start.unwrap_or(value.len())].to_owned()
    }

    fn replace(&self, value: &str, replacement: &str, all: bool) -> String {
        let mut out = String::new();
        let mut at = 0;
        while at < value.len() {
            let longest = boundaries(&value[at..])
                .into_iter()
                .rev()
                .find(|length| *length > 0 && self.matches(&value[at..at + length]));
            if let Some(length) = longest {
                out.push_str(replacement);
                at += length;
                if !all {
                    break;
                }
            } else {
                let c = value[at..]
                    .chars()
                    .next()
                    .expect("`at` lies before the end");
                out.push(c);
                at += c.len_utf8();
            }
        }
        out + &value[at..]
    }
}

fn boundaries(text: &str) -> Vec<usize> {
    (0..=text.len())
        .filter(|at| text.is_char_boundary(*at))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> String {
        let variables = [("A", "x"), ("E", ""), ("P", "/usr/local/lib.tar.gz")];
        let variables = variables.map(|(key, value)| (key.to_owned(), value.to_owned()));
        word(text, &variables, '\\').unwrap_or_else(|error| format!("! {error}"))
    }

    #[test]
    fn plain_and_braced_names() {
        assert_eq!(expand("$A-${A}b-$NO-$1x"), "x-xb--x");
        assert_eq!(expand("a$ $."), "a$ $.");
        assert_eq!(expand(r"\$A '$A' $A"), "$A $A x");
        assert_eq!(expand(r#""a $A \" \n""#), r#"a x " \n"#);
    }

    #[test]
    fn defaults_alternatives_and_errors() {
        assert_eq!(expand("${NO:-d} ${E:-d} ${E-d} ${A:-d}"), "d d  x");
        assert_eq!(expand("${A:+y} ${E:+y}.${E+y} ${NO:-${A}}"), "y .y x");
        assert_eq!(
            expand("${NO:?gone}"),
            r#"! failed to process "${NO:?gone}": NO: gone"#
        );
        assert_eq!(
            expand("${E:?}"),
            r#"! failed to process "${E:?}": E: is not allowed to be empty"#
        );
        assert_eq!(
            expand("${}"),
            r#"! failed to process "${}": syntax error: bad substitution"#
        );
        assert_eq!(
            expand("${A"),
            r#"! failed to process "${A": syntax error: missing '}'"#
        );
        assert!(expand("${A^}").contains("unsupported modifier (^)"));
    }

    #[test]
    fn patterns_cut_and_replace() {
        assert_eq!(expand("${P#*/}"), "usr/local/lib.tar.gz");
        assert_eq!(expand("${P##*/}"), "lib.tar.gz");
        assert_eq!(expand("${P%.*}"), "/usr/local/lib.tar");
        assert_eq!(expand("${P%%.*}"), "/usr/local/lib");
        assert_eq!(expand("${P/l?/L}"), "/usr/Lcal/lib.tar.gz");
        assert_eq!(expand("${P//l/L}"), "/usr/LocaL/Lib.tar.gz");
    }
}
