//! Which services are on, which of them were asked for, and what they need.

use std::collections::BTreeSet;

use indexmap::IndexMap;

use super::session::Session;
use crate::diag::{Diagnostic, Severity, did_you_mean};
use crate::model::{FileReference, Project, Service};
use crate::yaml::Node;

/// The profiles that are asked for, with those of the services named on the command line.
pub(super) fn active(session: &mut Session<'_>, project: &Project) -> Vec<String> {
    let options = session.options;
    let mut profiles = options.profiles.clone();
    if profiles.is_empty() {
        let list = project.environment.get("COMPOSE_PROFILES");
        profiles = list
            .map(String::as_str)
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .filter(|profile| !profile.is_empty())
            .map(ToOwned::to_owned)
            .collect();
    }
    for profile in &profiles {
        warn_of_slip(session, project, profile);
    }
    for name in &options.services {
        for profile in project
            .services
            .get(name)
            .map_or(&[][..], |service| &service.profiles)
        {
            if !profiles.contains(profile) {
                profiles.push(profile.clone());
            }
        }
    }
    profiles
}

/// A profile that no service has is no error; one that is nearly spelt like another may be one.
fn warn_of_slip(session: &mut Session<'_>, project: &Project, profile: &str) {
    let known = || {
        let profiles = project.services.values().flat_map(|it| &it.profiles);
        profiles.map(String::as_str)
    };
    if profile == "*" || known().any(|known| known == profile) {
        return;
    }
    if let Some(meant) = did_you_mean(profile, known()) {
        let message = format!("no service has the profile {profile:?}");
        let diagnostic = Diagnostic::new(Severity::Warning, message);
        session
            .diagnostics
            .push(diagnostic.hint(format!("did you mean `{meant}`?")));
    }
}

/// Moves the services whose profiles are not active aside.
pub(super) fn apply(project: &mut Project, active: Vec<String>) {
    let all = active.iter().any(|profile| profile == "*");
    let enabled = |service: &Service| {
        all || service.profiles.is_empty()
            || service
                .profiles
                .iter()
                .any(|profile| active.contains(profile))
    };
    let (services, disabled) = std::mem::take(&mut project.services)
        .into_iter()
        .partition(|(_, service)| enabled(service));
    project.services = services;
    project.disabled = disabled;
    project.profiles = active;
}

/// Optional dependencies on services that are not there are dropped.
pub(super) fn drop_missing_dependencies(project: &mut Project) {
    let present: BTreeSet<String> = project.services.keys().cloned().collect();
    for service in project.services.values_mut() {
        let missing: Vec<String> = service
            .depends_on
            .iter()
            .filter(|(name, dependency)| !dependency.required && !present.contains(*name))
            .map(|(name, _)| name.clone())
            .collect();
        for name in missing {
            forget_dependency(service, &name);
        }
    }
}

fn forget_dependency(service: &mut Service, name: &str) {
    service.depends_on.shift_remove(name);
    let Some(map) = service.canonical.as_map_mut() else {
        return;
    };
    if let Some(dependencies) = map.get_mut("depends_on").and_then(Node::as_map_mut) {
        dependencies.remove(name);
        if dependencies.is_empty() {
            map.remove("depends_on");
        }
    }
}

/// Keeps the services that were named, and what they depend on.
pub(super) fn select(session: &mut Session<'_>, project: &mut Project) {
    let options = session.options;
    if options.services.is_empty() {
        return;
    }
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    let mut waiting: Vec<String> = Vec::new();
    for name in &options.services {
        if project.services.contains_key(name) {
            waiting.push(name.clone());
            continue;
        }
        if session.broken.contains(&format!("services.{name}")) {
            continue;
        }
        let message = format!("no such service: {name}");
        let mut diagnostic = Diagnostic::new(Severity::Error, message);
        let names = project.services.keys().chain(project.disabled.keys());
        if let Some(meant) = did_you_mean(name, names.map(String::as_str)) {
            diagnostic = diagnostic.hint(format!("did you mean `{meant}`?"));
        }
        session.diagnostics.push(diagnostic);
    }
    while let Some(name) = waiting.pop() {
        let Some(service) = project.services.get(&name) else {
            continue;
        };
        if wanted.insert(name) && !options.no_dependencies {
            waiting.extend(service.depends_on.keys().cloned());
        }
    }
    // What was left out is still part of the project: its containers are no orphans.
    let (services, left_out): (IndexMap<_, _>, IndexMap<_, _>) =
        std::mem::take(&mut project.services)
            .into_iter()
            .partition(|(name, _)| wanted.contains(name));
    project.services = services;
    project.disabled.extend(left_out);
    if options.no_dependencies {
        let present: Vec<String> = project.services.keys().cloned().collect();
        for service in project.services.values_mut() {
            let names: Vec<String> = service.depends_on.keys().cloned().collect();
            for name in names.iter().filter(|name| !present.contains(name)) {
                forget_dependency(service, name);
            }
        }
    }
}

/// Drops the networks, volumes, secrets, configs and models that no enabled service uses.
pub(super) fn drop_unused(project: &mut Project) {
    let services = || project.services.values();
    let networks: BTreeSet<String> = services()
        .flat_map(|service| service.networks.keys().cloned())
        .collect();
    let volumes: BTreeSet<String> = services()
        .flat_map(|service| &service.volumes)
        .filter(|mount| mount.kind == crate::model::MountType::Volume)
        .filter_map(|mount| mount.source.clone())
        .collect();
    let sources = |of: fn(&Service) -> &Vec<FileReference>| -> BTreeSet<String> {
        services()
            .flat_map(of)
            .map(|grant| grant.source.clone())
            .collect()
    };
    let mut secrets = sources(|service| &service.secrets);
    let builds = services().filter_map(|service| service.build.as_ref());
    secrets
        .extend(builds.flat_map(|build| build.secrets.iter().map(|secret| secret.value.clone())));
    let models: BTreeSet<String> = services()
        .flat_map(|service| service.models.iter().map(|model| model.value.clone()))
        .collect();
    let configs = sources(|service| &service.configs);
    retain(&mut project.networks, &networks);
    retain(&mut project.volumes, &volumes);
    retain(&mut project.secrets, &secrets);
    retain(&mut project.configs, &configs);
    retain(&mut project.models, &models);
}

fn retain<T>(resources: &mut IndexMap<String, T>, used: &BTreeSet<String>) {
    resources.retain(|key, _| used.contains(key));
}
