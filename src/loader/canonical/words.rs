//! A command as one string: split as a shell would, without any expansion.

use crate::diag::{Diagnostic, Diagnostics};
use crate::yaml::{Node, Path};

/// A string becomes the list of its words.
pub(super) fn command(node: Node, path: Path<'_>, diagnostics: &mut Diagnostics) -> Node {
    let span = node.span;
    let Some(text) = node.as_str() else {
        return node;
    };
    match split(text) {
        Ok(words) => {
            let words = words.into_iter().map(|word| Node::string(word, span));
            Node::list(words.collect(), span)
        }
        Err(reason) => {
            diagnostics.push(
                Diagnostic::error(
                    span,
                    format!("{path}: invalid command line string: {reason}"),
                )
                .hint("write the command as a list to have its words taken as they stand"),
            );
            Node::list(Vec::new(), span)
        }
    }
}

/// Splits words. An unquoted `;`, `|`, `&`, `<` or `>` ends the command, as in Compose.
fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some('\'') => break,
                        Some(other) => word.push(other),
                        None => return Err("a single quote is not closed".into()),
                    }
                }
            }
            '"' => double_quoted(&mut characters, word.get_or_insert_default())?,
            '\\' => {
                let Some(next) = characters.next() else {
                    return Err("a backslash at the end".into());
                };
                word.get_or_insert_default().push(next);
            }
            ';' | '|' | '&' | '<' | '>' => break,
            '(' | ')' => return Err(format!("unquoted {character:?}")),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

fn double_quoted(characters: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), String> {
    let open = || "a double quote is not closed".to_owned();
    loop {
        match characters.next().ok_or_else(open)? {
            '"' => return Ok(()),
            '\\' => word.push(characters.next().ok_or_else(open)?),
            other => word.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words_are_split_like_a_shell_does() {
        assert_eq!(
            split(r#"a "b \" c" 'd\e' '' f"g"h"#).unwrap(),
            ["a", "b \" c", "d\\e", "", "fgh"]
        );
        assert_eq!(split("a # b $C *").unwrap(), ["a", "#", "b", "$C", "*"]);
        assert_eq!(split("a && b").unwrap(), ["a"]);
        assert_eq!(split("").unwrap(), [""; 0]);
    }

    #[test]
    fn what_does_not_end_is_an_error() {
        for bad in ["a 'b", "a \"b", "a (b)", "a \\"] {
            assert!(split(bad).is_err(), "{bad}");
        }
    }
}
