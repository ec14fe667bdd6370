//! Pure: image configuration + what was asked for = the record of a container.
//!
//! The rules are Docker's, field by field, with Docker's words for what is wrong. Mounts
//! come settled (volumes exist); everything else is decided here.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::record::{Health, Mount, Process, Record, Stop};
use crate::error::{Error, ErrorKind, Result};
use crate::image::Image;
use crate::image::config::{Healthcheck, RunConfig};
use crate::spec::signal;
use crate::spec::{ContainerSpec, HealthSpec, NetworkMode, Protocol, Resources, RestartPolicy};
use crate::store::id::{Id, is_valid_name};

/// Docker's default search path for programs.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// What the world adds to the two inputs.
#[derive(Debug)]
pub struct Settled {
    pub id: Id,
    pub created: Timestamp,
    /// In the order in which they are made.
    pub mounts: Vec<Mount>,
    /// The host's name, or that of the container whose network is shared.
    pub shared_hostname: Option<String>,
}

/// Refuses what no image could make right. Run before anything is created.
///
/// # Errors
/// `Invalid`, in Docker's words.
pub fn check(spec: &ContainerSpec) -> Result<()> {
    if !is_valid_name(&spec.name) {
        return Err(invalid(format!(
            "Invalid container name ({}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
            spec.name
        )));
    }
    if let Some(hostname) = &spec.hostname {
        if hostname.len() > 64 {
            return Err(invalid(format!(
                "hostname \"{hostname}\" is too long (maximum 64 bytes)"
            )));
        }
        if matches!(spec.network, NetworkMode::Container(_)) {
            return Err(invalid(
                "conflicting options: hostname and the network mode",
            ));
        }
    }
    if spec.auto_remove && spec.restart != RestartPolicy::No {
        return Err(invalid(
            "can't create 'AutoRemove' container with restart policy",
        ));
    }
    if let Some(dir) = &spec.process.working_dir
        && !dir.is_empty()
        && !dir.starts_with('/')
    {
        return Err(invalid(format!(
            "the working directory '{dir}' is invalid, it needs to be an absolute path"
        )));
    }
    for (name, _) in &spec.process.env {
        if name.is_empty() {
            return Err(invalid("invalid environment variable: ="));
        }
    }
    if let Some(text) = &spec.stop.signal {
        signal::parse(text)?;
    }
    check_mounts(spec)?;
    check_health(spec.health.as_ref())?;
    resources(&spec.resources).map(drop)
}

fn check_mounts(spec: &ContainerSpec) -> Result<()> {
    let mut seen = BTreeSet::new();
    for mount in &spec.mounts {
        let target = clean(&mount.target);
        if !mount.target.starts_with('/') {
            return Err(invalid(format!(
                "invalid mount path: '{}' mount path must be absolute",
                mount.target
            )));
        }
        if target == "/" {
            return Err(invalid(
                "invalid volume specification: destination can't be '/'",
            ));
        }
        if !seen.insert(target.clone()) {
            return Err(invalid(format!("Duplicate mount point: {target}")));
        }
    }
    Ok(())
}

fn check_health(health: Option<&HealthSpec>) -> Result<()> {
    let Some(health) = health else { return Ok(()) };
    let durations = [
        ("Interval", health.interval),
        ("Timeout", health.timeout),
        ("StartPeriod", health.start_period),
        ("StartInterval", health.start_interval),
    ];
    for (name, duration) in durations {
        if duration.is_some_and(|d| !d.is_zero() && d < Duration::from_millis(1)) {
            return Err(invalid(format!(
                "{name} in Healthcheck cannot be less than 1ms"
            )));
        }
    }
    Ok(())
}

/// Where the image declares volumes that nothing in the spec covers: each gets an anonymous one.
pub fn uncovered_volumes(image: &RunConfig, spec: &ContainerSpec) -> Vec<String> {
    let covered: BTreeSet<String> = spec.mounts.iter().map(|m| clean(&m.target)).collect();
    image
        .volumes
        .iter()
        .flat_map(|volumes| volumes.keys())
        .map(|target| clean(target))
        .filter(|target| target != "/" && !covered.contains(target))
        .collect()
}

/// The record; `check` has passed.
///
/// # Errors
/// `Invalid`, in Docker's words: no command, a bad signal or directory of the image.
pub fn record(settled: Settled, image: &Image, spec: &ContainerSpec) -> Result<Record> {
    let config = &image.config.config;
    let args = command(config, spec)?;
    let hostname = settled
        .shared_hostname
        .or_else(|| spec.hostname.clone())
        .unwrap_or_else(|| settled.id.short().to_owned());
    let mut kept = spec.clone();
    kept.resources = resources(&spec.resources)?;
    let mut labels = config.labels.clone().unwrap_or_default();
    for (key, value) in &spec.labels {
        labels.insert(key.clone(), value.clone());
    }
    kept.labels = labels;
    Ok(Record {
        name: spec.name.clone(),
        created: settled.created,
        image_id: image.id.clone(),
        layers: image.layers.clone(),
        process: Process {
            args,
            env: environment(config, spec, &hostname),
            user: non_empty(spec.process.user.as_deref(), &config.user),
            group_add: spec.process.group_add.clone(),
            cwd: working_dir(config, spec)?,
            tty: spec.process.tty,
            stdin_open: spec.process.stdin_open,
            stdin_once: spec.process.stdin_once,
            rlimits: spec.process.rlimits.clone(),
        },
        hostname,
        mounts: settled.mounts,
        health: health(config, spec.health.as_ref()),
        stop: stop(config, spec)?,
        exposed: exposed(config, spec),
        spec: kept,
        id: settled.id,
    })
}

/// Entrypoint and command. Giving either drops the image's command; `[""]` clears the entrypoint.
fn command(image: &RunConfig, spec: &ContainerSpec) -> Result<Vec<String>> {
    let asked = &spec.process;
    let entrypoint = match &asked.entrypoint {
        Some(given) if given.len() == 1 && given[0].is_empty() => Vec::new(),
        Some(given) => given.clone(),
        None => image.entrypoint.clone().unwrap_or_default(),
    };
    let command = match (&asked.command, &asked.entrypoint) {
        (Some(given), _) => given.clone(),
        (None, Some(_)) => Vec::new(),
        (None, None) => image.cmd.clone().unwrap_or_default(),
    };
    let args: Vec<String> = entrypoint.into_iter().chain(command).collect();
    if args.is_empty() || args[0].is_empty() {
        return Err(invalid("no command specified"));
    }
    Ok(args)
}

/// Docker's own variables, then what was configured: the user's entries win by name, the
/// image's follow, the last of one name stays; a name without value removes.
fn environment(image: &RunConfig, spec: &ContainerSpec, hostname: &str) -> Vec<String> {
    let mut env = vec![DEFAULT_PATH.to_owned(), format!("HOSTNAME={hostname}")];
    if spec.process.tty {
        env.push("TERM=xterm".into());
    }
    let asked = &spec.process.env;
    let set_by_user = |name: &str| asked.iter().any(|(known, _)| known == name);
    for entry in image.env.iter().flatten() {
        let (name, value) = entry
            .split_once('=')
            .map_or((entry.as_str(), None), |(n, v)| (n, Some(v)));
        if !set_by_user(name) {
            put(&mut env, name, value);
        }
    }
    for (name, value) in asked {
        put(&mut env, name, value.as_deref());
    }
    env
}

/// Replaces in place, appends, or removes.
fn put(env: &mut Vec<String>, name: &str, value: Option<&str>) {
    let place = env
        .iter()
        .position(|entry| entry.split('=').next() == Some(name));
    match (place, value) {
        (Some(place), Some(value)) => env[place] = format!("{name}={value}"),
        (Some(place), None) => {
            env.remove(place);
        }
        (None, Some(value)) => env.push(format!("{name}={value}")),
        (None, None) => {}
    }
}

fn working_dir(image: &RunConfig, spec: &ContainerSpec) -> Result<String> {
    let dir = non_empty(spec.process.working_dir.as_deref(), &image.working_dir);
    if dir.is_empty() {
        return Ok("/".into());
    }
    if !dir.starts_with('/') {
        return Err(invalid(format!(
            "the working directory '{dir}' is invalid, it needs to be an absolute path"
        )));
    }
    Ok(clean(&dir))
}

fn stop(image: &RunConfig, spec: &ContainerSpec) -> Result<Stop> {
    let text = spec
        .stop
        .signal
        .as_deref()
        .filter(|text| !text.is_empty())
        .or(image.stop_signal.as_deref().filter(|text| !text.is_empty()));
    Ok(Stop {
        signal: text.map_or(Ok(signal::TERM), signal::parse)?,
        signal_configured: text.is_some(),
        grace: Some(spec.stop.grace.unwrap_or(DEFAULT_GRACE)),
    })
}

/// The image's ports and the spec's: documented, and published ones as well.
fn exposed(image: &RunConfig, spec: &ContainerSpec) -> Vec<(u16, Protocol)> {
    let declared = image
        .exposed_ports
        .iter()
        .flat_map(|ports| ports.keys())
        .flat_map(|text| parse_exposed(text));
    let published = spec.ports.iter().map(|p| (p.container_port, p.protocol));
    let all: BTreeSet<(u16, Protocol)> = declared
        .chain(spec.expose.iter().copied())
        .chain(published)
        .collect();
    all.into_iter().collect()
}

/// `80`, `80/udp`, `8000-8010/tcp`; what cannot be read documents nothing.
fn parse_exposed(text: &str) -> Vec<(u16, Protocol)> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return Vec::new(),
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) => (first..=last).map(|port| (port, protocol)).collect(),
        _ => Vec::new(),
    }
}

/// Field by field: what the user left out or zero is the image's, then the default.
fn health(image: &RunConfig, asked: Option<&HealthSpec>) -> Option<Health> {
    let none = (HealthSpec::default(), Healthcheck::default());
    let asked = asked.unwrap_or(&none.0);
    let base = image.healthcheck.as_ref().unwrap_or(&none.1);
    let test = asked.test.as_ref().filter(|test| !test.is_empty());
    let args = health_args(test.unwrap_or(&base.test), image)?;
    let pick = |own: Option<Duration>, image: Duration, default: u64| {
        own.filter(|d| !d.is_zero())
            .or(Some(image).filter(|d| !d.is_zero()))
            .unwrap_or(Duration::from_secs(default))
    };
    Some(Health {
        args,
        interval: pick(asked.interval, base.interval, 30),
        timeout: pick(asked.timeout, base.timeout, 30),
        start_period: pick(asked.start_period, base.start_period, 0),
        start_interval: pick(asked.start_interval, base.start_interval, 5),
        retries: asked
            .retries
            .filter(|n| *n != 0)
            .or(Some(base.retries).filter(|n| *n != 0))
            .unwrap_or(3),
    })
}

fn health_args(test: &[String], image: &RunConfig) -> Option<Vec<String>> {
    match test.first().map(String::as_str) {
        Some("CMD") if test.len() > 1 => Some(test[1..].to_vec()),
        Some("CMD-SHELL") if test.len() > 1 => {
            let shell = image.shell.clone().filter(|shell| !shell.is_empty());
            let mut args = shell.unwrap_or_else(|| vec!["/bin/sh".into(), "-c".into()]);
            args.push(test[1..].join(" "));
            Some(args)
        }
        _ => None,
    }
}

/// Docker's rule for swap: unset means as much swap as memory.
fn resources(asked: &Resources) -> Result<Resources> {
    let mut resources = asked.clone();
    match (
        asked.memory_bytes.filter(|bytes| *bytes != 0),
        asked.memory_swap_bytes.filter(|bytes| *bytes != 0),
    ) {
        (Some(memory), None) => {
            resources.memory_swap_bytes = i64::try_from(memory.saturating_mul(2)).ok();
        }
        (None, Some(swap)) if swap > 0 => {
            return Err(invalid(
                "You should always set the Memory limit when using Memoryswap limit, see usage",
            ));
        }
        (Some(memory), Some(swap)) if swap > 0 && swap.unsigned_abs() < memory => {
            return Err(invalid(
                "Minimum memoryswap limit should be larger than memory limit, see usage",
            ));
        }
        _ => {}
    }
    Ok(resources)
}

fn non_empty(own: Option<&str>, image: &str) -> String {
    own.filter(|text| !text.is_empty())
        .unwrap_or(image)
        .to_owned()
}

/// `/a/./b/../c/` → `/a/c`, by the text alone.
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    format!("/{}", parts.join("/"))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::config::{Empty, ImageConfig};
    use crate::spec::{MountKind, MountSpec, ProcessSpec};

    fn image(config: RunConfig) -> Image {
        Image {
            repo_digests: Vec::new(),
            manifests: Vec::new(),
            last_tagged: None,
            id: format!("sha256:{}", "0".repeat(64)).try_into().unwrap(),
            references: vec![],
            config: ImageConfig {
                config,
                ..ImageConfig::default()
            },
            layers: vec![],
            size_bytes: 0,
            created: None,
        }
    }

    fn spec(process: ProcessSpec) -> ContainerSpec {
        ContainerSpec {
            name: "web".into(),
            process,
            ..ContainerSpec::default()
        }
    }

    fn merged(config: RunConfig, spec: &ContainerSpec) -> Result<Record> {
        check(spec)?;
        let settled = Settled {
            id: "a".repeat(64).try_into().unwrap(),
            created: Timestamp::UNIX_EPOCH,
            mounts: vec![],
            shared_hostname: None,
        };
        record(settled, &image(config), spec)
    }

    fn words(text: &str) -> Option<Vec<String>> {
        Some(text.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn an_entrypoint_of_the_user_drops_the_images_command() {
        let config = RunConfig {
            entrypoint: words("/entry"),
            cmd: words("serve now"),
            ..RunConfig::default()
        };
        let args = |entrypoint: Option<Vec<String>>, command| {
            merged(
                config.clone(),
                &spec(ProcessSpec {
                    entrypoint,
                    command,
                    ..ProcessSpec::default()
                }),
            )
            .map(|record| record.process.args.join(" "))
            .map_err(|error| error.to_string())
        };
        assert_eq!(args(None, None).unwrap(), "/entry serve now");
        assert_eq!(args(None, words("x")).unwrap(), "/entry x");
        assert_eq!(args(words("/other"), None).unwrap(), "/other");
        assert_eq!(args(Some(vec![String::new()]), words("x")).unwrap(), "x");
        assert_eq!(
            args(Some(vec![String::new()]), None).unwrap_err(),
            "no command specified"
        );
    }

    #[test]
    fn variables_of_the_user_win_and_a_bare_name_removes() {
        let config = RunConfig {
            cmd: words("x"),
            env: words("PATH=/bin A=image B=image C=image"),
            ..RunConfig::default()
        };
        let record = merged(
            config,
            &spec(ProcessSpec {
                env: vec![
                    ("B".into(), Some("user".into())),
                    ("C".into(), None),
                    ("HOSTNAME".into(), None),
                    ("D".into(), Some("1".into())),
                    ("D".into(), Some("2".into())),
                ],
                ..ProcessSpec::default()
            }),
        )
        .unwrap();
        assert_eq!(
            record.process.env,
            ["PATH=/bin", "A=image", "B=user", "D=2"]
        );
    }

    #[test]
    fn a_health_check_is_merged_field_by_field() {
        let config = RunConfig {
            cmd: words("x"),
            shell: words("/bin/bash -c"),
            healthcheck: Some(Healthcheck {
                test: vec!["CMD-SHELL".into(), "curl -f localhost".into()],
                interval: Duration::from_secs(7),
                retries: 9,
                ..Healthcheck::default()
            }),
            ..RunConfig::default()
        };
        let mut asked = spec(ProcessSpec::default());
        asked.health = Some(HealthSpec {
            timeout: Some(Duration::from_secs(2)),
            retries: Some(0),
            ..HealthSpec::default()
        });
        let health = merged(config.clone(), &asked).unwrap().health.unwrap();
        assert_eq!(health.args, ["/bin/bash", "-c", "curl -f localhost"]);
        assert_eq!(health.interval, Duration::from_secs(7));
        assert_eq!(health.timeout, Duration::from_secs(2));
        assert_eq!(health.retries, 9);
        assert_eq!(health.start_interval, Duration::from_secs(5));

        asked.health = Some(HealthSpec {
            test: Some(vec!["NONE".into()]),
            ..HealthSpec::default()
        });
        assert!(merged(config, &asked).unwrap().health.is_none());
    }

    #[test]
    fn an_images_volume_is_anonymous_unless_something_is_mounted_there() {
        let config = RunConfig {
            volumes: Some(
                [("/data/", Empty {}), ("/cache", Empty {})]
                    .map(|(k, v)| (k.to_owned(), v))
                    .into(),
            ),
            ..RunConfig::default()
        };
        let mut asked = spec(ProcessSpec::default());
        asked.mounts.push(MountSpec {
            target: "/data".into(),
            read_only: false,
            kind: MountKind::Tmpfs { options: vec![] },
        });
        assert_eq!(uncovered_volumes(&config, &asked), ["/cache"]);
        asked.mounts.push(asked.mounts[0].clone());
        assert_eq!(
            check(&asked).unwrap_err().to_string(),
            "Duplicate mount point: /data"
        );
    }

    #[test]
    fn the_images_labels_signal_and_ports_are_kept() {
        let config = RunConfig {
            cmd: words("x"),
            stop_signal: Some("SIGQUIT".into()),
            exposed_ports: Some([("80/tcp".to_owned(), Empty {})].into()),
            labels: Some([("a".to_owned(), "image".to_owned())].into()),
            working_dir: "/srv/../app".into(),
            ..RunConfig::default()
        };
        let mut asked = spec(ProcessSpec::default());
        asked.expose = vec![(53, Protocol::Udp)];
        asked.labels.insert("b".into(), "user".into());
        let record = merged(config, &asked).unwrap();
        assert_eq!(record.stop.signal, 3);
        assert!(record.stop.signal_configured);
        assert_eq!(record.exposed, [(53, Protocol::Udp), (80, Protocol::Tcp)]);
        assert_eq!(record.process.cwd, "/app");
        assert_eq!(record.spec.labels["a"], "image");
        assert_eq!(record.hostname, "aaaaaaaaaaaa");
    }

    #[test]
    fn what_cannot_be_is_refused_in_dockers_words() {
        let mut bad = spec(ProcessSpec::default());
        bad.name = "-x".into();
        assert_eq!(
            check(&bad).unwrap_err().to_string(),
            "Invalid container name (-x), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        );
        let mut bad = spec(ProcessSpec::default());
        bad.auto_remove = true;
        bad.restart = RestartPolicy::Always;
        assert_eq!(
            check(&bad).unwrap_err().to_string(),
            "can't create 'AutoRemove' container with restart policy"
        );
        let mut bad = spec(ProcessSpec::default());
        bad.resources.memory_swap_bytes = Some(1 << 20);
        assert!(check(&bad).unwrap_err().to_string().contains("Memoryswap"));
    }
}
