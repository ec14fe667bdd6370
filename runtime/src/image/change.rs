//! Pure: `--change` of `import` and `commit`: a Dockerfile instruction on a configuration.

use std::time::Duration;

use super::config::{Empty, Healthcheck, ImageConfig};
use crate::error::{Error, ErrorKind, Result};

/// Carries out one instruction: `CMD ["sh"]`, `ENV A=b C=d`, `USER www`.
pub fn apply(image: &mut ImageConfig, instruction: &str) -> Result<()> {
    let text = instruction.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    let refused = |why: &str| {
        Error::new(
            ErrorKind::Invalid,
            format!("invalid change {instruction:?}: {why}"),
        )
    };
    if rest.is_empty() {
        return Err(refused("needs an argument"));
    }
    let config = &mut image.config;
    match word.to_ascii_uppercase().as_str() {
        "CMD" => config.cmd = Some(command(rest)),
        "ENTRYPOINT" => config.entrypoint = Some(command(rest)),
        "USER" => rest.clone_into(&mut config.user),
        "STOPSIGNAL" => config.stop_signal = Some(rest.to_owned()),
        "WORKDIR" => config.working_dir = joined(&config.working_dir, rest),
        "ONBUILD" => config
            .on_build
            .get_or_insert_default()
            .push(rest.to_owned()),
        "ENV" => {
            for (name, value) in pairs(rest).ok_or_else(|| refused("must be NAME=value"))? {
                let env = config.env.get_or_insert_default();
                let prefix = format!("{name}=");
                let line = format!("{prefix}{value}");
                match env.iter_mut().find(|line| line.starts_with(&prefix)) {
                    Some(old) => *old = line,
                    None => env.push(line),
                }
            }
        }
        "LABEL" => {
            let pairs = pairs(rest).ok_or_else(|| refused("must be name=value"))?;
            config.labels.get_or_insert_default().extend(pairs);
        }
        "EXPOSE" => {
            for port in words(rest).ok_or_else(|| refused("unfinished quote"))? {
                let port = normal_port(&port).ok_or_else(|| refused("invalid port"))?;
                config
                    .exposed_ports
                    .get_or_insert_default()
                    .insert(port, Empty {});
            }
        }
        "VOLUME" => {
            let paths = match json_list(rest) {
                Some(paths) => paths,
                None => words(rest).ok_or_else(|| refused("unfinished quote"))?,
            };
            for path in paths {
                config
                    .volumes
                    .get_or_insert_default()
                    .insert(path, Empty {});
            }
        }
        "HEALTHCHECK" => {
            config.healthcheck =
                Some(healthcheck(rest).ok_or_else(|| refused("invalid health check"))?);
        }
        _ => return Err(refused("not an instruction that changes a configuration")),
    }
    Ok(())
}

/// A JSON list as it is; anything else is for the shell.
fn command(text: &str) -> Vec<String> {
    json_list(text).unwrap_or_else(|| vec!["/bin/sh".into(), "-c".into(), text.to_owned()])
}

fn json_list(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok()
}

/// `a=b c="d e"`, or the old form `NAME all the rest`.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let words = words(text)?;
    if !words.first()?.contains('=') {
        let (name, value) = text.split_once(char::is_whitespace)?;
        return Some(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    words
        .iter()
        .map(|word| {
            let (name, value) = word.split_once('=')?;
            (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
        })
        .collect()
}

/// Words with quotes and backslashes taken away; `None` when a quote stays open.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), character) if character == open => quote = None,
            (Some('"') | None, '\\') => {
                word.get_or_insert_default().extend(characters.next());
            }
            (None, '"' | '\'') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, character) if character.is_whitespace() => words.extend(word.take()),
            (_, character) => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// `80` → `80/tcp`.
fn normal_port(text: &str) -> Option<String> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    let is_port = |text: &str| text.parse::<u16>().is_ok_and(|port| port > 0);
    let is_valid = matches!(protocol.as_str(), "tcp" | "udp" | "sctp")
        && match ports.split_once('-') {
            Some((first, last)) => is_port(first) && is_port(last),
            None => is_port(ports),
        };
    is_valid.then(|| format!("{ports}/{protocol}"))
}

fn joined(directory: &str, path: &str) -> String {
    let whole = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("{directory}/{path}")
    };
    let mut names: Vec<&str> = Vec::new();
    for name in whole.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    format!("/{}", names.join("/"))
}

/// `NONE`, or `[--interval=5s …] CMD …`.
fn healthcheck(text: &str) -> Option<Healthcheck> {
    let mut health = Healthcheck::default();
    let mut rest = text;
    while let Some(option) = rest.strip_prefix("--") {
        let (option, after) = option.split_once(char::is_whitespace)?;
        rest = after.trim_start();
        let (name, value) = option.split_once('=')?;
        match name {
            "interval" => health.interval = duration(value)?,
            "timeout" => health.timeout = duration(value)?,
            "start-period" => health.start_period = duration(value)?,
            "start-interval" => health.start_interval = duration(value)?,
            "retries" => health.retries = value.parse().ok()?,
            _ => return None,
        }
    }
    let (word, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    match word.to_ascii_uppercase().as_str() {
        "NONE" if command.is_empty() => health.test = vec!["NONE".into()],
        "CMD" if !command.is_empty() => {
            health.test = match json_list(command) {
                Some(list) => [vec!["CMD".to_owned()], list].concat(),
                None => vec!["CMD-SHELL".into(), command.trim().to_owned()],
            };
        }
        _ => return None,
    }
    Some(health)
}

/// Go's form: `1m30s`, `500ms`, `1.5h`.
fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits =
            rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest
            .find(|character: char| character.is_ascii_digit() || character == '.')
            .unwrap_or(rest.len());
        let seconds = match &rest[..unit] {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total += Duration::try_from_secs_f64(number * seconds).ok()?;
        rest = &rest[unit..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(changes: &[&str]) -> String {
        let mut image = ImageConfig::default();
        for change in changes {
            if let Err(error) = apply(&mut image, change) {
                return error.to_string();
            }
        }
        serde_json::to_string(&image.config).unwrap()
    }

    #[test]
    fn each_instruction_lands_in_its_field() {
        assert_eq!(
            changed(&[
                r#"CMD ["sh", "-l"]"#,
                "entrypoint exec x",
                r#"ENV A=1 B="two words" A=3"#,
                "ENV C the rest of it",
                "EXPOSE 80 53/udp",
                "LABEL a=b",
                "USER www",
                r#"VOLUME ["/data"]"#,
                "WORKDIR /a",
                "WORKDIR b/../c",
            ]),
            r#"{"User":"www","ExposedPorts":{"80/tcp":{},"53/udp":{}},"#.to_owned()
                + r#""Env":["A=3","B=two words","C=the rest of it"],"#
                + r#""Entrypoint":["/bin/sh","-c","exec x"],"Cmd":["sh","-l"],"#
                + r#""Volumes":{"/data":{}},"WorkingDir":"/a/c","Labels":{"a":"b"}}"#
        );
    }

    #[test]
    fn a_health_check_keeps_its_options() {
        let health = healthcheck("--interval=1m30s --retries=2 CMD curl -f x").unwrap();
        assert_eq!(health.interval, Duration::from_secs(90));
        assert_eq!(health.retries, 2);
        assert_eq!(health.test, ["CMD-SHELL", "curl -f x"]);
        assert_eq!(healthcheck("NONE").unwrap().test, ["NONE"]);
        assert!(healthcheck("--intervall=1s CMD x").is_none());
    }

    #[test]
    fn what_changes_no_configuration_is_refused() {
        assert!(changed(&["RUN make"]).contains("not an instruction"));
        assert!(changed(&["CMD"]).contains("needs an argument"));
        assert!(changed(&["EXPOSE 0"]).contains("invalid port"));
    }
}
