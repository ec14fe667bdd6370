//! Networks: create, find, remove.

use super::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::network::Network;
use crate::spec::NetworkSpec;

fn unwritten() -> Error {
    Error::new(ErrorKind::Unsupported, "not written yet")
}

impl Engine {
    /// Makes a network with its bridge.
    pub fn create_network(&self, _spec: &NetworkSpec) -> Result<Network> {
        Err(unwritten())
    }

    /// One network, by id, name or unique prefix of its id.
    pub fn network(&self, _name: &str) -> Result<Network> {
        Err(unwritten())
    }

    /// All of them, by name.
    pub fn networks(&self) -> Result<Vec<Network>> {
        Err(unwritten())
    }

    /// Removes it, its bridge and its rules.
    pub fn remove_network(&self, _name: &str) -> Result<()> {
        Err(unwritten())
    }
}
