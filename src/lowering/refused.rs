//! Pure: what a Compose file may say and ketch can't carry out: one table, by path.
//!
//! The loader takes these keys and `config` prints them. Whoever makes something of a service
//! asks here first, so that nothing is made of a file that would be carried out in part.

use crate::diag::{Diagnostic, Diagnostics, Span};
use crate::model::{Project, Service};
use crate::yaml::{Node, Path};

/// One key that can't be carried out.
struct Row {
    /// Below the service; `*` is any key, `[]` any item.
    path: &'static str,
    /// The values that can't be; absent: all that say anything.
    only: Option<fn(&str) -> bool>,
    /// What is wrong with such a value, in the engine's words where there are any.
    says: Option<fn(&str) -> String>,
    hint: &'static str,
}

/// Not this key, whatever it says.
const fn never(path: &'static str) -> Row {
    Row {
        path,
        only: None,
        says: None,
        hint: "ketch refuses what it can't carry out; remove the key to go on without it",
    }
}

/// Not this key with such values.
const fn not_when(path: &'static str, only: fn(&str) -> bool) -> Row {
    Row {
        only: Some(only),
        ..never(path)
    }
}

/// Not such values, and this is why.
const fn wrong_when(
    path: &'static str,
    only: fn(&str) -> bool,
    says: fn(&str) -> String,
    hint: &'static str,
) -> Row {
    Row {
        path,
        only: Some(only),
        says: Some(says),
        hint,
    }
}

/// What containers can't have.
const OF_CONTAINERS: &[Row] = &[
    never("blkio_config"),
    never("deploy.resources.reservations.devices"),
    wrong_when(
        "devices.[].source",
        is_cdi_name,
        |name| format!("the CDI device {name:?} is not supported by ketch yet"),
        "give the path of a device below /dev",
    ),
    never("gpus"),
    wrong_when(
        "isolation",
        |text| text != "default",
        |text| format!("invalid isolation {text:?} on linux"),
        "there is only `default`",
    ),
    never("models"),
    never("networks.*.link_local_ips"),
    never("post_start"),
    never("pre_start"),
    never("pre_stop"),
    never("provider"),
    wrong_when(
        "runtime",
        |text| !matches!(text, "runc" | "io.containerd.runc.v2"),
        |text| format!("unknown or invalid runtime name: {text}"),
        "ketch runs containers itself, as `runc` does",
    ),
    never("storage_opt"),
    not_when("use_api_socket", |text| text == "true"),
    wrong_when(
        "userns_mode",
        |text| text != "host",
        |text| format!("invalid userns mode {text:?}"),
        "there is only `host`",
    ),
    wrong_when(
        "volumes.[].type",
        |text| matches!(text, "cluster" | "image" | "npipe"),
        |text| format!("mounts of type {text} are not supported by ketch yet"),
        "use `bind`, `volume` or `tmpfs`",
    ),
    never("volumes.[].volume.labels"),
    never("volumes_from"),
];

/// What builds can't have; it matters only when something is built.
const OF_BUILDS: &[Row] = &[
    never("build.additional_contexts"),
    never("build.cache_from"),
    never("build.cache_to"),
    wrong_when(
        "build.context",
        crate::loader::is_remote,
        |text| format!("remote build contexts are not supported by ketch yet: {text}"),
        "fetch it, and give its directory",
    ),
    never("build.entitlements"),
    wrong_when(
        "build.isolation",
        |text| text != "default",
        |text| format!("invalid isolation {text:?} on linux"),
        "there is only `default`",
    ),
    never("build.no_cache_filter"),
    not_when("build.privileged", |text| text == "true"),
    not_when("build.provenance", |text| text != "false"),
    not_when("build.sbom", |text| text != "false"),
    never("build.secrets"),
    never("build.ssh"),
    never("build.ulimits"),
];

/// What networks can't have.
const OF_NETWORKS: &[Row] = &[wrong_when(
    "ipam.driver",
    |text| !matches!(text, "default" | ""),
    |text| format!("IPAM driver {text:?} is not supported by ketch"),
    "use `default`",
)];

/// Tells about everything that containers and networks of these services can't have.
pub(super) fn containers(project: &Project, problems: &mut Diagnostics) {
    let services = Path::ROOT.key("services");
    for service in project.services.values() {
        check(
            &service.canonical,
            OF_CONTAINERS,
            services.key(&service.name),
            problems,
        );
    }
    let networks = Path::ROOT.key("networks");
    for network in project.networks.values() {
        let resource = &network.resource;
        if !resource.external {
            check(
                &resource.canonical,
                OF_NETWORKS,
                networks.key(&resource.key),
                problems,
            );
        }
    }
}

/// Tells about everything that a build of this service's image can't have.
pub fn build(service: &Service, problems: &mut Diagnostics) {
    let services = Path::ROOT.key("services");
    check(
        &service.canonical,
        OF_BUILDS,
        services.key(&service.name),
        problems,
    );
}

fn check(node: &Node, rows: &[Row], path: Path<'_>, problems: &mut Diagnostics) {
    for row in rows {
        let steps: Vec<&str> = row.path.split('.').collect();
        find(node, node.span, &steps, path, &mut |value, key, path| {
            if let Some(problem) = refusal(row, value, key, path) {
                problems.push(problem.hint(row.hint));
            }
        });
    }
}

/// Of a value that is wrong, the place is its own; of a key that can't be, the key's.
fn refusal(row: &Row, value: &Node, key: Span, path: Path<'_>) -> Option<Diagnostic> {
    let text = value.as_str().unwrap_or_default();
    let refused = match row.only {
        Some(only) => !text.is_empty() && only(text),
        None => says_something(value),
    };
    refused.then(|| match row.says {
        Some(says) => Diagnostic::error(value.span, format!("{path}: {}", says(text))),
        None => Diagnostic::error(key, format!("{path} is not supported by ketch yet")),
    })
}

/// Goes down to the values that the steps lead to, each with the place of its key.
fn find(
    node: &Node,
    key: Span,
    steps: &[&str],
    path: Path<'_>,
    found: &mut dyn FnMut(&Node, Span, Path<'_>),
) {
    let Some((step, rest)) = steps.split_first() else {
        return found(node, key, path);
    };
    if let Some(items) = node.as_list() {
        for (index, item) in items.iter().enumerate().filter(|_| *step == "[]") {
            find(item, item.span, rest, path.index(index), found);
        }
    }
    for entry in node.as_map().into_iter().flatten() {
        if *step == "*" || *step == entry.key {
            find(
                &entry.value,
                entry.key_span,
                rest,
                path.key(&entry.key),
                found,
            );
        }
    }
}

fn says_something(node: &Node) -> bool {
    match (node.as_list(), node.as_map()) {
        (Some(items), _) => !items.is_empty(),
        (_, Some(map)) => !map.is_empty(),
        _ => node.as_str().is_some_and(|text| !text.is_empty()),
    }
}

/// `vendor.com/class=name`.
fn is_cdi_name(source: &str) -> bool {
    let kind = source.split_once('=').map(|(kind, _)| kind);
    kind.is_some_and(|kind| !kind.starts_with('/') && kind.split('/').count() == 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lowering::fixture;

    fn told(text: &str, check: impl Fn(&Project, &mut Diagnostics)) -> Vec<String> {
        let mut problems = Diagnostics::default();
        check(&fixture::loaded(text), &mut problems);
        let message = |problem: &Diagnostic| problem.message.clone();
        problems.iter().map(message).collect()
    }

    #[test]
    fn what_containers_cannot_have_is_told_by_its_key() {
        let text = "
services:
  web:
    image: a
    gpus: all
    runtime: kata
    userns_mode: host
    isolation: default
    cpu_count: 2
    credential_spec: {file: spec.json}
    volumes: [{type: image, source: b, target: /b}, {type: volume, target: /c, volume: {labels: [x=y]}}]
    devices: [vendor.com/class=all, /dev/null]
    storage_opt: {}
    networks: {default: {link_local_ips: [169.254.1.1]}}
  off: {image: a, gpus: all, profiles: [none]}
networks: {default: {ipam: {driver: own}}}
";
        assert_eq!(
            told(text, containers),
            [
                "services.web.devices[0].source: the CDI device \"vendor.com/class=all\" is not supported by ketch yet",
                "services.web.gpus is not supported by ketch yet",
                "services.web.networks.default.link_local_ips is not supported by ketch yet",
                "services.web.runtime: unknown or invalid runtime name: kata",
                "services.web.volumes[0].type: mounts of type image are not supported by ketch yet",
                "services.web.volumes[1].volume.labels is not supported by ketch yet",
                "networks.default.ipam.driver: IPAM driver \"own\" is not supported by ketch",
            ]
        );
    }

    #[test]
    fn what_builds_cannot_have_is_told_by_its_key() {
        let text = "services: {web: {build: {context: 'https://example.org/a.git', ssh: [default], sbom: false, privileged: true}}}";
        let of_web = |project: &Project, problems: &mut Diagnostics| {
            build(&project.services["web"], problems);
        };
        assert_eq!(
            told(text, of_web),
            [
                "services.web.build.context: remote build contexts are not supported by ketch yet: https://example.org/a.git",
                "services.web.build.privileged is not supported by ketch yet",
                "services.web.build.ssh is not supported by ketch yet",
            ]
        );
        assert!(told(text, containers).is_empty());
    }
}
