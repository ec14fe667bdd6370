//! Networks: create, find, remove.

use super::Engine;
use crate::error::Result;
use crate::network::{Network, records};
use crate::spec::NetworkSpec;
use crate::store::lock::{self, Lock};

impl Engine {
    /// Makes a network with its bridge.
    ///
    /// # Errors
    /// `AlreadyExists` for a taken name, `Conflict` for a taken subnet, `Unsupported` for another
    /// driver than `bridge`.
    pub fn create_network(&self, spec: &NetworkSpec) -> Result<Network> {
        let _lock = lock::acquire(self.roots(), Lock::Networks)?;
        let network = records::create(self.roots(), spec)?;
        self.tell_network("create", &network);
        Ok(network)
    }

    /// One network, by id, name or unique prefix of its id.
    ///
    /// # Errors
    /// `NotFound`: `network X not found`.
    pub fn network(&self, name: &str) -> Result<Network> {
        records::get(self.roots(), name)
    }

    /// All of them, by name.
    pub fn networks(&self) -> Result<Vec<Network>> {
        records::list(self.roots())
    }

    /// Removes it, its bridge and its leases.
    ///
    /// # Errors
    /// `InUse` while a running container is joined to it.
    pub fn remove_network(&self, name: &str) -> Result<()> {
        let _lock = lock::acquire(self.roots(), Lock::Networks)?;
        let network = records::get(self.roots(), name)?;
        records::remove(self.roots(), name)?;
        self.tell_network("destroy", &network);
        Ok(())
    }

    fn tell_network(&self, action: &str, network: &Network) {
        let driver = network.spec.driver.as_deref().unwrap_or("bridge");
        let attributes = [("name", network.spec.name.as_str()), ("type", driver)];
        self.tell("network", action, network.id.as_str(), &attributes);
    }
}
