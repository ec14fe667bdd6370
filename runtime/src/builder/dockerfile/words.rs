//! Pure: splitting argument text into words; quotes and escapes stay in, expansion removes them.

/// The first flag word, without its quotes, and what comes after it.
pub fn flag(text: &str, escape: char) -> (String, &str) {
    let mut word = String::new();
    let mut quote = None;
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match quote {
            None if c.is_whitespace() => return (word, &text[at..]),
            None if matches!(c, '"' | '\'') => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ if c == escape => word.extend(characters.next().map(|(_, next)| next)),
            _ => word.push(c),
        }
    }
    (word, "")
}

/// Words separated by white space; `'…'`, `"…"` and the escape character protect it.
pub fn split(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match quote {
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if matches!(c, '"' | '\'') => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
        if c == escape && quote != Some('\'') {
            // A lone escape at the end is dropped.
            if let Some(next) = characters.next() {
                word.push(c);
                word.push(next);
            }
        } else {
            word.push(c);
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_escapes_protect_blanks_and_stay() {
        assert_eq!(
            split(r#"A=1 B="x y" C=z\ w"#, '\\'),
            ["A=1", r#"B="x y""#, r"C=z\ w"]
        );
        assert_eq!(split(r"'a\' b", '\\'), [r"'a\'", "b"]);
    }

    #[test]
    fn a_flag_ends_at_a_blank() {
        assert_eq!(flag("--a='b c' d", '\\'), ("--a=b c".to_owned(), " d"));
    }
}
