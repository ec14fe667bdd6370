//! What can be asked for: plain data, no behaviour.
//!
//! A spec is what a caller wants; names in it are the user's. Absent means "the
//! image's, or the default". What was asked and merged with the image is kept as a
//! [`crate::container::record::Record`].

mod container;
mod health;
mod mount;
mod network;
mod resources;
mod restart;
mod security;
pub mod signal;
mod volume;

pub use container::{ContainerSpec, LogSpec, ProcessSpec, Rlimit, StopSpec};
pub use health::HealthSpec;
pub use mount::{MountKind, MountSpec, Propagation};
pub use network::{
    DnsSpec, EndpointSpec, NetworkMode, NetworkSpec, PortBinding, Protocol, SubnetSpec,
};
pub use resources::Resources;
pub use restart::RestartPolicy;
pub use security::{Namespace, Seccomp, SecuritySpec};
pub use volume::VolumeSpec;
