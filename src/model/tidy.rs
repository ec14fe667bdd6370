//! What `config` leaves out: nulls, empty lists and texts, `false`, zero; with the places where
//! one of them says something and stays.

use crate::yaml::{Entry, Kind, Node, Path, Resolved};

/// Nulls that say something: there without settings, or without a value.
const NULLS: &[&str] = &[
    "services.*.environment.*",
    "services.*.networks.*",
    "services.*.models.*",
    "services.*.build.args.*",
    "services.*.post_start[].command",
    "services.*.post_start[].environment.*",
    "services.*.pre_start[].environment.*",
    "services.*.pre_stop[].command",
    "services.*.pre_stop[].environment.*",
    "services.*.develop.watch[].exec.command",
    "services.*.develop.watch[].exec.environment.*",
];

/// Lists that clear what the image has, or must be there.
const LISTS: &[&str] = &[
    "services.*.deploy.resources.*.devices[].capabilities",
    "services.*.command",
    "services.*.entrypoint",
    "services.*.*[].command",
    "services.*.develop.watch[].exec.command",
];

/// Mappings that are told apart from nothing at all.
const MAPPINGS: &[&str] = &[
    "services.*",
    "services.*.networks.*",
    "services.*.models.*",
    "services.*.blkio_config",
    "services.*.build",
    "services.*.credential_spec",
    "services.*.deploy",
    "services.*.deploy.resources.*",
    "services.*.deploy.restart_policy",
    "services.*.deploy.rollback_config",
    "services.*.deploy.update_config",
    "services.*.develop",
    "services.*.healthcheck",
    "services.*.logging",
    "services.*.provider",
    "services.*.volumes[].*",
    "networks.*",
    "volumes.*",
    "secrets.*",
    "configs.*",
    "models.*",
];

/// Mappings of texts, empty ones too.
const TEXTS: &[&str] = &[
    "services.*.annotations.*",
    "services.*.build.additional_contexts.*",
    "services.*.build.args.*",
    "services.*.build.labels.*",
    "services.*.deploy.labels.*",
    "services.*.deploy.resources.*.devices[].options.*",
    "services.*.develop.watch[].exec.environment.*",
    "services.*.environment.*",
    "services.*.gpus[].options.*",
    "services.*.labels.*",
    "services.*.logging.options.*",
    "services.*.networks.*.driver_opts.*",
    "services.*.post_start[].environment.*",
    "services.*.pre_start[].environment.*",
    "services.*.pre_stop[].environment.*",
    "services.*.storage_opt.*",
    "services.*.sysctls.*",
    "services.*.volumes[].volume.labels.*",
    "*.*.driver_opts.*",
    "*.*.labels.*",
];

/// Switches whose absence is not `false`.
const SWITCHES: &[&str] = &[
    "services.*.attach",
    "services.*.depends_on.*.required",
    "services.*.env_file[].required",
    "services.*.init",
    "services.*.volumes[].bind.create_host_path",
    "networks.*.enable_ipv4",
    "networks.*.enable_ipv6",
];

/// Numbers whose absence is not zero.
const NUMBERS: &[&str] = &[
    "services.*.blkio_config.*[].*",
    "services.*.build.ulimits.**",
    "services.*.deploy.replicas",
    "services.*.deploy.resources.*.devices[].count",
    "services.*.deploy.resources.*.generic_resources[].discrete_resource_spec.value",
    "services.*.deploy.restart_policy.max_attempts",
    "services.*.deploy.rollback_config.parallelism",
    "services.*.deploy.update_config.parallelism",
    "services.*.gpus[].count",
    "services.*.healthcheck.retries",
    "services.*.scale",
    "services.*.ulimits.**",
];

/// Sizes and durations are texts, and zero is none of them.
const ZEROES: &[&str] = &[
    "services.*.build.shm_size",
    "services.*.deploy.resources.*.memory",
    "services.*.deploy.rollback_config.delay",
    "services.*.deploy.rollback_config.monitor",
    "services.*.deploy.update_config.delay",
    "services.*.deploy.update_config.monitor",
    "services.*.mem_limit",
    "services.*.mem_reservation",
    "services.*.mem_swappiness",
    "services.*.memswap_limit",
    "services.*.shm_size",
    "services.*.volumes[].tmpfs.size",
];

/// Takes out what says nothing.
pub(super) fn tidy(node: &mut Node, path: Path<'_>) {
    match &mut node.kind {
        Kind::Null | Kind::Scalar(_) => {}
        Kind::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                tidy(item, path.index(index));
            }
        }
        Kind::Map(map) => {
            // Directly below the top level the keys are names, whatever they begin with.
            let names = path.depth() == 1;
            let mut silent = Vec::new();
            for entry in map.iter_mut() {
                if entry.key.starts_with("x-") && !names {
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
    let among = |patterns: &[&str]| patterns.iter().any(|pattern| path.matches(pattern));
    match &entry.value.kind {
        Kind::Null => !among(NULLS),
        Kind::List(items) => items.is_empty() && !among(LISTS),
        Kind::Map(map) => map.is_empty() && !among(MAPPINGS),
        Kind::Scalar(scalar) => match (scalar.resolved, scalar.text.as_str()) {
            (Resolved::Bool(false), _) => !among(SWITCHES),
            (Resolved::Bool(true), _) => path.matches("services.*.volumes[].bind.create_host_path"),
            (Resolved::Integer(_) | Resolved::Float(_), "0") => !among(NUMBERS),
            (Resolved::String, "") => !among(TEXTS),
            (Resolved::String, "0" | "0s") => among(ZEROES),
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Diagnostics, FileId};
    use crate::yaml::{parse, write};

    /// What is left of a service.
    fn left(service: &str) -> String {
        let text = format!("services: {{s: {service}}}");
        let mut root = parse(&text, FileId(0), &mut Diagnostics::default())
            .remove(0)
            .root;
        tidy(&mut root, Path::ROOT);
        let text = write::to_json(&root).to_string().replace('"', "");
        let inner = text.strip_prefix("{services:{s:").unwrap_or(&text);
        inner.strip_suffix("}}").unwrap_or(inner).to_owned()
    }

    #[test]
    fn what_says_nothing_is_left_out() {
        assert_eq!(
            left("{tty: false, cpu_shares: 0, mem_limit: '0', image: '', cap_add: [], pid: null}"),
            "{}"
        );
        assert_eq!(
            left(
                "{deploy: {resources: {}, update_config: {delay: 0s, order: ''}}, healthcheck: {}}"
            ),
            "{deploy:{update_config:{}},healthcheck:{}}"
        );
    }

    #[test]
    fn what_is_not_the_same_as_absent_stays() {
        for kept in [
            "{attach:false,init:false,scale:0,command:[],deploy:{replicas:0}}",
            "{environment:{A:null,B:},labels:{x:},networks:{default:null}}",
            "{depends_on:{db:{required:false}},healthcheck:{retries:0}}",
            "{volumes:[{type:volume,volume:{}}],ulimits:{core:{soft:0,hard:0}}}",
            "{x-a:{b:false,c:null}}",
        ] {
            let yaml = kept.replace(':', ": ").replace(',', ", ");
            let yaml = yaml
                .replace("B: ,", "B: '',")
                .replace("B: }", "B: ''}")
                .replace("x: }", "x: ''}");
            assert_eq!(left(&yaml), kept);
        }
    }
}
