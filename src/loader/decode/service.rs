//! A service.

use std::time::Duration;

use super::fields::extensions;
use super::{Around, Fields, mounts, ports};
use crate::diag::{Diagnostics, Spanned};
use crate::model::{
    Build, Condition, Dependency, Deploy, EnvFile, ExtraHost, HealthCheck, Link, Logging,
    NetworkMode, PullPolicy, ResourceLimits, RestartPolicySpec, Service, ServiceNetwork, Ulimit,
    WatchAction, WatchExec, WatchRule,
};
use crate::units::duration;
use crate::yaml::{Entry, Node, Path};

/// An entry of `services`.
#[expect(clippy::too_many_lines, reason = "a table: one field per line")]
pub(super) fn decode(entry: &Entry, around: &Around, diagnostics: &mut Diagnostics) -> Service {
    let section = Path::ROOT.key("services");
    let mut fields = Fields::new(&entry.value, section.key(&entry.key), diagnostics);
    let f = &mut fields;
    Service {
        name: entry.key.as_str().to_owned(),
        span: entry.key_span,
        image: f.spanned("image").filter(|image| !image.value.is_empty()),
        build: f.below("build", |build| self::build(build, around)),
        pull_policy: pull_policy(f),
        platform: f.text("platform"),
        command: f.list("command"),
        entrypoint: f.list("entrypoint"),
        environment: f.pairs("environment"),
        label_files: f.each("label_file", |file| {
            let path = super::path(around, file.node.as_str()?);
            Some(Spanned::new(path, file.node.span))
        }),
        env_files: f.each("env_file", |file| env_file(file, around)),
        ports: f.each("ports", ports::port),
        expose: expose(f),
        volumes: f.each("volumes", mounts::mount),
        tmpfs: f.texts("tmpfs"),
        networks: f.entries("networks", |_, network| Some(service_network(network))),
        network_mode: network_mode(f),
        depends_on: f.entries("depends_on", |_, dependency| {
            Some(self::dependency(dependency))
        }),
        links: f.each("links", |text| link(&text)),
        external_links: f.each("external_links", |text| link(&text)),
        provider: provider(f),
        models: f.keys("models"),
        healthcheck: f.below("healthcheck", healthcheck),
        restart: restart(f),
        container_name: f.spanned("container_name"),
        hostname: f.text("hostname"),
        domainname: f.text("domainname"),
        user: f.text("user"),
        group_add: f.texts("group_add"),
        working_dir: f.text("working_dir"),
        labels: f.labels("labels"),
        annotations: f.labels("annotations"),
        profiles: f.texts("profiles"),
        init: f.bool("init"),
        stop_signal: f.text("stop_signal"),
        stop_grace_period: f.duration("stop_grace_period"),
        read_only: f.bool("read_only").unwrap_or(false),
        privileged: f.bool("privileged").unwrap_or(false),
        cap_add: f.texts("cap_add"),
        cap_drop: f.texts("cap_drop"),
        security_opt: f.each("security_opt", |option| {
            let text = option.node.as_str()?;
            Some(Spanned::new(text.to_owned(), option.node.span))
        }),
        sysctls: f.labels("sysctls"),
        extra_hosts: extra_hosts(f),
        dns: f.texts("dns"),
        dns_search: f.texts("dns_search"),
        dns_opt: f.texts("dns_opt"),
        cpus: f.float("cpus"),
        cpu_shares: f.integer_from("cpu_shares", 0, i64::MAX),
        cpu_period: f.integer_from("cpu_period", 0, i64::MAX),
        cpu_quota: f.integer("cpu_quota"),
        cpu_rt_period_us: f.integer_from("cpu_rt_period", 0, i64::MAX),
        cpu_rt_runtime_us: f.integer("cpu_rt_runtime"),
        cpuset: f.text("cpuset"),
        mem_limit: f.bytes("mem_limit"),
        mem_reservation: f.bytes("mem_reservation"),
        memswap_limit: f.signed_bytes("memswap_limit"),
        mem_swappiness: f.integer_from("mem_swappiness", 0, 100),
        oom_kill_disable: f.bool("oom_kill_disable").unwrap_or(false),
        oom_score_adj: f.integer_from("oom_score_adj", -1000, 1000),
        pids_limit: f.integer("pids_limit"),
        ulimits: f.entries("ulimits", ulimit),
        shm_size: f.bytes("shm_size"),
        logging: f.below("logging", |mut logging| Logging {
            driver: logging.spanned("driver"),
            options: logging.labels("options"),
        }),
        stdin_open: f.bool("stdin_open").unwrap_or(false),
        tty: f.bool("tty").unwrap_or(false),
        attach: f.bool("attach"),
        watch: f
            .below("develop", |mut develop| develop.each("watch", watch_rule))
            .unwrap_or_default(),
        scale: f.integer_from("scale", 0, i64::from(u32::MAX)),
        deploy: f.below("deploy", deploy),
        secrets: f.each("secrets", |grant| mounts::grant(grant, "/run/secrets/")),
        configs: f.each("configs", |grant| mounts::grant(grant, "/")),
        mac_address: f.text("mac_address"),
        ipc: f.text("ipc"),
        pid: f.text("pid"),
        uts: f.text("uts"),
        cgroup: f.text("cgroup"),
        cgroup_parent: f.text("cgroup_parent"),
        devices: f.each("devices", |mut device| {
            Some((
                device.text("source")?,
                device.text("target")?,
                device.text("permissions")?,
            ))
        }),
        device_cgroup_rules: f.texts("device_cgroup_rules"),
        extensions: extensions(&entry.value),
        // The tree's own part is moved here when all is read.
        canonical: Node::null(entry.value.span),
    }
}

fn build(mut f: Fields<'_>, around: &Around) -> Build {
    let context = f.text("context").unwrap_or_default();
    if f.node("dockerfile_inline").is_some() && f.node("dockerfile").is_some() {
        f.error(
            "dockerfile_inline",
            "dockerfile and dockerfile_inline are mutually exclusive",
        );
    }
    let dockerfile = f.text("dockerfile");
    Build {
        span: f.node.span,
        context: super::path(around, &context),
        dockerfile,
        dockerfile_inline: f.text("dockerfile_inline"),
        args: f.pairs("args"),
        target: f.text("target"),
        labels: f.labels("labels"),
        tags: f.texts("tags"),
        no_cache: f.bool("no_cache").unwrap_or(false),
        pull: f.bool("pull").unwrap_or(false),
        network: f.text("network"),
        platforms: f.texts("platforms"),
        extra_hosts: extra_hosts(&mut f),
        shm_size: f.bytes("shm_size"),
        secrets: f.each("secrets", |mut grant| grant.spanned("source")),
        additional_contexts: f.entries("additional_contexts", |_, context| {
            let text = context.node.as_str()?.to_owned();
            Some(Spanned::new(text, context.node.span))
        }),
    }
}

/// `target[:alias]`.
fn link(f: &Fields<'_>) -> Option<Link> {
    let text = f.node.as_str()?;
    let (target, alias) = text.split_once(':').unwrap_or((text, text));
    Some(Link {
        target: target.to_owned(),
        alias: alias.to_owned(),
    })
}

fn provider(f: &mut Fields<'_>) -> Option<String> {
    f.below("provider", |mut provider| provider.text("type"))?
}

fn env_file(mut f: Fields<'_>, around: &Around) -> Option<EnvFile> {
    Some(EnvFile {
        path: super::path(around, &f.text("path")?),
        required: f.bool("required").unwrap_or(true),
        format: f.text("format"),
    })
}

fn pull_policy(f: &mut Fields<'_>) -> PullPolicy {
    let Some(text) = f.text("pull_policy") else {
        return PullPolicy::Unset;
    };
    let day = Duration::from_secs(24 * 60 * 60);
    match text.as_str() {
        "always" => PullPolicy::Always,
        "never" => PullPolicy::Never,
        // Nothing says after which time; Compose takes it for `missing`.
        "missing" | "if_not_present" | "refresh" => PullPolicy::Missing,
        "build" => PullPolicy::Build,
        "daily" => PullPolicy::Every(day),
        "weekly" => PullPolicy::Every(day * 7),
        other => match other.strip_prefix("every_").map(duration::parse) {
            Some(Ok(every)) => PullPolicy::Every(every),
            _ => {
                f.error(
                    "pull_policy",
                    format!("unknown policy {other:?}: it is always, never, missing, build, daily, weekly or every_<duration>"),
                );
                PullPolicy::Unset
            }
        },
    }
}

fn expose(f: &mut Fields<'_>) -> Vec<String> {
    f.each("expose", |port| {
        let text = port.node.as_str()?.to_owned();
        let (range, protocol) = text.split_once('/').unwrap_or((&text, "tcp"));
        let good = crate::units::ranges::parse_ports(range).is_ok()
            && matches!(protocol, "tcp" | "udp" | "sctp");
        if !good {
            let message = format!("{}: invalid port {text:?}", port.path);
            let diagnostic = crate::diag::Diagnostic::error(port.node.span, message);
            port.diagnostics
                .push(diagnostic.hint("ports are exposed like `80`, `80-82` or `53/udp`"));
        }
        good.then(|| text.clone())
    })
}

fn service_network(mut f: Fields<'_>) -> ServiceNetwork {
    ServiceNetwork {
        span: f.node.span,
        aliases: f.texts("aliases"),
        ipv4_address: f.parsed("ipv4_address", "an IPv4 address"),
        ipv6_address: f.parsed("ipv6_address", "an IPv6 address"),
        mac_address: f.text("mac_address"),
        driver_opts: f.labels("driver_opts"),
        interface_name: f.text("interface_name"),
        gw_priority: f.integer("gw_priority").unwrap_or(0),
        priority: f.integer("priority").unwrap_or(0),
    }
}

fn network_mode(f: &mut Fields<'_>) -> Option<Spanned<NetworkMode>> {
    let text = f
        .spanned("network_mode")
        .filter(|text| !text.value.is_empty())?;
    let mode = match text.value.as_str() {
        "none" => NetworkMode::None,
        "host" => NetworkMode::Host,
        "bridge" | "default" => NetworkMode::Bridge,
        other => match other.split_once(':') {
            Some(("service", name)) => NetworkMode::Service(name.to_owned()),
            Some(("container", name)) => NetworkMode::Container(name.to_owned()),
            _ => NetworkMode::Network(other.to_owned()),
        },
    };
    Some(Spanned::new(mode, text.span))
}

fn dependency(mut f: Fields<'_>) -> Dependency {
    let condition = match f.text("condition").as_deref() {
        Some("service_healthy") => Condition::Healthy,
        Some("service_completed_successfully") => Condition::CompletedSuccessfully,
        _ => Condition::Started,
    };
    Dependency {
        condition,
        restart: f.bool("restart").unwrap_or(false),
        required: f.bool("required").unwrap_or(true),
        span: f.node.span,
    }
}

fn healthcheck(mut f: Fields<'_>) -> HealthCheck {
    let check = HealthCheck {
        span: f.node.span,
        test: f.list("test"),
        interval: f.duration("interval"),
        timeout: f.duration("timeout"),
        start_period: f.duration("start_period"),
        start_interval: f.duration("start_interval"),
        retries: f.integer_from("retries", 0, i64::from(u32::MAX)),
        disable: f.bool("disable").unwrap_or(false),
    };
    if check.start_interval.is_some() && check.start_period.is_none() {
        f.error(
            "start_interval",
            "healthcheck.start_interval requires healthcheck.start_period to be set",
        );
    }
    check
}

/// Compose leaves a wrong policy to the engine; here it is told at its place.
fn restart(f: &mut Fields<'_>) -> Option<Spanned<String>> {
    let text = f.spanned("restart")?;
    let (name, most) = text
        .value
        .split_once(':')
        .map_or((text.value.as_str(), None), |(name, most)| {
            (name, Some(most))
        });
    let good = match (name, most) {
        ("no" | "always" | "unless-stopped" | "on-failure" | "", None) => true,
        ("on-failure", Some(most)) => most.parse::<u32>().is_ok(),
        _ => false,
    };
    if !good {
        f.error(
            "restart",
            format!("invalid restart policy: unknown policy '{}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'", text.value),
        );
    }
    (!name.is_empty()).then_some(text)
}

fn extra_hosts(f: &mut Fields<'_>) -> Vec<ExtraHost> {
    f.each("extra_hosts", |host| {
        let (name, address) = host.node.as_str()?.split_once('=')?;
        if address != "host-gateway" && address.parse::<std::net::IpAddr>().is_err() {
            let message = format!("{}: invalid IP address in add-host: {address:?}", host.path);
            host.diagnostics
                .push(crate::diag::Diagnostic::error(host.node.span, message));
        }
        Some(ExtraHost {
            name: name.to_owned(),
            address: address.to_owned(),
        })
    })
}

fn ulimit(_name: &str, mut f: Fields<'_>) -> Option<Ulimit> {
    if f.node.as_map().is_some() {
        return Some(Ulimit {
            soft: f.integer("soft")?,
            hard: f.integer("hard")?,
        });
    }
    let both = crate::yaml::Reader::new(f.node, f.path).integer(f.diagnostics)?;
    Some(Ulimit {
        soft: both,
        hard: both,
    })
}

fn deploy(mut f: Fields<'_>) -> Deploy {
    let resources = f.below("resources", |mut resources| {
        (
            resources.below("limits", limits).unwrap_or_default(),
            resources.below("reservations", limits).unwrap_or_default(),
        )
    });
    let (limits, reservations) = resources.unwrap_or_default();
    Deploy {
        replicas: f.integer_from("replicas", 0, i64::from(u32::MAX)),
        limits,
        reservations,
        restart_policy: f.below("restart_policy", |mut policy| RestartPolicySpec {
            condition: policy.text("condition"),
            max_attempts: policy.integer_from("max_attempts", 0, i64::from(u32::MAX)),
            delay: policy.duration("delay"),
            window: policy.duration("window"),
        }),
        labels: f.labels("labels"),
    }
}

fn watch_rule(mut f: Fields<'_>) -> Option<WatchRule> {
    let action = match f.text("action")?.as_str() {
        "sync" => WatchAction::Sync,
        "sync+restart" => WatchAction::SyncRestart,
        "sync+exec" => WatchAction::SyncExec,
        "restart" => WatchAction::Restart,
        _ => WatchAction::Rebuild,
    };
    Some(WatchRule {
        span: f.node.span,
        path: f.text("path")?.into(),
        action,
        target: f.text("target").unwrap_or_default(),
        ignore: f.texts("ignore"),
        include: f.texts("include"),
        initial_sync: f.bool("initial_sync").unwrap_or(false),
        exec: f.below("exec", |mut exec| WatchExec {
            command: exec.texts("command"),
            user: exec.text("user"),
            privileged: exec.bool("privileged").unwrap_or(false),
            working_dir: exec.text("working_dir"),
            environment: exec.pairs("environment"),
        }),
    })
}

fn limits(mut f: Fields<'_>) -> ResourceLimits {
    ResourceLimits {
        cpus: f.float("cpus"),
        memory_bytes: f.bytes("memory"),
        pids: f.integer("pids"),
    }
}
