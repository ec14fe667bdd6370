//! Pure: limits, from `deploy.resources` and from the older keys.

use ketch_runtime::spec::{Resources, Rlimit};

use super::Context;

/// The names that the kernel knows (getrlimit(2)).
const LIMITS: &[&str] = &[
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Limits of the control group; what `deploy` says wins.
pub(super) fn lower_resources(context: &mut Context<'_>) -> Resources {
    let service = context.service;
    let limits = service.deploy.as_ref().map(|deploy| deploy.limits);
    let limits = limits.unwrap_or_default();
    let reserved = service.deploy.as_ref().map(|deploy| deploy.reservations);
    let reserved = reserved.unwrap_or_default();
    let cpus = limits.cpus.or(service.cpus).filter(|cpus| *cpus != 0.0);
    Resources {
        nano_cpus: cpus.and_then(|cpus| nano_cpus(context, cpus)),
        cpu_shares: service.cpu_shares,
        cpu_period_us: service.cpu_period,
        cpu_quota_us: service.cpu_quota,
        cpu_rt_period_us: service.cpu_rt_period_us,
        cpu_rt_runtime_us: service.cpu_rt_runtime_us,
        cpuset_cpus: service.cpuset.clone(),
        cpuset_mems: None,
        memory_bytes: limits.memory_bytes.or(service.mem_limit),
        memory_reservation_bytes: reserved.memory_bytes.or(service.mem_reservation),
        memory_swap_bytes: service.memswap_limit,
        memory_swappiness: service.mem_swappiness,
        oom_kill_disable: service.oom_kill_disable,
        oom_score_adj: service.oom_score_adj,
        pids: limits.pids.or(service.pids_limit),
        device_rules: service.device_cgroup_rules.clone(),
        devices: service.devices.clone(),
    }
}

fn nano_cpus(context: &mut Context<'_>, cpus: f64) -> Option<u64> {
    let nano = (cpus * 1e9).round();
    // Far more than any machine has; below it the conversion is exact enough.
    if !(0.0..=1e15).contains(&nano) {
        context.error("cpus", None, format!("invalid number of cpus {cpus}"));
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked just above"
    )]
    Some(nano as u64)
}

/// `ulimits`; -1 is unlimited.
pub(super) fn lower_ulimits(context: &mut Context<'_>) -> Vec<Rlimit> {
    let mut rlimits = Vec::new();
    for (index, (name, limit)) in context.service.ulimits.iter().enumerate() {
        if !LIMITS.contains(&name.as_str()) {
            context.error(
                "ulimits",
                Some(index),
                format!("invalid ulimit type: {name}"),
            );
            continue;
        }
        let (soft, hard) = (bound(limit.soft), bound(limit.hard));
        if soft > hard {
            let message = format!(
                "ulimit {name}: the soft limit {} is above the hard limit {}",
                limit.soft, limit.hard
            );
            context.error("ulimits", Some(index), message);
            continue;
        }
        rlimits.push(Rlimit {
            name: name.clone(),
            soft,
            hard,
        });
    }
    rlimits
}

fn bound(limit: i64) -> u64 {
    u64::try_from(limit).unwrap_or(u64::MAX)
}
