//! The tables of known keys: all of the specification's, each with its shape.
//!
//! What ketch can't carry out has its shape too: it loads and is printed. What is refused when
//! containers are made is said in `lowering/refused.rs`.

use super::schema::Shape::{
    Any, Between, Bool, Bytes, Count, Duration, Either, Integer, List, Map, Nullable, Number,
    Object, OneOf, Pairs, Plain, String, Switch, Text, TextOrWhole, Unique, Whole,
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
const OPTIONS: Shape = Map(&Nullable(&Plain));
const UNIQUE: Shape = Unique(&String);
const STRING_OR_UNIQUE: Shape = Either(&[String, UNIQUE]);
const HOOKS: Shape = List(&Object(HOOK));
const GRANTS: Shape = List(&Either(&[String, Object(GRANT)]));

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
    key("models", Map(&Object(MODEL))),
];

/// A service.
pub(super) const SERVICE: &[Key] = &[
    key("annotations", Pairs),
    key("attach", Bool),
    key("blkio_config", Object(BLKIO)),
    key("build", Either(&[String, Object(BUILD)])),
    key("cap_add", STRINGS),
    key("cap_drop", STRINGS),
    key("cgroup", OneOf(&["host", "private"])),
    key("cgroup_parent", String),
    key("command", COMMAND),
    key("configs", GRANTS),
    key("container_name", String),
    key("cpu_count", Between(0, i64::MAX)),
    key("cpu_percent", Between(0, 100)),
    key("cpu_period", Integer),
    key("cpu_quota", Integer),
    key("cpu_rt_period", Integer),
    key("cpu_rt_runtime", Integer),
    key("cpu_shares", Integer),
    key("cpus", Number),
    key("cpuset", String),
    key("credential_spec", Object(CREDENTIAL_SPEC)),
    key(
        "depends_on",
        Either(&[List(&String), Map(&Object(DEPENDENCY))]),
    ),
    key("deploy", Nullable(&Object(DEPLOY))),
    key("develop", Nullable(&Object(DEVELOP))),
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
    key("external_links", STRINGS),
    key("extra_hosts", EXTRA_HOSTS),
    key("gpus", Either(&[OneOf(&["all"]), List(&Object(GPU))])),
    key("group_add", List(&Text)),
    key("healthcheck", Object(HEALTHCHECK)),
    key("hostname", String),
    key("image", String),
    key("init", Bool),
    key("ipc", String),
    key("isolation", String),
    key("label_file", STRING_OR_LIST),
    key("labels", Pairs),
    key("links", STRINGS),
    key("logging", Object(LOGGING)),
    key("mac_address", String),
    key("mem_limit", Bytes),
    key("mem_reservation", Bytes),
    key("mem_swappiness", Bytes),
    key("memswap_limit", Bytes),
    key(
        "models",
        Either(&[UNIQUE, Map(&Nullable(&Object(SERVICE_MODEL)))]),
    ),
    key("network_mode", String),
    key(
        "networks",
        Either(&[List(&String), Map(&Nullable(&Object(SERVICE_NETWORK)))]),
    ),
    key("oom_kill_disable", Bool),
    key("oom_score_adj", Between(-1000, 1000)),
    key("pid", Nullable(&String)),
    key("pids_limit", Integer),
    key("platform", String),
    key("ports", List(&Either(&[Object(PORT), TextOrWhole]))),
    key("post_start", HOOKS),
    key("pre_start", List(&Object(PRE_START))),
    key("pre_stop", HOOKS),
    key("privileged", Bool),
    key("profiles", STRINGS),
    key("provider", Object(PROVIDER)),
    key("pull_policy", String),
    key("pull_refresh_after", String),
    key("read_only", Bool),
    key("restart", String),
    key("runtime", String),
    key("scale", Integer),
    key("secrets", GRANTS),
    key("security_opt", STRINGS),
    key("shm_size", Bytes),
    key("stdin_open", Bool),
    key("stop_grace_period", Duration),
    key("stop_signal", String),
    key("storage_opt", OPTIONS),
    key("sysctls", Pairs),
    key("tmpfs", STRING_OR_LIST),
    key("tty", Bool),
    key("ulimits", ULIMITS),
    key("use_api_socket", Bool),
    key("user", String),
    key("userns_mode", String),
    key("uts", String),
    key("volumes", List(&Either(&[String, Object(MOUNT)]))),
    key("volumes_from", STRINGS),
    key("working_dir", String),
];

const EXTENDS: &[Key] = &[required("service", String), key("file", String)];

const BUILD: &[Key] = &[
    key("additional_contexts", Pairs),
    key("args", Pairs),
    key("cache_from", STRINGS),
    key("cache_to", STRINGS),
    key("context", String),
    key("dockerfile", String),
    key("dockerfile_inline", String),
    key("entitlements", STRINGS),
    key("extra_hosts", EXTRA_HOSTS),
    key("isolation", String),
    key("labels", Pairs),
    key("network", String),
    key("no_cache", Bool),
    key("no_cache_filter", STRING_OR_LIST),
    key("platforms", STRINGS),
    key("privileged", Bool),
    key("provenance", Switch),
    key("pull", Bool),
    key("sbom", Switch),
    key("secrets", GRANTS),
    key("shm_size", Bytes),
    key("ssh", Pairs),
    key("tags", STRINGS),
    key("target", String),
    key("ulimits", ULIMITS),
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
    key("placement", Object(PLACEMENT)),
    key("replicas", Integer),
    key("resources", Object(RESOURCES)),
    key("restart_policy", Object(RESTART_POLICY)),
    key("rollback_config", Object(UPDATE_CONFIG)),
    key("update_config", Object(UPDATE_CONFIG)),
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
    key("devices", List(&Object(DEVICE_REQUEST))),
    key("generic_resources", List(&Object(GENERIC_RESOURCE))),
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

const UPDATE_CONFIG: &[Key] = &[
    key("delay", Duration),
    key("failure_action", String),
    key("max_failure_ratio", Number),
    key("monitor", Duration),
    key("order", OneOf(&["start-first", "stop-first"])),
    key("parallelism", Between(0, i64::MAX)),
];

const PLACEMENT: &[Key] = &[
    key("constraints", STRINGS),
    key("max_replicas_per_node", Between(0, i64::MAX)),
    key("preferences", List(&Object(PREFERENCE))),
];

const PREFERENCE: &[Key] = &[key("spread", String)];

const GENERIC_RESOURCE: &[Key] = &[key("discrete_resource_spec", Object(DISCRETE_RESOURCE))];

const DISCRETE_RESOURCE: &[Key] = &[key("kind", String), key("value", Integer)];

const DEVICE_REQUEST: &[Key] = &[
    required("capabilities", UNIQUE),
    key("count", Count),
    key("device_ids", UNIQUE),
    key("driver", String),
    key("options", Pairs),
];

/// Like a device request; the capability `gpu` goes without saying.
const GPU: &[Key] = &[
    key("capabilities", UNIQUE),
    key("count", Count),
    key("device_ids", UNIQUE),
    key("driver", String),
    key("options", Pairs),
];

const BLKIO: &[Key] = &[
    key("device_read_bps", BLKIO_LIMITS),
    key("device_read_iops", BLKIO_LIMITS),
    key("device_write_bps", BLKIO_LIMITS),
    key("device_write_iops", BLKIO_LIMITS),
    key("weight", Integer),
    key("weight_device", List(&Object(BLKIO_WEIGHT))),
];

const BLKIO_LIMITS: Shape = List(&Object(BLKIO_LIMIT));

const BLKIO_LIMIT: &[Key] = &[key("path", String), key("rate", Bytes)];

const BLKIO_WEIGHT: &[Key] = &[key("path", String), key("weight", Integer)];

const CREDENTIAL_SPEC: &[Key] = &[
    key("config", String),
    key("file", String),
    key("registry", String),
];

const DEVELOP: &[Key] = &[key("watch", List(&Object(WATCH)))];

const WATCH: &[Key] = &[
    required(
        "action",
        OneOf(&["rebuild", "sync", "restart", "sync+restart", "sync+exec"]),
    ),
    key("exec", Object(HOOK)),
    key("ignore", STRING_OR_UNIQUE),
    key("include", STRING_OR_UNIQUE),
    key("initial_sync", Bool),
    required("path", String),
    key("target", String),
];

/// `post_start`, `pre_stop`, and what `sync+exec` runs.
const HOOK: &[Key] = &[
    required("command", COMMAND),
    key("environment", Pairs),
    key("privileged", Bool),
    key("user", String),
    key("working_dir", String),
];

const PRE_START: &[Key] = &[
    key("command", COMMAND),
    key("environment", Pairs),
    key("image", String),
    key("per_replica", Bool),
    key("privileged", Bool),
    key("user", String),
    key("working_dir", String),
];

const PROVIDER: &[Key] = &[
    key("options", Map(&Either(&[Plain, List(&Plain)]))),
    required("type", String),
];

const SERVICE_MODEL: &[Key] = &[key("endpoint_var", String), key("model_var", String)];

const MODEL: &[Key] = &[
    key("context_size", Integer),
    required("model", String),
    key("name", String),
    key("runtime_flags", STRINGS),
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
    key("link_local_ips", UNIQUE),
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
    key("image", Object(IMAGE_OPTIONS)),
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
    key("labels", Pairs),
    key("nocopy", Bool),
    key("subpath", String),
];

const TMPFS: &[Key] = &[key("mode", Whole), key("size", Bytes)];

const IMAGE_OPTIONS: &[Key] = &[key("subpath", String)];

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
    key("driver", String),
    key("driver_opts", OPTIONS),
    key("environment", String),
    key("external", EXTERNAL),
    key("file", String),
    key("labels", Pairs),
    key("name", String),
    key("template_driver", String),
];

const CONFIG: &[Key] = &[
    key("content", String),
    key("environment", String),
    key("external", EXTERNAL),
    key("file", String),
    key("labels", Pairs),
    key("name", String),
    key("template_driver", String),
];
