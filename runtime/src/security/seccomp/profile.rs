//! Pure: a profile as data, and Docker's JSON shape of it.

use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};
use crate::sys::seccomp::{FLAG_LOG, FLAG_SPEC_ALLOW};

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Allow,
    Errno(u16),
    KillThread,
    KillProcess,
    Trap,
    Trace(u16),
    Log,
}

/// How an argument is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    NotEqual,
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
    /// Argument and `value` equals `second`.
    MaskedEqual,
}

/// One comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Argument {
    pub(super) index: u32,
    pub(super) operator: Operator,
    pub(super) value: u64,
    pub(super) second: u64,
}

/// When a rule counts, or does not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    /// Capability numbers.
    pub(super) caps: Vec<u32>,
    /// Go's names: `amd64`.
    pub(super) arches: Vec<String>,
    pub(super) min_kernel: Option<(u32, u32)>,
}

/// Calls, and what happens to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) names: Vec<String>,
    pub(super) action: Action,
    /// All of them must hold.
    pub(super) arguments: Vec<Argument>,
    pub(super) includes: Conditions,
    pub(super) excludes: Conditions,
}

/// A whole profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) default: Action,
    pub(super) rules: Vec<Rule>,
    /// `None`: the profile names none.
    pub(super) flags: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonProfile {
    default_action: String,
    default_errno_ret: Option<u16>,
    #[serde(default)]
    arch_map: Option<Vec<serde_json::Value>>,
    #[serde(default)]
    architectures: Option<Vec<String>>,
    #[serde(default)]
    listener_path: Option<String>,
    #[serde(default)]
    flags: Option<Vec<String>>,
    #[serde(default)]
    syscalls: Option<Vec<JsonRule>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonRule {
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    name: Option<String>,
    action: String,
    errno_ret: Option<u16>,
    #[serde(default)]
    args: Option<Vec<JsonArgument>>,
    #[serde(default)]
    includes: Option<JsonConditions>,
    #[serde(default)]
    excludes: Option<JsonConditions>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonArgument {
    index: u32,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct JsonConditions {
    #[serde(default)]
    caps: Vec<String>,
    #[serde(default)]
    arches: Vec<String>,
    #[serde(default)]
    min_kernel: Option<String>,
}

/// Reads a profile in Docker's JSON.
pub(super) fn parse(json: &str) -> Result<Profile> {
    let profile: JsonProfile = serde_json::from_str(json)
        .map_err(|error| invalid(format!("decoding seccomp profile failed: {error}")))?;
    if profile.arch_map.as_ref().is_some_and(|map| !map.is_empty())
        && profile
            .architectures
            .as_ref()
            .is_some_and(|list| !list.is_empty())
    {
        return Err(invalid(
            "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or 'archMap'",
        ));
    }
    if profile.listener_path.is_some_and(|path| !path.is_empty()) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "seccomp profile: listenerPath is not supported",
        ));
    }
    let mut rules = Vec::new();
    for rule in profile.syscalls.unwrap_or_default() {
        rules.extend(parse_rule(rule)?);
    }
    let flags = profile.flags.filter(|flags| !flags.is_empty());
    Ok(Profile {
        default: parse_action(&profile.default_action, profile.default_errno_ret)?,
        rules,
        flags: flags.map(|flags| parse_flags(&flags)).transpose()?,
    })
}

fn parse_rule(rule: JsonRule) -> Result<Vec<Rule>> {
    let names = match rule.name {
        Some(_) if !rule.names.is_empty() => {
            return Err(invalid(
                "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'",
            ));
        }
        Some(name) => vec![name],
        None => rule.names,
    };
    let arguments = rule
        .args
        .unwrap_or_default()
        .iter()
        .map(parse_argument)
        .collect::<Result<Vec<_>>>()?;
    let template = Rule {
        names,
        action: parse_action(&rule.action, rule.errno_ret)?,
        arguments: Vec::new(),
        includes: parse_conditions(rule.includes)?,
        excludes: parse_conditions(rule.excludes)?,
    };
    // The same argument twice in one rule means "or": each comparison is a rule of its own.
    let twice = arguments.iter().enumerate().any(|(i, argument)| {
        arguments[..i]
            .iter()
            .any(|earlier| earlier.index == argument.index)
    });
    if twice {
        return Ok(arguments
            .into_iter()
            .map(|argument| Rule {
                arguments: vec![argument],
                ..template.clone()
            })
            .collect());
    }
    Ok(vec![Rule {
        arguments,
        ..template
    }])
}

fn parse_argument(argument: &JsonArgument) -> Result<Argument> {
    let operator = match argument.op.as_str() {
        "SCMP_CMP_NE" => Operator::NotEqual,
        "SCMP_CMP_LT" => Operator::Less,
        "SCMP_CMP_LE" => Operator::LessOrEqual,
        "SCMP_CMP_EQ" => Operator::Equal,
        "SCMP_CMP_GE" => Operator::GreaterOrEqual,
        "SCMP_CMP_GT" => Operator::Greater,
        "SCMP_CMP_MASKED_EQ" => Operator::MaskedEqual,
        other => {
            return Err(invalid(format!(
                "seccomp profile: unknown operator {other:?}"
            )));
        }
    };
    if argument.index > 5 {
        return Err(invalid(format!(
            "seccomp profile: argument index {} is above 5",
            argument.index
        )));
    }
    Ok(Argument {
        index: argument.index,
        operator,
        value: argument.value,
        second: argument.value_two,
    })
}

fn parse_conditions(conditions: Option<JsonConditions>) -> Result<Conditions> {
    let conditions = conditions.unwrap_or_default();
    let caps = conditions
        .caps
        .iter()
        // A capability newer than this ketch: no kernel gives it to a container of ours.
        .map(|name| crate::security::caps::number(name).unwrap_or(63))
        .collect();
    let min_kernel = match conditions.min_kernel.as_deref() {
        None | Some("") => None,
        Some(text) => {
            let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
            let number = |text: &str| {
                text.parse()
                    .map_err(|_| invalid(format!("seccomp profile: bad minKernel {text:?}")))
            };
            Some((number(major)?, number(minor)?))
        }
    };
    Ok(Conditions {
        caps,
        arches: conditions.arches,
        min_kernel,
    })
}

fn parse_action(name: &str, errno: Option<u16>) -> Result<Action> {
    const EPERM: u16 = 1;
    match name {
        "SCMP_ACT_ALLOW" => Ok(Action::Allow),
        "SCMP_ACT_ERRNO" => Ok(Action::Errno(errno.unwrap_or(EPERM))),
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Ok(Action::KillThread),
        "SCMP_ACT_KILL_PROCESS" => Ok(Action::KillProcess),
        "SCMP_ACT_TRAP" => Ok(Action::Trap),
        "SCMP_ACT_TRACE" => Ok(Action::Trace(errno.unwrap_or(EPERM))),
        "SCMP_ACT_LOG" => Ok(Action::Log),
        "SCMP_ACT_NOTIFY" => Err(Error::new(
            ErrorKind::Unsupported,
            "seccomp profile: SCMP_ACT_NOTIFY is not supported",
        )),
        other => Err(invalid(format!(
            "seccomp profile: unknown action {other:?}"
        ))),
    }
}

fn parse_flags(names: &[String]) -> Result<u32> {
    let mut flags = 0;
    for name in names {
        flags |= match name.as_str() {
            // One thread: there is nobody to synchronise.
            "SECCOMP_FILTER_FLAG_TSYNC" => 0,
            "SECCOMP_FILTER_FLAG_LOG" => FLAG_LOG,
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => FLAG_SPEC_ALLOW,
            other => return Err(invalid(format!("seccomp profile: unknown flag {other:?}"))),
        };
    }
    Ok(flags)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_argument_twice_means_or() {
        let profile = parse(
            r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"name":"personality","action":"SCMP_ACT_ALLOW",
            "args":[{"index":0,"value":0,"op":"SCMP_CMP_EQ"},{"index":0,"value":8,"op":"SCMP_CMP_EQ"}]}]}"#,
        )
        .unwrap();
        assert_eq!(profile.rules.len(), 2);
        assert_eq!(profile.default, Action::Errno(1));
    }

    #[test]
    fn contradictions_are_refused() {
        for wrong in [
            r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"archMap":[{}]}"#,
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"a","names":["b"],"action":"SCMP_ACT_LOG"}]}"#,
            r#"{"defaultAction":"SCMP_ACT_DANCE"}"#,
            "{}",
        ] {
            assert_eq!(
                parse(wrong).unwrap_err().kind(),
                ErrorKind::Invalid,
                "{wrong}"
            );
        }
    }
}
