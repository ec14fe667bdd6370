//! One container, as asked for.

use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{
    DnsSpec, HealthSpec, MountSpec, NetworkMode, PortBinding, Protocol, Resources, RestartPolicy,
    SecuritySpec,
};

/// Everything needed to make one container. Names, never ids of things to come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSpec {
    /// Unique on this host.
    pub name: String,
    /// The image reference, as the user wrote it.
    pub image: String,
    pub process: ProcessSpec,
    /// Default: the first 12 characters of the container's id.
    pub hostname: Option<String>,
    pub domainname: Option<String>,
    /// In the user's order; a later one may lie below an earlier one.
    pub mounts: Vec<MountSpec>,
    pub network: NetworkMode,
    /// Published ports; ranges are already taken apart, one binding for each container port.
    pub ports: Vec<PortBinding>,
    /// Documented ports; they publish nothing.
    pub expose: Vec<(u16, Protocol)>,
    /// Lines for /etc/hosts: name, and an address or `host-gateway`.
    pub extra_hosts: Vec<(String, String)>,
    pub dns: DnsSpec,
    pub resources: Resources,
    pub security: SecuritySpec,
    /// Merged with the image's field by field.
    pub health: Option<HealthSpec>,
    pub restart: RestartPolicy,
    pub stop: StopSpec,
    pub log: LogSpec,
    pub labels: IndexMap<String, String>,
    /// OCI annotations: kept and shown, without effect here.
    pub annotations: IndexMap<String, String>,
    /// Run our small init as process 1, which reaps and forwards signals.
    pub init: bool,
    /// The root file system is read-only.
    pub read_only: bool,
    /// Size of /dev/shm; default 64 MiB.
    pub shm_size_bytes: Option<u64>,
    /// A parent for the container's cgroup, below our own.
    pub cgroup_parent: Option<String>,
    /// Remove the container when it ends.
    pub auto_remove: bool,
}

/// The process to run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessSpec {
    /// Absent: the image's. Given (even empty): the image's command is dropped too.
    pub entrypoint: Option<Vec<String>>,
    /// Absent: the image's.
    pub command: Option<Vec<String>>,
    /// Name and value; no value removes the variable that the image sets.
    pub env: Vec<(String, Option<String>)>,
    /// `user[:group]`, names or numbers, looked up in the container's own files.
    pub user: Option<String>,
    /// Further groups, names or numbers.
    pub group_add: Vec<String>,
    pub working_dir: Option<String>,
    pub tty: bool,
    pub stdin_open: bool,
    /// An open stdin ends with the first client that was attached to it.
    #[serde(default)]
    pub stdin_once: bool,
    pub rlimits: Vec<Rlimit>,
}

/// One resource limit of the process; `u64::MAX` is unlimited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// Lower case, without `RLIMIT_`: `nofile`.
    pub name: String,
    pub soft: u64,
    pub hard: u64,
}

/// How the container is asked to stop.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StopSpec {
    /// `SIGTERM`, `term`, `15`, `RTMIN+3`; absent: the image's, else SIGTERM.
    pub signal: Option<String>,
    /// How long until SIGKILL; absent: 10 s.
    pub grace: Option<Duration>,
}

/// Where output goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogSpec {
    /// `json-file`, `local` or `none`.
    pub driver: String,
    pub options: IndexMap<String, String>,
}

impl Default for LogSpec {
    fn default() -> Self {
        Self {
            driver: "json-file".into(),
            options: IndexMap::new(),
        }
    }
}
