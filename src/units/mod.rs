//! Pure: sizes, durations and ranges as Compose writes them.

pub mod bytes;
pub mod duration;
pub mod ranges;
