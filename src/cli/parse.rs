//! Parsing with Compose's habits: `--flag=true`, its words for unknown flags and commands, exit code 1.

use std::ffi::OsString;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Why there is no command to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// Help was asked for: stdout, exit code 0.
    Help(String),
    /// Unknown command: help on stdout, the message on stderr.
    UnknownCommand { help: String, message: String },
    /// Anything else that is wrong.
    Usage(String),
}

/// Commands of Compose that this ketch does not have.
const NOT_YET: [&str; 13] = [
    "alpha", "attach", "bridge", "commit", "cp", "events", "export", "publish", "push", "run",
    "stats", "volumes", "watch",
];

/// Reads a command line.
pub(super) fn parse<P: Parser>(mut args: Vec<OsString>) -> Result<P, Ended> {
    loop {
        let error = match P::try_parse_from(&args) {
            Ok(parsed) => return Ok(parsed),
            Err(error) => error,
        };
        // Docker's switches take a value when it is joined with `=`; clap's take none.
        if error.kind() == ErrorKind::TooManyValues && settle_switch(&mut args, &error) {
            continue;
        }
        return Err(explain::<P>(&error));
    }
}

/// Replaces the first `--switch=true` that clap complained about, or drops `--switch=false`.
fn settle_switch(args: &mut Vec<OsString>, error: &clap::Error) -> bool {
    let (Some(flag), Some(value)) = (
        text(error, ContextKind::InvalidArg),
        text(error, ContextKind::InvalidValue),
    ) else {
        return false;
    };
    let on = match value.as_str() {
        "true" | "1" | "t" | "T" | "TRUE" | "True" => true,
        "false" | "0" | "f" | "F" | "FALSE" | "False" => false,
        _ => return false,
    };
    // The error names the switch as help does (`-d, --detach`), the line has either form.
    let names = flag.split(", ").map(|name| format!("{name}={value}"));
    let written: Vec<OsString> = names.map(OsString::from).collect();
    let Some(position) = args.iter().position(|arg| written.contains(arg)) else {
        return false;
    };
    if on {
        let name = args[position].to_string_lossy().into_owned();
        let name = name.split('=').next().unwrap_or_default().to_owned();
        args[position] = name.into();
    } else {
        args.remove(position);
    }
    true
}

fn explain<P: Parser>(error: &clap::Error) -> Ended {
    let invalid = |kind| text(error, kind).unwrap_or_default();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ended::Help(error.to_string()),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            Ended::Help(P::command().render_help().to_string())
        }
        ErrorKind::InvalidSubcommand => {
            let name = invalid(ContextKind::InvalidSubcommand);
            let message = if NOT_YET.contains(&name.as_str()) {
                format!("ketch does not have the command {name:?} yet")
            } else {
                format!("unknown docker command: \"compose {name}\"")
            };
            Ended::UnknownCommand {
                help: P::command().render_help().to_string(),
                message,
            }
        }
        ErrorKind::UnknownArgument => {
            let flag = invalid(ContextKind::InvalidArg);
            let what = if flag.starts_with("--") {
                format!("unknown flag: {flag}")
            } else if let Some(letter) = flag.strip_prefix('-') {
                format!("unknown shorthand flag: '{letter}' in -{letter}")
            } else {
                return Ended::Usage(plain(error));
            };
            let meant = match error.get(ContextKind::SuggestedArg) {
                Some(ContextValue::String(name)) => format!(" (did you mean {name}?)"),
                _ => String::new(),
            };
            let usage = match error.get(ContextKind::Usage) {
                Some(ContextValue::StyledStr(usage)) => format!("\n\n{usage}"),
                _ => String::new(),
            };
            Ended::Usage(format!("{what}{meant}{usage}"))
        }
        _ => Ended::Usage(plain(error)),
    }
}

fn plain(error: &clap::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("error: ")
        .unwrap_or(&text)
        .trim_end()
        .to_owned()
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => texts.first().cloned(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[arg(short, long)]
        detach: bool,
        #[arg(long)]
        name: Option<String>,
        rest: Vec<String>,
    }

    fn line(words: &[&str]) -> Result<Line, Ended> {
        let words = std::iter::once("ketch").chain(words.iter().copied());
        parse(words.map(OsString::from).collect())
    }

    #[test]
    fn switches_take_a_joined_value() {
        assert!(line(&["--detach=true"]).unwrap().detach);
        assert!(!line(&["--detach=false", "x"]).unwrap().detach);
        assert!(line(&["-d"]).unwrap().detach);
        assert!(line(&["--detach=maybe"]).is_err());
    }

    #[test]
    fn unknown_flags_are_named_in_composes_words() {
        let Err(Ended::Usage(message)) = line(&["--detahc"]) else {
            panic!("an unknown flag was taken");
        };
        assert!(
            message.starts_with("unknown flag: --detahc (did you mean --detach?)"),
            "{message}"
        );
        let Err(Ended::Usage(message)) = line(&["-x"]) else {
            panic!("an unknown flag was taken");
        };
        assert!(
            message.starts_with("unknown shorthand flag: 'x' in -x"),
            "{message}"
        );
    }
}
