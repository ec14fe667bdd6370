//! The built binary as a user has it: real containers, networks, volumes, on the real kernel.
//!
//! Each test has a world of its own (`world.rs`): data and run roots, and a network namespace that
//! plays the host. It leaves nothing behind, and checks that it did. Needs root.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a test binary: a failed unwrap is a failed test"
)]

mod attach;
mod build;
mod cp;
mod depends_on;
mod docker;
mod errors;
mod events;
mod examples;
mod explain;
mod harm;
mod isolation;
mod keys;
mod logs;
mod network;
mod preflight;
mod recreation;
mod registry;
mod rights;
mod run;
mod server;
mod store;
mod top;
mod up;
mod volumes;
mod watch;
mod world;
