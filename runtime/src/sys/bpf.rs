//! Device filters for cgroup v2: loading and attaching a program.
#![expect(unsafe_code, reason = "bpf is not in rustix")]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::error::{Error, Result, check};

/// One instruction of eBPF.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    pub code: u8,
    /// Destination in the low half, source in the high one.
    pub registers: u8,
    pub offset: i16,
    pub value: i32,
}

fn bpf<T>(command: u32, attributes: &T, call: impl FnOnce() -> String) -> Result<i64> {
    // SAFETY: the kernel reads the structure, whose size is given; its pointers are the callers'.
    check(
        unsafe {
            libc::syscall(
                libc::SYS_bpf,
                command,
                std::ptr::from_ref(attributes),
                size_of::<T>(),
            )
        },
        call,
    )
}

/// Loads a device program.
pub fn load_device_program(program: &[Instruction]) -> Result<OwnedFd> {
    const PROG_LOAD: u32 = 5;
    const CGROUP_DEVICE: u32 = 15;
    #[repr(C)]
    struct Load {
        kind: u32,
        length: u32,
        instructions: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log: u64,
        kernel_version: u32,
        flags: u32,
    }
    let attributes = Load {
        kind: CGROUP_DEVICE,
        length: u32::try_from(program.len()).unwrap_or(u32::MAX),
        instructions: program.as_ptr() as u64,
        license: c"Apache".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    // The verifier gives up with EAGAIN when a signal is pending.
    let mut tries = 30;
    loop {
        match bpf(PROG_LOAD, &attributes, || {
            format!("bpf(load device program of {})", program.len())
        }) {
            Ok(fd) => {
                // SAFETY: a new fd, owned by nobody yet.
                return Ok(unsafe { OwnedFd::from_raw_fd(RawFd::try_from(fd).unwrap_or(-1)) });
            }
            Err(error) if error.is(libc::EAGAIN) && tries > 0 => tries -= 1,
            Err(error) => return Err(error),
        }
    }
}

/// Attaches a device program to a cgroup v2 directory, beside others.
pub fn attach_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<()> {
    const PROG_ATTACH: u32 = 8;
    const CGROUP_DEVICE: u32 = 6;
    const ALLOW_MULTI: u32 = 2;
    #[repr(C)]
    struct Attach {
        target: u32,
        program: u32,
        kind: u32,
        flags: u32,
        replaced: u32,
    }
    let number = |fd: BorrowedFd<'_>| {
        u32::try_from(fd.as_raw_fd()).map_err(|_| Error::new("bpf(attach)", libc::EBADF))
    };
    let attributes = Attach {
        target: number(cgroup)?,
        program: number(program)?,
        kind: CGROUP_DEVICE,
        flags: ALLOW_MULTI,
        replaced: 0,
    };
    bpf(PROG_ATTACH, &attributes, || {
        "bpf(attach device program)".into()
    })?;
    Ok(())
}
