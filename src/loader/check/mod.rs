//! Whether the whole fits: what is referred to exists, and nothing contradicts.

mod build;
mod watch;

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;

use super::extends::Extended;
use super::notes;
use crate::diag::{Diagnostic, Diagnostics, Span, did_you_mean};
use crate::model::{
    FileReference, MountType, NetworkMode, Project, Resource, Service, ServiceNetwork, SharedFile,
};
use crate::yaml::{Map, Node};

/// Checks the enabled services. Of those whose path is in `broken`, parts were taken out already.
pub(super) fn consistency(
    project: &Project,
    broken: &BTreeSet<String>,
    extended: &BTreeMap<String, Extended>,
    diagnostics: &mut Diagnostics,
) {
    check_names(
        "services",
        project.services.values().map(|it| (&it.name, it.span)),
        diagnostics,
    );
    let networks = project.networks.values().map(|it| &it.resource);
    let volumes = project.volumes.values().map(|it| &it.resource);
    let secrets = project.secrets.values().map(|it| &it.resource);
    let configs = project.configs.values().map(|it| &it.resource);
    check_names("networks", networks.map(key), diagnostics);
    check_names("volumes", volumes.map(key), diagnostics);
    check_names("secrets", secrets.map(key), diagnostics);
    check_names("configs", configs.map(key), diagnostics);
    for service in project.services.values() {
        if diagnostics.is_full() {
            break;
        }
        let told = diagnostics.len();
        check_image(service, broken, diagnostics);
        check_dependencies(project, service, diagnostics);
        check_networks(project, service, diagnostics);
        check_volumes(project, service, diagnostics);
        check_grants(project, service, diagnostics);
        check_models(project, service, diagnostics);
        build::check(project, service, diagnostics);
        watch::check(service, diagnostics);
        check_container_name(service, diagnostics);
        check_twice(service, diagnostics);
        check_ports(service, diagnostics);
        check_targets(service, diagnostics);
        if let Some(extended) = extended.get(&service.name) {
            notes::add_extending(diagnostics.after(told), extended);
        }
    }
    check_container_names(project, diagnostics);
}

fn key(resource: &Resource) -> (&String, Span) {
    (&resource.key, resource.span)
}

fn check_names<'a>(
    kind: &str,
    names: impl Iterator<Item = (&'a String, Span)>,
    diagnostics: &mut Diagnostics,
) {
    for (name, span) in names {
        let good = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        if name.is_empty() || !name.chars().all(good) {
            let message = format!("{kind}: additional properties '{name}' not allowed");
            diagnostics.push(
                Diagnostic::error(span, message)
                    .hint("names consist of letters, digits, `.`, `_` and `-`"),
            );
        }
    }
}

fn check_image(service: &Service, broken: &BTreeSet<String>, diagnostics: &mut Diagnostics) {
    let runs = service.image.is_some() || service.build.is_some() || service.provider.is_some();
    if !runs && !broken.contains(&format!("services.{}", service.name)) {
        let message = format!(
            "service {:?} has neither an image nor a build context specified: invalid compose project",
            service.name
        );
        diagnostics.push(Diagnostic::error(service.span, message).hint(
            "add `image:` with the image's name, or `build:` with the directory of its Dockerfile",
        ));
    }
}

/// With what may have been meant, or what would switch it on.
fn meant<'a>(
    diagnostic: Diagnostic,
    name: &str,
    candidates: impl Iterator<Item = &'a String>,
) -> Diagnostic {
    match did_you_mean(name, candidates.map(String::as_str)) {
        Some(meant) => diagnostic.hint(format!("did you mean `{meant}`?")),
        None => diagnostic,
    }
}

fn check_dependencies(project: &Project, service: &Service, diagnostics: &mut Diagnostics) {
    for (name, dependency) in &service.depends_on {
        if project.services.contains_key(name) {
            continue;
        }
        let disabled = project.disabled.get(name);
        if disabled.is_some() && !dependency.required {
            continue;
        }
        let span = key_span(&service.canonical, "depends_on", name).unwrap_or(dependency.span);
        let message = format!(
            "service {:?} depends on undefined service {name:?}: invalid compose project",
            service.name
        );
        let diagnostic = Diagnostic::error(span, message);
        diagnostics.push(match disabled {
            Some(disabled) => diagnostic.hint(format!(
                "`{name}` is disabled: it needs --profile {}",
                disabled.profiles.join(" or ")
            )),
            None => meant(diagnostic, name, project.services.keys()),
        });
    }
}

/// Where a key of a mapping in the canonical service was written.
fn key_span(canonical: &Node, attribute: &str, key: &str) -> Option<Span> {
    let map = canonical.as_map()?.get(attribute)?.as_map()?;
    map.entry(key).map(|entry| entry.key_span)
}

fn check_networks(project: &Project, service: &Service, diagnostics: &mut Diagnostics) {
    if let Some(mode) = &service.network_mode {
        if !service.networks.is_empty() {
            let message = format!(
                "service {:?} declares mutually exclusive `network_mode` and `networks`: invalid compose project",
                service.name
            );
            let mut diagnostic = Diagnostic::error(mode.span, message);
            if let Some(entry) = service
                .canonical
                .as_map()
                .and_then(|map| map.entry("networks"))
            {
                diagnostic = diagnostic.label(entry.key_span, "networks are joined here");
            }
            diagnostics.push(diagnostic.hint("remove one of them"));
        }
        check_shared_ports(service, &mode.value, mode.span, diagnostics);
    }
    check_addresses(service, diagnostics);
    for name in service.networks.keys() {
        if !project.networks.contains_key(name) {
            let span = key_span(&service.canonical, "networks", name).unwrap_or(service.span);
            let message = format!(
                "service {:?} refers to undefined network {name}: invalid compose project",
                service.name
            );
            let diagnostic = meant(
                Diagnostic::error(span, message),
                name,
                project.networks.keys(),
            );
            diagnostics.push(or_define(diagnostic, "networks", name));
        }
    }
}

/// The service's own hardware address is that of its primary network.
fn check_addresses(service: &Service, diagnostics: &mut Diagnostics) {
    let order = |(left, one): &(&String, &ServiceNetwork),
                 (right, other): &(&String, &ServiceNetwork)| {
        let by_priority = other.priority.cmp(&one.priority);
        by_priority.then_with(|| left.cmp(right))
    };
    let Some(own) = &service.mac_address else {
        return;
    };
    let Some((name, primary)) = service.networks.iter().min_by(order) else {
        return;
    };
    if let Some(there) = &primary.mac_address
        && there != own
    {
        let message = format!(
            "services.{}: the service-level mac_address should have the same value as network {name}",
            service.name
        );
        diagnostics.push(
            Diagnostic::error(attribute(service, &["mac_address"]), message)
                .label(
                    attribute(service, &["networks", name, "mac_address"]),
                    "and another address here",
                )
                .hint("remove one of them"),
        );
    }
}

/// Who shares a network publishes nothing of their own.
fn check_shared_ports(
    service: &Service,
    mode: &NetworkMode,
    span: Span,
    diagnostics: &mut Diagnostics,
) {
    let Some(port) = service.ports.first() else {
        return;
    };
    match mode {
        NetworkMode::Host => diagnostics.push(
            Diagnostic::warning(
                port.span,
                format!(
                    "services.{}: published ports are discarded when using host network mode",
                    service.name
                ),
            )
            .label(span, "the host's network is used here")
            .hint("remove `ports`: what the program listens on is open already"),
        ),
        NetworkMode::Service(_) | NetworkMode::Container(_) => diagnostics.push(
            Diagnostic::error(
                port.span,
                format!(
                    "services.{}: conflicting options: port publishing and the container type network mode",
                    service.name
                ),
            )
            .label(span, "another container's network is used here")
            .hint("publish the ports where the network belongs"),
        ),
        NetworkMode::None | NetworkMode::Bridge | NetworkMode::Network(_) => {}
    }
}

fn or_define(diagnostic: Diagnostic, kind: &str, name: &str) -> Diagnostic {
    if diagnostic.hints.is_empty() {
        diagnostic.hint(format!(
            "define it at the top level: `{kind}: {{{name}: }}`"
        ))
    } else {
        diagnostic
    }
}

fn check_volumes(project: &Project, service: &Service, diagnostics: &mut Diagnostics) {
    for mount in &service.volumes {
        let Some(source) = &mount.source else {
            continue;
        };
        if mount.kind == MountType::Volume && !project.volumes.contains_key(source) {
            let message = format!(
                "service {:?} refers to undefined volume {source}: invalid compose project",
                service.name
            );
            let diagnostic = Diagnostic::error(mount.span, message);
            let mut diagnostic = meant(diagnostic, source, project.volumes.keys());
            if diagnostic.hints.is_empty() && source.contains('/') {
                diagnostic = diagnostic.hint(format!("a directory begins with `./`: `./{source}`"));
            }
            diagnostics.push(or_define(diagnostic, "volumes", source));
        }
    }
}

fn check_grants(project: &Project, service: &Service, diagnostics: &mut Diagnostics) {
    let mut check = |kind: &str, grants: &[FileReference], files: &IndexMap<String, SharedFile>| {
        for grant in grants {
            if !files.contains_key(&grant.source) {
                let message = format!(
                    "service {:?} refers to undefined {kind} {}: invalid compose project",
                    service.name, grant.source
                );
                let diagnostic = Diagnostic::error(grant.span, message);
                let diagnostic = meant(diagnostic, &grant.source, files.keys());
                diagnostics.push(or_define(diagnostic, &format!("{kind}s"), &grant.source));
            }
        }
    };
    check("secret", &service.secrets, &project.secrets);
    check("config", &service.configs, &project.configs);
}

fn check_models(project: &Project, service: &Service, diagnostics: &mut Diagnostics) {
    for model in &service.models {
        if !project.models.contains_key(&model.value) {
            let message = format!(
                "service {:?} refers to undefined model {}: invalid compose project",
                service.name, model.value
            );
            let diagnostic = Diagnostic::error(model.span, message);
            let diagnostic = meant(diagnostic, &model.value, project.models.keys());
            diagnostics.push(or_define(diagnostic, "models", &model.value));
        }
    }
}

fn check_container_name(service: &Service, diagnostics: &mut Diagnostics) {
    let Some(name) = &service.container_name else {
        return;
    };
    let mut letters = name.value.chars();
    let good = letters
        .next()
        .is_some_and(|letter| letter.is_ascii_alphanumeric())
        && name.value.len() > 1
        && letters.all(|letter| letter.is_ascii_alphanumeric() || "_.-".contains(letter));
    if !good {
        let message = format!(
            "services.{}.container_name: {:?} does not match pattern '[a-zA-Z0-9][a-zA-Z0-9_.-]+'",
            service.name, name.value
        );
        diagnostics.push(Diagnostic::error(name.span, message));
    }
    if service.replicas() > 1 {
        let message = format!(
            "services.{}: can't set container_name and scale/deploy.replicas as container name must be unique: invalid compose project",
            service.name
        );
        diagnostics.push(
            Diagnostic::error(name.span, message)
                .hint("remove `container_name`, or run one container only"),
        );
    }
}

fn check_container_names(project: &Project, diagnostics: &mut Diagnostics) {
    let mut seen: BTreeMap<&str, (&str, Span)> = BTreeMap::new();
    for service in project.services.values() {
        let Some(name) = &service.container_name else {
            continue;
        };
        if let Some((other, first)) = seen.get(name.value.as_str()) {
            let message = format!(
                "services.{}: container name {:?} is already in use by service {other:?}: invalid compose project",
                service.name, name.value
            );
            diagnostics
                .push(Diagnostic::error(name.span, message).label(*first, "first used here"));
        } else {
            seen.insert(&name.value, (&service.name, name.span));
        }
    }
}

/// Where a key of a service was written; of further keys, the one below the other.
fn attribute(service: &Service, keys: &[&str]) -> Span {
    let mut node = &service.canonical;
    let mut place = service.span;
    for key in keys {
        let Some(entry) = node.as_map().and_then(|map| map.entry(key)) else {
            break;
        };
        place = entry.key_span;
        node = &entry.value;
    }
    place
}

/// The same thing said in two places must be the same.
fn check_twice(service: &Service, diagnostics: &mut Diagnostics) {
    let deploy = service.deploy.clone().unwrap_or_default();
    let mut differ = |different: bool, key: &str, other: &str| {
        if different {
            let message = format!(
                "services.{}: can't set distinct values on '{key}' and 'deploy.{other}': invalid compose project",
                service.name
            );
            let below: Vec<&str> = ["deploy"].into_iter().chain(other.split('.')).collect();
            diagnostics.push(
                Diagnostic::error(attribute(service, &[key]), message)
                    .label(attribute(service, &below), "and another value here")
                    .hint("remove one of them"),
            );
        }
    };
    differ(unequal(service.scale, deploy.replicas), "scale", "replicas");
    differ(
        unequal(service.cpus, deploy.limits.cpus),
        "cpus",
        "resources.limits.cpus",
    );
    differ(
        unequal(service.mem_limit, deploy.limits.memory_bytes),
        "mem_limit",
        "resources.limits.memory",
    );
    differ(
        unequal(service.mem_reservation, deploy.reservations.memory_bytes),
        "mem_reservation",
        "resources.reservations.memory",
    );
    differ(
        unequal(service.pids_limit, deploy.limits.pids),
        "pids_limit",
        "resources.limits.pids",
    );
}

fn unequal<T: PartialEq>(left: Option<T>, right: Option<T>) -> bool {
    matches!((left, right), (Some(left), Some(right)) if left != right)
}

/// One host port can't lead to two places.
fn check_ports(service: &Service, diagnostics: &mut Diagnostics) {
    let mut seen: BTreeMap<(String, u16, &str), Span> = BTreeMap::new();
    for port in &service.ports {
        let Some(published) = &port.published else {
            continue;
        };
        if published.start() != published.end() {
            continue;
        }
        let address = port
            .host_ip
            .map(|address| address.to_string())
            .unwrap_or_default();
        let key = (address, *published.start(), port.protocol.as_str());
        if let Some(first) = seen.get(&key) {
            let message = format!(
                "services.{}: host port {}/{} is published twice: port is already allocated",
                service.name, key.1, key.2
            );
            diagnostics
                .push(Diagnostic::error(port.span, message).label(*first, "first published here"));
        } else {
            seen.insert(key, port.span);
        }
    }
}

/// No target can hold two mounts.
fn check_targets(service: &Service, diagnostics: &mut Diagnostics) {
    let mut targets: BTreeMap<&str, Span> = BTreeMap::new();
    for mount in &service.volumes {
        targets.insert(&mount.target, mount.span);
    }
    for (index, entry) in service.tmpfs.iter().enumerate() {
        let target = entry.split(':').next().unwrap_or(entry);
        if let Some(first) = targets.get(target) {
            let item = service
                .canonical
                .as_map()
                .and_then(|map: &Map| map.get("tmpfs"))
                .and_then(|tmpfs| tmpfs.as_list()?.get(index));
            let message = format!(
                "services.{}.tmpfs[{index}]: target {target} already mounted as services.{}.volumes",
                service.name, service.name
            );
            let span = item.map_or(service.span, |item| item.span);
            diagnostics.push(Diagnostic::error(span, message).label(*first, "first mounted here"));
        }
    }
}
