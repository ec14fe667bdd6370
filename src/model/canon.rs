//! A project as `config` prints it: Compose's canonical form.

use super::{Project, tidy};
use crate::diag::Span;
use crate::yaml::{Kind, Map, Node, Path, order};

/// The whole project, in Compose's order. Dollars are not doubled.
pub fn project(project: &Project) -> Node {
    let span = anywhere(project);
    let mut root = Map::new();
    root.insert("name", span, Node::string(&project.name, span));
    let services = project.services.values();
    let services = section(span, services.map(|it| (&it.name, &it.canonical)));
    root.insert("services", span, services);
    let networks = project.networks.values().map(|it| &it.resource);
    let volumes = project.volumes.values().map(|it| &it.resource);
    let secrets = project.secrets.values().map(|it| &it.resource);
    let configs = project.configs.values().map(|it| &it.resource);
    let models = project.models.values().map(|it| (&it.key, &it.canonical));
    for (key, node) in [
        ("networks", section(span, networks.map(named))),
        ("volumes", section(span, volumes.map(named))),
        ("secrets", section(span, secrets.map(named))),
        ("configs", section(span, configs.map(named))),
        ("models", section(span, models)),
    ] {
        if node.as_map().is_some_and(|map| !map.is_empty()) {
            root.insert(key, span, node);
        }
    }
    for (key, node) in &project.extensions {
        root.insert(key, span, node.clone());
    }
    let mut root = Node::map(root, span);
    for service in entries(&mut root, "services") {
        print_service(service);
    }
    for network in entries(&mut root, "networks") {
        if let Some(ipam) = network.get_mut("ipam").and_then(Node::as_map_mut) {
            // Compose reads it and forgets it.
            ipam.remove("options");
        }
    }
    tidy::tidy(&mut root, Path::ROOT);
    order::in_canonical_order(root)
}

/// The same for JSON, where Compose prints some things that are not set, and no models.
pub fn project_for_json(project: &Project) -> Node {
    let mut root = self::project(project);
    let span = root.span;
    let mut fill = |section: &str, key: &str, value: Node| {
        for map in entries(&mut root, section) {
            if !map.contains(key) {
                map.insert(key, span, value.clone());
            }
        }
    };
    fill("services", "command", Node::null(span));
    fill("services", "entrypoint", Node::null(span));
    fill("networks", "ipam", Node::map(Map::new(), span));
    if let Some(root) = root.as_map_mut() {
        root.remove("models");
    }
    order::in_json_order(root)
}

/// A place for what no file spells out.
fn anywhere(project: &Project) -> Span {
    let services = project.services.values().chain(project.disabled.values());
    services
        .map(|service| service.span)
        .next()
        .unwrap_or(Span::new(crate::diag::FileId(0), 0, 0))
}

fn named(resource: &super::Resource) -> (&String, &Node) {
    (&resource.key, &resource.canonical)
}

fn section<'a>(span: Span, parts: impl Iterator<Item = (&'a String, &'a Node)>) -> Node {
    let mut map = Map::new();
    for (key, node) in parts {
        let node = match node.is_null() {
            true => Node::map(Map::new(), node.span),
            false => node.clone(),
        };
        map.insert(key, span, node);
    }
    Node::map(map, span)
}

/// The mappings in a section of the top level.
fn entries<'a>(root: &'a mut Node, section: &str) -> impl Iterator<Item = &'a mut Map> {
    let section = root.as_map_mut().and_then(|root| root.get_mut(section));
    let section = section.and_then(Node::as_map_mut).into_iter();
    let values = section.flat_map(Map::iter_mut);
    values.filter_map(|entry| entry.value.as_map_mut())
}

/// What Compose prints in another form than it keeps.
fn print_service(service: &mut Map) {
    // No value of its own, and not Compose's to print.
    service.remove("extends");
    sort_list(service, "extra_hosts");
    print_ulimits(service);
    if let Some(build) = service.get_mut("build").and_then(Node::as_map_mut) {
        sort_list(build, "extra_hosts");
        print_ulimits(build);
        if let Some(ssh) = build.get_mut("ssh") {
            print_ssh(ssh);
        }
    }
}

fn sort_list(map: &mut Map, key: &str) {
    if let Some(Node {
        kind: Kind::List(items),
        ..
    }) = map.get_mut(key)
    {
        items.sort_by(|left, right| left.as_str().cmp(&right.as_str()));
    }
}

/// The one number 0 is printed as two.
fn print_ulimits(map: &mut Map) {
    let limits = map.get_mut("ulimits").and_then(Node::as_map_mut);
    for entry in limits.into_iter().flat_map(Map::iter_mut) {
        if entry.value.as_str() == Some("0") {
            let span = entry.value.span;
            let mut both = Map::new();
            both.insert("soft", span, entry.value.clone());
            both.insert("hard", span, entry.value.clone());
            entry.value = Node::map(both, span);
        }
    }
}

/// A list of `id` and `id: path`, by id.
fn print_ssh(ssh: &mut Node) {
    let Some(keys) = ssh.as_map() else { return };
    let mut items: Vec<String> = keys
        .iter()
        .map(|entry| match entry.value.as_str() {
            Some(path) if !path.is_empty() => format!("{}: {path}", entry.key),
            _ => entry.key.as_str().to_owned(),
        })
        .collect();
    items.sort();
    let span = ssh.span;
    let items = items.into_iter().map(|item| Node::string(item, span));
    *ssh = Node::list(items.collect(), span);
}
