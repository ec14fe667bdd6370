//! What goes without saying: the default network, implied dependencies, default names.

use crate::diag::Span;
use crate::model::{NetworkMode, Project};
use crate::yaml::{Kind, Map, Node};

/// Fills in the defaults that hold in every case, `--no-normalize` or not.
pub(super) fn defaults(root: &mut Node, directory: &str) {
    for_each(root, "services", |_, service| {
        if let Some(build) = service.get_mut("build") {
            let span = build.span;
            if let Some(build) = build.as_map_mut()
                && !build.contains("context")
            {
                build.insert("context", span, Node::string(directory, span));
            }
        }
        for request in requested_devices(service) {
            let span = request.span;
            if let Some(request) = request.as_map_mut()
                && !request.contains("count")
                && !request.get("device_ids").is_some_and(says_something)
            {
                request.insert("count", span, Node::integer(-1, span));
            }
        }
        for secret in items(service.get_mut("secrets")) {
            let span = secret.span;
            if let Some(secret) = secret.as_map_mut() {
                let name = |key: &str| secret.get(key).and_then(Node::as_str);
                let target = name("target").or_else(|| name("source"));
                let target = match target {
                    Some(path) if path.starts_with('/') => path.to_owned(),
                    Some(name) => format!("/run/secrets/{name}"),
                    None => continue,
                };
                secret.insert("target", span, Node::string(target, span));
            }
        }
        // Compose accepts it, and has no use for it.
        service.remove("pull_refresh_after");
    });
}

/// Without a number and without names, all devices are meant.
fn requested_devices(service: &mut Map) -> impl Iterator<Item = &mut Node> {
    let mut gpus = None;
    let mut reserved = None;
    for entry in service.iter_mut() {
        match entry.key.as_str() {
            "gpus" => gpus = Some(&mut entry.value),
            "deploy" => {
                reserved = below(&mut entry.value, &["resources", "reservations", "devices"]);
            }
            _ => {}
        }
    }
    items(gpus).iter_mut().chain(items(reserved))
}

/// Neither an empty text nor an empty list.
fn says_something(node: &Node) -> bool {
    match &node.kind {
        Kind::Null => false,
        Kind::Scalar(scalar) => !scalar.text.is_empty(),
        Kind::List(items) => !items.is_empty(),
        Kind::Map(_) => true,
    }
}

fn below<'a>(node: &'a mut Node, keys: &[&str]) -> Option<&'a mut Node> {
    keys.iter()
        .try_fold(node, |node, key| node.as_map_mut()?.get_mut(key))
}

fn items(node: Option<&mut Node>) -> &mut [Node] {
    match node.map(|node| &mut node.kind) {
        Some(Kind::List(items)) => items,
        _ => &mut [],
    }
}

/// Implied networks, dependencies and names.
pub(super) fn normalize(root: &mut Node, project: &str) {
    let mut default_used = None;
    for_each(root, "services", |_, service| {
        let networks = service.get("networks").and_then(Node::as_map);
        // What a provider runs is no container, and joins nothing.
        let alone = networks.is_none_or(Map::is_empty)
            && !service.get("network_mode").is_some_and(says_something)
            && !service.contains("provider");
        if alone {
            let span = service.get("networks").map(|node| node.span);
            let span = span.or_else(|| service.iter().next().map(|entry| entry.key_span));
            if let Some(span) = span {
                let mut networks = Map::new();
                networks.insert("default", span, Node::null(span));
                service.insert("networks", span, Node::map(networks, span));
            }
        }
        let networks = service.get("networks").and_then(Node::as_map);
        if let Some(entry) = networks.and_then(|networks| networks.entry("default")) {
            default_used = Some(entry.key_span);
        }
        imply_dependencies(service);
        imply_values(service);
        imply_images(service);
    });
    if let (Some(span), Some(root)) = (default_used, root.as_map_mut()) {
        add_default_network(root, span);
    }
    for kind in ["networks", "volumes", "secrets", "configs"] {
        name_resources(root, kind, project);
    }
}

fn add_default_network(root: &mut Map, span: Span) {
    if root.get("networks").and_then(Node::as_map).is_none() {
        root.insert("networks", span, Node::map(Map::new(), span));
    }
    if let Some(networks) = root.get_mut("networks").and_then(Node::as_map_mut)
        && !networks.contains("default")
    {
        networks.insert("default", span, Node::null(span));
    }
}

fn name_resources(root: &mut Node, kind: &str, project: &str) {
    let Some(resources) = root
        .as_map_mut()
        .and_then(|root| root.get_mut(kind))
        .and_then(Node::as_map_mut)
    else {
        return;
    };
    for entry in resources.iter_mut() {
        let span = entry.key_span;
        if entry.value.is_null() {
            entry.value = Node::map(Map::new(), span);
        }
        let Some(resource) = entry.value.as_map_mut() else {
            continue;
        };
        if resource
            .get("name")
            .and_then(Node::as_str)
            .is_none_or(str::is_empty)
        {
            let external = resource.get("external").and_then(Node::as_str) == Some("true");
            let name = if external {
                entry.key.clone()
            } else {
                crate::model::names::resource(project, &entry.key).into()
            };
            resource.insert("name", span, Node::string(name, span));
        }
    }
}

/// The Dockerfile's usual name, and one name for the policy that has two.
fn imply_values(service: &mut Map) {
    if let Some(build) = service.get_mut("build") {
        let span = build.span;
        if let Some(build) = build.as_map_mut()
            && !build.contains("dockerfile")
            && !build.contains("dockerfile_inline")
        {
            build.insert("dockerfile", span, Node::string("Dockerfile", span));
        }
    }
    if let Some(policy) = service.get_mut("pull_policy")
        && policy.as_str() == Some("if_not_present")
    {
        *policy = Node::string("missing", policy.span);
    }
}

/// What runs before the start runs from the service's image, unless it says another.
fn imply_images(service: &mut Map) {
    let Some(image) = service.get("image").cloned() else {
        return;
    };
    for hook in items(service.get_mut("pre_start")) {
        let span = hook.span;
        if let Some(hook) = hook.as_map_mut()
            && !hook.contains("image")
        {
            hook.insert("image", span, image.clone());
        }
    }
}

/// Links, shared namespaces and shared volumes need the other service to run. In the end: the
/// service, where that is said, and whether it follows the other's restarts.
fn imply_dependencies(service: &mut Map) {
    let mut implied: Vec<(String, Span, bool)> = Vec::new();
    for key in ["network_mode", "ipc", "pid", "uts", "cgroup"] {
        if let Some(node) = service.get(key)
            && let Some(other) = node.as_str().and_then(|mode| mode.strip_prefix("service:"))
        {
            implied.push((other.to_owned(), node.span, true));
        }
    }
    for link in service
        .get("links")
        .and_then(Node::as_list)
        .into_iter()
        .flatten()
    {
        if let Some(text) = link.as_str() {
            let name = text.split_once(':').map_or(text, |(name, _)| name);
            implied.push((name.to_owned(), link.span, true));
        }
    }
    for from in service
        .get("volumes_from")
        .and_then(Node::as_list)
        .into_iter()
        .flatten()
    {
        if let Some(text) = from.as_str()
            && !text.starts_with("container:")
        {
            let name = text.split_once(':').map_or(text, |(name, _)| name);
            implied.push((name.to_owned(), from.span, false));
        }
    }
    for (name, span, restart) in implied {
        if !service.contains("depends_on") {
            service.insert("depends_on", span, Node::map(Map::new(), span));
        }
        if let Some(dependencies) = service.get_mut("depends_on").and_then(Node::as_map_mut)
            && !dependencies.contains(&name)
        {
            let mut settings = Map::new();
            settings.insert("condition", span, Node::string("service_started", span));
            settings.insert("restart", span, Node::bool(restart, span));
            settings.insert("required", span, Node::bool(true, span));
            dependencies.insert(name, span, Node::map(settings, span));
        }
    }
}

/// In the host's network nothing is published; the file's words stay in the canonical form.
pub(super) fn discard_ports_of_host_mode(project: &mut Project) {
    for service in project.services.values_mut() {
        let mode = service.network_mode.as_ref().map(|mode| &mode.value);
        if mode == Some(&NetworkMode::Host) {
            service.ports.clear();
        }
    }
}

fn for_each(root: &mut Node, kind: &str, mut change: impl FnMut(&str, &mut Map)) {
    let Some(entries) = root
        .as_map_mut()
        .and_then(|root| root.get_mut(kind))
        .and_then(Node::as_map_mut)
    else {
        return;
    };
    for entry in entries.iter_mut() {
        if let Some(map) = entry.value.as_map_mut() {
            change(&entry.key, map);
        }
    }
}
