//! The session keyring: a container gets its own, not the caller's keys.
#![expect(unsafe_code, reason = "keyctl is not in rustix")]

use std::ffi::CString;

use super::error::{Error, Result, check};

/// Joins a new session keyring of this name and lets its owner search it.
pub fn join_session(name: &str) -> Result<()> {
    const JOIN_SESSION_KEYRING: i32 = 1;
    const SETPERM: i32 = 5;
    /// "user may search".
    const USER_SEARCH: u32 = 0x0008_0000;
    let call = || format!("keyctl(join session {name:?})");
    let text = CString::new(name).map_err(|_| Error::new(call(), libc::EINVAL))?;
    // SAFETY: a terminated string.
    let id = check(
        unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, text.as_ptr()) },
        call,
    )?;
    let described = describe(id)?;
    let permissions = described
        .split(';')
        .nth(3)
        .and_then(|hex| u32::from_str_radix(hex, 16).ok())
        .unwrap_or(0);
    check(
        // SAFETY: numbers only.
        unsafe { libc::syscall(libc::SYS_keyctl, SETPERM, id, permissions | USER_SEARCH) },
        || "keyctl(setperm)".into(),
    )?;
    Ok(())
}

/// The name of this process' session keyring.
pub fn session_name() -> Result<String> {
    const SESSION: libc::c_long = -3;
    let described = describe(SESSION)?;
    let name = described.splitn(5, ';').nth(4).unwrap_or("");
    Ok(name.trim_end_matches('\0').to_owned())
}

/// "keyring;uid;gid;permissions in hex;name"
fn describe(id: libc::c_long) -> Result<String> {
    const DESCRIBE: i32 = 6;
    let mut buffer = [0_u8; 256];
    // SAFETY: the kernel writes at most the length given.
    let length = check(
        unsafe {
            libc::syscall(
                libc::SYS_keyctl,
                DESCRIBE,
                id,
                buffer.as_mut_ptr(),
                buffer.len(),
            )
        },
        || "keyctl(describe)".into(),
    )?;
    let length = usize::try_from(length).unwrap_or(0).min(buffer.len());
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}
