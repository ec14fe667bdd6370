//! Pure: a service → the spec of its containers.

use ketch_runtime::spec::{
    ContainerSpec, HealthSpec, LogSpec, ProcessSpec, RestartPolicy, StopSpec,
};

use super::{Context, image_name, mounts, networks, ports, resources, security};
use crate::diag::Diagnostic;
use crate::model::{HealthCheck, RestartPolicySpec};

/// Everything but the name and the labels.
pub(super) fn lower_container(context: &mut Context<'_>) -> ContainerSpec {
    let service = context.service;
    ContainerSpec {
        name: String::new(),
        image: image_name(context.project, service),
        process: lower_process(context),
        hostname: service.hostname.clone(),
        domainname: service.domainname.clone(),
        mounts: mounts::lower_mounts(context),
        network: networks::lower_mode(context),
        ports: ports::lower_ports(context),
        expose: ports::lower_expose(context),
        extra_hosts: service
            .extra_hosts
            .iter()
            .map(|host| (host.name.clone(), host.address.clone()))
            .collect(),
        dns: networks::lower_dns(context),
        resources: resources::lower_resources(context),
        security: security::lower_security(context),
        health: lower_health(context),
        restart: lower_restart(context),
        stop: lower_stop(context),
        log: lower_log(context),
        labels: indexmap::IndexMap::new(),
        annotations: service.annotations.clone(),
        init: service.init.unwrap_or(false),
        read_only: service.read_only,
        shm_size_bytes: service.shm_size,
        cgroup_parent: service.cgroup_parent.clone(),
        auto_remove: false,
    }
}

fn lower_process(context: &mut Context<'_>) -> ProcessSpec {
    let service = context.service;
    ProcessSpec {
        entrypoint: service.entrypoint.clone(),
        command: service.command.clone(),
        env: service
            .environment
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        user: service.user.clone(),
        group_add: service.group_add.clone(),
        working_dir: service.working_dir.clone(),
        tty: service.tty,
        stdin_open: service.stdin_open,
        stdin_once: false,
        rlimits: resources::lower_ulimits(context),
    }
}

fn lower_health(context: &mut Context<'_>) -> Option<HealthSpec> {
    let check = context.service.healthcheck.as_ref()?;
    if check.is_disabled() {
        return Some(HealthSpec {
            test: Some(vec!["NONE".into()]),
            ..HealthSpec::default()
        });
    }
    check_health(context, check);
    Some(HealthSpec {
        test: check.test.clone(),
        interval: check.interval,
        timeout: check.timeout,
        start_period: check.start_period,
        start_interval: check.start_interval,
        retries: check.retries,
    })
}

fn check_health(context: &mut Context<'_>, check: &HealthCheck) {
    if check.start_interval.is_some() && check.start_period.is_none() {
        let message = "healthcheck.start_interval requires healthcheck.start_period to be set";
        context.report(Diagnostic::error(check.span, message));
    }
    let first = check.test.as_ref().and_then(|test| test.first());
    if first.is_some_and(|word| word != "CMD" && word != "CMD-SHELL") {
        let message = "healthcheck.test must start with CMD, CMD-SHELL or NONE";
        context.report(Diagnostic::error(check.span, message));
    }
}

/// `deploy.restart_policy` wins over `restart`.
fn lower_restart(context: &mut Context<'_>) -> RestartPolicy {
    let service = context.service;
    let deploy = service.deploy.as_ref();
    if let Some(policy) = deploy.and_then(|deploy| deploy.restart_policy.as_ref()) {
        return lower_restart_policy(context, policy);
    }
    let Some(restart) = &service.restart else {
        return RestartPolicy::No;
    };
    parse_restart(&restart.value).unwrap_or_else(|message| {
        let hint = "use `no`, `always`, `on-failure[:max-retries]` or `unless-stopped`";
        context.report(Diagnostic::error(restart.span, message).hint(hint));
        RestartPolicy::No
    })
}

fn lower_restart_policy(context: &mut Context<'_>, policy: &RestartPolicySpec) -> RestartPolicy {
    match policy.condition.as_deref() {
        // Compose passes an empty name on, which the engine takes for `no`.
        None | Some("" | "none" | "no") => RestartPolicy::No,
        Some("on-failure") => RestartPolicy::OnFailure {
            max: policy.max_attempts.unwrap_or(0),
        },
        Some("any" | "always") => RestartPolicy::Always,
        Some("unless-stopped") => RestartPolicy::UnlessStopped,
        Some(other) => {
            let message = format!("invalid restart policy: unknown condition {other:?}");
            context.error("deploy", None, message);
            RestartPolicy::No
        }
    }
}

fn parse_restart(text: &str) -> Result<RestartPolicy, String> {
    let (name, max) = match text.split_once(':') {
        Some((name, max)) => (name, Some(max)),
        None => (text, None),
    };
    match (name, max) {
        ("" | "no", None) => Ok(RestartPolicy::No),
        ("always", None) => Ok(RestartPolicy::Always),
        ("unless-stopped", None) => Ok(RestartPolicy::UnlessStopped),
        ("on-failure", None) => Ok(RestartPolicy::OnFailure { max: 0 }),
        ("on-failure", Some(max)) => match max.parse() {
            Ok(max) => Ok(RestartPolicy::OnFailure { max }),
            Err(_) => Err("invalid restart policy: maximum retry count must be an integer".into()),
        },
        ("no" | "always" | "unless-stopped", Some(_)) => Err(format!(
            "invalid restart policy: maximum retry count cannot be used with policy {name:?}"
        )),
        _ => Err(format!("invalid restart policy: unknown policy {name:?}")),
    }
}

fn lower_stop(context: &mut Context<'_>) -> StopSpec {
    let service = context.service;
    if let Some(signal) = service
        .stop_signal
        .as_deref()
        .filter(|text| !is_signal(text))
    {
        context.error("stop_signal", None, format!("invalid signal {signal:?}"));
    }
    StopSpec {
        signal: service.stop_signal.clone(),
        grace: service.stop_grace_period,
    }
}

fn lower_log(context: &mut Context<'_>) -> LogSpec {
    let Some(logging) = &context.service.logging else {
        return LogSpec::default();
    };
    let mut log = LogSpec {
        options: logging.options.clone(),
        ..LogSpec::default()
    };
    if let Some(driver) = &logging.driver {
        if !matches!(driver.value.as_str(), "" | "json-file" | "local" | "none") {
            let message = format!("logging driver {:?} is not supported", driver.value);
            let hint = "use `json-file`, `local` or `none`";
            context.report(Diagnostic::error(driver.span, message).hint(hint));
        } else if !driver.value.is_empty() {
            log.driver.clone_from(&driver.value);
        }
    }
    log
}

/// A signal's number or name, as signal(7) has them: `SIGTERM`, `term`, `15`, `RTMIN+3`.
fn is_signal(text: &str) -> bool {
    const NAMES: &[&str] = &[
        "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT",
        "KILL", "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM",
        "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
        "RTMIN", "RTMAX",
    ];
    if let Ok(number) = text.parse::<u8>() {
        return (1..=64).contains(&number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = name.strip_prefix("RTMIN+").or(name.strip_prefix("RTMAX-"));
    NAMES.contains(&name) || offset.is_some_and(|text| text.parse::<u8>().is_ok_and(|n| n <= 30))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restart_policies_are_read_as_docker_reads_them() {
        let max = RestartPolicy::OnFailure { max: 5 };
        assert_eq!(parse_restart("on-failure:5"), Ok(max));
        assert_eq!(parse_restart("no"), Ok(RestartPolicy::No));
        assert!(parse_restart("sometimes").is_err());
        assert!(parse_restart("always:3").is_err());
        assert!(parse_restart("on-failure:x").is_err());
    }

    #[test]
    fn signals_have_names_and_numbers() {
        assert!(
            ["SIGTERM", "term", "15", "RTMIN+3", "SIGRTMAX-1"]
                .iter()
                .all(|text| is_signal(text))
        );
        assert!(
            !["0", "65", "SIGFOO", "", "RTMIN+x"]
                .iter()
                .any(|text| is_signal(text))
        );
    }
}
