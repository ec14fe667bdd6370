//! Short forms become long ones, so that every later phase knows one form only: a table of
//! places and the transform of each. Runs on each document before it is merged.

mod build;
mod devices;
mod grants;
mod healthcheck;
mod hooks;
mod hosts;
mod lists;
mod names;
mod ports;
mod requests;
mod volumes;
mod watch;
mod words;

use crate::diag::Diagnostics;
use crate::yaml::{Kind, Node, Path};

/// A node in its long form.
type Transform = fn(Node, Path<'_>, &mut Diagnostics) -> Node;

/// By path; applied in this order.
const TRANSFORMS: &[(&str, Transform)] = &[
    ("services.*.build", build::lifted),
    ("services.*.build.args", lists::pairs),
    ("services.*.build.labels", lists::labels),
    ("services.*.build.extra_hosts", hosts::list),
    ("services.*.build.additional_contexts", lists::pairs),
    ("services.*.build.ssh", build::ssh),
    ("services.*.build.no_cache_filter", lists::of_strings),
    ("services.*.build.provenance", lists::text),
    ("services.*.build.sbom", lists::text),
    ("services.*.build.secrets", grants::list),
    ("services.*.command", words::command),
    ("services.*.entrypoint", words::command),
    ("services.*.environment", lists::environment),
    ("services.*.labels", lists::labels),
    ("services.*.annotations", lists::labels),
    ("services.*.sysctls", lists::labels),
    ("services.*.deploy.labels", lists::labels),
    (
        "services.*.deploy.resources.reservations.devices",
        requests::list,
    ),
    ("services.*.gpus", requests::list),
    ("services.*.storage_opt", lists::labels),
    ("services.*.provider.options", lists::of_lists),
    ("services.*.label_file", lists::of_strings),
    ("services.*.post_start", hooks::list),
    ("services.*.pre_start", hooks::list),
    ("services.*.pre_stop", hooks::list),
    ("services.*.develop.watch", watch::list),
    ("services.*.models", names::without_settings),
    ("services.*.env_file", lists::env_file),
    ("services.*.dns", lists::of_strings),
    ("services.*.dns_search", lists::of_strings),
    ("services.*.tmpfs", lists::of_strings),
    ("services.*.depends_on", names::depends_on),
    ("services.*.networks", names::without_settings),
    ("services.*.networks.*.driver_opts", lists::labels),
    ("services.*.extra_hosts", hosts::list),
    ("services.*.healthcheck.test", healthcheck::test),
    ("services.*.ports", ports::list),
    ("services.*.volumes", volumes::list),
    ("services.*.devices", devices::list),
    ("services.*.secrets", grants::list),
    ("services.*.configs", grants::list),
    ("services.*.logging.options", lists::labels),
    ("networks.*", names::external),
    ("networks.*.labels", lists::labels),
    ("networks.*.driver_opts", lists::labels),
    ("networks.*.ipam.options", lists::labels),
    ("volumes.*", names::external),
    ("volumes.*.labels", lists::labels),
    ("volumes.*.driver_opts", lists::labels),
    ("secrets.*", names::external),
    ("secrets.*.labels", lists::labels),
    ("secrets.*.driver_opts", lists::labels),
    ("configs.*", names::external),
    ("configs.*.labels", lists::labels),
];

/// Transforms a document.
pub(super) fn canonical(root: &mut Node, diagnostics: &mut Diagnostics) {
    ports::bound(root, diagnostics);
    for (pattern, transform) in TRANSFORMS {
        let steps: Vec<&str> = pattern.split('.').collect();
        at(root, &steps, Path::ROOT, transform, diagnostics);
    }
}

/// What has a long form before variables are replaced: what Compose takes apart while the file
/// is still a tree. Commands, `K=V` lists and the like stay as they were written.
const BEFORE_VARIABLES: &[&str] = &[
    "services.*.build",
    "services.*.env_file",
    "services.*.dns",
    "services.*.depends_on",
    "services.*.networks",
    "services.*.ports",
    "services.*.volumes",
    "services.*.devices",
    "services.*.secrets",
    "services.*.configs",
    "networks.*",
    "volumes.*",
    "secrets.*",
    "configs.*",
];

/// Transforms a document whose variables are left in, as far as can be told without their
/// values: a short form with a variable in it stays short.
pub(super) fn around_variables(root: &mut Node) {
    for (pattern, transform) in TRANSFORMS {
        if BEFORE_VARIABLES.contains(pattern) {
            let steps: Vec<&str> = pattern.split('.').collect();
            at(
                root,
                &steps,
                Path::ROOT,
                &|node, path, _| unless_unknown(node, path, *transform),
                &mut Diagnostics::default(),
            );
        }
    }
}

fn unless_unknown(node: Node, path: Path<'_>, transform: Transform) -> Node {
    let unknown = |node: &Node| node.as_str().is_some_and(|text| text.contains('$'));
    let some = node
        .as_list()
        .is_some_and(|items| items.iter().any(unknown));
    let Kind::List(items) = node.kind else {
        return attempt(node, path, transform);
    };
    let span = node.span;
    // Ports are taken apart all or none: a range is several.
    if !some || path.last_key() == Some("ports") {
        let node = Node::list(items, span);
        return if some {
            node
        } else {
            attempt(node, path, transform)
        };
    }
    let mut list = Vec::new();
    for item in items {
        if unknown(&item) {
            list.push(item);
            continue;
        }
        let alone = attempt(Node::list(vec![item], span), path, transform);
        match alone.kind {
            Kind::List(items) => list.extend(items),
            kind => list.push(Node { kind, span }),
        }
    }
    Node::list(list, span)
}

/// The long form, or what was there when there is none.
fn attempt(node: Node, path: Path<'_>, transform: Transform) -> Node {
    let mut told = Diagnostics::default();
    let long = transform(node.clone(), path, &mut told);
    if told.has_errors() { node } else { long }
}

fn at(
    node: &mut Node,
    steps: &[&str],
    path: Path<'_>,
    transform: &dyn Fn(Node, Path<'_>, &mut Diagnostics) -> Node,
    diagnostics: &mut Diagnostics,
) {
    let Some((step, rest)) = steps.split_first() else {
        if !node.is_null() {
            let taken = std::mem::replace(node, Node::null(node.span));
            *node = transform(taken, path, diagnostics);
        }
        return;
    };
    let Kind::Map(map) = &mut node.kind else {
        return;
    };
    if *step == "*" {
        for entry in map.iter_mut() {
            at(
                &mut entry.value,
                rest,
                path.key(&entry.key),
                transform,
                diagnostics,
            );
        }
    } else if let Some(value) = map.get_mut(step) {
        at(value, rest, path.key(step), transform, diagnostics);
    }
}

/// Transforms the value of one key of a mapping, when it is there.
fn within(
    node: &mut Node,
    key: &str,
    path: Path<'_>,
    transform: Transform,
    diagnostics: &mut Diagnostics,
) {
    at(node, &[key], path, &transform, diagnostics);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::FileId;
    use crate::yaml::{parse, write};

    /// What becomes of a service, as JSON without quotes, or the errors.
    pub(super) fn service(text: &str) -> String {
        let mut diagnostics = Diagnostics::default();
        let text = format!("services: {{s: {{{text}}}}}");
        let mut root = parse(&text, FileId(0), &mut diagnostics).remove(0).root;
        super::canonical(&mut root, &mut diagnostics);
        let errors: Vec<String> = diagnostics
            .iter()
            .map(|diagnostic| diagnostic.message.clone())
            .collect();
        if !errors.is_empty() {
            return errors.join("\n");
        }
        let service = root.as_map().and_then(|map| map.get("services"));
        let service = service.and_then(|services| services.as_map()?.get("s"));
        write::to_json(service.unwrap())
            .to_string()
            .replace('"', "")
    }

    #[test]
    fn lists_become_mappings() {
        assert_eq!(
            service("environment: [A=1, B, C=x=y], labels: [a, b=c]"),
            "{environment:{A:1,B:null,C:x=y},labels:{a:,b:c}}"
        );
        assert_eq!(
            service("depends_on: [db], networks: [a, b]"),
            "{depends_on:{db:{condition:service_started,required:true}},networks:{a:null,b:null}}"
        );
    }

    #[test]
    fn strings_become_what_they_stand_for() {
        assert_eq!(
            service("build: ./x, env_file: .env, healthcheck: {test: true && x}"),
            "{build:{context:./x},env_file:[{path:.env,required:true}],healthcheck:{test:[CMD-SHELL,true && x]}}"
        );
        assert_eq!(
            service("command: a 'b c' d\\ e, entrypoint: []"),
            "{command:[a,b c,d e],entrypoint:[]}"
        );
    }

    #[test]
    fn ports_have_long_forms() {
        assert_eq!(
            service("ports: ['127.0.0.1::80']"),
            "{ports:[{mode:ingress,host_ip:127.0.0.1,target:80,protocol:tcp}]}"
        );
        assert_eq!(
            service("ports: ['8080-8081:80-81/udp']"),
            "{ports:[{mode:ingress,target:80,published:8080,protocol:udp},{mode:ingress,target:81,published:8081,protocol:udp}]}"
        );
        assert_eq!(
            service("ports: ['8080-8090:80', '[::1]:1:2', ':80']"),
            "{ports:[{mode:ingress,target:80,published:8080-8090,protocol:tcp},\
             {mode:ingress,host_ip:::1,target:2,published:1,protocol:tcp},{mode:ingress,target:80,protocol:tcp}]}"
        );
        for bad in [
            "localhost:80:80",
            "127.0.0.1:80",
            "80-81:80-82",
            "99999",
            "80/http",
            "::1:80:80",
            "",
        ] {
            assert!(
                service(&format!("ports: ['{bad}']")).contains("ports[0]"),
                "{bad}"
            );
        }
    }

    #[test]
    fn ranges_of_ports_have_an_end() {
        let ranges = "'1-65535', '1-65535/udp', '1-65535/sctp', ".repeat(1000);
        let told = service(&format!("ports: [{ranges}]"));
        assert!(told.starts_with("the ranges of ports have more than 200000 ports in all\n"));
    }

    #[test]
    fn volumes_have_long_forms() {
        assert_eq!(
            service("volumes: [/x, 'data:/y/../z/', './a:/b:ro,z', 'n:/w']"),
            "{volumes:[{type:volume,target:/x,volume:{}},{type:volume,source:data,target:/z,volume:{}},\
             {type:bind,source:./a,target:/b,read_only:true,bind:{create_host_path:true,selinux:z}},\
             {type:volume,target:n:/w,volume:{}}]}"
        );
        assert!(service("volumes: ['aa:/b:/c:d']").contains("too many colons"));
        assert!(service("volumes: ['aa::/b']").contains("empty section between colons"));
    }

    #[test]
    fn devices_are_requested_in_long_forms() {
        assert_eq!(service("gpus: all"), "{gpus:[{count:-1}]}");
        assert_eq!(
            service("gpus: [{driver: nvidia, options: [a=1, b]}]"),
            "{gpus:[{driver:nvidia,options:{a:1,b:}}]}"
        );
        assert_eq!(
            service("gpus: [{count: 1, device_ids: [a]}]"),
            "services.s.gpus[0]: \"count\" and \"device_ids\" attributes are exclusive"
        );
    }

    #[test]
    fn commands_of_hooks_are_split() {
        assert_eq!(
            service("post_start: [{command: a 'b c', environment: [X=1, Y]}]"),
            "{post_start:[{command:[a,b c],environment:{X:1,Y:null}}]}"
        );
        assert_eq!(
            service(
                "develop: {watch: [{path: a, action: sync+exec, ignore: b, exec: {command: c d}}]}"
            ),
            "{develop:{watch:[{path:a,action:sync+exec,ignore:[b],exec:{command:[c,d]}}]}}"
        );
        assert!(
            service("pre_stop: [{command: \"a 'b\"}]")
                .starts_with("services.s.pre_stop[0].command: ")
        );
    }

    #[test]
    fn builds_have_long_forms() {
        assert_eq!(
            service(
                "build: {ssh: [default, 'id=/k', 'old: /o'], additional_contexts: [a=b], provenance: true, \
                 no_cache_filter: x, secrets: [s, {source: t, mode: '0400'}]}"
            ),
            "{build:{ssh:{default:null,id:/k,old:/o},additional_contexts:{a:b},provenance:true,no_cache_filter:[x],\
             secrets:[{source:s},{source:t,mode:0400}]}}"
        );
    }

    #[test]
    fn options_of_a_provider_are_lists() {
        assert_eq!(
            service("provider: {type: x, options: {a: 1, b: [2, true]}}"),
            "{provider:{type:x,options:{a:[1],b:[2,true]}}}"
        );
    }

    #[test]
    fn hosts_and_devices_have_long_forms() {
        assert_eq!(
            service(
                "extra_hosts: ['a:1.2.3.4', 'b=[::1]', 'c:::2'], devices: [/dev/a, '/dev/b:/dev/c:r']"
            ),
            "{extra_hosts:[a=1.2.3.4,b=::1,c=::2],devices:[{source:/dev/a,target:/dev/a,permissions:rwm},\
             {source:/dev/b,target:/dev/c,permissions:r}]}"
        );
    }
}
