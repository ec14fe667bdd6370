//! `deploy`: the parts that mean something on one machine.

use std::time::Duration;

use indexmap::IndexMap;

/// `deploy:`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Deploy {
    pub replicas: Option<u32>,
    pub limits: ResourceLimits,
    pub reservations: ResourceLimits,
    pub restart_policy: Option<RestartPolicySpec>,
    /// Labels of the service, not of its containers.
    pub labels: IndexMap<String, String>,
}

/// `deploy.resources.limits` or `.reservations`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ResourceLimits {
    pub cpus: Option<f64>,
    pub memory_bytes: Option<u64>,
    pub pids: Option<i64>,
}

/// `deploy.restart_policy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestartPolicySpec {
    /// `none`, `on-failure`, `any`.
    pub condition: Option<String>,
    pub max_attempts: Option<u32>,
    pub delay: Option<Duration>,
    pub window: Option<Duration>,
}
