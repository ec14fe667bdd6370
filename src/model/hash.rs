//! Digests by which a later `up` sees that something changed.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::{Network, Service, Volume, canon};
use crate::yaml::{Node, write};

/// The digest of a service (`com.docker.compose.config-hash`). What does not change its
/// containers is left out: how it is built and fetched, how many there are, what it waits for.
pub fn config_hash(service: &Service) -> String {
    let mut node = canon::service(service);
    if let Some(map) = node.as_map_mut() {
        for key in ["build", "pull_policy", "scale", "depends_on", "profiles"] {
            map.remove(key);
        }
        let deploy = map.get_mut("deploy").and_then(Node::as_map_mut);
        if let Some(deploy) = deploy {
            deploy.remove("replicas");
            if deploy.is_empty() {
                map.remove("deploy");
            }
        }
    }
    digest(&node)
}

/// The digest of a network.
pub fn network_hash(network: &Network) -> String {
    digest(&canon::network(network))
}

/// The digest of a volume.
pub fn volume_hash(volume: &Volume) -> String {
    digest(&canon::volume(volume))
}

/// Of the JSON in canonical order, so that the order in the file does not matter.
fn digest(node: &Node) -> String {
    let json = write::to_json(&canon::sorted(node)).to_string();
    let mut text = String::new();
    for byte in Sha256::digest(json.as_bytes()) {
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}
