//! Pure: the Dockerfile: text → lines → words → instructions, each keeping its place.
//!
//! Nothing is looked up and nothing is expanded here but what the grammar itself says; values
//! come in when the build is planned ([`expansion`]).

pub mod expansion;
pub mod instruction;
pub mod lines;
pub mod words;

use std::fmt;
use std::ops::RangeInclusive;

pub use instruction::{Instruction, Located, Stage};

/// A name that `ARG` declares, and its default, not expanded yet.
pub type Argument = (String, Option<String>);

/// A Dockerfile, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Dockerfile {
    /// `ARG` before the first `FROM`: seen by `FROM` lines only.
    pub globals: Vec<Located<Vec<Argument>>>,
    pub stages: Vec<Stage>,
    /// `\`, or what the `escape` directive says.
    pub escape: char,
}

/// What is wrong, and in which lines (from 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    pub lines: RangeInclusive<u32>,
    pub message: String,
    pub hint: Option<String>,
}

impl ParseError {
    /// An error without a hint.
    pub fn new(lines: RangeInclusive<u32>, message: impl Into<String>) -> Self {
        Self {
            lines,
            message: message.into(),
            hint: None,
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "dockerfile parse error on line {}: {}",
            self.lines.start(),
            self.message
        )?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ParseError {}

/// Takes a Dockerfile apart.
///
/// # Errors
/// The first thing that is wrong, with its lines.
pub fn parse(text: &str) -> Result<Dockerfile, ParseError> {
    let source = lines::read(text)?;
    let mut globals = Vec::new();
    let mut stages: Vec<Stage> = Vec::new();
    for line in source.instructions {
        let located = instruction::parse(&line, source.escape)?;
        match (located.value, stages.last_mut()) {
            (Instruction::From(from), _) => {
                stages.push(Stage {
                    from,
                    lines: located.lines,
                    instructions: Vec::new(),
                });
            }
            (value, Some(stage)) => stage.instructions.push(Located {
                value,
                lines: located.lines,
                text: located.text,
            }),
            (Instruction::Arg(arguments), None) => globals.push(Located {
                value: arguments,
                lines: located.lines,
                text: located.text,
            }),
            (_, None) => {
                return Err(ParseError::new(
                    located.lines,
                    "no build stage in current context",
                ));
            }
        }
    }
    if stages.is_empty() {
        return Err(ParseError::new(
            1..=1,
            "dockerfile contains no stages to build",
        ));
    }
    Ok(Dockerfile {
        globals,
        stages,
        escape: source.escape,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_hold_their_instructions() {
        let file =
            parse("ARG V=1\nFROM a:$V AS one\nRUN x\nFROM one\nCOPY --from=one /x /y\n").unwrap();
        assert_eq!(file.globals.len(), 1);
        assert_eq!(file.stages.len(), 2);
        assert_eq!(file.stages[0].from.name.as_deref(), Some("one"));
        assert_eq!(file.stages[1].instructions[0].lines, 5..=5);
    }

    #[test]
    fn only_arg_may_stand_before_from() {
        let error = parse("RUN x\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "dockerfile parse error on line 1: no build stage in current context"
        );
        assert_eq!(
            parse("ARG A\n").unwrap_err().message,
            "dockerfile contains no stages to build"
        );
    }

    #[test]
    fn an_unknown_instruction_is_named_with_its_nearest() {
        let error = parse("FROM a\n\nRUNN x\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "dockerfile parse error on line 3: unknown instruction: RUNN (did you mean RUN?)"
        );
    }
}
