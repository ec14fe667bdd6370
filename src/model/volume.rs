//! Volumes.

use indexmap::IndexMap;

use super::Resource;

/// A volume of the application.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume {
    pub resource: Resource,
    pub driver: Option<String>,
    pub driver_opts: IndexMap<String, String>,
}
