//! Pulling from and pushing to registries that misbehave: a pretended one in each test, on the
//! loopback, which does as the test says.

#![expect(
    clippy::unwrap_used,
    reason = "a test binary: a failed unwrap is a failed test"
)]

mod auth;
mod hostile;
mod pretended;
mod pull;
mod push;
mod transfer;
