//! Pure: the config hash, by which a changed service, network or volume is known.
//!
//! Any stable digest will do; what matters is that exactly the attributes that Compose
//! leaves out of its own make no difference here either (spec 18).

use std::fmt::Write as _;

use ketch_runtime::spec::{NetworkSpec, VolumeSpec};
use sha2::{Digest, Sha256};

use crate::model::Service;
use crate::yaml::{Kind, Node, Resolved};

/// Attributes whose change makes no new container.
const WITHOUT_EFFECT: &[&str] = &["build", "pull_policy", "scale", "depends_on", "profiles"];

/// The hash of a service's configuration.
pub fn of_service(service: &Service) -> String {
    let mut text = String::new();
    match service.canonical.as_map() {
        Some(map) => {
            let mut entries: Vec<_> = map
                .iter()
                .filter(|entry| !WITHOUT_EFFECT.contains(&entry.key.as_str()))
                .collect();
            entries.sort_by(|a, b| a.key.cmp(&b.key));
            for entry in entries {
                let skipped: &[&str] = if entry.key == "deploy" {
                    &["replicas"]
                } else {
                    &[]
                };
                write_key(&mut text, &entry.key);
                write_node(&mut text, &entry.value, skipped);
            }
        }
        None => write_node(&mut text, &service.canonical, &[]),
    }
    digest(&text)
}

/// The hash of a network; its labels are not part of it.
pub fn of_network(spec: &NetworkSpec) -> String {
    let mut bare = spec.clone();
    bare.labels.clear();
    digest(&serde_json::to_string(&bare).expect("plain data has a JSON form"))
}

/// The hash of a volume; its labels are not part of it.
pub fn of_volume(spec: &VolumeSpec) -> String {
    let mut bare = spec.clone();
    bare.labels.clear();
    digest(&serde_json::to_string(&bare).expect("plain data has a JSON form"))
}

fn digest(text: &str) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(text.as_bytes()) {
        // Writing to a string does not fail.
        let _written = write!(hex, "{byte:02x}");
    }
    hex
}

/// Keys sorted, every scalar with its type: nothing that does not matter, and no two values alike.
fn write_node(text: &mut String, node: &Node, skipped: &[&str]) {
    match &node.kind {
        Kind::Null => text.push('~'),
        Kind::Scalar(scalar) => {
            text.push(match scalar.resolved {
                Resolved::String => 's',
                Resolved::Bool(_) => 'b',
                Resolved::Integer(_) => 'i',
                Resolved::Float(_) => 'f',
                Resolved::Timestamp => 't',
            });
            write_key(text, &scalar.text);
        }
        Kind::List(items) => {
            text.push('[');
            for item in items {
                write_node(text, item, &[]);
            }
            text.push(']');
        }
        Kind::Map(map) => {
            let mut entries: Vec<_> = map
                .iter()
                .filter(|entry| !skipped.contains(&entry.key.as_str()))
                .collect();
            entries.sort_by(|a, b| a.key.cmp(&b.key));
            text.push('{');
            for entry in entries {
                write_key(text, &entry.key);
                write_node(text, &entry.value, &[]);
            }
            text.push('}');
        }
    }
}

/// With its length in front, so that no two sequences of texts read the same.
fn write_key(text: &mut String, key: &str) {
    let _written = write!(text, "{}:{key}", key.len());
}
