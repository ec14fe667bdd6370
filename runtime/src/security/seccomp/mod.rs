//! Pure: the system call filter, from a profile to a program.
//!
//! `default` is Docker's profile as tables, `profile` reads Docker's JSON, `compile` makes
//! classic BPF of either. Programs of a second architecture (i386 on x86_64, 32-bit arm on
//! aarch64) get ENOSYS for every call: there is one table for each native architecture only.

mod compile;
mod default;
mod numbers;
mod profile;

use crate::error::Result;
use crate::spec::{Seccomp, SecuritySpec};
use crate::sys::seccomp::{FLAG_SPEC_ALLOW, Instruction};

use super::caps::Mask;
pub use compile::Architecture;

/// What a profile's conditions are judged by.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    pub architecture: Architecture,
    /// Major and minor version.
    pub kernel: (u32, u32),
    /// The container's bounding set.
    pub bounding: Mask,
}

/// A program and how to install it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    pub program: Vec<Instruction>,
    pub flags: u32,
}

/// The filter of a container; `None` means none at all.
///
/// # Errors
/// `Invalid` when a custom profile can't be read.
pub fn filter(security: &SecuritySpec, machine: &Machine) -> Result<Option<Filter>> {
    let profile = match &security.seccomp {
        Seccomp::Unconfined => return Ok(None),
        Seccomp::Default if security.privileged => return Ok(None),
        Seccomp::Default => default::profile(),
        Seccomp::Profile(json) => profile::parse(json)?,
    };
    Ok(Some(Filter {
        flags: profile.flags.unwrap_or(FLAG_SPEC_ALLOW),
        program: compile::compile(&profile, machine)?,
    }))
}

/// `6.18.44-arch` → (6, 18).
pub fn parse_kernel_version(release: &str) -> (u32, u32) {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|digits| digits.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
