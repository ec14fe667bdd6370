//! `${VAR:-default}` in values: nesting, operators, escapes. Keys are never touched.
//!
//! What comes out is still a string; places that want a number or a boolean read one from
//! it ([`crate::yaml::Reader`]), as Compose casts them. The grammar serves `.env` files too.

use crate::diag::{Diagnostic, Diagnostics, Span, Spanned};
use crate::yaml::{Kind, Node, Path, Resolved};

/// How variables are looked up: `None` is unset.
pub type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Replaces variables in every string of a tree. Unset ones are warned about once each, with
/// every place. In the end: the values that came out, where variables had a part in them.
pub fn interpolate(
    node: &mut Node,
    lookup: &Lookup<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<Spanned<String>> {
    let mut replaced = Values::default();
    interpolate_at(node, Path::ROOT, lookup, &mut replaced, diagnostics);
    replaced.values
}

/// Bytes that variables may make of one text, and of all the values of a document together.
pub const MOST_TEXT: usize = 64 << 20;

/// What came out.
#[derive(Default)]
struct Values {
    values: Vec<Spanned<String>>,
    bytes: usize,
}

fn interpolate_at(
    node: &mut Node,
    path: Path<'_>,
    lookup: &Lookup<'_>,
    values: &mut Values,
    diagnostics: &mut Diagnostics,
) {
    let span = node.span;
    match &mut node.kind {
        Kind::Null => {}
        Kind::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                interpolate_at(item, path.index(index), lookup, values, diagnostics);
            }
        }
        Kind::Map(map) => {
            for entry in map.iter_mut() {
                let below = path.key(&entry.key);
                interpolate_at(&mut entry.value, below, lookup, values, diagnostics);
            }
        }
        Kind::Scalar(scalar)
            if scalar.resolved == Resolved::String
                && values.bytes <= MOST_TEXT
                && scalar.text.contains('$') =>
        {
            let inside = Inside::scalar(span, &scalar.text);
            match substitute(&scalar.text, lookup) {
                Ok(replaced) => {
                    for unset in replaced.unset {
                        warn_unset(
                            &unset.name,
                            inside.part(unset.at, unset.length),
                            diagnostics,
                        );
                    }
                    values.bytes += replaced.text.len();
                    if values.bytes > MOST_TEXT {
                        diagnostics.push(too_long(span, path));
                    } else if scalar.text != replaced.text {
                        let value = Spanned::new(replaced.text.clone(), span);
                        values.values.push(value);
                        scalar.text = replaced.text.into();
                    }
                }
                Err(problem) => {
                    let at = inside.part(problem.at, problem.length);
                    let diagnostic = match problem.reason {
                        Reason::Format => Diagnostic::error(
                            at,
                            format!("invalid interpolation format for {path}"),
                        )
                        .hint("you may need to escape any $ with another $"),
                        Reason::Required(message) => Diagnostic::error(
                            at,
                            format!("error while interpolating {path}: {message}"),
                        )
                        .hint("set the variable in the environment or in the .env file"),
                        Reason::TooLong => too_long(at, path),
                    };
                    diagnostics.push(diagnostic);
                }
            }
        }
        Kind::Scalar(_) => {}
    }
}

fn too_long(span: Span, path: Path<'_>) -> Diagnostic {
    let most = MOST_TEXT >> 20;
    let message = format!("{path}: variables make the file larger than {most} MiB");
    Diagnostic::error(span, message)
}

/// Doubles every `$` in the values of a tree, so that it can be read again.
pub fn escape(node: &mut Node) {
    match &mut node.kind {
        Kind::Null => {}
        Kind::List(items) => items.iter_mut().for_each(escape),
        Kind::Map(map) => map.iter_mut().for_each(|entry| escape(&mut entry.value)),
        Kind::Scalar(scalar) if scalar.text.contains('$') => {
            scalar.text = scalar.text.replace('$', "$$").into();
        }
        Kind::Scalar(_) => {}
    }
}

/// Warns in Docker's words, once for each variable, with all places that use it.
pub fn warn_unset(name: &str, span: Span, diagnostics: &mut Diagnostics) {
    let message = format!("The {name:?} variable is not set. Defaulting to a blank string.");
    match diagnostics.find(&message) {
        Some(told) => told.also(span, "and here"),
        None => diagnostics.push(Diagnostic::warning(span, message)),
    }
}

/// Where the letters of a scalar stand, as far as that can be told from its length.
struct Inside {
    span: Span,
    /// How far the text begins behind the span's start; unknown for folded and escaped ones.
    offset: Option<u32>,
}

impl Inside {
    fn scalar(span: Span, text: &str) -> Self {
        let offset = match ((span.end - span.start) as usize).checked_sub(text.len()) {
            Some(0) => Some(0),
            Some(2) => Some(1),
            _ => None,
        };
        Self { span, offset }
    }

    fn part(&self, at: usize, length: usize) -> Span {
        match (self.offset, u32::try_from(at), u32::try_from(length)) {
            (Some(offset), Ok(at), Ok(length)) => self.span.narrow(offset + at, length),
            _ => self.span,
        }
    }
}

/// A text with its variables replaced.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Replaced {
    pub text: String,
    /// Those that were replaced by nothing because they are unset.
    pub unset: Vec<Unset>,
}

/// A variable that is not set, and where in the text it stands, in bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Unset {
    pub name: String,
    pub at: usize,
    pub length: usize,
}

/// Why a text can't be interpolated, and which bytes of it are to blame.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    pub reason: Reason,
    pub at: usize,
    pub length: usize,
}

/// What is wrong.
#[derive(Debug, PartialEq, Eq)]
pub enum Reason {
    /// `${` without a valid form behind it.
    Format,
    /// `:?` or `?` of a variable that has no value, in Docker's words.
    Required(String),
    /// More than [`MOST_TEXT`] came out.
    TooLong,
}

/// Replaces the variables of one text.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn substitute(text: &str, lookup: &Lookup<'_>) -> Result<Replaced, Problem> {
    let mut replaced = Replaced::default();
    substitute_into(&mut replaced, text, 0, lookup, 0)?;
    Ok(replaced)
}

/// Words nested deeper than this are taken for an attack.
const MOST_NESTED: usize = 100;

/// `base` is where `text` begins in the whole.
fn substitute_into(
    replaced: &mut Replaced,
    text: &str,
    base: usize,
    lookup: &Lookup<'_>,
    nested: usize,
) -> Result<(), Problem> {
    let mut at = 0;
    while let Some(dollar) = text[at..].find('$').map(|found| at + found) {
        if replaced.text.len() > MOST_TEXT {
            return Err(Problem {
                reason: Reason::TooLong,
                at: base + dollar,
                length: 1,
            });
        }
        replaced.text.push_str(&text[at..dollar]);
        let rest = &text[dollar + 1..];
        let name = name_length(rest);
        if rest.starts_with('$') {
            replaced.text.push('$');
            at = dollar + 2;
        } else if name > 0 {
            let place = (base + dollar, name + 1);
            plain_variable(replaced, &rest[..name], place, lookup);
            at = dollar + 1 + name;
        } else if rest.starts_with('{') {
            let end = closing_brace(rest);
            let length = end.map_or(text.len() - dollar, |end| end + 2);
            let format = || Problem {
                reason: Reason::Format,
                at: base + dollar,
                length,
            };
            let end = end.filter(|_| nested < MOST_NESTED).ok_or_else(format)?;
            let form = Form {
                body: &rest[1..end],
                at: base + dollar,
                length,
            };
            form.replace(replaced, lookup, nested)?;
            at = dollar + length;
        } else {
            replaced.text.push('$');
            at = dollar + 1;
        }
    }
    replaced.text.push_str(&text[at..]);
    Ok(())
}

fn plain_variable(
    replaced: &mut Replaced,
    name: &str,
    (at, length): (usize, usize),
    lookup: &Lookup<'_>,
) {
    match lookup(name) {
        Some(value) => replaced.text.push_str(&value),
        None => replaced.unset.push(Unset {
            name: name.to_owned(),
            at,
            length,
        }),
    }
}

/// `${body}`.
struct Form<'a> {
    body: &'a str,
    at: usize,
    length: usize,
}

impl Form<'_> {
    fn replace(
        &self,
        replaced: &mut Replaced,
        lookup: &Lookup<'_>,
        nested: usize,
    ) -> Result<(), Problem> {
        let (name, rest) = self.body.split_at(name_length(self.body));
        if name.is_empty() {
            return Err(self.problem(Reason::Format));
        }
        if rest.is_empty() {
            plain_variable(replaced, name, (self.at, self.length), lookup);
            return Ok(());
        }
        let (colon, rest_of_operator) = match rest.strip_prefix(':') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let operator = rest_of_operator.chars().next();
        let word = rest_of_operator.get(1..).unwrap_or_default();
        let word_at = self.at + 2 + (self.body.len() - word.len());
        let value = lookup(name);
        // With a colon, an empty value counts as none.
        let present = value
            .as_ref()
            .is_some_and(|value| !colon || !value.is_empty());
        match operator {
            Some('-') if !present => substitute_into(replaced, word, word_at, lookup, nested + 1),
            Some('+') if present => substitute_into(replaced, word, word_at, lookup, nested + 1),
            Some('?') if !present => {
                let mut message = Replaced::default();
                substitute_into(&mut message, word, word_at, lookup, nested + 1)?;
                let mut text = format!("required variable {name} is missing a value");
                if !message.text.is_empty() {
                    text = format!("{text}: {}", message.text);
                }
                Err(self.problem(Reason::Required(text)))
            }
            Some('-' | '?') => {
                replaced.text.push_str(&value.unwrap_or_default());
                Ok(())
            }
            Some('+') => Ok(()),
            _ => Err(self.problem(Reason::Format)),
        }
    }

    fn problem(&self, reason: Reason) -> Problem {
        Problem {
            reason,
            at: self.at,
            length: self.length,
        }
    }
}

/// What a form does when its variable has no value, or has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `-` and `:-`.
    Default,
    /// `+` and `:+`.
    Alternate,
    /// `?` and `:?`.
    Required,
}

/// One use of a variable in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use<'a> {
    pub name: &'a str,
    pub operator: Option<Operator>,
    /// What follows the operator; variables in it are not taken apart.
    pub word: &'a str,
}

/// The variables that a text asks for, from left to right. Malformed forms ask for none.
pub fn uses(text: &str) -> Vec<Use<'_>> {
    let mut uses = Vec::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        rest = &rest[dollar + 1..];
        let name = name_length(rest);
        if let Some(escaped) = rest.strip_prefix('$') {
            rest = escaped;
        } else if name > 0 {
            uses.push(Use {
                name: &rest[..name],
                operator: None,
                word: "",
            });
            rest = &rest[name..];
        } else if rest.starts_with('{') {
            let Some(end) = closing_brace(rest) else {
                return uses;
            };
            uses.extend(use_of(&rest[1..end]));
            rest = &rest[end + 1..];
        }
    }
    uses
}

/// The use that `${body}` is.
fn use_of(body: &str) -> Option<Use<'_>> {
    let (name, rest) = body.split_at(name_length(body));
    if name.is_empty() {
        return None;
    }
    let mut operator = rest.strip_prefix(':').unwrap_or(rest).chars();
    let kind = match operator.next() {
        None if rest.is_empty() => None,
        Some('-') => Some(Operator::Default),
        Some('+') => Some(Operator::Alternate),
        Some('?') => Some(Operator::Required),
        _ => return None,
    };
    Some(Use {
        name,
        operator: kind,
        word: operator.as_str(),
    })
}

/// How many bytes of a variable's name stand at the beginning.
fn name_length(text: &str) -> usize {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return 0;
    }
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    text.bytes().take_while(|byte| in_name(byte)).count()
}

/// Where the brace that `text` begins with is closed; braces inside are balanced.
fn closing_brace(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' if open == 1 => return Some(at),
            b'}' => open -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{FileId, Sources, render};
    use crate::yaml::{parse, write};

    fn lookup(name: &str) -> Option<String> {
        match name {
            "A" => Some("a".to_owned()),
            "EMPTY" => Some(String::new()),
            "DOLLAR" => Some("$A".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn every_form_has_its_value() {
        let rows = [
            ("$A-${A}", "a-a"),
            ("x$A_y", "x"),
            ("${U-d} ${EMPTY-d} ${A-d}", "d  a"),
            ("${U:-d} ${EMPTY:-d} ${A:-d}", "d d a"),
            ("${U+r} ${EMPTY+r} ${A+r}", " r r"),
            ("${U:+r} ${EMPTY:+r} ${A:+r}", "  r"),
            ("${A?m} ${EMPTY?m} ${A:?m}", "a  a"),
            ("${U:-${V:-$A}}", "a"),
            ("${U:-${V-}x}", "x"),
            ("${U:-{\"a\":\"b\"}}", "{\"a\":\"b\"}"),
            ("${U:-a:?b}", "a:?b"),
            ("${A:-${U?no}}", "a"),
            ("$$A $${A}", "$A ${A}"),
            ("${U:-$$}", "$"),
            ("$DOLLAR", "$A"),
            ("$1 $( $", "$1 $( $"),
            ("${U-}", ""),
            ("ü${A}ü", "üaü"),
        ];
        for (text, expected) in rows {
            assert_eq!(
                substitute(text, &lookup).map(|replaced| replaced.text),
                Ok(expected.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn invalid_forms_are_errors() {
        for text in [
            "${}",
            "${1}",
            "${A!}",
            "${A/x/y}",
            "${A:0:1}",
            "${A",
            "${A:-${B}",
            "${ A}",
            "${A }",
            "${ü}",
            "${A:ü}",
        ] {
            let reason = substitute(text, &lookup).map_err(|problem| problem.reason);
            assert_eq!(reason, Err(Reason::Format), "{text}");
        }
        let required = |text: &str| match substitute(text, &lookup) {
            Err(Problem {
                reason: Reason::Required(message),
                ..
            }) => message,
            other => format!("{other:?}"),
        };
        assert_eq!(required("${U?}"), "required variable U is missing a value");
        assert_eq!(
            required("${U:?set ${A}}"),
            "required variable U is missing a value: set a"
        );
        assert_eq!(
            required("${EMPTY:?m}"),
            "required variable EMPTY is missing a value: m"
        );
        let deep = format!("{}{}", "${U:-".repeat(5000), "}".repeat(5000));
        assert!(substitute(&deep, &lookup).is_err());
    }

    #[test]
    fn values_are_replaced_and_problems_are_shown_in_place() {
        let text = "$A: ${A}\nb: ['$A', 1, \"x ${U} y\"]\nc: p${X:?say so}\nd: ${U} ${!}\n";
        let mut sources = Sources::default();
        let file = sources.add("f", text.into());
        let mut diagnostics = Diagnostics::default();
        let mut root = parse(text, file, &mut diagnostics).remove(0).root;
        let values = interpolate(&mut root, &lookup, &mut diagnostics);
        let values: Vec<&str> = values.iter().map(|value| value.value.as_str()).collect();
        assert_eq!(values, ["a", "a", "x  y"]);
        let lines: Vec<String> = diagnostics
            .iter()
            .map(|one| render::render_line(one, &sources))
            .collect();
        assert_eq!(
            lines,
            [
                "f:2:17: The \"U\" variable is not set. Defaulting to a blank string.",
                "f:3:5: error while interpolating c: required variable X is missing a value: say so",
                "f:4:9: invalid interpolation format for d",
            ]
        );
        let json = write::to_json(&root).to_string();
        assert!(
            json.starts_with(r#"{"$A":"a","b":["a",1,"x  y"],"#),
            "{json}"
        );
    }

    #[test]
    fn escaping_doubles_dollars() {
        let mut node = Node::string("a$b$$", Span::new(FileId(0), 0, 0));
        escape(&mut node);
        assert_eq!(node.as_str(), Some("a$$b$$$$"));
    }

    #[test]
    fn what_variables_make_has_an_end() {
        let long = |_: &str| Some("x".repeat(1 << 20));
        let one = substitute(&"$A".repeat(1000), &long);
        assert_eq!(one.map_err(|problem| problem.reason), Err(Reason::TooLong));
        let mut diagnostics = Diagnostics::default();
        let text = "a: [".to_owned() + &"$A, ".repeat(1000) + "]";
        let mut root = parse(&text, FileId(0), &mut diagnostics).remove(0).root;
        let values = interpolate(&mut root, &long, &mut diagnostics);
        assert_eq!((values.len(), diagnostics.len()), (64, 1));
    }
}
