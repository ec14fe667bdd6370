//! Limits on what a container may use.

use serde::{Deserialize, Serialize};

/// Limits; absent means no limit of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// CPUs × 10⁹.
    pub nano_cpus: Option<u64>,
    pub cpu_shares: Option<u64>,
    pub cpu_period_us: Option<u64>,
    /// -1: none.
    pub cpu_quota_us: Option<i64>,
    pub cpu_rt_period_us: Option<u64>,
    pub cpu_rt_runtime_us: Option<i64>,
    /// `0-3,7`.
    pub cpuset_cpus: Option<String>,
    pub cpuset_mems: Option<String>,
    pub memory_bytes: Option<u64>,
    pub memory_reservation_bytes: Option<u64>,
    /// Memory and swap together; -1: unlimited swap.
    pub memory_swap_bytes: Option<i64>,
    pub memory_swappiness: Option<u64>,
    pub oom_kill_disable: bool,
    pub oom_score_adj: Option<i32>,
    /// Zero or less: unlimited.
    pub pids: Option<i64>,
    /// Further device rules, `c 10:200 rwm`.
    pub device_rules: Vec<String>,
    /// Devices of the host shown in the container: source, target, permissions.
    pub devices: Vec<(String, String, String)>,
}
