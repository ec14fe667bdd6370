//! Pure: a template taken apart: text, and the words of its actions.

use serde_json::Value;

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    /// What stands between `{{` and `}}`.
    Action(Vec<Token>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A keyword or a function.
    Word(String),
    /// `.`, `.A.B`.
    Field(Vec<String>),
    /// `$`, `$x.A`.
    Variable(String, Vec<String>),
    Literal(Value),
    Open,
    /// `)`, `).A`.
    Close(Vec<String>),
    Pipe,
    Comma,
    /// `:=`.
    Declare,
    /// `=`.
    Assign,
}

/// Takes a template apart. Where an action begins or ends with `-`, the blanks beside it go.
///
/// # Errors
/// An action that is not closed; a character that means nothing.
pub(super) fn pieces(template: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = template;
    let mut trims = false;
    while let Some(start) = rest.find("{{") {
        let (text, action) = (&rest[..start], &rest[start + 2..]);
        let (text, action) = match action.strip_prefix('-') {
            Some(after) if after.starts_with(char::is_whitespace) => (text.trim_end(), after),
            _ => (text, action),
        };
        push_text(&mut pieces, text, trims);
        let mut lexer = Lexer { rest: action };
        let tokens = lexer.action()?;
        trims = lexer.rest.starts_with('-');
        rest = lexer.rest.trim_start_matches('-');
        rest = rest.strip_prefix("}}").unwrap_or(rest);
        pieces.push(Piece::Action(tokens));
    }
    push_text(&mut pieces, rest, trims);
    Ok(pieces)
}

fn push_text(pieces: &mut Vec<Piece>, text: &str, trims: bool) {
    let text = if trims { text.trim_start() } else { text };
    if !text.is_empty() {
        let text = text.replace("\\t", "\t").replace("\\n", "\n");
        pieces.push(Piece::Text(text));
    }
}

struct Lexer<'a> {
    rest: &'a str,
}

impl Lexer<'_> {
    /// Up to the `}}` or ` -}}` that closes the action, which is left.
    fn action(&mut self) -> Result<Vec<Token>, String> {
        let mut tokens = Vec::new();
        loop {
            let blanks = self.rest.starts_with(char::is_whitespace);
            self.rest = self.rest.trim_start();
            let is_end = self.rest.starts_with("}}") || blanks && self.rest.starts_with("-}}");
            if is_end {
                return Ok(tokens);
            }
            if let Some(comment) = self.rest.strip_prefix("/*") {
                let end = comment.find("*/").ok_or("unclosed comment")?;
                self.rest = &comment[end + 2..];
                continue;
            }
            tokens.push(self.token()?);
        }
    }

    fn token(&mut self) -> Result<Token, String> {
        for (text, token) in [
            (":=", Token::Declare),
            ("=", Token::Assign),
            ("(", Token::Open),
            ("|", Token::Pipe),
            (",", Token::Comma),
        ] {
            if let Some(rest) = self.rest.strip_prefix(text) {
                self.rest = rest;
                return Ok(token);
            }
        }
        let mut characters = self.rest.chars();
        match characters.next().ok_or("unclosed action")? {
            ')' => {
                self.rest = characters.as_str();
                Ok(Token::Close(self.fields()))
            }
            '.' if !characters
                .as_str()
                .starts_with(|c: char| c.is_ascii_digit()) =>
            {
                let fields = self.fields();
                if fields.is_empty() {
                    self.rest = characters.as_str();
                }
                Ok(Token::Field(fields))
            }
            '$' => {
                self.rest = characters.as_str();
                let name = self.word();
                Ok(Token::Variable(name, self.fields()))
            }
            '"' => self.quoted(),
            '`' => {
                let text = characters.as_str();
                let end = text.find('`').ok_or("unterminated raw quoted string")?;
                self.rest = &text[end + 1..];
                Ok(Token::Literal(text[..end].into()))
            }
            c if c.is_ascii_digit() || matches!(c, '+' | '-' | '.') => self.number(),
            c if c.is_alphabetic() || c == '_' => Ok(match self.word().as_str() {
                "true" => Token::Literal(true.into()),
                "false" => Token::Literal(false.into()),
                "nil" => Token::Literal(Value::Null),
                word => Token::Word(word.to_owned()),
            }),
            c => Err(format!("unexpected {c:?} in an action")),
        }
    }

    fn word(&mut self) -> String {
        let is_end = |c: char| !c.is_alphanumeric() && c != '_';
        let end = self.rest.find(is_end).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word.to_owned()
    }

    /// `.A.B` right here.
    fn fields(&mut self) -> Vec<String> {
        let mut fields = Vec::new();
        while let Some(rest) = self.rest.strip_prefix('.') {
            if !rest.starts_with(|c: char| c.is_alphabetic() || c == '_') {
                break;
            }
            self.rest = rest;
            fields.push(self.word());
        }
        fields
    }

    /// A string of Go's, whose escapes are those of JSON and a few more.
    fn quoted(&mut self) -> Result<Token, String> {
        let mut text = String::new();
        let mut characters = self.rest[1..].chars();
        loop {
            let character = match characters.next().ok_or("unterminated quoted string")? {
                '"' => break,
                '\\' => match characters.next().ok_or("unterminated quoted string")? {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    '\\' => '\\',
                    '"' => '"',
                    '\'' => '\'',
                    other => return Err(format!("unknown escape \\{other} in a string")),
                },
                other => other,
            };
            text.push(character);
        }
        self.rest = characters.as_str();
        Ok(Token::Literal(text.into()))
    }

    fn number(&mut self) -> Result<Token, String> {
        let is_end = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '-' | '.' | '_');
        let end = self.rest.find(is_end).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        let whole = text.parse::<i64>().map(Value::from);
        let value = whole.or_else(|_| text.parse::<f64>().map(Value::from));
        self.rest = rest;
        value
            .map(Token::Literal)
            .map_err(|_| format!("bad number {text:?}"))
    }
}
