//! The fault matrix: ketch and its monitors are killed (SIGKILL) at every fail point and at random
//! moments of every kind of command; then the next `up -d` must end in the right state and the
//! next `down -v` must leave nothing.
//!
//! `KETCH_FAULT_KILLS` says how many random kills (200), `KETCH_FAULT_SEED` where the random
//! moments begin; a failure prints both, and the moment. Needs root, like the e2e tests.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a test binary: a failed unwrap is a failed test"
)]

#[path = "../e2e/world.rs"]
#[expect(dead_code, reason = "shared with the e2e tests, which use all of it")]
mod world;

#[path = "../e2e/server.rs"]
#[expect(dead_code, reason = "shared with the e2e tests, which use all of it")]
mod server;

mod adoption;
mod concurrent;
mod disk;
mod exhaustion;
mod kills;
mod leftovers;
mod points;
mod random;
mod reboot;
mod scenario;
mod silent;
mod store;
mod watch;
