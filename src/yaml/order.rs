//! The order in which `config` prints: attributes in Compose's order of declaration,
//! names that users gave in alphabetical order.

use super::{Kind, Node, Path};

/// A copy of a canonical project in the order of Compose's output.
pub fn in_canonical_order(node: &Node) -> Node {
    let mut node = node.clone();
    sort(&mut node, Path::ROOT);
    node
}

fn sort(node: &mut Node, path: Path<'_>) {
    match &mut node.kind {
        Kind::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                sort(item, path.index(index));
            }
        }
        Kind::Map(map) => {
            for entry in map.iter_mut() {
                sort(&mut entry.value, path.key(&entry.key));
            }
            let order = ORDERS
                .iter()
                .find(|(pattern, _)| path.matches(pattern))
                .map_or("", |(_, order)| order);
            map.sort_by_key(|entry| {
                let place = order.split_whitespace().position(|key| key == entry.key);
                (place.unwrap_or(usize::MAX), entry.key.clone())
            });
        }
        Kind::Null | Kind::Scalar(_) => {}
    }
}

/// By path; mappings without a row are sorted by key.
const ORDERS: &[(&str, &str)] = &[
    ("", "name services networks volumes secrets configs models"),
    ("services.*", SERVICE),
    (
        "services.*.build",
        "context dockerfile dockerfile_inline entitlements args provenance sbom ssh labels cache_from cache_to \
         no_cache no_cache_filter additional_contexts pull extra_hosts isolation network target secrets shm_size \
         tags ulimits platforms privileged",
    ),
    (
        "services.*.healthcheck",
        "test timeout interval retries start_period start_interval disable",
    ),
    (
        "services.*.ports[]",
        "name mode host_ip target published protocol app_protocol",
    ),
    (
        "services.*.volumes[]",
        "type source target read_only consistency bind volume tmpfs image",
    ),
    ("services.*.depends_on.*", "condition restart required"),
    (
        "services.*.deploy",
        "mode replicas labels update_config rollback_config resources restart_policy placement endpoint_mode",
    ),
    ("services.*.deploy.resources", "limits reservations"),
    (
        "services.*.deploy.resources.*",
        "cpus memory pids devices generic_resources",
    ),
    (
        "services.*.deploy.restart_policy",
        "condition delay max_attempts window",
    ),
    (
        "services.*.develop.watch[]",
        "path action target exec include ignore initial_sync",
    ),
    ("services.*.logging", "driver options"),
    (
        "services.*.networks.*",
        "aliases driver_opts gw_priority interface_name ipv4_address ipv6_address link_local_ips mac_address priority",
    ),
    ("services.*.secrets[]", "source target uid gid mode"),
    ("services.*.configs[]", "source target uid gid mode"),
    ("services.*.devices[]", "source target permissions"),
    ("services.*.ulimits.*", "single soft hard"),
    ("services.*.env_file[]", "path required format"),
    (
        "networks.*",
        "name driver driver_opts ipam external internal attachable labels enable_ipv4 enable_ipv6",
    ),
    ("networks.*.ipam", "driver config options"),
    (
        "networks.*.ipam.config[]",
        "subnet gateway ip_range aux_addresses",
    ),
    ("volumes.*", "name driver driver_opts external labels"),
    (
        "secrets.*",
        "name file environment content external labels driver driver_opts template_driver",
    ),
    (
        "configs.*",
        "name file environment content external labels driver driver_opts template_driver",
    ),
];

const SERVICE: &str = "\
    profiles annotations attach build develop blkio_config cap_add cap_drop cgroup_parent cgroup cpu_count cpu_percent \
    cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpus cpuset cpu_shares command configs container_name \
    credential_spec depends_on deploy device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint \
    provider environment env_file expose external_links extra_hosts group_add gpus hostname healthcheck image init \
    ipc isolation labels label_file links logging mem_limit mem_reservation memswap_limit mem_swappiness mac_address \
    models network_mode networks oom_kill_disable oom_score_adj pid pids_limit platform ports privileged pull_policy \
    read_only restart runtime scale secrets security_opt shm_size stdin_open stop_grace_period stop_signal \
    storage_opt sysctls tmpfs tty ulimits use_api_socket user userns_mode uts volumes volumes_from working_dir \
    pre_start post_start pre_stop";

#[cfg(test)]
mod tests {
    use super::in_canonical_order;
    use crate::diag::{Diagnostics, FileId};
    use crate::yaml::{parse, write};

    #[test]
    fn attributes_have_their_order_and_names_are_sorted() {
        let text = "services: {web: {image: b, command: [x], x-a: 1}, db: {ports: [{target: 1, mode: host}]}}\nname: p\n";
        let root = parse(text, FileId(0), &mut Diagnostics::default())
            .remove(0)
            .root;
        let expected = r#"{"name":"p","services":{"db":{"ports":[{"mode":"host","target":1}]},"web":{"command":["x"],"image":"b","x-a":1}}}"#;
        assert_eq!(
            write::to_json(&in_canonical_order(&root)).to_string(),
            expected
        );
    }
}
