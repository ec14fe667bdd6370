//! Limits, where the kernel keeps them.

use ketch_runtime::cgroup::Layout;
use ketch_runtime::spec::{Resources, Rlimit};

use crate::world::World;

pub(crate) fn limits_are_in_the_cgroup() {
    let world = World::new();
    let unified = Layout::detect().unwrap().is_unified();
    let mut record = world.shell(if unified {
        "cd /sys/fs/cgroup; cat memory.max pids.max; echo $(cat cpu.max)"
    } else {
        "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max; echo $(cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us)"
    });
    record.spec.resources = Resources {
        memory_bytes: Some(64 << 20),
        pids: Some(50),
        nano_cpus: Some(500_000_000),
        ..Resources::default()
    };
    assert_eq!(world.run(&record).ok(), "67108864\n50\n50000 100000\n");
    // The container sees its own files only, and can't change them.
    record.process.args[2] = "echo 1 > $(find /sys/fs/cgroup -name pids.max | head -1)".into();
    let outcome = world.run(&record);
    assert!(outcome.stderr.contains("Read-only"), "{outcome:?}");
}

pub(crate) fn ulimits_hold() {
    let world = World::new();
    let mut record = world.shell("ulimit -n; ulimit -Hn; ulimit -c");
    let limit = |name: &str, soft, hard| Rlimit {
        name: name.into(),
        soft,
        hard,
    };
    record.process.rlimits = vec![limit("nofile", 100, 200), limit("core", 0, 0)];
    assert_eq!(world.run(&record).ok(), "100\n200\n0\n");
}

pub(crate) fn memory_beyond_the_limit_ends_the_process() {
    let world = World::new();
    let mut record = world.record(&["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"]);
    record.spec.resources = Resources {
        memory_bytes: Some(16 << 20),
        memory_swap_bytes: Some(16 << 20),
        ..Resources::default()
    };
    assert_eq!(world.run(&record).result, Ok(137));
}
