//! What a process may do: capabilities, the system call filter, the labels of the kernel's
//! security modules. Deciding only; carrying it out is `init`'s.

pub mod caps;
pub mod lsm;
pub mod seccomp;
