//! Ketch: Docker Compose without Docker.
//!
//! One idea runs through it: **decide, then do.** Every hard thing is first a plain
//! value that prints (a project, a plan), and then a short function that makes it so.
//!
//! **The order of the modules below is the architecture**: a module imports only from
//! those above it (`tests/tidy.rs` holds everyone to it), and it is the order in which to
//! read them. Modules under "Pure" touch no files, clock, environment or processes.

// Foundations
pub mod diag;
pub mod units;

// Pure
pub mod yaml;
pub mod model;
pub mod loader;
pub mod graph;
pub mod lowering;
pub mod planner;
pub mod explain;

// Effects
pub mod executor;
pub mod watcher;
pub mod ui;
pub mod ops;

// Faces
pub mod cli;
