//! An embedded container runtime: images, containers, networks, volumes, builds.
//!
//! No daemon, no helper programs: every verb is a function on [`engine::Engine`], and
//! each running container has one small monitor process (this binary, re-executed). It
//! knows nothing of projects and services; labels pass through unread. It never prints
//! and reads neither environment nor home directory: it is given its roots. (HTTP's proxies and the
//! host's certificates are found through the environment, by the libraries that use them.)
//!
//! **The order of the modules below is the architecture**: a module imports only from
//! those above it (`tests/tidy.rs` holds everyone to it), and it is the order in which to
//! read them.

// Foundations
pub mod error;
pub mod cancel;

// Data
pub mod spec;

// The kernel: the only unsafe code in the project
pub mod sys;

// For tests alone
pub mod failpoint;

// Storage
pub mod store;
pub mod content;

// Images
pub mod layer;
pub mod image;

// What a container is
pub mod container;

// Pieces of a container
pub mod volume;
pub mod cgroup;
pub mod security;
pub mod network;
pub mod init;
pub mod features;

// Images from elsewhere
pub mod registry;

// The keeper of one container
pub mod monitor;

// What callers use
pub mod engine;
pub mod builder;
pub mod reexec;
