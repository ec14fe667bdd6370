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
const NOT_YET: [&str; 5] = ["alpha", "bridge", "commit", "export", "publish"];

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
        return Err(explain::<P>(&args, &error));
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

fn explain<P: Parser>(args: &[OsString], error: &clap::Error) -> Ended {
    let invalid = |kind| text(error, kind).unwrap_or_default();
    let (argument, value) = (
        invalid(ContextKind::InvalidArg),
        invalid(ContextKind::InvalidValue),
    );
    let flag = argument.split([' ', '=']).next().unwrap_or_default();
    let command = command_of(P::command(), args, flag);
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ended::Help(error.to_string()),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            Ended::Help(error_help(command))
        }
        ErrorKind::InvalidSubcommand => {
            let name = invalid(ContextKind::InvalidSubcommand);
            if NOT_YET.contains(&name.as_str()) {
                return Ended::Usage(format!("ketch does not have the command {name:?} yet"));
            }
            let meant = meant(&command, error, ContextKind::SuggestedSubcommand);
            let message = match command.get_name() {
                "docker-compose" => format!("unknown docker command: \"compose {name}\""),
                _ => format!("unknown command: \"{} {name}\"{meant}", bin_name(&command)),
            };
            Ended::UnknownCommand {
                help: error_help(command),
                message,
            }
        }
        ErrorKind::UnknownArgument => {
            let what = if argument.starts_with("--") {
                format!("unknown flag: {argument}")
            } else if let Some(letter) = argument.strip_prefix('-') {
                format!(
                    "unknown shorthand flag: '{letter}' in {}",
                    group(args, letter)
                )
            } else {
                format!("unknown argument: {argument:?}")
            };
            let meant = meant(&command, error, ContextKind::SuggestedArg);
            with_usage(command, &format!("{what}{meant}"))
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation if value.is_empty() => {
            let what = match short_of(&command, flag) {
                Some(short) if !is_written(args, flag) => format!("'{short}' in -{short}"),
                _ => flag.to_owned(),
            };
            with_usage(command, &format!("flag needs an argument: {what}"))
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let flag = match short_of(&command, flag) {
                Some(short) => format!("-{short}, {flag}"),
                None => flag.to_owned(),
            };
            let reason = reason(error);
            let what = format!("invalid argument {value:?} for {flag:?} flag: {reason}");
            with_usage(command, &what)
        }
        ErrorKind::MissingRequiredArgument | ErrorKind::TooFewValues => {
            let number = required(&command);
            let s = if number == 1 { "" } else { "s" };
            let name = bin_name(&command);
            with_usage(
                command,
                &format!("{name:?} requires at least {number} argument{s}."),
            )
        }
        _ => Ended::Usage(plain(error)),
    }
}

/// The command that the line is about, up to this flag when it stands there.
fn command_of(mut command: clap::Command, args: &[OsString], flag: &str) -> clap::Command {
    command.build();
    let mut words = args.iter().skip(1).map(|word| word.to_string_lossy());
    while let Some(word) = words.next() {
        if word.split('=').next() == Some(flag) {
            break;
        }
        if takes_next(&command, &word) {
            words.next();
        } else if let Some(found) = command.find_subcommand(word.as_ref()) {
            command = found.clone();
        }
    }
    command
}

/// Whether this word is a flag whose value is the next word.
fn takes_next(command: &clap::Command, word: &str) -> bool {
    let mut flags = command.get_arguments();
    let found = match (word.strip_prefix("--"), word.strip_prefix('-')) {
        (Some(long), _) => flags.find(|flag| flag.get_long() == Some(long)),
        (None, Some(short)) => flags.find(|flag| {
            let letter = flag.get_short().map(String::from);
            letter.as_deref() == Some(short)
        }),
        (None, None) => None,
    };
    found.is_some_and(|flag| flag.get_action().takes_values())
}

fn bin_name(command: &clap::Command) -> String {
    let name = command.get_bin_name();
    name.unwrap_or_else(|| command.get_name()).to_owned()
}

fn error_help(mut command: clap::Command) -> String {
    command.render_help().to_string()
}

/// What is wrong, then how the command is called, as Docker prints it.
fn with_usage(mut command: clap::Command, what: &str) -> Ended {
    let usage = command.render_usage().to_string().replace("]...", "...]");
    let usage = usage.trim_start_matches("Usage:").trim();
    let name = bin_name(&command);
    Ended::Usage(format!(
        "{what}\n\nUsage:  {usage}\n\nRun '{name} --help' for more information"
    ))
}

/// ` (did you mean --detach?)`; what help does not show is not meant.
fn meant(command: &clap::Command, error: &clap::Error, kind: ContextKind) -> String {
    let Some(name) = text(error, kind) else {
        return String::new();
    };
    let is_hidden = command
        .get_arguments()
        .any(|flag| flag.is_hide_set() && flag.get_long() == name.strip_prefix("--"));
    if is_hidden {
        return String::new();
    }
    format!(" (did you mean {name}?)")
}

/// The word of joined short flags that holds this letter: `-dx`.
fn group(args: &[OsString], letter: &str) -> String {
    let words = args.iter().skip(1).map(|word| word.to_string_lossy());
    let mut words = words.filter(|word| word.starts_with('-') && !word.starts_with("--"));
    let found = words.find(|word| word.contains(letter));
    found.map_or_else(|| format!("-{letter}"), std::borrow::Cow::into_owned)
}

/// The letter of a flag, when it has one.
fn short_of(command: &clap::Command, flag: &str) -> Option<char> {
    let long = flag.strip_prefix("--")?;
    let mut flags = command.get_arguments();
    flags
        .find(|flag| flag.get_long() == Some(long))?
        .get_short()
}

/// Whether the line has this very flag.
fn is_written(args: &[OsString], flag: &str) -> bool {
    let words = args.iter().map(|word| word.to_string_lossy());
    words
        .into_iter()
        .any(|word| word.split('=').next() == Some(flag))
}

/// Why a value is refused.
fn reason(error: &clap::Error) -> String {
    use std::error::Error as _;
    if let Some(ContextValue::Strings(known)) = error.get(ContextKind::ValidValue) {
        return format!("must be one of: {}", known.join(", "));
    }
    let source = error.source().map(ToString::to_string);
    source.unwrap_or_else(|| "invalid syntax".into())
}

/// How many words a command needs at least.
fn required(command: &clap::Command) -> usize {
    let positionals = command
        .get_positionals()
        .filter(|arg| arg.is_required_set());
    let least = positionals.map(|arg| arg.get_num_args().map_or(1, |range| range.min_values()));
    least.sum()
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
    #[command(name = "ketch")]
    struct Line {
        #[arg(short, long)]
        detach: bool,
        #[arg(long)]
        name: Option<String>,
        #[arg(short, long)]
        times: Option<u32>,
        #[arg(long, hide = true)]
        root: bool,
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
        let Err(Ended::Usage(message)) = line(&["-dx"]) else {
            panic!("an unknown flag was taken");
        };
        assert!(
            message.starts_with("unknown shorthand flag: 'x' in -dx"),
            "{message}"
        );
    }

    #[test]
    fn what_is_wrong_stands_above_the_plain_usage() {
        let said = |words: &[&str]| match line(words) {
            Err(Ended::Usage(message)) => message,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            said(&["-d", "--foo"]),
            "unknown flag: --foo\n\nUsage:  ketch [OPTIONS] [REST...]\n\nRun 'ketch --help' for more information"
        );
        assert!(said(&["--name"]).starts_with("flag needs an argument: --name\n"));
        assert!(said(&["-t"]).starts_with("flag needs an argument: 't' in -t\n"));
        // A flag that help hides is not what was meant.
        assert!(said(&["--rot"]).starts_with("unknown flag: --rot\n"));
        let number = said(&["--times", "abc"]);
        assert!(
            number.starts_with(
                "invalid argument \"abc\" for \"-t, --times\" flag: invalid digit found"
            ),
            "{number}"
        );
    }
}
