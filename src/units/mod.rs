//! Pure: sizes, durations and ranges as Compose writes them.
