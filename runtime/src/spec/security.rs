//! What the process may do.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// Rights and confinement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecuritySpec {
    pub privileged: bool,
    /// With or without `CAP_`, any case, or `ALL`.
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub no_new_privileges: bool,
    pub seccomp: Seccomp,
    /// Neither masked nor read-only paths.
    pub system_paths_unconfined: bool,
    pub apparmor: Option<String>,
    /// `key:value` parts of `label=`, as given.
    pub selinux: Vec<String>,
    pub sysctls: IndexMap<String, String>,
    pub pid: Namespace,
    pub ipc: Namespace,
    pub uts: Namespace,
    /// `None`: private on cgroup v2, the host's on v1.
    pub cgroup: Option<Namespace>,
}

/// Where a namespace comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Namespace {
    #[default]
    Private,
    Host,
    /// Private, and others may join it.
    Shareable,
    /// That of another container, by name or id.
    Container(String),
}

/// The system call filter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seccomp {
    /// Ours, which is Docker's; privileged containers have none.
    #[default]
    Default,
    Unconfined,
    /// A profile in Docker's JSON.
    Profile(String),
}
