//! Pure: which devices a container may use: v1 lines, and a program for v2.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::sys::bpf::Instruction;

/// What kind of device a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    All,
    Block,
    Char,
}

/// Access bits as the kernel numbers them.
const MKNOD: u8 = 1;
const READ: u8 = 2;
const WRITE: u8 = 4;
const EVERYTHING: u8 = MKNOD | READ | WRITE;

/// Something that is allowed; all else is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    pub kind: Kind,
    /// `None`: any.
    pub major: Option<u32>,
    pub minor: Option<u32>,
    access: u8,
}

impl Rule {
    /// A rule for one device with permissions as Docker writes them (`rwm`).
    pub fn device(kind: Kind, major: u32, minor: u32, permissions: &str) -> Self {
        Self {
            kind,
            major: Some(major),
            minor: Some(minor),
            access: access(permissions).unwrap_or(EVERYTHING),
        }
    }

    /// Reads `c 10:200 rwm`, `b *:* m`, `a *:* rwm`.
    ///
    /// # Errors
    /// `Invalid`, in Docker's words.
    pub fn parse(text: &str) -> Result<Self> {
        Self::try_parse(text).ok_or_else(|| {
            Error::new(
                ErrorKind::Invalid,
                format!("invalid device cgroup rule format: '{text}'"),
            )
        })
    }

    fn try_parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let kind = match words.next()? {
            "a" => Kind::All,
            "b" => Kind::Block,
            "c" => Kind::Char,
            _ => return None,
        };
        let (major, minor) = words.next()?.split_once(':')?;
        let access = access(words.next()?)?;
        let number = |text: &str| match text {
            "*" => Some(None),
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok().map(Some),
            _ => None,
        };
        words.next().is_none().then_some(())?;
        Some(Self {
            kind,
            major: number(major)?,
            minor: number(minor)?,
            access,
        })
    }
}

fn access(text: &str) -> Option<u8> {
    if text.is_empty() || text.len() > 3 {
        return None;
    }
    text.bytes().try_fold(0, |set, letter| match letter {
        b'm' => Some(set | MKNOD),
        b'r' => Some(set | READ),
        b'w' => Some(set | WRITE),
        _ => None,
    })
}

impl fmt::Display for Rule {
    /// As v1 reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::All => 'a',
            Kind::Block => 'b',
            Kind::Char => 'c',
        };
        let number = |n: Option<u32>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
        write!(f, "{kind} {}:{} ", number(self.major), number(self.minor))?;
        for (bit, letter) in [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')] {
            if self.access & bit != 0 {
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}

/// What every container may use: making any node (that grants nothing), and the harmless devices.
pub fn default_rules() -> Vec<Rule> {
    const TEXT: [&str; 12] = [
        "c *:* m",
        "b *:* m",
        "c 1:3 rwm",
        "c 1:5 rwm",
        "c 1:7 rwm",
        "c 1:8 rwm",
        "c 1:9 rwm",
        "c 5:0 rwm",
        "c 5:1 rwm",
        "c 5:2 rwm",
        "c 136:* rwm",
        // The tun device: VPN images make the node themselves.
        "c 10:200 rwm",
    ];
    TEXT.iter()
        .filter_map(|text| Rule::try_parse(text))
        .collect()
}

/// Whether the rules allow everything.
pub(crate) fn allows_everything(rules: &[Rule]) -> bool {
    rules.iter().any(|rule| {
        rule.kind == Kind::All
            && rule.major.is_none()
            && rule.minor.is_none()
            && rule.access == EVERYTHING
    })
}

/// The lines for devices.allow, after `a` was written to devices.deny.
pub(crate) fn v1_lines(rules: &[Rule]) -> Vec<String> {
    if allows_everything(rules) {
        return vec!["a *:* rwm".into()];
    }
    rules.iter().map(Rule::to_string).collect()
}

// Registers: the context, then what is asked for.
const CONTEXT: u8 = 1;
const ASKED_KIND: u8 = 2;
const ASKED_ACCESS: u8 = 3;
const ASKED_MAJOR: u8 = 4;
const ASKED_MINOR: u8 = 5;
const SCRATCH: u8 = 6;
const RESULT: u8 = 0;

const LOAD_WORD: u8 = 0x61;
const AND_32: u8 = 0x54;
const SHIFT_RIGHT_32: u8 = 0x74;
const MOVE_32_REGISTER: u8 = 0xbc;
const MOVE_64: u8 = 0xb7;
const JUMP_NOT_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;

fn instruction(code: u8, destination: u8, source: u8, offset: i16, value: i32) -> Instruction {
    Instruction {
        code,
        registers: destination | source << 4,
        offset,
        value,
    }
}

/// The program for a v2 cgroup; `None` when nothing is to be refused.
pub(crate) fn v2_program(rules: &[Rule]) -> Option<Vec<Instruction>> {
    if allows_everything(rules) {
        return None;
    }
    let mut program = vec![
        // The low half of the first word is the kind, the high one the access.
        instruction(LOAD_WORD, ASKED_KIND, CONTEXT, 0, 0),
        instruction(AND_32, ASKED_KIND, 0, 0, 0xffff),
        instruction(LOAD_WORD, ASKED_ACCESS, CONTEXT, 0, 0),
        instruction(SHIFT_RIGHT_32, ASKED_ACCESS, 0, 0, 16),
        instruction(LOAD_WORD, ASKED_MAJOR, CONTEXT, 4, 0),
        instruction(LOAD_WORD, ASKED_MINOR, CONTEXT, 8, 0),
    ];
    for rule in rules {
        program.extend(v2_rule(*rule));
    }
    program.push(instruction(MOVE_64, RESULT, 0, 0, 0));
    program.push(instruction(EXIT, 0, 0, 0, 0));
    Some(program)
}

/// "If it fits, allow": each test that fails jumps behind the rule.
fn v2_rule(rule: Rule) -> Vec<Instruction> {
    let number = |n: u32| i32::try_from(n).unwrap_or(-1);
    let mut tests = Vec::new();
    match rule.kind {
        Kind::All => {}
        Kind::Block => tests.push((vec![], ASKED_KIND, 1)),
        Kind::Char => tests.push((vec![], ASKED_KIND, 2)),
    }
    if rule.access != EVERYTHING {
        // What is asked for beyond the rule's access must be nothing.
        let beyond = i32::from(EVERYTHING & !rule.access);
        let compute = vec![
            instruction(MOVE_32_REGISTER, SCRATCH, ASKED_ACCESS, 0, 0),
            instruction(AND_32, SCRATCH, 0, 0, beyond),
        ];
        tests.push((compute, SCRATCH, 0));
    }
    if let Some(major) = rule.major {
        tests.push((vec![], ASKED_MAJOR, number(major)));
    }
    if let Some(minor) = rule.minor {
        tests.push((vec![], ASKED_MINOR, number(minor)));
    }
    let length: usize = tests.iter().map(|(compute, _, _)| compute.len() + 1).sum();
    let mut code = Vec::new();
    for (compute, register, value) in tests {
        code.extend(compute);
        // To behind the two instructions that allow.
        let offset = i16::try_from(length - code.len() - 1 + 2).unwrap_or(i16::MAX);
        code.push(instruction(JUMP_NOT_EQUAL, register, 0, offset, value));
    }
    code.push(instruction(MOVE_64, RESULT, 0, 0, 1));
    code.push(instruction(EXIT, 0, 0, 0, 0));
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program as the kernel would.
    fn allowed(program: &[Instruction], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        let context = [kind | access << 16, major, minor];
        let mut registers = [0_u32; 10];
        let mut at = 0;
        loop {
            let i = program[at];
            let (to, from) = (usize::from(i.registers & 15), usize::from(i.registers >> 4));
            at += 1;
            match i.code {
                LOAD_WORD => registers[to] = context[usize::try_from(i.offset).unwrap() / 4],
                AND_32 => registers[to] &= i.value as u32,
                SHIFT_RIGHT_32 => registers[to] >>= i.value,
                MOVE_32_REGISTER => registers[to] = registers[from],
                MOVE_64 => registers[to] = i.value as u32,
                JUMP_NOT_EQUAL if registers[to] != i.value as u32 => {
                    at += usize::try_from(i.offset).unwrap();
                }
                JUMP_NOT_EQUAL => {}
                EXIT => return registers[0] == 1,
                other => panic!("code {other}"),
            }
        }
    }

    #[test]
    fn the_program_allows_what_the_rules_say() {
        let program = v2_program(&default_rules()).unwrap();
        assert!(allowed(&program, 2, 6, 1, 3));
        assert!(allowed(&program, 2, 6, 136, 77));
        assert!(allowed(&program, 1, 1, 8, 0), "making a node of a disk");
        assert!(!allowed(&program, 1, 2, 8, 0), "reading a disk");
        assert!(!allowed(&program, 2, 4, 1, 1), "writing to memory");
        assert!(!allowed(&program, 2, 3, 1, 1));
    }

    #[test]
    fn rules_read_and_print_alike() {
        for text in ["c 10:200 rwm", "b *:* m", "a *:* rwm", "c 136:* rw"] {
            assert_eq!(Rule::parse(text).unwrap().to_string(), text);
        }
        for wrong in [
            "c 1:3",
            "x 1:3 r",
            "c 1 r",
            "c 1:3 rwx",
            "c -1:3 r",
            "c 1:3 r ",
            "c 1:+3 r",
        ] {
            assert_eq!(
                Rule::parse(wrong).unwrap_err().to_string(),
                format!("invalid device cgroup rule format: '{wrong}'")
            );
        }
    }

    #[test]
    fn everything_needs_no_program() {
        let rules = [Rule::parse("a *:* rwm").unwrap()];
        assert_eq!(v2_program(&rules), None);
        assert_eq!(v1_lines(&rules), ["a *:* rwm"]);
    }
}
