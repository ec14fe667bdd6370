//! Pure: the world as it was a moment ago, as far as one project is concerned.

use indexmap::IndexMap;
use ketch_runtime::container::state::{HealthStatus, Status};
use ketch_runtime::spec::ContainerSpec;

/// A snapshot, taken once for each plan.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// Containers with the project's label, in the order of their creation.
    pub containers: Vec<ObservedContainer>,
    /// Every network of the host, by name.
    pub networks: IndexMap<String, ObservedNetwork>,
    /// Every volume of the host, by name.
    pub volumes: IndexMap<String, ObservedVolume>,
    /// Images of the store, by id.
    pub images: IndexMap<String, ObservedImage>,
}

/// A container of the project.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ObservedContainer {
    pub id: String,
    pub name: String,
    pub service: String,
    /// Zero for one-off containers.
    pub number: u32,
    /// Made by `run`.
    pub one_off: bool,
    pub status: Status,
    /// Somebody has asked it to end, and it has not yet.
    pub stopping: bool,
    pub exit_code: i32,
    /// Absent without a health check.
    pub health: Option<HealthStatus>,
    /// Absent: not made by a convergence of ours.
    pub config_hash: Option<String>,
    /// The image id it was made from.
    pub image_id: String,
    /// Names of the networks that it is to join.
    pub networks: Vec<String>,
    /// Names or ids of containers whose namespaces it shares.
    pub shares: Vec<String>,
    pub volumes: Vec<ObservedMount>,
    pub labels: IndexMap<String, String>,
    /// What it was created from, to say what has changed since.
    pub spec: Option<Box<ContainerSpec>>,
}

/// A volume in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedMount {
    pub target: String,
    /// The volume's name.
    pub volume: String,
    pub anonymous: bool,
}

/// A network of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedNetwork {
    pub id: String,
    pub name: String,
    pub labels: IndexMap<String, String>,
}

/// A volume of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedVolume {
    pub name: String,
    pub anonymous: bool,
    pub labels: IndexMap<String, String>,
}

/// An image of the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedImage {
    /// `sha256:…`.
    pub id: String,
    /// `busybox:latest`, …
    pub references: Vec<String>,
    /// Targets of its `VOLUME` instructions.
    pub volumes: Vec<String>,
    pub labels: IndexMap<String, String>,
}

impl ObservedContainer {
    /// Whether it has a process, or will have one again by its restart policy.
    pub fn is_active(&self) -> bool {
        self.status.is_active()
    }

    /// The id as people see it.
    pub fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }
}

impl Observed {
    /// The containers of one service, one-offs not included, by number.
    pub fn of_service(&self, service: &str) -> Vec<&ObservedContainer> {
        let mut containers: Vec<_> = self
            .containers
            .iter()
            .filter(|container| container.service == service && !container.one_off)
            .collect();
        containers.sort_by_key(|container| container.number);
        containers
    }

    /// The container of this name.
    pub fn container(&self, name: &str) -> Option<&ObservedContainer> {
        self.containers
            .iter()
            .find(|container| container.name == name)
    }
}
