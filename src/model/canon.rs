//! A project as `config` prints it: Compose's canonical form.

use indexmap::IndexMap;

use super::{FileSource, Network, Project, Resource, Service, SharedFile, Volume};
use crate::diag::Span;
use crate::yaml::{Entry, Kind, Map, Node, Path, order};

/// The whole project, in Compose's order. Dollars are not doubled.
pub fn project(project: &Project) -> Node {
    let span = anywhere(project);
    let mut root = Map::new();
    root.insert("name", span, Node::string(&project.name, span));
    root.insert(
        "services",
        span,
        map(
            span,
            project.services.values().map(|it| (&it.name, service(it))),
        ),
    );
    let mut put = |key: &str, node: Node| {
        if node.as_map().is_some_and(|map| !map.is_empty()) {
            root.insert(key, span, node);
        }
    };
    put(
        "networks",
        map(
            span,
            project
                .networks
                .values()
                .map(|it| (&it.resource.key, network(it))),
        ),
    );
    put(
        "volumes",
        map(
            span,
            project
                .volumes
                .values()
                .map(|it| (&it.resource.key, volume(it))),
        ),
    );
    put(
        "secrets",
        map(
            span,
            project
                .secrets
                .values()
                .map(|it| (&it.resource.key, shared_file(it))),
        ),
    );
    put(
        "configs",
        map(
            span,
            project
                .configs
                .values()
                .map(|it| (&it.resource.key, shared_file(it))),
        ),
    );
    for (key, node) in &project.extensions {
        root.insert(key, span, node.clone());
    }
    order::in_canonical_order(&Node::map(root, span))
}

/// The same for JSON, where Compose prints some things that are not set.
pub fn project_for_json(project: &Project) -> Node {
    let mut root = self::project(project);
    let span = root.span;
    let mut fill = |section: &str, key: &str, value: Node| {
        let entries = root
            .as_map_mut()
            .and_then(|root| root.get_mut(section))
            .and_then(Node::as_map_mut);
        for entry in entries.into_iter().flat_map(Map::iter_mut) {
            if let Some(map) = entry.value.as_map_mut()
                && !map.contains(key)
            {
                map.insert(key, span, value.clone());
            }
        }
    };
    fill("services", "command", Node::null(span));
    fill("services", "entrypoint", Node::null(span));
    fill("networks", "ipam", Node::map(Map::new(), span));
    order::in_json_order(&root)
}

/// A place for what no file spells out.
fn anywhere(project: &Project) -> Span {
    let services = project.services.values().chain(project.disabled.values());
    services
        .map(|service| service.span)
        .next()
        .unwrap_or(Span::new(crate::diag::FileId(0), 0, 0))
}

fn map<'a>(span: Span, entries: impl Iterator<Item = (&'a String, Node)>) -> Node {
    let mut map = Map::new();
    for (key, node) in entries {
        map.insert(key, span, node);
    }
    Node::map(map, span)
}

/// One service.
pub fn service(service: &Service) -> Node {
    let mut node = service.canonical.clone();
    tidy(&mut node, Path::ROOT);
    if let Some(map) = node.as_map_mut() {
        // No value of their own, and not Compose's to print.
        map.remove("extends");
        sort_list(map, "extra_hosts");
    }
    node
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

/// Attributes that are only printed when they are true.
const ONLY_TRUE: &[&str] = &[
    "privileged",
    "read_only",
    "tty",
    "stdin_open",
    "oom_kill_disable",
    "healthcheck.disable",
    "build.no_cache",
    "build.pull",
    "depends_on.*.restart",
    "volumes[].read_only",
    "volumes[].volume.nocopy",
];

/// What is always printed when it is there, be it empty or null.
const ALWAYS: &[&str] = &[
    "command",
    "entrypoint",
    "environment.*",
    "labels.*",
    "annotations.*",
    "sysctls.*",
    "deploy.labels.*",
    "logging.options.*",
    "build.args.*",
    "build.labels.*",
    "networks.*",
    "volumes[].bind",
    "volumes[].volume",
    "volumes[].tmpfs",
];

/// Takes out what says nothing: false switches, empty lists, nulls.
fn tidy(node: &mut Node, path: Path<'_>) {
    match &mut node.kind {
        Kind::Null | Kind::Scalar(_) => {}
        Kind::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                tidy(item, path.index(index));
            }
        }
        Kind::Map(map) => {
            let mut silent = Vec::new();
            for entry in map.iter_mut() {
                if entry.key.starts_with("x-") {
                    continue;
                }
                let below = path.key(&entry.key);
                tidy(&mut entry.value, below);
                if is_silent(entry, below) {
                    silent.push(entry.key.clone());
                }
            }
            for key in silent {
                map.remove(&key);
            }
        }
    }
}

fn is_silent(entry: &Entry, path: Path<'_>) -> bool {
    let fits = |patterns: &[&str]| patterns.iter().any(|pattern| path.matches(pattern));
    if fits(ALWAYS) {
        return entry.value.is_null() && matches!(entry.key.as_str(), "command" | "entrypoint");
    }
    match &entry.value.kind {
        Kind::Null => true,
        Kind::List(items) => items.is_empty(),
        Kind::Map(map) => map.is_empty(),
        Kind::Scalar(scalar) => match scalar.text.as_str() {
            "false" => fits(ONLY_TRUE),
            "true" => path.matches("volumes[].bind.create_host_path"),
            "" => true,
            _ => false,
        },
    }
}

/// Collects the pairs that say something.
struct Pairs {
    map: Map,
    span: Span,
}

impl Pairs {
    fn of(resource: &Resource) -> Self {
        let mut pairs = Self {
            map: Map::new(),
            span: resource.span,
        };
        pairs.text("name", Some(&resource.name));
        pairs.switch("external", resource.external);
        pairs.strings("labels", &resource.labels);
        pairs
    }

    fn put(&mut self, key: &str, node: Node) {
        self.map.insert(key, self.span, node);
    }

    fn text(&mut self, key: &str, text: Option<impl ToString>) {
        if let Some(text) = text {
            self.put(key, Node::string(text.to_string(), self.span));
        }
    }

    fn switch(&mut self, key: &str, on: bool) {
        if on {
            self.put(key, Node::bool(true, self.span));
        }
    }

    fn maybe(&mut self, key: &str, value: Option<bool>) {
        if let Some(value) = value {
            self.put(key, Node::bool(value, self.span));
        }
    }

    fn strings(&mut self, key: &str, strings: &IndexMap<String, impl ToString>) {
        if !strings.is_empty() {
            let span = self.span;
            let entries = strings
                .iter()
                .map(|(key, value)| (key, Node::string(value.to_string(), span)));
            self.put(key, map(span, entries));
        }
    }

    fn node(self) -> Node {
        Node::map(self.map, self.span)
    }
}

/// One network.
pub fn network(network: &Network) -> Node {
    let mut pairs = Pairs::of(&network.resource);
    let span = pairs.span;
    pairs.text("driver", network.driver.as_ref());
    pairs.strings("driver_opts", &network.driver_opts);
    pairs.switch("internal", network.internal);
    pairs.switch("attachable", network.attachable);
    pairs.maybe("enable_ipv4", network.enable_ipv4);
    pairs.maybe("enable_ipv6", network.enable_ipv6);
    let configs: Vec<Node> = network
        .ipam
        .iter()
        .map(|config| {
            let mut pairs = Pairs {
                map: Map::new(),
                span,
            };
            pairs.text("subnet", config.subnet.as_ref());
            pairs.text("gateway", config.gateway.as_ref());
            pairs.text("ip_range", config.ip_range.as_ref());
            pairs.strings("aux_addresses", &config.aux_addresses);
            pairs.node()
        })
        .collect();
    let mut ipam = Map::new();
    if !configs.is_empty() {
        ipam.insert("config", span, Node::list(configs, span));
    }
    if !ipam.is_empty() {
        pairs.put("ipam", Node::map(ipam, span));
    }
    pairs.node()
}

/// One volume.
pub fn volume(volume: &Volume) -> Node {
    let mut pairs = Pairs::of(&volume.resource);
    pairs.text("driver", volume.driver.as_ref());
    pairs.strings("driver_opts", &volume.driver_opts);
    pairs.node()
}

fn shared_file(file: &SharedFile) -> Node {
    let mut pairs = Pairs::of(&file.resource);
    match &file.source {
        FileSource::File(path) => pairs.text("file", Some(path.display())),
        FileSource::Environment { variable, .. } => pairs.text("environment", Some(variable)),
        FileSource::Content(content) => pairs.text("content", Some(content)),
        FileSource::External => {}
    }
    pairs.node()
}
