//! Capability sets of the calling thread, as bit masks.
#![expect(unsafe_code, reason = "capset and the bounding set are not in rustix")]

use std::fs;

use super::error::{Result, check};

/// The sets that capset(2) changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sets {
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
}

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const VERSION_3: u32 = 0x2008_0522;

/// The sets of this thread.
pub fn get() -> Result<Sets> {
    let header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let mut halves = [Half::default(); 2];
    check(
        // SAFETY: version 3 writes two halves.
        unsafe { libc::syscall(libc::SYS_capget, &raw const header, halves.as_mut_ptr()) },
        || "capget()".into(),
    )?;
    let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    Ok(Sets {
        effective: join(halves[0].effective, halves[1].effective),
        permitted: join(halves[0].permitted, halves[1].permitted),
        inheritable: join(halves[0].inheritable, halves[1].inheritable),
    })
}

/// Makes these the sets of this thread.
pub fn set(sets: Sets) -> Result<()> {
    let header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let half = |shift: u32| Half {
        effective: low_half(sets.effective >> shift),
        permitted: low_half(sets.permitted >> shift),
        inheritable: low_half(sets.inheritable >> shift),
    };
    let halves = [half(0), half(32)];
    check(
        // SAFETY: version 3 reads two halves.
        unsafe { libc::syscall(libc::SYS_capset, &raw const header, halves.as_ptr()) },
        || format!("capset({:#x})", sets.permitted),
    )?;
    Ok(())
}

fn low_half(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).unwrap_or(0)
}

/// Takes everything but `keep` out of the bounding set.
pub fn limit_bounding_set(keep: u64, last: u32) -> Result<()> {
    for number in (0..=last).filter(|number| keep & (1 << number) == 0) {
        // SAFETY: numbers only.
        let returned = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, u64::from(number), 0, 0, 0) };
        check(i64::from(returned), || {
            format!("prctl(PR_CAPBSET_DROP, {number})")
        })?;
    }
    Ok(())
}

/// Empties the ambient set.
pub fn clear_ambient() -> Result<()> {
    const CLEAR_ALL: libc::c_ulong = 4;
    // SAFETY: numbers only.
    let returned = unsafe { libc::prctl(libc::PR_CAP_AMBIENT, CLEAR_ALL, 0, 0, 0) };
    check(i64::from(returned), || "prctl(PR_CAP_AMBIENT)".into())?;
    Ok(())
}

/// The bounding set of this thread.
pub fn bounding_set(last: u32) -> u64 {
    (0..=last).fold(0, |set, number| {
        // SAFETY: numbers only.
        let there = unsafe { libc::prctl(libc::PR_CAPBSET_READ, u64::from(number), 0, 0, 0) } == 1;
        set | u64::from(there) << number
    })
}

/// The number of the kernel's last capability.
pub fn last() -> u32 {
    // CAP_CHECKPOINT_RESTORE, the last one at the time of writing.
    const KNOWN: u32 = 40;
    fs::read_to_string("/proc/sys/kernel/cap_last_cap")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .filter(|last| *last < 64)
        .unwrap_or(KNOWN)
}
