//! Merging a later file into an earlier one: two trees, and a table of the places where
//! more is needed than "mappings merge, lists append, scalars are replaced".
//!
//! The trees are canonical (long forms), but the forms that can be told apart without
//! knowing more (a string for a list, `K=V` for a mapping) are lifted here too.

use std::collections::HashMap;

use crate::diag::{Diagnostic, Diagnostics, Span};
use crate::yaml::{Kind, Map, Node, Path};

/// The earlier document with the later one merged over it.
pub fn merge(left: Node, right: Node, diagnostics: &mut Diagnostics) -> Node {
    merge_at(Path::ROOT, left, right, diagnostics)
}

/// The same for a part of a document that stands at `path`, such as `services.web`.
pub fn merge_at(path: Path<'_>, left: Node, right: Node, diagnostics: &mut Diagnostics) -> Node {
    let rule = rule(path);
    if left.is_null() {
        let mut right = right;
        enforce_at(path, &mut right, diagnostics);
        return right;
    }
    if right.is_null() {
        return left;
    }
    match rule {
        Rule::General => general(path, left, right, diagnostics),
        Rule::Replace => right,
        Rule::Pairs => pairs(path, left, right, diagnostics),
        Rule::Names(default) => general(
            path,
            named(left, default),
            named(right, default),
            diagnostics,
        ),
        Rule::Lifted(key) => general(path, lifted(left, key), lifted(right, key), diagnostics),
        Rule::Appended(key) => appended(path, left, right, key, diagnostics),
        Rule::Matched(key) => matched(path, left, right, key, diagnostics),
        Rule::Distinct => distinct(path, left, right, diagnostics),
        Rule::Logging => logging(path, left, right, diagnostics),
    }
}

/// Applies the rules that hold within one document: unique keys of lists.
pub fn enforce_unique(node: &mut Node, diagnostics: &mut Diagnostics) {
    enforce_at(Path::ROOT, node, diagnostics);
}

fn enforce_at(path: Path<'_>, node: &mut Node, diagnostics: &mut Diagnostics) {
    let rule = rule(path);
    match (rule, &mut node.kind) {
        (Rule::Appended(key), Kind::List(items)) => {
            *items = unique(std::mem::take(items), key);
        }
        (Rule::Distinct, _) => refuse_repeated(path, node, diagnostics),
        (_, Kind::Map(map)) if path.depth() < DEEPEST_RULE => {
            for entry in map.iter_mut() {
                if !entry.key.starts_with("x-") {
                    enforce_at(path.key(&entry.key), &mut entry.value, diagnostics);
                }
            }
        }
        _ => {}
    }
}

/// How two values at one place become one.
#[derive(Clone, Copy)]
enum Rule {
    /// Mappings merge, lists append, scalars are replaced.
    General,
    /// The later one.
    Replace,
    /// `K=V` lists and mappings; a later key without a value wins as well.
    Pairs,
    /// A list of names stands for a mapping with this value for each.
    Names(fn(Span) -> Node),
    /// A string stands for a mapping with this one key.
    Lifted(&'static str),
    /// Lists append; of items with one key the later stands in the earlier's place.
    Appended(fn(&Node) -> String),
    /// Lists append; items with one key merge.
    Matched(fn(&Node) -> String),
    /// Lists append, and an item that comes twice is an error.
    Distinct,
    /// Merged only when the driver is the same.
    Logging,
}

/// How many steps below the top the lowest rules hold.
const DEEPEST_RULE: usize = 5;

/// What holds at a place.
fn rule(path: Path<'_>) -> Rule {
    let mut room = [""; DEEPEST_RULE];
    match path.keys(&mut room) {
        Some(["services", _, attribute]) => rule_of_service(attribute),
        Some(["services", _, "build", attribute]) => match *attribute {
            "args" | "labels" | "additional_contexts" => Rule::Pairs,
            "extra_hosts" | "tags" => Rule::Appended(whole),
            _ => Rule::General,
        },
        Some(
            ["services", _, "healthcheck", "test"]
            | ["services", _, "ulimits", _]
            | ["services", _, "build", "ulimits", _],
        ) => Rule::Replace,
        Some(["services", _, "networks", _, "aliases" | "link_local_ips"]) => Rule::Appended(whole),
        Some(
            ["services", _, "deploy", "labels"]
            | ["networks" | "volumes" | "secrets" | "configs", _, "labels"],
        ) => Rule::Pairs,
        Some(["networks", _, "ipam", "config"]) => Rule::Matched(subnet),
        _ => Rule::General,
    }
}

fn rule_of_service(attribute: &str) -> Rule {
    match attribute {
        "command" | "entrypoint" => Rule::Replace,
        "environment" | "labels" | "annotations" | "sysctls" => Rule::Pairs,
        "dns" | "dns_search" | "dns_opt" | "cap_add" | "cap_drop" | "profiles" | "links"
        | "expose" | "extra_hosts" => Rule::Appended(whole),
        "tmpfs" => Rule::Appended(up_to_equals),
        "env_file" | "label_file" => Rule::Appended(path_key),
        "ports" => Rule::Appended(port),
        "volumes" | "devices" => Rule::Appended(target),
        "secrets" => Rule::Appended(secret),
        "configs" => Rule::Appended(config),
        "volumes_from"
        | "security_opt"
        | "group_add"
        | "external_links"
        | "device_cgroup_rules" => Rule::Distinct,
        "depends_on" => Rule::Names(started),
        "networks" | "models" => Rule::Names(Node::null),
        "build" => Rule::Lifted("context"),
        "logging" => Rule::Logging,
        _ => Rule::General,
    }
}

// The rules.

fn general(path: Path<'_>, left: Node, right: Node, diagnostics: &mut Diagnostics) -> Node {
    let (left_span, right_span) = (left.span, right.span);
    match (left.kind, right.kind) {
        (Kind::Map(left), Kind::Map(right)) => {
            Node::map(merge_maps(path, left, right, false, diagnostics), left_span)
        }
        (Kind::List(mut left), Kind::List(right)) => {
            left.extend(right);
            Node::list(left, right_span)
        }
        (Kind::Scalar(_), kind @ Kind::Scalar(_)) => Node {
            kind,
            span: right_span,
        },
        (left, right) => {
            let right = Node {
                kind: right,
                span: right_span,
            };
            cannot_override(
                path,
                &Node {
                    kind: left,
                    span: left_span,
                },
                &right,
                diagnostics,
            );
            right
        }
    }
}

/// `nulls`: a later key without a value wins too.
fn merge_maps(
    path: Path<'_>,
    mut left: Map,
    right: Map,
    nulls: bool,
    diagnostics: &mut Diagnostics,
) -> Map {
    for entry in right {
        let Some(earlier) = left.get_mut(&entry.key) else {
            let mut value = entry.value;
            enforce_at(path.key(&entry.key), &mut value, diagnostics);
            left.insert(entry.key, entry.key_span, value);
            continue;
        };
        if nulls {
            *earlier = entry.value;
            continue;
        }
        let before = std::mem::replace(earlier, Node::null(entry.key_span));
        *earlier = merge_at(path.key(&entry.key), before, entry.value, diagnostics);
    }
    left
}

fn pairs(path: Path<'_>, left: Node, right: Node, diagnostics: &mut Diagnostics) -> Node {
    let span = left.span;
    match (split_pairs(left), split_pairs(right)) {
        (
            Node {
                kind: Kind::Map(left),
                ..
            },
            Node {
                kind: Kind::Map(right),
                ..
            },
        ) => Node::map(merge_maps(path, left, right, true, diagnostics), span),
        (left, right) => {
            cannot_override(path, &left, &right, diagnostics);
            right
        }
    }
}

/// A list of `K=V` as a mapping.
fn split_pairs(node: Node) -> Node {
    let Kind::List(items) = node.kind else {
        return node;
    };
    let mut map = Map::new();
    for item in items {
        let span = item.span;
        let text = item.as_str().unwrap_or_default();
        match text.split_once('=') {
            Some((key, value)) => map.insert(key, span, Node::string(value, span)),
            None => map.insert(text, span, Node::null(span)),
        }
    }
    Node::map(map, node.span)
}

/// A list of names as a mapping.
fn named(node: Node, default: fn(Span) -> Node) -> Node {
    let Kind::List(items) = node.kind else {
        return node;
    };
    let mut map = Map::new();
    for item in items {
        if let Some(name) = item.as_str() {
            map.insert(name, item.span, default(item.span));
        }
    }
    Node::map(map, node.span)
}

/// A string as a mapping of one key.
fn lifted(node: Node, key: &str) -> Node {
    if node.as_str().is_none() {
        return node;
    }
    let span = node.span;
    let mut map = Map::new();
    map.insert(key, span, node);
    Node::map(map, span)
}

/// What the short form of `depends_on` says: the condition and `required`, not `restart`.
fn started(span: Span) -> Node {
    let mut map = Map::new();
    map.insert("condition", span, Node::string("service_started", span));
    map.insert("required", span, Node::bool(true, span));
    Node::map(map, span)
}

fn appended(
    path: Path<'_>,
    left: Node,
    right: Node,
    key: fn(&Node) -> String,
    diagnostics: &mut Diagnostics,
) -> Node {
    match (listed(left), listed(right)) {
        (
            Node {
                kind: Kind::List(mut left),
                ..
            },
            Node {
                kind: Kind::List(right),
                span,
            },
        ) => {
            left.extend(right);
            Node::list(unique(left, key), span)
        }
        (left, right) => {
            cannot_override(path, &left, &right, diagnostics);
            right
        }
    }
}

fn matched(
    path: Path<'_>,
    left: Node,
    right: Node,
    key: fn(&Node) -> String,
    diagnostics: &mut Diagnostics,
) -> Node {
    let (left_span, right_span) = (left.span, right.span);
    let (mut items, later) = match (left.kind, right.kind) {
        (Kind::List(left), Kind::List(right)) => (left, right),
        (left, right) => {
            let node = |kind, span| Node { kind, span };
            let (left, right) = (node(left, left_span), node(right, right_span));
            return general(path, left, right, diagnostics);
        }
    };
    let mut places: HashMap<String, usize> = HashMap::new();
    for (place, item) in items.iter().enumerate() {
        places.entry(key(item)).or_insert(place);
    }
    for item in later {
        match places.get(&key(&item)).copied() {
            Some(same) => {
                let earlier = std::mem::replace(&mut items[same], Node::null(item.span));
                items[same] = merge_at(path.index(same), earlier, item, diagnostics);
            }
            None => items.push(item),
        }
    }
    Node::list(items, right_span)
}

fn listed(node: Node) -> Node {
    let span = node.span;
    if node.as_str().is_some() {
        Node::list(vec![node], span)
    } else {
        node
    }
}

fn unique(items: Vec<Node>, key: fn(&Node) -> String) -> Vec<Node> {
    if items.len() < 2 {
        return items;
    }
    let mut kept: indexmap::IndexMap<String, Node> = indexmap::IndexMap::with_capacity(items.len());
    for item in items {
        kept.insert(key(&item), item);
    }
    kept.into_values().collect()
}

fn distinct(path: Path<'_>, left: Node, right: Node, diagnostics: &mut Diagnostics) -> Node {
    let node = general(path, left, right, diagnostics);
    refuse_repeated(path, &node, diagnostics);
    node
}

fn refuse_repeated(path: Path<'_>, node: &Node, diagnostics: &mut Diagnostics) {
    let Some(items) = node.as_list() else { return };
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (at, item) in items.iter().enumerate() {
        let first = *seen.entry(whole(item)).or_insert(at);
        if first != at {
            let message = format!("{path}: items at {first} and {at} are equal");
            diagnostics.push(
                Diagnostic::error(item.span, message).label(items[first].span, "the same item"),
            );
        }
    }
}

fn logging(path: Path<'_>, left: Node, right: Node, diagnostics: &mut Diagnostics) -> Node {
    let driver = |node: &Node| -> Option<String> {
        let driver = node.as_map()?.get("driver")?.as_str()?;
        Some(driver.to_owned())
    };
    match (driver(&left), driver(&right)) {
        (Some(left), Some(right)) if left != right => {}
        _ => return general(path, left, right, diagnostics),
    }
    right
}

fn cannot_override(path: Path<'_>, left: &Node, right: &Node, diagnostics: &mut Diagnostics) {
    let message = format!(
        "cannot override {path}: {} with {}",
        left.describe(),
        right.describe()
    );
    diagnostics.push(Diagnostic::error(right.span, message).label(left.span, "first defined here"));
}

// What makes an item of a list the same as another.

fn whole(item: &Node) -> String {
    match &item.kind {
        // `80` and `"80"` are the same.
        Kind::Scalar(scalar) => scalar.text.as_str().to_owned(),
        _ => crate::yaml::write::to_json(item).to_string(),
    }
}

fn up_to_equals(item: &Node) -> String {
    whole(item).split('=').next().unwrap_or_default().to_owned()
}

fn field(item: &Node, key: &str) -> Option<String> {
    let value = item.as_map()?.get(key)?;
    value.as_str().map(ToOwned::to_owned)
}

fn path_key(item: &Node) -> String {
    field(item, "path").unwrap_or_else(|| whole(item))
}

fn target(item: &Node) -> String {
    field(item, "target").unwrap_or_else(|| whole(item))
}

fn subnet(item: &Node) -> String {
    field(item, "subnet").unwrap_or_else(|| whole(item))
}

fn port(item: &Node) -> String {
    if item.as_map().is_none() {
        return whole(item);
    }
    let address = field(item, "host_ip").filter(|address| !address.is_empty());
    let address = address.unwrap_or_else(|| "0.0.0.0".to_owned());
    let protocol = field(item, "protocol").unwrap_or_else(|| "tcp".to_owned());
    let published = field(item, "published").unwrap_or_default();
    format!(
        "{address}:{published}:{}/{protocol}",
        field(item, "target").unwrap_or_default()
    )
}

fn secret(item: &Node) -> String {
    granted(item, "/run/secrets/")
}

fn config(item: &Node) -> String {
    granted(item, "/")
}

/// A secret or config by its target; a bare name of a target lies in the same directory.
fn granted(item: &Node, directory: &str) -> String {
    let name = field(item, "target").filter(|target| !target.is_empty());
    let name = name
        .or_else(|| field(item, "source"))
        .unwrap_or_else(|| whole(item));
    if name.starts_with('/') {
        name
    } else {
        format!("{directory}{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::FileId;
    use crate::yaml::{parse, write};

    /// Merges two texts of a service `s` and shows the service, or the first error.
    fn merged(left: &str, right: &str) -> String {
        let mut diagnostics = Diagnostics::default();
        let mut read = |text: &str| {
            parse(
                &format!("services: {{s: {text}}}"),
                FileId(0),
                &mut diagnostics,
            )
            .remove(0)
            .root
        };
        let (left, right) = (read(left), read(right));
        let node = merge(left, right, &mut diagnostics);
        if let Some(diagnostic) = diagnostics.iter().next() {
            return diagnostic.message.clone();
        }
        let services = node
            .as_map()
            .and_then(|map| map.get("services"))
            .and_then(Node::as_map);
        write::to_json(services.and_then(|services| services.get("s")).unwrap())
            .to_string()
            .replace('"', "")
    }

    /// Earlier, later, merged.
    const MERGES: &[(&str, &str, &str)] = &[
        (
            "{image: a, tty: true}",
            "{image: b, init: true}",
            "{image:b,tty:true,init:true}",
        ),
        ("{image: a}", "{image: null}", "{image:a}"),
        (
            "{image: a}",
            "{image: [b]}",
            "cannot override services.s.image: a string with a list",
        ),
        ("{command: [a, b]}", "{command: [c]}", "{command:[c]}"),
        (
            "{healthcheck: {test: [a], retries: 1}}",
            "{healthcheck: {test: [b]}}",
            "{healthcheck:{test:[b],retries:1}}",
        ),
        (
            "{environment: {A: 1, B: 2}}",
            "{environment: [A=3, B]}",
            "{environment:{A:3,B:null}}",
        ),
        (
            "{dns: 1.1.1.1}",
            "{dns: [8.8.8.8, 1.1.1.1]}",
            "{dns:[1.1.1.1,8.8.8.8]}",
        ),
        ("{tmpfs: [/a]}", "{tmpfs: [/a, /b]}", "{tmpfs:[/a,/b]}"),
        ("{expose: [80]}", "{expose: ['80', 81]}", "{expose:[80,81]}"),
        (
            "{ports: [{target: 80, published: '80'}]}",
            "{ports: [{target: 80, published: '8080'}, {target: 80, published: '80', host_ip: 0.0.0.0}]}",
            "{ports:[{target:80,published:80,host_ip:0.0.0.0},{target:80,published:8080}]}",
        ),
        (
            "{volumes: [{source: a, target: /x}, {source: b, target: /y}]}",
            "{volumes: [{source: c, target: /x}]}",
            "{volumes:[{source:c,target:/x},{source:b,target:/y}]}",
        ),
        (
            "{secrets: [{source: a}]}",
            "{secrets: [{source: b, target: /run/secrets/a}]}",
            "{secrets:[{source:b,target:/run/secrets/a}]}",
        ),
        (
            "{build: .}",
            "{build: {target: t}}",
            "{build:{context:.,target:t}}",
        ),
        (
            "{depends_on: {db: {condition: service_healthy, restart: true}}}",
            "{depends_on: [db, mq]}",
            "{depends_on:{db:{condition:service_started,restart:true,required:true},mq:{condition:service_started,required:true}}}",
        ),
        (
            "{networks: [a]}",
            "{networks: {a: {aliases: [x]}, b: }}",
            "{networks:{a:{aliases:[x]},b:null}}",
        ),
        (
            "{extra_hosts: [a=1]}",
            "{extra_hosts: [a=1, a=2]}",
            "{extra_hosts:[a=1,a=2]}",
        ),
        (
            "{logging: {driver: a, options: {x: 1}}}",
            "{logging: {options: {y: 2}}}",
            "{logging:{driver:a,options:{x:1,y:2}}}",
        ),
        (
            "{logging: {driver: a, options: {x: 1}}}",
            "{logging: {driver: b}}",
            "{logging:{driver:b}}",
        ),
        (
            "{ulimits: {nofile: {soft: 1, hard: 2}}}",
            "{ulimits: {nofile: 3}}",
            "{ulimits:{nofile:3}}",
        ),
        (
            "{security_opt: [a]}",
            "{security_opt: [b]}",
            "{security_opt:[a,b]}",
        ),
        (
            "{security_opt: [a]}",
            "{security_opt: [a]}",
            "services.s.security_opt: items at 0 and 1 are equal",
        ),
        (
            "{post_start: [{command: a}]}",
            "{post_start: [{command: a}]}",
            "{post_start:[{command:a},{command:a}]}",
        ),
    ];

    #[test]
    fn attributes_merge_by_their_rules() {
        for (left, right, expected) in MERGES {
            assert_eq!(merged(left, right), *expected, "{left} + {right}");
        }
    }

    #[test]
    fn one_document_has_unique_items() {
        assert_eq!(merged("null", "{cap_add: [A, B, A]}"), "{cap_add:[A,B]}");
        assert_eq!(
            merged("{}", "{group_add: [1, 1]}"),
            "services.s.group_add: items at 0 and 1 are equal"
        );
    }
}
