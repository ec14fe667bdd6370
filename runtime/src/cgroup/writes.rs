//! Pure: limits to the files they are written to, for v1 and for v2.

use crate::spec::Resources;

/// One file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    /// As the kernel names it: `cpu`, `memory`, `io`.
    pub(crate) controller: &'static str,
    pub(crate) file: &'static str,
    pub(crate) value: String,
    /// Our own default, not the user's wish: no word when it can't be had.
    pub(crate) implied: bool,
}

/// Docker's period: 100 ms.
const DEFAULT_PERIOD_US: u64 = 100_000;

#[expect(
    clippy::needless_pass_by_value,
    reason = "the callers read better with plain values"
)]
fn write(controller: &'static str, file: &'static str, value: impl ToString) -> Write {
    Write {
        controller,
        file,
        value: value.to_string(),
        implied: false,
    }
}

/// Quota and period of the CPU; a quota of -1 is none.
fn cpu_quota(resources: &Resources) -> Option<(Option<i64>, Option<u64>)> {
    if let Some(nano_cpus) = resources.nano_cpus.filter(|nano| *nano > 0) {
        let quota = nano_cpus / (1_000_000_000 / DEFAULT_PERIOD_US);
        return Some((i64::try_from(quota).ok(), Some(DEFAULT_PERIOD_US)));
    }
    let quota = resources.cpu_quota_us.filter(|quota| *quota != 0);
    let period = resources.cpu_period_us.filter(|period| *period != 0);
    (quota.is_some() || period.is_some()).then_some((quota, period))
}

/// Memory and swap together: asked for, or Docker's default of twice the memory.
fn memory_and_swap(resources: &Resources) -> Option<(i64, bool)> {
    if let Some(asked) = resources.memory_swap_bytes.filter(|asked| *asked != 0) {
        return Some((asked, false));
    }
    let memory = i64::try_from(resources.memory_bytes?).ok()?;
    (memory > 0).then(|| (memory.saturating_mul(2), true))
}

fn pids_max(resources: &Resources) -> Option<String> {
    resources.pids.map(|pids| {
        if pids > 0 {
            pids.to_string()
        } else {
            "max".into()
        }
    })
}

/// The writes for v1, in an order that suits a new cgroup.
pub(crate) fn v1(resources: &Resources) -> Vec<Write> {
    let mut writes = Vec::new();
    if let Some(cpus) = set(resources.cpuset_cpus.as_ref()) {
        writes.push(write("cpuset", "cpuset.cpus", cpus));
    }
    if let Some(mems) = set(resources.cpuset_mems.as_ref()) {
        writes.push(write("cpuset", "cpuset.mems", mems));
    }
    if let Some(shares) = resources.cpu_shares.filter(|shares| *shares > 0) {
        writes.push(write("cpu", "cpu.shares", shares));
    }
    if let Some((quota, period)) = cpu_quota(resources) {
        if let Some(period) = period {
            writes.push(write("cpu", "cpu.cfs_period_us", period));
        }
        if let Some(quota) = quota {
            writes.push(write("cpu", "cpu.cfs_quota_us", quota));
        }
    }
    if let Some(period) = resources.cpu_rt_period_us.filter(|period| *period > 0) {
        writes.push(write("cpu", "cpu.rt_period_us", period));
    }
    if let Some(runtime) = resources.cpu_rt_runtime_us.filter(|runtime| *runtime != 0) {
        writes.push(write("cpu", "cpu.rt_runtime_us", runtime));
    }
    // The limit first: memory and swap together may never be below it, and both start unlimited.
    if let Some(memory) = resources.memory_bytes.filter(|memory| *memory > 0) {
        writes.push(write("memory", "memory.limit_in_bytes", memory));
    }
    if let Some((together, implied)) = memory_and_swap(resources) {
        writes.push(Write {
            implied,
            ..write("memory", "memory.memsw.limit_in_bytes", together)
        });
    }
    if let Some(reservation) = resources
        .memory_reservation_bytes
        .filter(|bytes| *bytes > 0)
    {
        writes.push(write("memory", "memory.soft_limit_in_bytes", reservation));
    }
    if let Some(swappiness) = resources.memory_swappiness {
        writes.push(write("memory", "memory.swappiness", swappiness));
    }
    if resources.oom_kill_disable {
        writes.push(write("memory", "memory.oom_control", 1));
    }
    if let Some(pids) = pids_max(resources) {
        writes.push(write("pids", "pids.max", pids));
    }
    writes
}

/// The writes for v2, and what can't be had there.
pub(crate) fn v2(resources: &Resources) -> (Vec<Write>, Vec<String>) {
    let mut writes = Vec::new();
    let mut warnings = Vec::new();
    if let Some(cpus) = set(resources.cpuset_cpus.as_ref()) {
        writes.push(write("cpuset", "cpuset.cpus", cpus));
    }
    if let Some(mems) = set(resources.cpuset_mems.as_ref()) {
        writes.push(write("cpuset", "cpuset.mems", mems));
    }
    if let Some(weight) = resources.cpu_shares.and_then(weight_of_shares) {
        writes.push(write("cpu", "cpu.weight", weight));
    }
    if let Some((quota, period)) = cpu_quota(resources) {
        let quota = match quota {
            Some(quota) if quota > 0 => quota.to_string(),
            _ => "max".into(),
        };
        let period = period.unwrap_or(DEFAULT_PERIOD_US);
        writes.push(write("cpu", "cpu.max", format!("{quota} {period}")));
    }
    if let Some(memory) = resources.memory_bytes.filter(|memory| *memory > 0) {
        writes.push(write("memory", "memory.max", memory));
    }
    if let Some((together, implied)) = memory_and_swap(resources) {
        let memory = i64::try_from(resources.memory_bytes.unwrap_or(0)).unwrap_or(i64::MAX);
        // v2 counts swap alone. An explicit 0 is "no swap"; an empty string would mean it too.
        let swap = if together < 0 {
            "max".into()
        } else {
            together.saturating_sub(memory).max(0).to_string()
        };
        writes.push(Write {
            implied: implied || swap == "max" || swap == "0",
            ..write("memory", "memory.swap.max", swap)
        });
    }
    if let Some(reservation) = resources
        .memory_reservation_bytes
        .filter(|bytes| *bytes > 0)
    {
        writes.push(write("memory", "memory.low", reservation));
    }
    if let Some(pids) = pids_max(resources) {
        writes.push(write("pids", "pids.max", pids));
    }
    let lacking = [
        (resources.memory_swappiness.is_some(), "memory swappiness"),
        (resources.oom_kill_disable, "disabling the OOM killer"),
        (
            resources.cpu_rt_runtime_us.is_some(),
            "CPU real-time runtime",
        ),
        (resources.cpu_rt_period_us.is_some(), "CPU real-time period"),
    ];
    for (_, what) in lacking.iter().filter(|(asked, _)| *asked) {
        warnings.push(discarded(what));
    }
    (writes, warnings)
}

/// Docker's words for a limit that is not to be had.
pub(crate) fn discarded(what: &str) -> String {
    format!(
        "Your kernel does not support {what} or the cgroup is not mounted. Limitation discarded."
    )
}

fn set(text: Option<&String>) -> Option<&String> {
    text.filter(|text| !text.is_empty())
}

/// CPU shares (2…262144, default 1024) to a weight (1…10000, default 100): the curve that meets
/// both ends and both defaults.
fn weight_of_shares(shares: u64) -> Option<u64> {
    match shares {
        0 => None,
        1 | 2 => Some(1),
        262_144.. => Some(10_000),
        _ => {
            // At most 262143, so exact as a float; the result lies between 1 and 10000.
            let log = (u32::try_from(shares).map_or(f64::MAX, f64::from)).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            let weight = 10_f64.powf(exponent).ceil();
            (1..=10_000_u32)
                .find(|candidate| f64::from(*candidate) >= weight)
                .map(u64::from)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(writes: &[Write]) -> String {
        writes
            .iter()
            .map(|write| format!("{}={}", write.file, write.value))
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn usual() -> Resources {
        Resources {
            nano_cpus: Some(1_500_000_000),
            cpu_shares: Some(512),
            memory_bytes: Some(64 << 20),
            memory_reservation_bytes: Some(32 << 20),
            pids: Some(100),
            ..Resources::default()
        }
    }

    #[test]
    fn limits_become_files_of_v1() {
        assert_eq!(
            shown(&v1(&usual())),
            "cpu.shares=512\ncpu.cfs_period_us=100000\ncpu.cfs_quota_us=150000\n\
             memory.limit_in_bytes=67108864\nmemory.memsw.limit_in_bytes=134217728\n\
             memory.soft_limit_in_bytes=33554432\npids.max=100"
        );
    }

    #[test]
    fn limits_become_files_of_v2() {
        assert_eq!(
            shown(&v2(&usual()).0),
            "cpu.weight=59\ncpu.max=150000 100000\nmemory.max=67108864\n\
             memory.swap.max=67108864\nmemory.low=33554432\npids.max=100"
        );
    }

    #[test]
    fn swap_follows_docker() {
        let swap = |memory: u64, together: i64| {
            let resources = Resources {
                memory_bytes: Some(memory),
                memory_swap_bytes: Some(together),
                ..Resources::default()
            };
            v2(&resources).0.pop().map(|write| write.value)
        };
        assert_eq!(swap(100, -1).as_deref(), Some("max"));
        assert_eq!(swap(100, 100).as_deref(), Some("0"));
        assert_eq!(swap(100, 150).as_deref(), Some("50"));
    }

    #[test]
    fn shares_follow_the_new_curve() {
        let table = [
            (2, 1),
            (10, 4),
            (100, 17),
            (256, 35),
            (512, 59),
            (1024, 100),
            (2048, 174),
            (4096, 303),
            (10000, 627),
            (65536, 3023),
            (262_144, 10000),
        ];
        for (shares, weight) in table {
            assert_eq!(weight_of_shares(shares), Some(weight), "{shares}");
        }
    }

    #[test]
    fn unlimited_pids_are_max() {
        let resources = Resources {
            pids: Some(-1),
            ..Resources::default()
        };
        assert_eq!(shown(&v1(&resources)), "pids.max=max");
        assert_eq!(shown(&v1(&Resources::default())), "");
    }
}
