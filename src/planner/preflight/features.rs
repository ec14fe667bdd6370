//! Pure: what the kernel lacks for a plan, at the places that ask for it.
//!
//! A limit that can't be kept is a warning, as with Docker; without anything else a container
//! or network can't be.

use std::collections::BTreeMap;

use ketch_runtime::features::{self, Feature, Lack};

use super::Outline;
use crate::diag::{Diagnostic, Diagnostics, Severity, Span};
use crate::model::{Project, Service};

/// Who needs a feature, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needer<'a> {
    Service(&'a str),
    Network(&'a str),
}

/// Every feature that the plan needs, and who needs it.
pub(super) fn needs<'a>(outline: &Outline<'a>) -> BTreeMap<Feature, Vec<Needer<'a>>> {
    let networks = outline.networks.iter().map(|spec| {
        let needer = Needer::Network(&spec.name);
        (needer, features::of_network(spec))
    });
    let services = outline.started.iter().map(|started| {
        let needer = Needer::Service(started.service);
        (needer, features::of_container(started.spec))
    });
    let mut needs: BTreeMap<Feature, Vec<Needer<'a>>> = BTreeMap::new();
    for (needer, features) in networks.chain(services) {
        for feature in features {
            let needers = needs.entry(feature).or_default();
            // Replicas need the same.
            if !needers.contains(&needer) {
                needers.push(needer);
            }
        }
    }
    needs
}

/// What is to be said about the lacks.
pub(super) fn check(
    project: Option<&Project>,
    outline: &Outline<'_>,
    lacks: &[Lack],
) -> Diagnostics {
    let mut problems = Diagnostics::default();
    if lacks.is_empty() {
        return problems;
    }
    let needs = needs(outline);
    for lack in lacks {
        let needers = needs.get(&lack.feature).map_or(&[][..], Vec::as_slice);
        match lack.feature {
            // Each limit is told: each is lost.
            Feature::Controller(controller) => {
                let lost = needers
                    .iter()
                    .map(|needer| lost_limit(project, *needer, controller));
                problems.extend(lost);
            }
            _ => problems.extend(refusal(project, needers, lack)),
        }
    }
    problems
}

fn lost_limit(project: Option<&Project>, needer: Needer<'_>, controller: &str) -> Diagnostic {
    let place = match needer {
        Needer::Service(name) => service(project, name).map(|found| limit_place(found, controller)),
        Needer::Network(_) => place(project, needer),
    };
    let message = format!(
        "{}: Your kernel does not support {controller} limits or the cgroup is not mounted. Limitation discarded.",
        title(needer)
    );
    diagnostic(Severity::Warning, place, message).hint(format!(
        "mount the cgroup controller {controller}, or boot without `cgroup_disable={controller}`"
    ))
}

/// One error for the first that needs it; the others are counted.
fn refusal(project: Option<&Project>, needers: &[Needer<'_>], lack: &Lack) -> Option<Diagnostic> {
    let (first, others) = needers.split_first()?;
    let others = match others.len() {
        0 => String::new(),
        1 => format!(" ({} needs it too)", title(others[0])),
        count => format!(" ({count} others need it too)"),
    };
    let (what, hint) = words(lack.feature);
    let message = format!("{}: {what}: {}{others}", title(*first), lack.reason);
    Some(diagnostic(Severity::Error, place(project, *first), message).hint(hint))
}

/// What is missing, and what to do about it.
fn words(feature: Feature) -> (String, String) {
    let module =
        |name: &str| format!("`modprobe {name}` as root, or use a kernel that was built with it");
    match feature {
        Feature::Overlay => ("this kernel has no overlayfs".into(), module("overlay")),
        Feature::Namespace(kind) => (
            format!("this kernel makes no {kind} namespaces"),
            format!(
                "`sysctl -w user.max_{kind}_namespaces=10000` as root, or use a kernel that was built with them"
            ),
        ),
        Feature::Seccomp => (
            "seccomp is not enabled in your kernel".into(),
            "use a kernel that was built with CONFIG_SECCOMP_FILTER; `security_opt: [seccomp:unconfined]` goes without, and is less safe".into(),
        ),
        Feature::Cgroups => (
            "cgroup mountpoint does not exist".into(),
            "`mount -t cgroup2 cgroup2 /sys/fs/cgroup` as root".into(),
        ),
        Feature::DeviceRules => (
            "Devices cgroup isn't mounted, so devices of the host could not be kept from it".into(),
            "mount cgroup v2, or the v1 controller `devices`; only `privileged: true` goes without".into(),
        ),
        Feature::Controller(name) => (
            format!("this kernel has no cgroup controller {name}"),
            "leave the limit out".into(),
        ),
        Feature::Interface(kind) => (
            format!("this kernel makes no interfaces of type {kind}"),
            module(kind),
        ),
        Feature::PacketFilter => ("this kernel has no nf_tables".into(), module("nf_tables")),
        Feature::Ipv6 => (
            "this kernel has no IPv6".into(),
            "boot without `ipv6.disable=1`, or leave `enable_ipv6` out".into(),
        ),
        Feature::ForwardIpv4 => forwarding("IPv4", "ipv4.ip_forward"),
        Feature::ForwardIpv6 => forwarding("IPv6", "ipv6.conf.all.forwarding"),
    }
}

fn forwarding(family: &str, setting: &str) -> (String, String) {
    (
        format!("{family} forwarding is disabled and can't be enabled"),
        format!("`sysctl -w net.{setting}=1` on the host, or make the network `internal: true`"),
    )
}

fn title(needer: Needer<'_>) -> String {
    match needer {
        Needer::Service(name) => format!("service {name:?}"),
        Needer::Network(name) => format!("network {name}"),
    }
}

fn diagnostic(severity: Severity, place: Option<Span>, message: String) -> Diagnostic {
    let diagnostic = Diagnostic::new(severity, message);
    match place {
        Some(span) => diagnostic.label(span, ""),
        None => diagnostic,
    }
}

fn service<'a>(project: Option<&'a Project>, name: &str) -> Option<&'a Service> {
    let project = project?;
    let services = &project.services;
    services.get(name).or_else(|| project.disabled.get(name))
}

fn place(project: Option<&Project>, needer: Needer<'_>) -> Option<Span> {
    match needer {
        Needer::Service(name) => service(project, name).map(|service| service.span),
        Needer::Network(name) => {
            let mut networks = project?.networks.values();
            let found = networks.find(|network| network.resource.name == name)?;
            Some(found.resource.span)
        }
    }
}

/// Where a limit that a controller keeps was written.
fn limit_place(service: &Service, controller: &str) -> Span {
    let keys: &[&[&str]] = match controller {
        "memory" => &[
            &["deploy", "resources", "limits", "memory"],
            &["mem_limit"],
            &["deploy", "resources", "reservations", "memory"],
            &["mem_reservation"],
            &["memswap_limit"],
            &["mem_swappiness"],
            &["oom_kill_disable"],
        ],
        "cpu" => &[
            &["deploy", "resources", "limits", "cpus"],
            &["cpus"],
            &["cpu_quota"],
            &["cpu_period"],
            &["cpu_shares"],
        ],
        "cpuset" => &[&["cpuset"]],
        "pids" => &[&["deploy", "resources", "limits", "pids"], &["pids_limit"]],
        _ => &[],
    };
    let written = keys.iter().find_map(|path| {
        let mut node = &service.canonical;
        for key in *path {
            node = node.as_map()?.get(key)?;
        }
        Some(node.span)
    });
    written.unwrap_or(service.span)
}
