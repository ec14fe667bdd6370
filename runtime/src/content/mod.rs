//! Content by digest: verified while it is written, never changed afterwards.

pub mod blobs;
pub mod digest;
