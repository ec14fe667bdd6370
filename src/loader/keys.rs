//! The tables of known keys: the specification's, each with its shape, or refused.

use super::schema::Shape::{
    Any, Bool, Bytes, Duration, Either, Integer, List, Map, Nullable, Number, Object, OneOf, Pairs,
    Refused, String, Switch, Text,
};
use super::schema::{Key, Shape};

const fn key(name: &'static str, shape: Shape) -> Key {
    Key {
        name,
        shape,
        required: false,
    }
}

const fn required(name: &'static str, shape: Shape) -> Key {
    Key {
        name,
        shape,
        required: true,
    }
}

const STRINGS: Shape = List(&String);
const STRING_OR_LIST: Shape = Either(&[String, List(&String)]);
const COMMAND: Shape = Nullable(&STRING_OR_LIST);
const EXTRA_HOSTS: Shape = Either(&[List(&String), Map(&Either(&[String, List(&String)]))]);
const ULIMITS: Shape = Map(&Either(&[Object(ULIMIT), Integer]));
const EXTERNAL: Shape = Either(&[Object(EXTERNAL_NAME), Bool, Switch]);
const OPTIONS: Shape = Map(&Nullable(&Either(&[Bool, Text])));

/// The top level.
pub(super) const ROOT: &[Key] = &[
    key("version", Any),
    key("name", String),
    key("include", Any),
    key("services", Map(&Object(SERVICE))),
    key("networks", Map(&Nullable(&Object(NETWORK)))),
    key("volumes", Map(&Nullable(&Object(VOLUME)))),
    key("secrets", Map(&Object(SECRET))),
    key("configs", Map(&Object(CONFIG))),
    key("models", Refused),
];

/// Of a service, what the specification has and ketch refuses.
pub(super) const REFUSED_SERVICE: &[&str] = &[
    "blkio_config",
    "cpu_count",
    "cpu_percent",
    "credential_spec",
    "external_links",
    "gpus",
    "isolation",
    "label_file",
    "links",
    "models",
    "post_start",
    "pre_start",
    "pre_stop",
    "provider",
    "runtime",
    "storage_opt",
    "use_api_socket",
    "userns_mode",
    "volumes_from",
];

/// A service.
pub(super) const SERVICE: &[Key] = &[
    key("annotations", Pairs),
    key("attach", Bool),
    key("blkio_config", Refused),
    key("build", Either(&[String, Object(BUILD)])),
    key("cap_add", STRINGS),
    key("cap_drop", STRINGS),
    key("cgroup", OneOf(&["host", "private"])),
    key("cgroup_parent", String),
    key("command", COMMAND),
    key("configs", List(&Either(&[String, Object(GRANT)]))),
    key("container_name", String),
    key("cpu_count", Refused),
    key("cpu_percent", Refused),
    key("cpu_period", Integer),
    key("cpu_quota", Integer),
    key("cpu_rt_period", Refused),
    key("cpu_rt_runtime", Refused),
    key("cpu_shares", Integer),
    key("cpus", Number),
    key("cpuset", String),
    key("credential_spec", Refused),
    key(
        "depends_on",
        Either(&[List(&String), Map(&Object(DEPENDENCY))]),
    ),
    key("deploy", Nullable(&Object(DEPLOY))),
    key("develop", Nullable(&Any)),
    key("device_cgroup_rules", STRINGS),
    key("devices", List(&Either(&[String, Object(DEVICE)]))),
    key("dns", STRING_OR_LIST),
    key("dns_opt", STRINGS),
    key("dns_search", STRING_OR_LIST),
    key("domainname", String),
    key("entrypoint", COMMAND),
    key(
        "env_file",
        Either(&[String, List(&Either(&[String, Object(ENV_FILE)]))]),
    ),
    key("environment", Pairs),
    key("expose", List(&Text)),
    key("extends", Either(&[String, Object(EXTENDS)])),
    key("external_links", Refused),
    key("extra_hosts", EXTRA_HOSTS),
    key("gpus", Refused),
    key("group_add", List(&Text)),
    key("healthcheck", Object(HEALTHCHECK)),
    key("hostname", String),
    key("image", String),
    key("init", Bool),
    key("ipc", String),
    key("isolation", Refused),
    key("label_file", Refused),
    key("labels", Pairs),
    key("links", Refused),
    key("logging", Object(LOGGING)),
    key("mac_address", String),
    key("mem_limit", Bytes),
    key("mem_reservation", Bytes),
    key("mem_swappiness", Integer),
    key("memswap_limit", Bytes),
    key("models", Refused),
    key("network_mode", String),
    key(
        "networks",
        Either(&[List(&String), Map(&Nullable(&Object(SERVICE_NETWORK)))]),
    ),
    key("oom_kill_disable", Bool),
    key("oom_score_adj", Integer),
    key("pid", Nullable(&String)),
    key("pids_limit", Integer),
    key("platform", String),
    key("ports", List(&Either(&[Object(PORT), Text]))),
    key("post_start", Refused),
    key("pre_start", Refused),
    key("pre_stop", Refused),
    key("privileged", Bool),
    key("profiles", STRINGS),
    key("provider", Refused),
    key("pull_policy", String),
    key("pull_refresh_after", String),
    key("read_only", Bool),
    key("restart", String),
    key("runtime", Refused),
    key("scale", Integer),
    key("secrets", List(&Either(&[String, Object(GRANT)]))),
    key("security_opt", STRINGS),
    key("shm_size", Bytes),
    key("stdin_open", Bool),
    key("stop_grace_period", Duration),
    key("stop_signal", String),
    key("storage_opt", Refused),
    key("sysctls", Pairs),
    key("tmpfs", STRING_OR_LIST),
    key("tty", Bool),
    key("ulimits", ULIMITS),
    key("use_api_socket", Refused),
    key("user", String),
    key("userns_mode", Refused),
    key("uts", String),
    key("volumes", List(&Either(&[String, Object(MOUNT)]))),
    key("volumes_from", Refused),
    key("working_dir", String),
];

const EXTENDS: &[Key] = &[required("service", String), key("file", String)];

const BUILD: &[Key] = &[
    key("additional_contexts", Refused),
    key("args", Pairs),
    key("cache_from", Refused),
    key("cache_to", Refused),
    key("context", String),
    key("dockerfile", String),
    key("dockerfile_inline", String),
    key("entitlements", Refused),
    key("extra_hosts", EXTRA_HOSTS),
    key("isolation", Refused),
    key("labels", Pairs),
    key("network", String),
    key("no_cache", Bool),
    key("no_cache_filter", Refused),
    key("platforms", STRINGS),
    key("privileged", Refused),
    key("provenance", Refused),
    key("pull", Bool),
    key("sbom", Refused),
    key("secrets", Refused),
    key("shm_size", Bytes),
    key("ssh", Refused),
    key("tags", STRINGS),
    key("target", String),
    key("ulimits", Refused),
];

const DEPENDENCY: &[Key] = &[
    required(
        "condition",
        OneOf(&[
            "service_started",
            "service_healthy",
            "service_completed_successfully",
        ]),
    ),
    key("restart", Bool),
    key("required", Bool),
];

const DEPLOY: &[Key] = &[
    key("endpoint_mode", String),
    key("labels", Pairs),
    key("mode", String),
    key("placement", Any),
    key("replicas", Integer),
    key("resources", Object(RESOURCES)),
    key("restart_policy", Object(RESTART_POLICY)),
    key("rollback_config", Any),
    key("update_config", Any),
];

const RESOURCES: &[Key] = &[
    key("limits", Object(LIMITS)),
    key("reservations", Object(RESERVATIONS)),
];

const LIMITS: &[Key] = &[
    key("cpus", Number),
    key("memory", Bytes),
    key("pids", Integer),
];

const RESERVATIONS: &[Key] = &[
    key("cpus", Number),
    key("devices", Refused),
    key("generic_resources", Any),
    key("memory", Bytes),
];

const RESTART_POLICY: &[Key] = &[
    key(
        "condition",
        OneOf(&[
            "none",
            "no",
            "on-failure",
            "any",
            "always",
            "unless-stopped",
        ]),
    ),
    key("delay", Duration),
    key("max_attempts", Integer),
    key("window", Duration),
];

const DEVICE: &[Key] = &[
    required("source", String),
    key("target", String),
    key("permissions", String),
];

const ENV_FILE: &[Key] = &[
    required("path", String),
    key("required", Bool),
    key("format", OneOf(&["raw"])),
];

const HEALTHCHECK: &[Key] = &[
    key("test", STRING_OR_LIST),
    key("interval", Duration),
    key("timeout", Duration),
    key("retries", Integer),
    key("start_period", Duration),
    key("start_interval", Duration),
    key("disable", Bool),
];

const LOGGING: &[Key] = &[key("driver", String), key("options", OPTIONS)];

const SERVICE_NETWORK: &[Key] = &[
    key("aliases", STRINGS),
    key("driver_opts", OPTIONS),
    key("gw_priority", Integer),
    key("interface_name", String),
    key("ipv4_address", String),
    key("ipv6_address", String),
    key("link_local_ips", Refused),
    key("mac_address", String),
    key("priority", Integer),
];

const PORT: &[Key] = &[
    key("app_protocol", String),
    key("host_ip", String),
    key("mode", String),
    key("name", String),
    key("protocol", String),
    key("published", Text),
    required("target", Integer),
];

const GRANT: &[Key] = &[
    required("source", String),
    key("target", String),
    key("uid", Text),
    key("gid", Text),
    key("mode", Either(&[String, Integer])),
];

const ULIMIT: &[Key] = &[required("soft", Integer), required("hard", Integer)];

const MOUNT: &[Key] = &[
    required(
        "type",
        OneOf(&["bind", "volume", "tmpfs", "cluster", "npipe", "image"]),
    ),
    key("bind", Object(BIND)),
    key("consistency", String),
    key("image", Refused),
    key("read_only", Bool),
    key("source", String),
    required("target", String),
    key("tmpfs", Object(TMPFS)),
    key("volume", Object(VOLUME_OPTIONS)),
];

const BIND: &[Key] = &[
    key("create_host_path", Bool),
    key("propagation", String),
    key(
        "recursive",
        OneOf(&["enabled", "disabled", "writable", "readonly"]),
    ),
    key("selinux", OneOf(&["z", "Z"])),
];

const VOLUME_OPTIONS: &[Key] = &[
    key("labels", Refused),
    key("nocopy", Bool),
    key("subpath", String),
];

const TMPFS: &[Key] = &[key("mode", Integer), key("size", Bytes)];

const NETWORK: &[Key] = &[
    key("attachable", Bool),
    key("driver", String),
    key("driver_opts", OPTIONS),
    key("enable_ipv4", Bool),
    key("enable_ipv6", Bool),
    key("external", EXTERNAL),
    key("internal", Bool),
    key("ipam", Object(IPAM)),
    key("labels", Pairs),
    key("name", String),
];

const IPAM: &[Key] = &[
    key("config", List(&Object(IPAM_CONFIG))),
    key("driver", String),
    key("options", OPTIONS),
];

const IPAM_CONFIG: &[Key] = &[
    key("aux_addresses", Map(&String)),
    key("gateway", String),
    key("ip_range", String),
    key("subnet", String),
];

const EXTERNAL_NAME: &[Key] = &[key("name", String)];

const VOLUME: &[Key] = &[
    key("driver", String),
    key("driver_opts", OPTIONS),
    key("external", EXTERNAL),
    key("labels", Pairs),
    key("name", String),
];

const SECRET: &[Key] = &[
    key("driver", Refused),
    key("driver_opts", Refused),
    key("environment", String),
    key("external", EXTERNAL),
    key("file", String),
    key("labels", Pairs),
    key("name", String),
    key("template_driver", Refused),
];

const CONFIG: &[Key] = &[
    key("content", String),
    key("environment", String),
    key("external", EXTERNAL),
    key("file", String),
    key("labels", Pairs),
    key("name", String),
    key("template_driver", Refused),
];
