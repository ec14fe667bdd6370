//! A service and its small parts.

use std::path::PathBuf;
use std::time::Duration;

use indexmap::IndexMap;

use super::{Build, Dependency, Deploy, FileReference, HealthCheck, Mount, Port, ServiceNetwork};
use crate::diag::{Span, Spanned};
use crate::yaml::Node;

/// One service. Absent means "the image's, or the engine's default".
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    pub name: String,
    /// Its key in the file.
    pub span: Span,
    /// What `image:` says; a built service without one is called `<project>-<service>`.
    pub image: Option<Spanned<String>>,
    pub build: Option<Build>,
    pub pull_policy: PullPolicy,
    pub platform: Option<String>,
    /// `Some(vec![])` clears the image's.
    pub command: Option<Vec<String>>,
    pub entrypoint: Option<Vec<String>>,
    /// Complete: env_file, environment, the caller's; `None` unsets the image's.
    pub environment: IndexMap<String, Option<String>>,
    /// Already read into `labels`.
    pub label_files: Vec<Spanned<PathBuf>>,
    /// Already read into `environment`; kept for `config --no-env-resolution`.
    pub env_files: Vec<EnvFile>,
    pub ports: Vec<Port>,
    /// `80`, `80-82/udp`.
    pub expose: Vec<String>,
    pub volumes: Vec<Mount>,
    /// `path[:options]`.
    pub tmpfs: Vec<String>,
    /// By network key; empty when `network_mode` rules.
    pub networks: IndexMap<String, ServiceNetwork>,
    pub network_mode: Option<Spanned<NetworkMode>>,
    pub depends_on: IndexMap<String, Dependency>,
    /// Services under further names that only this one sees.
    pub links: Vec<Link>,
    /// The same for containers that are not the project's.
    pub external_links: Vec<Link>,
    /// Who provides the service, when it is no container.
    pub provider: Option<String>,
    /// Language models, by key.
    pub models: Vec<Spanned<String>>,
    pub healthcheck: Option<HealthCheck>,
    /// Verbatim: `no`, `always`, `on-failure[:max]`, `unless-stopped`.
    pub restart: Option<Spanned<String>>,
    pub container_name: Option<Spanned<String>>,
    pub hostname: Option<String>,
    pub domainname: Option<String>,
    pub user: Option<String>,
    pub group_add: Vec<String>,
    pub working_dir: Option<String>,
    pub labels: IndexMap<String, String>,
    pub annotations: IndexMap<String, String>,
    pub profiles: Vec<String>,
    pub init: Option<bool>,
    pub stop_signal: Option<String>,
    pub stop_grace_period: Option<Duration>,
    pub read_only: bool,
    pub privileged: bool,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub security_opt: Vec<Spanned<String>>,
    pub sysctls: IndexMap<String, String>,
    pub extra_hosts: Vec<ExtraHost>,
    pub dns: Vec<String>,
    pub dns_search: Vec<String>,
    pub dns_opt: Vec<String>,
    pub cpus: Option<f64>,
    pub cpu_shares: Option<u64>,
    pub cpu_period: Option<u64>,
    pub cpu_quota: Option<i64>,
    pub cpu_rt_period_us: Option<u64>,
    pub cpu_rt_runtime_us: Option<i64>,
    pub cpuset: Option<String>,
    pub mem_limit: Option<u64>,
    pub mem_reservation: Option<u64>,
    /// -1: unlimited.
    pub memswap_limit: Option<i64>,
    pub mem_swappiness: Option<u64>,
    pub oom_kill_disable: bool,
    pub oom_score_adj: Option<i32>,
    /// -1: unlimited.
    pub pids_limit: Option<i64>,
    pub ulimits: IndexMap<String, Ulimit>,
    pub shm_size: Option<u64>,
    pub logging: Option<Logging>,
    pub stdin_open: bool,
    pub tty: bool,
    pub attach: Option<bool>,
    /// `develop.watch`.
    pub watch: Vec<super::WatchRule>,
    /// `scale`; `deploy.replicas` is the same thing, checked to be equal.
    pub scale: Option<u32>,
    pub deploy: Option<Deploy>,
    pub secrets: Vec<FileReference>,
    pub configs: Vec<FileReference>,
    pub mac_address: Option<String>,
    pub ipc: Option<String>,
    pub pid: Option<String>,
    pub uts: Option<String>,
    pub cgroup: Option<String>,
    pub cgroup_parent: Option<String>,
    /// `source:target:permissions`, taken apart.
    pub devices: Vec<(String, String, String)>,
    pub device_cgroup_rules: Vec<String>,
    /// `x-*`.
    pub extensions: IndexMap<String, Node>,
    /// The service as a canonical Node: what `config` prints and the config hash digests.
    pub canonical: Node,
}

impl Service {
    /// How many containers the service should have.
    pub fn replicas(&self) -> u32 {
        self.scale
            .or(self.deploy.as_ref().and_then(|deploy| deploy.replicas))
            .unwrap_or(1)
    }
}

/// When images are fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// Nothing said: fetch what is missing, build what has a `build`.
    #[default]
    Unset,
    Always,
    Never,
    Missing,
    Build,
    /// Fetch again when the last check is older than this.
    Every(Duration),
}

/// The network namespace, when the service does not simply join networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkMode {
    None,
    Host,
    /// The default network of the host.
    Bridge,
    Service(String),
    Container(String),
    /// A network by its real name.
    Network(String),
}

/// `service[:alias]` or `container[:alias]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub target: String,
    /// The target's own name, when none is given.
    pub alias: String,
}

/// A file of environment variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvFile {
    pub path: PathBuf,
    pub required: bool,
    /// `raw`, or absent for the usual grammar.
    pub format: Option<String>,
}

/// A line for /etc/hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraHost {
    pub name: String,
    /// An address or `host-gateway`.
    pub address: String,
}

/// A resource limit; -1 is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ulimit {
    pub soft: i64,
    pub hard: i64,
}

/// Where output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    pub driver: Option<Spanned<String>>,
    pub options: IndexMap<String, String>,
}
