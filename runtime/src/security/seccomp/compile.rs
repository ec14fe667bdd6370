//! Pure: a profile to classic BPF: check the architecture, then search the number.
//!
//! Neighbouring numbers with the same answer are one range; a binary search over the
//! ranges finds the answer in about seven comparisons. Numbers above the greatest one that
//! the profile names are newer than the profile: they answer ENOSYS, so that a libc falls
//! back to the older call. So do the x32 calls, whose numbers lie above all others.

use std::collections::BTreeMap;

use super::profile::{Action, Argument, Conditions, Operator, Profile, Rule};
use super::{Machine, numbers};
use crate::error::{Error, ErrorKind, Result};
use crate::sys::seccomp::Instruction;

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCHITECTURE: u32 = 4;
const OFFSET_ARGUMENTS: u32 = 16;

const ENOSYS: u16 = 38;
/// BPF_MAXINSNS.
const MAX_INSTRUCTIONS: usize = 4096;

/// What the kernel runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    X86_64,
    Aarch64,
}

impl Architecture {
    /// The one that this program was built for.
    pub fn native() -> Self {
        if cfg!(target_arch = "aarch64") {
            Self::Aarch64
        } else {
            Self::X86_64
        }
    }

    fn audit(self) -> u32 {
        match self {
            Self::X86_64 => 0xC000_003E,
            Self::Aarch64 => 0xC000_00B7,
        }
    }

    /// The 32-bit architecture that the same kernel runs.
    fn compat_audit(self) -> u32 {
        match self {
            Self::X86_64 => 0x4000_0003,
            Self::Aarch64 => 0x4000_0028,
        }
    }

    fn go_name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    fn numbers(self) -> &'static [(&'static str, u32)] {
        match self {
            Self::X86_64 => numbers::X86_64,
            Self::Aarch64 => numbers::AARCH64,
        }
    }
}

/// What is to be done about one number.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Return(u32),
    /// The first whose arguments fit, else the default.
    Check(Vec<(Vec<Argument>, u32)>),
}

/// Makes the program.
pub(super) fn compile(profile: &Profile, machine: &Machine) -> Result<Vec<Instruction>> {
    let default = word(profile.default);
    let answers = answers(profile, machine);
    let mut program = vec![
        plain(LOAD, OFFSET_ARCHITECTURE),
        jump(JUMP_EQUAL, machine.architecture.audit(), 3, 0),
        jump(JUMP_EQUAL, machine.architecture.compat_audit(), 0, 1),
        plain(RETURN, word(Action::Errno(ENOSYS))),
        plain(RETURN, word(Action::KillThread)),
        plain(LOAD, OFFSET_NUMBER),
    ];
    program.extend(search(&ranges(&answers, default, profile.default), default));
    if program.len() > MAX_INSTRUCTIONS {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "seccomp profile: {} instructions are too many",
                program.len()
            ),
        ));
    }
    Ok(program)
}

fn answers(profile: &Profile, machine: &Machine) -> BTreeMap<u32, Answer> {
    let mut answers: BTreeMap<u32, Answer> = BTreeMap::new();
    let table = machine.architecture.numbers();
    for rule in &profile.rules {
        let counts = counts(rule, machine);
        for name in &rule.names {
            // Names of other architectures are normal in a profile.
            let Some(number) = numbers::number(table, name) else {
                continue;
            };
            // Even a rule that does not count here names its calls: they are known, not newer.
            let answer = answers
                .entry(number)
                .or_insert_with(|| Answer::Check(Vec::new()));
            if !counts {
                continue;
            }
            match answer {
                // An answer without conditions stands.
                Answer::Return(_) => {}
                Answer::Check(_) if rule.arguments.is_empty() => {
                    *answer = Answer::Return(word(rule.action));
                }
                Answer::Check(list) => list.push((rule.arguments.clone(), word(rule.action))),
            }
        }
    }
    answers
}

fn counts(rule: &Rule, machine: &Machine) -> bool {
    let has = |cap: &u32| machine.bounding & (1 << cap) != 0;
    let here = |arch: &String| arch == machine.architecture.go_name();
    let new_enough = |conditions: &Conditions| {
        conditions
            .min_kernel
            .is_none_or(|least| machine.kernel >= least)
    };
    let (wanted, unwanted) = (&rule.includes, &rule.excludes);
    wanted.caps.iter().all(has)
        && (wanted.arches.is_empty() || wanted.arches.iter().any(here))
        && new_enough(wanted)
        && !unwanted.caps.iter().any(has)
        && !unwanted.arches.iter().any(here)
        && (unwanted.min_kernel.is_none() || !new_enough(unwanted))
}

/// First number and answer of each range, ascending, from 0 on without holes.
fn ranges(
    answers: &BTreeMap<u32, Answer>,
    default: u32,
    default_action: Action,
) -> Vec<(u32, Answer)> {
    let mut ranges: Vec<(u32, Answer)> = Vec::new();
    let mut push = |start: u32, answer: Answer| match ranges.last() {
        Some((_, last)) if *last == answer => {}
        _ => ranges.push((start, answer)),
    };
    let mut next = 0;
    for (number, answer) in answers {
        if *number > next {
            push(next, Answer::Return(default));
        }
        let answer = match answer {
            Answer::Check(list) if list.is_empty() => Answer::Return(default),
            other => other.clone(),
        };
        push(*number, answer);
        next = number + 1;
    }
    // A profile that lets everything through lets the unknown through as well.
    let newer = match default_action {
        Action::Allow | Action::Log => default,
        _ => word(Action::Errno(ENOSYS)),
    };
    push(next, Answer::Return(newer));
    ranges
}

fn search(ranges: &[(u32, Answer)], default: u32) -> Vec<Instruction> {
    match ranges {
        [] => vec![plain(RETURN, default)],
        [(_, Answer::Return(value))] => vec![plain(RETURN, *value)],
        [(_, Answer::Check(list))] => check(list, default),
        _ => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            let mut code = search(low, default);
            let start = high[0].0;
            let mut program = match u8::try_from(code.len()) {
                Ok(over) => vec![jump(JUMP_GREATER_OR_EQUAL, start, over, 0)],
                // Conditional jumps reach 255 instructions; the plain one reaches everything.
                Err(_) => vec![
                    jump(JUMP_GREATER_OR_EQUAL, start, 0, 1),
                    plain(JUMP, u32::try_from(code.len()).unwrap_or(u32::MAX)),
                ],
            };
            program.append(&mut code);
            program.extend(search(high, default));
            program
        }
    }
}

/// Where a comparison goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    Next,
    /// To the next argument.
    Pass,
    /// To the next rule.
    Fail,
}

fn check(rules: &[(Vec<Argument>, u32)], default: u32) -> Vec<Instruction> {
    let mut program = Vec::new();
    for (arguments, value) in rules {
        // Each instruction with the index at which its argument's code ends.
        let mut code: Vec<(Instruction, Goal, Goal, usize)> = Vec::new();
        for argument in arguments {
            let part = compare(*argument);
            let end = code.len() + part.len();
            code.extend(part.into_iter().map(|(i, t, f)| (i, t, f, end)));
        }
        let fail = code.len() + 1;
        for (index, (mut instruction, on_true, on_false, pass)) in code.into_iter().enumerate() {
            let offset = |goal: Goal| {
                let target = match goal {
                    Goal::Next => index + 1,
                    Goal::Pass => pass,
                    Goal::Fail => fail,
                };
                // Six arguments of six instructions each: far below 255.
                u8::try_from(target - index - 1).unwrap_or(u8::MAX)
            };
            if ![LOAD, AND].contains(&instruction.code) {
                instruction.jump_true = offset(on_true);
                instruction.jump_false = offset(on_false);
            }
            program.push(instruction);
        }
        program.push(plain(RETURN, *value));
    }
    program.push(plain(RETURN, default));
    program
}

/// A 64-bit comparison in two words, the high one first.
fn compare(argument: Argument) -> Vec<(Instruction, Goal, Goal)> {
    use Goal::{Fail, Next, Pass};
    let low_offset = OFFSET_ARGUMENTS + 8 * argument.index;
    let high_offset = low_offset + 4;
    let words = |value: u64| (high_word(value), low_word(value));
    let (high, low) = words(argument.value);
    let load = |offset| (plain(LOAD, offset), Next, Next);
    let test = |code, value, on_true, on_false| (plain(code, value), on_true, on_false);
    let ordered = |code: u16, yes: Goal, no: Goal| {
        vec![
            load(high_offset),
            test(JUMP_GREATER, high, yes, Next),
            test(JUMP_EQUAL, high, Next, no),
            load(low_offset),
            test(code, low, yes, no),
        ]
    };
    match argument.operator {
        Operator::Equal => vec![
            load(high_offset),
            test(JUMP_EQUAL, high, Next, Fail),
            load(low_offset),
            test(JUMP_EQUAL, low, Pass, Fail),
        ],
        Operator::NotEqual => vec![
            load(high_offset),
            test(JUMP_EQUAL, high, Next, Pass),
            load(low_offset),
            test(JUMP_EQUAL, low, Fail, Pass),
        ],
        Operator::GreaterOrEqual => ordered(JUMP_GREATER_OR_EQUAL, Pass, Fail),
        Operator::Greater => ordered(JUMP_GREATER, Pass, Fail),
        Operator::Less => ordered(JUMP_GREATER_OR_EQUAL, Fail, Pass),
        Operator::LessOrEqual => ordered(JUMP_GREATER, Fail, Pass),
        Operator::MaskedEqual => {
            let (wanted_high, wanted_low) = words(argument.second);
            vec![
                load(high_offset),
                (plain(AND, high), Next, Next),
                test(JUMP_EQUAL, wanted_high, Next, Fail),
                load(low_offset),
                (plain(AND, low), Next, Next),
                test(JUMP_EQUAL, wanted_low, Pass, Fail),
            ]
        }
    }
}

fn high_word(value: u64) -> u32 {
    u32::try_from(value >> 32).unwrap_or(0)
}

fn low_word(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).unwrap_or(0)
}

/// The word that the kernel wants for an action.
fn word(action: Action) -> u32 {
    match action {
        Action::Allow => 0x7fff_0000,
        Action::Errno(errno) => 0x0005_0000 | u32::from(errno),
        Action::KillThread => 0,
        Action::KillProcess => 0x8000_0000,
        Action::Trap => 0x0003_0000,
        Action::Trace(data) => 0x7ff0_0000 | u32::from(data),
        Action::Log => 0x7ffc_0000,
    }
}

fn plain(code: u16, value: u32) -> Instruction {
    jump(code, value, 0, 0)
}

fn jump(code: u16, value: u32, jump_true: u8, jump_false: u8) -> Instruction {
    Instruction {
        code,
        jump_true,
        jump_false,
        value,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{default, profile};
    use super::*;
    use crate::security::caps;

    /// Runs the program as the kernel would.
    fn run(program: &[Instruction], arch: u32, number: u32, args: [u64; 6]) -> u32 {
        let mut data = [0_u8; 64];
        data[0..4].copy_from_slice(&number.to_le_bytes());
        data[4..8].copy_from_slice(&arch.to_le_bytes());
        for (i, arg) in args.iter().enumerate() {
            data[16 + 8 * i..24 + 8 * i].copy_from_slice(&arg.to_le_bytes());
        }
        let (mut at, mut a) = (0, 0_u32);
        loop {
            let i = program[at];
            at += 1;
            let skip = |yes: bool| usize::from(if yes { i.jump_true } else { i.jump_false });
            match i.code {
                LOAD => {
                    let k = i.value as usize;
                    a = u32::from_le_bytes(data[k..k + 4].try_into().unwrap());
                }
                AND => a &= i.value,
                JUMP => at += i.value as usize,
                JUMP_EQUAL => at += skip(a == i.value),
                JUMP_GREATER => at += skip(a > i.value),
                JUMP_GREATER_OR_EQUAL => at += skip(a >= i.value),
                RETURN => return i.value,
                other => panic!("code {other}"),
            }
        }
    }

    fn machine(bounding: u64) -> Machine {
        Machine {
            architecture: Architecture::X86_64,
            kernel: (6, 18),
            bounding,
        }
    }

    fn call(program: &[Instruction], name: &str, first: u64) -> u32 {
        let number = numbers::number(numbers::X86_64, name).unwrap();
        run(program, 0xC000_003E, number, [first, 0, 0, 0, 0, 0])
    }

    const ALLOW: u32 = 0x7fff_0000;
    const EPERM: u32 = 0x0005_0001;
    const NOSYS: u32 = 0x0005_0026;

    #[test]
    fn every_allowed_name_is_allowed_and_every_other_one_is_not() {
        let program = compile(&default::profile(), &machine(caps::default_set())).unwrap();
        let allowed: Vec<String> = default::profile().rules[0].names.clone();
        for (name, _) in numbers::X86_64 {
            let answer = call(&program, name, 0);
            if allowed.iter().any(|known| known == name) {
                assert_eq!(answer, ALLOW, "{name}");
            }
        }
        for name in [
            "mount",
            "unshare",
            "keyctl",
            "io_uring_setup",
            "userfaultfd",
            "bpf",
            "reboot",
            "pivot_root",
        ] {
            assert_eq!(call(&program, name, 0), EPERM, "{name}");
        }
        for name in ["chroot", "arch_prctl", "modify_ldt", "ptrace"] {
            assert_eq!(call(&program, name, 0), ALLOW, "{name}");
        }
        assert!(program.len() < 400, "{}", program.len());
    }

    #[test]
    fn arguments_are_looked_at() {
        let program = compile(&default::profile(), &machine(caps::default_set())).unwrap();
        for (family, answer) in [
            (2, ALLOW),
            (38, EPERM),
            (39, ALLOW),
            (40, EPERM),
            (41, ALLOW),
            (1 << 32, ALLOW),
        ] {
            assert_eq!(call(&program, "socket", family), answer, "{family}");
        }
        assert_eq!(call(&program, "clone", 0x11), ALLOW);
        assert_eq!(call(&program, "clone", 0x1000_0011), EPERM);
        assert_eq!(call(&program, "clone3", 0), NOSYS);
        assert_eq!(call(&program, "personality", 0xffff_ffff), ALLOW);
        assert_eq!(call(&program, "personality", 1), EPERM);
    }

    #[test]
    fn newer_calls_and_foreign_tables_do_not_exist() {
        let program = compile(&default::profile(), &machine(caps::default_set())).unwrap();
        assert_eq!(run(&program, 0xC000_003E, 467, [0; 6]), NOSYS);
        assert_eq!(run(&program, 0xC000_003E, 0x4000_0000, [0; 6]), NOSYS);
        assert_eq!(run(&program, 0x4000_0003, 1, [0; 6]), NOSYS);
        assert_eq!(run(&program, 0xC000_00B7, 1, [0; 6]), 0);
    }

    #[test]
    fn a_capability_opens_its_calls() {
        let program = compile(&default::profile(), &machine(caps::all(40))).unwrap();
        for name in ["mount", "unshare", "clone3", "reboot", "bpf"] {
            assert_eq!(call(&program, name, 0), ALLOW, "{name}");
        }
        assert_eq!(call(&program, "clone", 0x1000_0011), ALLOW);
        assert_eq!(call(&program, "kexec_load", 0), EPERM);
    }

    #[test]
    fn a_custom_profile_may_allow_by_default() {
        let json = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
            {"names":["mkdir","nonsense"],"action":"SCMP_ACT_ERRNO","errnoRet":5},
            {"names":["kill"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":4294967306,"op":"SCMP_CMP_LE"}]}]}"#;
        let program = compile(&profile::parse(json).unwrap(), &machine(0)).unwrap();
        assert_eq!(call(&program, "mkdir", 0), 0x0005_0005);
        assert_eq!(call(&program, "kill", 1 << 32 | 10), EPERM);
        assert_eq!(call(&program, "kill", 1 << 32 | 11), ALLOW);
        assert_eq!(call(&program, "kill", u64::MAX), ALLOW);
        assert_eq!(run(&program, 0xC000_003E, 9999, [0; 6]), ALLOW);
    }

    #[test]
    fn the_other_architecture_compiles_too() {
        let machine = Machine {
            architecture: Architecture::Aarch64,
            ..machine(caps::default_set())
        };
        let program = compile(&default::profile(), &machine).unwrap();
        assert_eq!(run(&program, 0xC000_00B7, 40, [0; 6]), EPERM);
        assert_eq!(run(&program, 0xC000_00B7, 64, [0; 6]), ALLOW);
    }
}
