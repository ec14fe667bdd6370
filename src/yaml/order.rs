//! The order in which `config` prints: attributes in Compose's order of declaration,
//! names that users gave in alphabetical order.

use std::cmp::Ordering;

use super::{Kind, Node, Path};

/// A canonical project in the order of Compose's YAML.
pub fn in_canonical_order(mut node: Node) -> Node {
    sort(&mut node, Path::ROOT, declared, |order, key| {
        (place(order, key), Natural(key.to_owned()))
    });
    node
}

/// The same in the order of Compose's JSON, where names stand byte by byte.
pub fn in_json_order(mut node: Node) -> Node {
    sort(&mut node, Path::ROOT, declared, |order, key| {
        (place(order, key), key.to_owned())
    });
    node
}

/// The keys of every mapping in alphabetical order, as a plain map is printed.
pub fn alphabetical(mut node: Node) -> Node {
    sort(
        &mut node,
        Path::ROOT,
        |_| "",
        |_, key| Natural(key.to_owned()),
    );
    node
}

/// Sorts every mapping by what `rank` makes of a key and of the order that is declared there.
fn sort<K: Ord>(
    node: &mut Node,
    path: Path<'_>,
    declared: fn(Path<'_>) -> &'static str,
    rank: fn(&str, &str) -> K,
) {
    match &mut node.kind {
        Kind::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                sort(item, path.index(index), declared, rank);
            }
        }
        Kind::Map(map) => {
            for entry in map.iter_mut() {
                sort(&mut entry.value, path.key(&entry.key), declared, rank);
            }
            let order = declared(path);
            map.sort_by_key(|entry| rank(order, &entry.key));
        }
        Kind::Null | Kind::Scalar(_) => {}
    }
}

/// The order of declaration of a mapping; empty where there is none.
fn declared(path: Path<'_>) -> &'static str {
    let row = ORDERS.iter().find(|(pattern, _)| path.matches(pattern));
    row.map_or("", |(_, order)| order)
}

/// Where a key stands in that order; behind all of them when nowhere.
fn place(order: &str, key: &str) -> usize {
    let position = order.split_whitespace().position(|known| known == key);
    position.unwrap_or(usize::MAX)
}

/// A key as Go's YAML orders it: numbers in it by value (`web2` before `web10`), and what is no
/// letter before letters (`A_B` before `AB`), but behind them where a digit went before.
#[derive(PartialEq, Eq)]
struct Natural(String);

impl Ord for Natural {
    fn cmp(&self, other: &Self) -> Ordering {
        let (left, right): (Vec<char>, Vec<char>) =
            (self.0.chars().collect(), other.0.chars().collect());
        let differ = left
            .iter()
            .zip(&right)
            .position(|(left, right)| left != right);
        let Some(at) = differ else {
            return left.len().cmp(&right.len());
        };
        let after_digit = at > 0 && left[at - 1].is_ascii_digit();
        match (left[at].is_alphabetic(), right[at].is_alphabetic()) {
            (true, true) => left[at].cmp(&right[at]),
            (true, false) if after_digit => Ordering::Less,
            (false, true) if after_digit => Ordering::Greater,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => {
                let inside = left[..at]
                    .iter()
                    .rev()
                    .take_while(|letter| letter.is_ascii_digit())
                    .any(|letter| *letter != '0');
                let (one, other) = (digits(&left[at..], inside), digits(&right[at..], inside));
                one.cmp(&other).then(left[at].cmp(&right[at]))
            }
        }
    }
}

impl PartialOrd for Natural {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What orders the digits that a text begins with: their value, then how many there are.
/// `inside`: a number is under way, so zeros count.
fn digits(text: &[char], inside: bool) -> (usize, String, usize) {
    let run: String = text
        .iter()
        .take_while(|letter| letter.is_ascii_digit())
        .collect();
    let value = if inside {
        run.clone()
    } else {
        run.trim_start_matches('0').to_owned()
    };
    (value.len(), value, run.len())
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
    (
        "services.*.volumes[].bind",
        "selinux propagation create_host_path recursive",
    ),
    ("services.*.volumes[].tmpfs", "size mode"),
    ("services.*.depends_on.*", "condition restart required"),
    (
        "services.*.blkio_config",
        "weight weight_device device_read_bps device_read_iops device_write_bps device_write_iops",
    ),
    ("services.*.build.secrets[]", "source target uid gid mode"),
    ("services.*.build.ulimits.*", "single soft hard"),
    ("services.*.provider", "type options"),
    ("services.*.gpus[]", DEVICE_REQUEST),
    (
        "services.*.deploy.resources.reservations.devices[]",
        DEVICE_REQUEST,
    ),
    ("services.*.deploy.update_config", UPDATE_CONFIG),
    ("services.*.deploy.rollback_config", UPDATE_CONFIG),
    (
        "services.*.deploy.placement",
        "constraints preferences max_replicas_per_node",
    ),
    ("services.*.develop.watch[].exec", HOOK),
    ("services.*.post_start[]", HOOK),
    ("services.*.pre_start[]", HOOK),
    ("services.*.pre_stop[]", HOOK),
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
    ("models.*", "name model context_size runtime_flags"),
];

const DEVICE_REQUEST: &str = "capabilities driver count device_ids options";
const UPDATE_CONFIG: &str = "parallelism delay failure_action monitor max_failure_ratio order";
const HOOK: &str = "command image user privileged working_dir environment per_replica";

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
    use super::{Natural, alphabetical, in_canonical_order};
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
            write::to_json(&in_canonical_order(root)).to_string(),
            expected
        );
    }

    #[test]
    fn a_plain_map_is_alphabetical_at_every_level() {
        let text = "services: {web10: {ports: [{b: 1, a: 2}], image: x}, web2: }\nname: p\n";
        let root = parse(text, FileId(0), &mut Diagnostics::default())
            .remove(0)
            .root;
        assert_eq!(
            write::to_json(&alphabetical(root)).to_string(),
            r#"{"name":"p","services":{"web2":null,"web10":{"image":"x","ports":[{"a":2,"b":1}]}}}"#
        );
    }

    #[test]
    fn names_stand_as_go_sorts_them() {
        let names = [
            "", "-", "1", "1a", "1b", "1_", "01", "2", "10", "A", "A_B", "A1", "A1B", "A1_", "A2",
            "A10", "AB", "B", "a", "web-1", "web2", "web10", "webs",
        ];
        for pair in names.windows(2) {
            let [one, other] = [Natural(pair[0].to_owned()), Natural(pair[1].to_owned())];
            assert!(one < other, "{pair:?}");
        }
    }

    /// A sort may panic on an order that contradicts itself.
    #[test]
    fn the_order_never_contradicts_itself() {
        let letters = ["a", "0", "1", "_"];
        let mut words = vec![String::new()];
        for length in 0..3 {
            let longest: Vec<String> = words
                .iter()
                .filter(|it| it.len() == length)
                .cloned()
                .collect();
            words.extend(
                longest
                    .iter()
                    .flat_map(|it| letters.map(|letter| format!("{it}{letter}"))),
            );
        }
        let words: Vec<Natural> = words.into_iter().map(Natural).collect();
        for one in &words {
            for two in &words {
                assert_eq!(one.cmp(two), two.cmp(one).reverse(), "{} {}", one.0, two.0);
                for three in words.iter().filter(|_| one < two) {
                    assert!(
                        two >= three || one < three,
                        "{} {} {}",
                        one.0,
                        two.0,
                        three.0
                    );
                }
            }
        }
    }
}
