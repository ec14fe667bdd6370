//! From files that change on the host to what is done about it.
//!
//! The kernel's events are hints and no more: they say where to look. What has changed is found
//! by comparing the files with what they were when they were last looked at ([`tree`]), so it
//! does not matter in which order events come, whether one was lost, or what was renamed to what.
//!
//! [`source`] waits for hints, [`batch`] decides when to act on them, [`filter`] says which paths
//! count, [`tree`] finds the changes, [`sync`] carries them into a container.

pub mod batch;
pub mod filter;
pub mod relative;
pub mod source;
pub mod sync;
pub mod tree;
