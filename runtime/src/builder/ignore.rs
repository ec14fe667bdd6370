//! Pure: `.dockerignore` and its pattern language (also `COPY --exclude`).
//!
//! Patterns are anchored to the context's root and match whole paths; a path is excluded when
//! the last pattern that matches it or one of its parents says so.

/// The names in a path, cleaned lexically from the root, as Go's `filepath.Clean` does it.
pub(super) fn components(path: &str) -> Vec<&str> {
    let mut components = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => {
                components.pop();
            }
            other => components.push(other),
        }
    }
    components
}

/// The patterns of one file, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    /// `!`: brings back what earlier ones took away.
    is_exception: bool,
    components: Vec<Vec<Token>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Literal(char),
    /// `?`
    One,
    /// `*`
    Any,
    /// `**` as part of a component: `**x`.
    AnyDeep,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Ignore {
    /// Reads the file's text.
    ///
    /// # Errors
    /// `illegal exclusion pattern: "!"`, `syntax error in pattern`, with the line's number.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.starts_with('#'));
        let mut patterns = Vec::new();
        for (number, line) in lines {
            if let Some(pattern) =
                parse_pattern(line).map_err(|error| format!("line {}: {error}", number + 1))?
            {
                patterns.push(pattern);
            }
        }
        Ok(Self { patterns })
    }

    /// From patterns given one by one (`--exclude`).
    ///
    /// # Errors
    /// As [`Ignore::parse`].
    pub fn new(patterns: &[String]) -> Result<Self, String> {
        let parsed: Result<Vec<_>, _> = patterns
            .iter()
            .map(|pattern| parse_pattern(pattern))
            .collect();
        Ok(Self {
            patterns: parsed?.into_iter().flatten().collect(),
        })
    }

    /// Whether this path (relative, `/` between components) is left out.
    pub fn excludes(&self, path: &str) -> bool {
        let components: Vec<&str> = path.split('/').collect();
        let mut excluded = false;
        for pattern in &self.patterns {
            if pattern.is_exception == excluded
                && (1..=components.len())
                    .any(|end| matches_components(&pattern.components, &components[..end]))
            {
                excluded = !pattern.is_exception;
            }
        }
        excluded
    }

    /// Whether nothing below an excluded directory can come back, so that it need not be walked.
    pub fn may_prune(&self) -> bool {
        !self.patterns.iter().any(|pattern| pattern.is_exception)
    }

    /// Whether there are no patterns.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }
}

fn parse_pattern(line: &str) -> Result<Option<Pattern>, String> {
    let line = line.trim();
    if line.is_empty() {
        return Ok(None);
    }
    let (is_exception, text) = match line.strip_prefix('!') {
        Some(rest) if rest.trim().is_empty() => {
            return Err("illegal exclusion pattern: \"!\"".into());
        }
        Some(rest) => (true, rest.trim()),
        None => (false, line),
    };
    let cleaned = components(text);
    if cleaned.is_empty() {
        return Ok(None);
    }
    let components: Result<_, String> = cleaned.iter().map(|component| tokens(component)).collect();
    Ok(Some(Pattern {
        is_exception,
        components: components?,
    }))
}

fn tokens(component: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut characters = component.chars().peekable();
    while let Some(c) = characters.next() {
        tokens.push(match c {
            '*' if characters.peek() == Some(&'*') => {
                while characters.peek() == Some(&'*') {
                    characters.next();
                }
                Token::AnyDeep
            }
            '*' => Token::Any,
            '?' => Token::One,
            '\\' => Token::Literal(characters.next().ok_or("syntax error in pattern")?),
            '[' => class(&mut characters)?,
            c => Token::Literal(c),
        });
    }
    Ok(tokens)
}

fn class(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Token, String> {
    let bad = || "syntax error in pattern".to_owned();
    let negated = characters.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        let mut take = || match characters.next() {
            Some('\\') => characters.next(),
            other => other,
        };
        let low = match take() {
            None => return Err(bad()),
            Some(']') if !ranges.is_empty() => return Ok(Token::Class { negated, ranges }),
            Some(c) => c,
        };
        let high = if characters.next_if_eq(&'-').is_some() {
            match characters.next() {
                None | Some(']') => return Err(bad()),
                Some(c) => c,
            }
        } else {
            low
        };
        ranges.push((low, high));
    }
}

fn is_deep(component: &[Token]) -> bool {
    component == [Token::AnyDeep]
}

fn matches_components(pattern: &[Vec<Token>], path: &[&str]) -> bool {
    match pattern.split_first() {
        None => path.is_empty(),
        // A trailing `**` stands for everything below, not for the directory itself.
        Some((first, [])) if is_deep(first) => !path.is_empty(),
        Some((first, rest)) if is_deep(first) => {
            (0..=path.len()).any(|taken| matches_components(rest, &path[taken..]))
        }
        Some((first, rest)) if first.contains(&Token::AnyDeep) => (1..=path.len()).any(|taken| {
            matches_text(first, &path[..taken].join("/"))
                && matches_components(rest, &path[taken..])
        }),
        Some((first, rest)) => path.split_first().is_some_and(|(name, below)| {
            matches_text(first, name) && matches_components(rest, below)
        }),
    }
}

fn matches_text(tokens: &[Token], text: &str) -> bool {
    let characters: Vec<char> = text.chars().collect();
    // Classic two-pointer glob: on a mismatch, let the last star take one character more.
    let (mut token, mut at) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let fits = match (tokens.get(token), characters.get(at)) {
            (None, None) => return true,
            (Some(Token::Any | Token::AnyDeep), _) => {
                star = Some((token, at));
                token += 1;
                continue;
            }
            (Some(Token::One), Some(c)) => *c != '/',
            (Some(Token::Literal(wanted)), Some(c)) => wanted == c,
            (Some(Token::Class { negated, ranges }), Some(c)) => {
                *c != '/' && ranges.iter().any(|(low, high)| (low..=high).contains(&c)) != *negated
            }
            _ => false,
        };
        if fits {
            token += 1;
            at += 1;
            continue;
        }
        match star {
            Some((position, taken))
                if taken < characters.len()
                    && (tokens[position] == Token::AnyDeep || characters[taken] != '/') =>
            {
                star = Some((position, taken + 1));
                token = position + 1;
                at = taken + 1;
            }
            _ => return false,
        }
    }
}

/// Whether a name fits a wildcard of `COPY` (Go's `filepath.Match` for one component).
///
/// # Errors
/// `syntax error in pattern`.
pub fn matches_name(pattern: &str, name: &str) -> Result<bool, String> {
    let tokens: Vec<Token> = tokens(pattern)?
        .into_iter()
        .map(|token| {
            if token == Token::AnyDeep {
                Token::Any
            } else {
                token
            }
        })
        .collect();
    Ok(matches_text(&tokens, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out<'a>(patterns: &str, paths: &[&'a str]) -> Vec<&'a str> {
        let ignore = Ignore::parse(patterns).unwrap();
        paths
            .iter()
            .copied()
            .filter(|path| ignore.excludes(path))
            .collect()
    }

    #[test]
    fn patterns_are_anchored_and_match_whole_paths() {
        let paths = ["x", "a/x", "a/b/x", "xy", "a"];
        assert_eq!(left_out("x", &paths), ["x"]);
        assert_eq!(left_out("**/x", &paths), ["x", "a/x", "a/b/x"]);
        assert_eq!(left_out("a/**", &paths), ["a/x", "a/b/x"]);
        assert_eq!(left_out("a/**/x", &paths), ["a/x", "a/b/x"]);
        assert_eq!(left_out("a", &paths), ["a/x", "a/b/x", "a"]);
        assert_eq!(left_out("*", &paths), paths);
        assert_eq!(left_out("**x", &paths), ["x", "a/x", "a/b/x"]);
    }

    #[test]
    fn the_last_match_wins_and_exceptions_reach_into_excluded_directories() {
        let paths = [
            "src",
            "src/a.rs",
            "src/a.tmp",
            "README",
            "node_modules/keep.js",
            "node_modules/x.js",
        ];
        assert_eq!(
            left_out("*\n!src\nsrc/*.tmp\n", &paths),
            [
                "src/a.tmp",
                "README",
                "node_modules/keep.js",
                "node_modules/x.js"
            ]
        );
        assert_eq!(
            left_out("node_modules\n!node_modules/keep.js", &paths),
            ["node_modules/x.js"]
        );
    }

    #[test]
    fn lines_are_cleaned() {
        assert_eq!(
            left_out("# no\n  /a/../x/  \n#x\n", &["x", "a", "#x"]),
            ["x"]
        );
        assert_eq!(
            left_out("[a-c]?\n[^x]z", &["ab", "dz", "xz", "cc"]),
            ["ab", "dz", "cc"]
        );
        assert!(
            Ignore::parse("!")
                .unwrap_err()
                .contains("illegal exclusion pattern")
        );
        assert!(
            Ignore::parse("a[")
                .unwrap_err()
                .contains("syntax error in pattern")
        );
    }

    #[test]
    fn many_stars_do_not_explode() {
        assert_eq!(matches_name(&"*a".repeat(30), &"a".repeat(200)), Ok(true));
        assert_eq!(matches_name(&"*a".repeat(30), &"b".repeat(2000)), Ok(false));
    }
}
