//! Pure: a Compose application, fully resolved: what the user wants.
//!
//! Nothing here is optional that the loader could settle. Spans are kept where a later
//! phase may still have something to say about a value.

mod build;
mod depends;
mod deploy;
mod develop;
mod health;
mod language_model;
mod mount;
mod network;
mod port;
mod project;
mod secret;
mod service;
mod tidy;
mod volume;

pub mod canon;
pub mod names;

pub use build::Build;
pub use depends::{Condition, Dependency};
pub use deploy::{Deploy, ResourceLimits, RestartPolicySpec};
pub use develop::{WatchAction, WatchExec, WatchRule};
pub use health::HealthCheck;
pub use language_model::LanguageModel;
pub use mount::{BindOptions, Mount, MountType};
pub use network::{IpamConfig, Network, ServiceNetwork};
pub use port::Port;
pub use project::{Project, Resource};
pub use secret::{FileReference, FileSource, SharedFile};
pub use service::{EnvFile, ExtraHost, Link, Logging, NetworkMode, PullPolicy, Service, Ulimit};
pub use volume::Volume;
