//! Installing a system call filter.
#![expect(unsafe_code, reason = "seccomp is not in rustix")]

use super::error::{Error, Result, check};

/// One instruction of classic BPF.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    pub code: u16,
    pub jump_true: u8,
    pub jump_false: u8,
    pub value: u32,
}

#[repr(C)]
struct Program {
    length: u16,
    instructions: *const Instruction,
}

/// Do not switch off speculation for filtered processes.
pub const FLAG_SPEC_ALLOW: u32 = 4;
pub const FLAG_LOG: u32 = 2;

/// Why this kernel takes no filter; `None` when it does, or does not say.
pub fn refusal() -> Option<String> {
    const SET_MODE_FILTER: u32 = 1;
    let nothing = std::ptr::null::<Program>();
    // SAFETY: the kernel is given no filter to read: where it would, it answers EFAULT.
    let returned = unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, 0, nothing) };
    match check(returned, || "seccomp(filter)".into()) {
        Err(error) if error.is(libc::EINVAL) || error.is(libc::ENOSYS) => Some(error.to_string()),
        Ok(_) | Err(_) => None,
    }
}

/// Puts the filter on this thread, for good. Needs CAP_SYS_ADMIN or no_new_privs.
pub fn install(program: &[Instruction], flags: u32) -> Result<()> {
    const SET_MODE_FILTER: u32 = 1;
    let call = || format!("seccomp(filter of {} instructions)", program.len());
    let filter = Program {
        length: u16::try_from(program.len()).map_err(|_| Error::new(call(), libc::EINVAL))?,
        instructions: program.as_ptr(),
    };
    check(
        // SAFETY: the kernel reads `length` instructions, all in the slice.
        unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, &raw const filter) },
        call,
    )?;
    Ok(())
}
