//! Pure: physical lines → whole instructions: directives, comments, continuation, heredocs.

use super::ParseError;
use super::words;
use std::ops::RangeInclusive;

/// The text as a list of instructions.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    pub escape: char,
    pub instructions: Vec<Line>,
}

/// One instruction, joined from its physical lines.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// As written, in upper case: `RUN`.
    pub keyword: String,
    /// Flags in front of the arguments, quotes removed: `--from=base`.
    pub flags: Vec<String>,
    /// The rest, trimmed.
    pub rest: String,
    pub heredocs: Vec<Heredoc>,
    /// From the keyword's line to the last one, heredoc bodies included.
    pub lines: RangeInclusive<u32>,
}

/// A `<<NAME` and the lines that follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    pub name: String,
    /// No quote in the delimiter: variables in the body are expanded (COPY and ADD only).
    pub expand: bool,
    /// `<<-`: leading tabs do not count.
    pub chomp: bool,
    /// As written, with line ends.
    pub body: String,
}

/// Reads the text up to whole instructions.
///
/// # Errors
/// An empty file, a bad directive, an unterminated heredoc, a bad flag.
pub fn read(text: &str) -> Result<Source, ParseError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.is_empty() {
        return Err(ParseError::new(1..=1, "the Dockerfile cannot be empty"));
    }
    let escape = directives(text)?;
    let mut physical = text.split_inclusive('\n').zip(1u32..);
    let mut instructions = Vec::new();
    while let Some((first, start)) = physical.next() {
        let first = trim_end_of_line(first).trim_start();
        if first.is_empty() || first.starts_with('#') {
            continue;
        }
        let mut end = start;
        let mut joined = String::new();
        let mut more = push_part(&mut joined, first, escape);
        while more {
            let Some((part, number)) = physical.next() else {
                break;
            };
            end = number;
            let part = trim_end_of_line(part);
            if part.trim_start().starts_with('#') || part.trim().is_empty() {
                continue;
            }
            more = push_part(&mut joined, part, escape);
        }
        let mut line = split(joined.trim(), escape, start..=end)?;
        if matches!(line.keyword.as_str(), "RUN" | "COPY" | "ADD" | "ONBUILD")
            && !is_json_list(&line.rest)
        {
            for mut heredoc in openers(&line.rest, escape) {
                end = read_body(&mut heredoc, &mut physical)
                    .ok_or_else(|| ParseError::new(start..=end, "unterminated heredoc"))?;
                line.heredocs.push(heredoc);
            }
            line.lines = start..=end;
        }
        instructions.push(line);
    }
    if instructions.is_empty() {
        return Err(ParseError::new(1..=1, "file with no instructions"));
    }
    Ok(Source {
        escape,
        instructions,
    })
}

/// Parser directives are the very first lines; the first other line ends them for good.
fn directives(text: &str) -> Result<char, ParseError> {
    let mut escape = None;
    let mut seen: Vec<String> = Vec::new();
    for (line, number) in text.lines().zip(1u32..) {
        if number == 1 && line.starts_with("#!") {
            continue;
        }
        let Some((name, value)) = line.strip_prefix('#').and_then(|rest| rest.split_once('='))
        else {
            break;
        };
        let name = name.trim().to_ascii_lowercase();
        let value = value.trim();
        if !matches!(name.as_str(), "syntax" | "escape" | "check") || value.is_empty() {
            break;
        }
        if seen.contains(&name) {
            let message = format!("only one {name} parser directive can be used");
            return Err(ParseError::new(number..=number, message));
        }
        if name == "escape" {
            escape = match value {
                "\\" => Some('\\'),
                "`" => Some('`'),
                _ => {
                    let message = format!("invalid escape token '{value}' does not match ` or \\");
                    return Err(ParseError::new(number..=number, message));
                }
            };
        }
        seen.push(name);
    }
    Ok(escape.unwrap_or('\\'))
}

fn trim_end_of_line(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n'])
}

/// Adds a physical line without its continuation mark; whether another one follows.
fn push_part(joined: &mut String, part: &str, escape: char) -> bool {
    let trimmed = part.trim_end_matches([' ', '\t']);
    if let Some(body) = trimmed.strip_suffix(escape)
        && !body.ends_with(escape)
    {
        joined.push_str(body);
        return true;
    }
    joined.push_str(part);
    false
}

fn split(text: &str, escape: char, lines: RangeInclusive<u32>) -> Result<Line, ParseError> {
    let blank = |c: char| matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ');
    let (keyword, rest) = text.split_once(blank).unwrap_or((text, ""));
    let mut rest = rest.trim();
    let mut flags = Vec::new();
    while rest.starts_with("--") {
        let (flag, after) = words::flag(rest, escape);
        rest = after.trim_start();
        if flag == "--" {
            break;
        }
        flags.push(flag);
    }
    let keyword = keyword.to_ascii_uppercase();
    Ok(Line {
        keyword,
        flags,
        rest: rest.trim().to_owned(),
        heredocs: Vec::new(),
        lines,
    })
}

/// Whether the argument text is a JSON list, in which `<<` has no meaning.
pub fn is_json_list(text: &str) -> bool {
    text.starts_with('[') && serde_json::from_str::<Vec<serde_json::Value>>(text).is_ok()
}

fn openers(text: &str, escape: char) -> Vec<Heredoc> {
    words::split(text, escape)
        .iter()
        .filter_map(|word| opener(word))
        .collect()
}

/// `[fd]<<[-]NAME`, the name perhaps quoted.
pub fn opener(word: &str) -> Option<Heredoc> {
    let rest = word
        .trim_start_matches(|c: char| c.is_ascii_digit())
        .strip_prefix("<<")?;
    let (chomp, rest) = rest
        .strip_prefix('-')
        .map_or((false, rest), |rest| (true, rest));
    let delimiter = rest.trim_start();
    if delimiter.is_empty() || delimiter.contains('<') {
        return None;
    }
    let name: String = delimiter
        .chars()
        .filter(|c| !matches!(c, '"' | '\''))
        .collect();
    let expand = name.len() == delimiter.len();
    Some(Heredoc {
        name,
        expand,
        chomp,
        body: String::new(),
    })
}

fn read_body<'a>(
    heredoc: &mut Heredoc,
    physical: &mut impl Iterator<Item = (&'a str, u32)>,
) -> Option<u32> {
    for (line, number) in physical {
        let candidate = trim_end_of_line(line);
        let candidate = if heredoc.chomp {
            candidate.trim_start_matches('\t')
        } else {
            candidate
        };
        if candidate == heredoc.name {
            return Some(number);
        }
        heredoc.body.push_str(line);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rests(text: &str) -> Vec<String> {
        let source = read(text).unwrap();
        source
            .instructions
            .iter()
            .map(|line| format!("{} {}", line.keyword, line.rest))
            .collect()
    }

    #[test]
    fn continued_lines_are_joined_without_their_mark() {
        assert_eq!(rests("RUN a \\\n   b\n"), ["RUN a    b"]);
        assert_eq!(rests("RUN a \\\n# gone\n\n  b \\  \n c"), ["RUN a   b  c"]);
        assert_eq!(rests("run echo # hi"), ["RUN echo # hi"]);
        assert_eq!(rests("RUN a\\\\\nRUN b"), ["RUN a\\\\", "RUN b"]);
    }

    #[test]
    fn the_escape_directive_changes_the_mark() {
        assert_eq!(
            rests("# escape=`\nRUN a `\n b\\\nRUN c"),
            ["RUN a  b\\", "RUN c"]
        );
        assert_eq!(rests("\n# escape=`\nRUN a \\\n b"), ["RUN a  b"]);
        assert!(
            read("# escape=x\nRUN a")
                .unwrap_err()
                .message
                .starts_with("invalid escape token")
        );
    }

    #[test]
    fn heredocs_follow_in_the_order_of_their_openers() {
        let source = read("COPY <<A <<-'B' /x/\nin $a\nA\n\tin b\n\tB\nRUN y\n").unwrap();
        let line = &source.instructions[0];
        assert_eq!(line.lines, 1..=5);
        assert_eq!(line.heredocs[0].body, "in $a\n");
        assert!(line.heredocs[0].expand);
        assert_eq!(line.heredocs[1].name, "B");
        assert!(!line.heredocs[1].expand && line.heredocs[1].chomp);
        assert_eq!(source.instructions[1].keyword, "RUN");
        assert_eq!(
            read("RUN <<E\nx\n").unwrap_err().message,
            "unterminated heredoc"
        );
    }

    #[test]
    fn flags_stand_in_front() {
        let source = read("COPY --from=base --chown='a b' x y").unwrap();
        assert_eq!(source.instructions[0].flags, ["--from=base", "--chown=a b"]);
        assert_eq!(source.instructions[0].rest, "x y");
    }
}
