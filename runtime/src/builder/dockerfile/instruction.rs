//! Pure: one joined line → a typed instruction.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::ParseError;
use super::lines::{Heredoc, Line, is_json_list, opener};
use super::words;

/// A value and the lines it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Located<T> {
    pub value: T,
    pub lines: RangeInclusive<u32>,
    /// The instruction as one line, for progress and history.
    pub text: String,
}

/// From one `FROM` to the next.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    pub from: From,
    pub lines: RangeInclusive<u32>,
    pub instructions: Vec<Located<Instruction>>,
}

/// `FROM [--platform=P] base [AS name]`; base and platform are not expanded yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    pub base: String,
    pub platform: Option<String>,
    /// In lower case.
    pub name: Option<String>,
}

/// One instruction. Nothing is expanded yet.
#[derive(Debug, Clone, PartialEq)]
pub enum Instruction {
    From(From),
    Arg(Vec<(String, Option<String>)>),
    Env(Vec<(String, String)>),
    Label(Vec<(String, String)>),
    Run(Run),
    Copy(Copy),
    Workdir(String),
    User(String),
    Volume(Vec<String>),
    /// The words, sorted.
    Expose(Vec<String>),
    Cmd(Command),
    Entrypoint(Command),
    Healthcheck(Health),
    Shell(Vec<String>),
    StopSignal(String),
    /// The trigger, as written.
    OnBuild(String),
    Maintainer(String),
}

/// A command as text for a shell or as an argument vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Shell(String),
    Exec(Vec<String>),
}

/// `RUN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub command: Command,
    pub heredocs: Vec<Heredoc>,
    /// `--mount` values, as written.
    pub mounts: Vec<String>,
    /// `default`, `none` or `host`.
    pub network: Option<String>,
}

/// `COPY` or `ADD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// `ADD` also unpacks archives.
    pub is_add: bool,
    pub sources: Vec<String>,
    pub heredocs: Vec<Heredoc>,
    pub destination: String,
    pub from: Option<String>,
    pub chown: Option<String>,
    pub chmod: Option<String>,
    pub link: bool,
    pub parents: bool,
    pub excludes: Vec<String>,
    pub unpack: Option<bool>,
}

/// `HEALTHCHECK`; absent fields are the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// `[NONE]`, `[CMD, …]`, `[CMD-SHELL, text]`.
    pub test: Vec<String>,
    pub interval: Duration,
    pub timeout: Duration,
    pub start_period: Duration,
    pub start_interval: Duration,
    pub retries: u32,
}

const KEYWORDS: &[&str] = &[
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Types one line.
///
/// # Errors
/// What the grammar refuses, with the line's range.
pub fn parse(line: &Line, escape: char) -> Result<Located<Instruction>, ParseError> {
    let fail = |message: String| ParseError::new(line.lines.clone(), message);
    if !KEYWORDS.contains(&line.keyword.as_str()) {
        let mut error = fail(format!("unknown instruction: {}", line.keyword));
        error.hint = nearest(&line.keyword, KEYWORDS).map(|word| format!("did you mean {word}?"));
        return Err(error);
    }
    let mut flags = Flags::parse(line)?;
    let value = typed(line, &mut flags, escape).map_err(fail)?;
    flags.finish()?;
    let mut text = line.keyword.clone();
    for word in line
        .flags
        .iter()
        .map(String::as_str)
        .chain([line.rest.as_str()])
    {
        if !word.is_empty() {
            text.push(' ');
            text.push_str(word);
        }
    }
    Ok(Located {
        value,
        lines: line.lines.clone(),
        text,
    })
}

fn typed(line: &Line, flags: &mut Flags, escape: char) -> Result<Instruction, String> {
    let keyword = line.keyword.as_str();
    let rest = line.rest.as_str();
    let exactly_one = || match rest {
        "" => Err(format!("{keyword} requires exactly one argument")),
        text => Ok(text.to_owned()),
    };
    Ok(match keyword {
        "FROM" => Instruction::From(parse_from(rest, flags.take("platform")?)?),
        "ARG" => Instruction::Arg(parse_arg(rest, escape)?),
        "ENV" => Instruction::Env(pairs("ENV", rest, escape)?),
        "LABEL" => Instruction::Label(pairs("LABEL", rest, escape)?),
        "RUN" => Instruction::Run(parse_run(line, flags)?),
        "COPY" | "ADD" => Instruction::Copy(parse_copy(line, flags)?),
        "WORKDIR" => Instruction::Workdir(exactly_one()?),
        "USER" => Instruction::User(exactly_one()?),
        "STOPSIGNAL" => Instruction::StopSignal(exactly_one()?),
        "MAINTAINER" => Instruction::Maintainer(exactly_one()?),
        "VOLUME" => Instruction::Volume(parse_volume(rest)?),
        "EXPOSE" => {
            let mut words: Vec<String> = rest.split_whitespace().map(str::to_owned).collect();
            if words.is_empty() {
                return Err("EXPOSE requires at least one argument".into());
            }
            words.sort();
            Instruction::Expose(words)
        }
        "CMD" => Instruction::Cmd(command(rest)?),
        "ENTRYPOINT" => Instruction::Entrypoint(command(rest)?),
        "HEALTHCHECK" => Instruction::Healthcheck(parse_health(rest, flags)?),
        "SHELL" => match command(rest)? {
            Command::Exec(words) if !words.is_empty() => Instruction::Shell(words),
            _ if rest.is_empty() => return Err("SHELL requires at least one argument".into()),
            _ => return Err("SHELL requires the arguments to be in JSON form".into()),
        },
        _ => Instruction::OnBuild(parse_onbuild(line)?),
    })
}

/// The flags of one instruction, taken one by one; what remains is unknown.
struct Flags<'a> {
    line: &'a Line,
    left: Vec<(&'a str, Option<&'a str>)>,
    known: Vec<&'static str>,
}

impl<'a> Flags<'a> {
    fn parse(line: &'a Line) -> Result<Self, ParseError> {
        let mut left: Vec<(&str, Option<&str>)> = Vec::new();
        for flag in &line.flags {
            let flag = &flag[2..];
            let (name, value) = flag
                .split_once('=')
                .map_or((flag, None), |(name, value)| (name, Some(value)));
            let repeats = matches!(name, "mount" | "device" | "exclude");
            if !repeats && left.iter().any(|(other, _)| *other == name) {
                let message = format!("duplicate flag specified: --{name}");
                return Err(ParseError::new(line.lines.clone(), message));
            }
            left.push((name, value));
        }
        Ok(Self {
            line,
            left,
            known: Vec::new(),
        })
    }

    fn take(&mut self, name: &'static str) -> Result<Option<String>, String> {
        Ok(self.take_all(name)?.pop())
    }

    fn take_all(&mut self, name: &'static str) -> Result<Vec<String>, String> {
        self.known.push(name);
        let mut values = Vec::new();
        for (_, value) in self.left.extract_if(.., |(other, _)| *other == name) {
            match value {
                Some(value) => values.push(value.to_owned()),
                None => return Err(format!("missing a value on flag: --{name}")),
            }
        }
        Ok(values)
    }

    fn take_bool(&mut self, name: &'static str) -> Result<Option<bool>, String> {
        self.known.push(name);
        let Some(at) = self.left.iter().position(|(other, _)| *other == name) else {
            return Ok(None);
        };
        match self
            .left
            .remove(at)
            .1
            .map(str::to_ascii_lowercase)
            .as_deref()
        {
            None | Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some("") => Err(format!("missing a value on flag: --{name}")),
            Some(other) => Err(format!(
                "expecting boolean value for flag --{name}, not: {other}"
            )),
        }
    }

    fn finish(self) -> Result<(), ParseError> {
        let Some((name, _)) = self.left.first() else {
            return Ok(());
        };
        let mut error = ParseError::new(self.line.lines.clone(), format!("unknown flag: --{name}"));
        error.hint = nearest(name, &self.known).map(|known| format!("did you mean {known}?"));
        Err(error)
    }
}

fn parse_from(rest: &str, platform: Option<String>) -> Result<From, String> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let (base, name) = match words.as_slice() {
        [base] => (*base, None),
        [base, as_word, name] if as_word.eq_ignore_ascii_case("as") => {
            (*base, Some(name.to_ascii_lowercase()))
        }
        _ => return Err("FROM requires either one or three arguments".into()),
    };
    if let Some(name) = &name {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
        if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(fits) {
            return Err(format!(
                "invalid name for build stage: \"{name}\", name can't start with a number or contain symbols"
            ));
        }
    }
    Ok(From {
        base: base.to_owned(),
        platform,
        name,
    })
}

fn parse_arg(rest: &str, escape: char) -> Result<Vec<(String, Option<String>)>, String> {
    let words = words::split(rest, escape);
    if words.is_empty() {
        return Err("ARG requires at least one argument".into());
    }
    words
        .into_iter()
        .map(|word| match word.split_once('=') {
            Some(("", _)) => Err("ARG names can not be blank".into()),
            Some((name, value)) => Ok((name.to_owned(), Some(value.to_owned()))),
            None => Ok((word, None)),
        })
        .collect()
}

/// `K=V …`, or the legacy `K rest of the line`.
fn pairs(keyword: &str, rest: &str, escape: char) -> Result<Vec<(String, String)>, String> {
    let words = words::split(rest, escape);
    let Some(first) = words.first() else {
        return Err(format!("{keyword} requires at least one argument"));
    };
    if !first.contains('=') {
        let (name, value) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        if value.trim().is_empty() {
            return Err(format!("{keyword} must have two arguments"));
        }
        return Ok(vec![(name.to_owned(), value.trim_start().to_owned())]);
    }
    words
        .iter()
        .map(|word| match word.split_once('=') {
            Some(("", _)) => Err(format!("{keyword} names can not be blank")),
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Err(format!(
                "Syntax error - can't find = in \"{word}\". Must be of the form: name=value"
            )),
        })
        .collect()
}

/// A JSON list of strings is an argument vector, everything else is text for the shell.
fn command(rest: &str) -> Result<Command, String> {
    match json_list(rest)? {
        Some(words) => Ok(Command::Exec(words)),
        None => Ok(Command::Shell(rest.to_owned())),
    }
}

fn json_list(rest: &str) -> Result<Option<Vec<String>>, String> {
    if !is_json_list(rest) {
        return Ok(None);
    }
    serde_json::from_str(rest).map(Some).map_err(|_| {
        "when using JSON array syntax, arrays must be comprised of strings only".into()
    })
}

fn list_or_words(rest: &str) -> Result<Vec<String>, String> {
    let words = || {
        rest.split(['\t', '\u{b}', '\u{c}', '\r', ' '])
            .filter(|word| !word.is_empty())
    };
    Ok(json_list(rest)?.unwrap_or_else(|| words().map(str::to_owned).collect()))
}

fn parse_volume(rest: &str) -> Result<Vec<String>, String> {
    let paths: Vec<String> = list_or_words(rest)?
        .iter()
        .map(|path| path.trim().to_owned())
        .collect();
    if paths.is_empty() {
        return Err("VOLUME requires at least one argument".into());
    }
    if paths.iter().any(String::is_empty) {
        return Err("VOLUME specified can not be an empty string".into());
    }
    Ok(paths)
}

fn parse_run(line: &Line, flags: &mut Flags) -> Result<Run, String> {
    let run = Run {
        command: command(&line.rest)?,
        heredocs: line.heredocs.clone(),
        mounts: flags.take_all("mount")?,
        network: flags.take("network")?,
    };
    match flags.take("security")?.as_deref() {
        None | Some("sandbox") => {}
        Some(other) => return Err(format!("security mode {other:?} is not supported")),
    }
    if matches!(&run.command, Command::Shell(text) if text.is_empty()) {
        return Err("RUN requires at least one argument".into());
    }
    if let Some(network) = run
        .network
        .as_deref()
        .filter(|mode| !["default", "none", "host"].contains(mode))
    {
        return Err(format!("invalid network mode {network:?}"));
    }
    Ok(run)
}

fn parse_copy(line: &Line, flags: &mut Flags) -> Result<Copy, String> {
    let is_add = line.keyword == "ADD";
    let mut words = list_or_words(&line.rest)?;
    if words.len() < 2 {
        let message = "requires at least two arguments, but only one was provided. Destination could not be determined";
        return Err(format!("{} {message}", line.keyword));
    }
    let destination = words.pop().expect("two words or more");
    let is_json = is_json_list(&line.rest);
    if !is_json && opener(&destination).is_some() {
        return Err(format!(
            "{} cannot accept a heredoc as a destination",
            line.keyword
        ));
    }
    words.retain(|word| is_json || opener(word).is_none());
    Ok(Copy {
        is_add,
        sources: words,
        heredocs: line.heredocs.clone(),
        destination,
        from: if is_add { None } else { flags.take("from")? },
        chown: flags.take("chown")?,
        chmod: flags.take("chmod")?,
        link: flags.take_bool("link")?.unwrap_or(false),
        parents: if is_add {
            false
        } else {
            flags.take_bool("parents")?.unwrap_or(false)
        },
        excludes: flags.take_all("exclude")?,
        unpack: if is_add {
            flags.take_bool("unpack")?
        } else {
            None
        },
    })
}

fn parse_health(rest: &str, flags: &mut Flags) -> Result<Health, String> {
    let mut health = Health::default();
    for (flag, field) in [
        ("interval", &mut health.interval),
        ("timeout", &mut health.timeout),
        ("start-period", &mut health.start_period),
        ("start-interval", &mut health.start_interval),
    ] {
        if let Some(text) = flags.take(flag)? {
            *field = duration(&text)?;
            if !field.is_zero() && *field < Duration::from_millis(1) {
                return Err(format!("Interval \"{flag}\" cannot be less than 1ms"));
            }
        }
    }
    if let Some(text) = flags.take("retries")? {
        health.retries = text
            .parse()
            .map_err(|_| format!("invalid retries {text:?}"))?;
    }
    let (kind, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let rest = rest.trim();
    health.test = match kind.to_ascii_uppercase().as_str() {
        "" => return Err("HEALTHCHECK requires at least one argument".into()),
        "NONE" if rest.is_empty() => vec!["NONE".into()],
        "NONE" => return Err("HEALTHCHECK NONE takes no arguments".into()),
        "CMD" if rest.is_empty() => return Err("Missing command after HEALTHCHECK CMD".into()),
        "CMD" => match command(rest)? {
            Command::Shell(text) => vec!["CMD-SHELL".into(), text],
            Command::Exec(words) => std::iter::once("CMD".to_owned()).chain(words).collect(),
        },
        _ => return Err(format!("Unknown type \"{kind}\" in HEALTHCHECK (try CMD)")),
    };
    Ok(health)
}

fn parse_onbuild(line: &Line) -> Result<String, String> {
    let keyword = line
        .rest
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_ascii_uppercase();
    match keyword.as_str() {
        "" => Err("ONBUILD requires at least one argument".into()),
        "ONBUILD" => Err("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".into()),
        "FROM" | "MAINTAINER" => Err(format!("{keyword} isn't allowed as an ONBUILD trigger")),
        _ => {
            let mut text = line.rest.clone();
            for heredoc in &line.heredocs {
                text = format!("{text}\n{}{}", heredoc.body, heredoc.name);
            }
            Ok(text)
        }
    }
}

/// Go's durations: `1h2m3.5s`, `100ms`, `0`.
fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: &[(&str, f64)] = &[
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    let invalid = || format!("time: invalid duration \"{text}\"");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        if end == 0 {
            return Err(format!("time: missing unit in duration \"{text}\""));
        }
        let unit = &rest[..end];
        let (_, factor) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(|| format!("time: unknown unit \"{unit}\" in duration \"{text}\""))?;
        seconds += number * factor;
        rest = &rest[end..];
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| invalid())
}

/// The candidate that differs least, when it differs little.
fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let distance = |a: &str, b: &str| -> usize {
        let b: Vec<char> = b.chars().collect();
        let mut row: Vec<usize> = (0..=b.len()).collect();
        for (i, x) in a.chars().enumerate() {
            let mut diagonal = row[0];
            row[0] = i + 1;
            for (j, y) in b.iter().enumerate() {
                let substitution = diagonal + usize::from(x != *y);
                diagonal = row[j + 1];
                row[j + 1] = substitution.min(row[j] + 1).min(row[j + 1] + 1);
            }
        }
        row[b.len()]
    };
    let best = candidates
        .iter()
        .min_by_key(|candidate| distance(word, candidate))?;
    (distance(word, best) <= 2).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::super::parse as parse_file;
    use super::*;

    fn one(text: &str) -> Result<Instruction, String> {
        let file = parse_file(&format!("FROM x\n{text}\n")).map_err(|error| error.message)?;
        Ok(file.stages[0].instructions[0].value.clone())
    }

    #[test]
    fn env_takes_pairs_or_the_legacy_form() {
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        assert_eq!(
            one(r#"ENV A=1 B="x y" C=z\ w"#),
            Ok(Instruction::Env(vec![
                pair("A", "1"),
                pair("B", "\"x y\""),
                pair("C", r"z\ w")
            ]))
        );
        assert_eq!(
            one("ENV A some text = x"),
            Ok(Instruction::Env(vec![pair("A", "some text = x")]))
        );
        assert_eq!(one("ENV A"), Err("ENV must have two arguments".into()));
        assert!(
            one("ENV A=1 B")
                .unwrap_err()
                .starts_with("Syntax error - can't find = in \"B\"")
        );
    }

    #[test]
    fn commands_are_json_or_text() {
        assert_eq!(
            one(r#"CMD ["a", "b"]"#),
            Ok(Instruction::Cmd(Command::Exec(vec![
                "a".into(),
                "b".into()
            ])))
        );
        assert_eq!(
            one("CMD ['a']"),
            Ok(Instruction::Cmd(Command::Shell("['a']".into())))
        );
        assert!(
            one("CMD [1]")
                .unwrap_err()
                .contains("comprised of strings only")
        );
        assert_eq!(
            one("SHELL bash -c"),
            Err("SHELL requires the arguments to be in JSON form".into())
        );
    }

    #[test]
    fn copy_knows_its_flags() {
        let Ok(Instruction::Copy(copy)) = one("COPY --from=b --chown=1:2 --link a b /d/") else {
            panic!()
        };
        assert_eq!(
            (copy.from.as_deref(), copy.link, copy.sources.len()),
            (Some("b"), true, 2)
        );
        assert_eq!(one("COPY --form=b a b"), Err("unknown flag: --form".into()));
        assert!(
            one("COPY a")
                .unwrap_err()
                .starts_with("COPY requires at least two arguments")
        );
        assert_eq!(one("ADD --from=b a b"), Err("unknown flag: --from".into()));
        assert_eq!(
            one("COPY --link=maybe a b"),
            Err("expecting boolean value for flag --link, not: maybe".into())
        );
    }

    #[test]
    fn health_checks_have_units() {
        let Ok(Instruction::Healthcheck(health)) =
            one("HEALTHCHECK --interval=1m30s --retries=2 CMD curl x")
        else {
            panic!()
        };
        assert_eq!(health.interval, Duration::from_secs(90));
        assert_eq!(health.test, ["CMD-SHELL", "curl x"]);
        assert_eq!(
            one("HEALTHCHECK --interval=30 CMD x"),
            Err("time: missing unit in duration \"30\"".into())
        );
        assert_eq!(
            one("HEALTHCHECK FOO x"),
            Err("Unknown type \"FOO\" in HEALTHCHECK (try CMD)".into())
        );
    }

    #[test]
    fn stage_names_are_checked() {
        assert!(
            parse_file("FROM a AS 1x\n")
                .unwrap_err()
                .message
                .starts_with("invalid name for build stage")
        );
        assert_eq!(
            parse_file("FROM a b\n").unwrap_err().message,
            "FROM requires either one or three arguments"
        );
    }
}
