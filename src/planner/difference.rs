//! Pure: what differs between a container's spec and the one that is wanted, in the words of
//! the user's file.
//!
//! Only for the explanation in a plan: that there is a difference is known by the hash.

use ketch_runtime::spec::{ContainerSpec, MountKind};
use serde_json::{Map, Value};

/// More than this many names say no more than "and so on".
const AT_MOST: usize = 3;

/// `environment.POSTGRES_PASSWORD, ports`; empty when the specs are alike.
pub(super) fn describe(old: &ContainerSpec, new: &ContainerSpec) -> String {
    let mut names = changed_variables(old, new);
    names.extend(changed_labels(old, new));
    let (old, new) = (fields(old), fields(new));
    for (key, value) in &new {
        if old.get(key) != Some(value) {
            names.push(word(key).to_owned());
        }
    }
    names.dedup();
    if names.len() > AT_MOST {
        names.truncate(AT_MOST);
        names.push("…".into());
    }
    names.join(", ")
}

fn changed_variables(old: &ContainerSpec, new: &ContainerSpec) -> Vec<String> {
    let (old, new) = (&old.process.env, &new.process.env);
    let appeared = new.iter().filter(|pair| !old.contains(pair));
    let gone = old
        .iter()
        .filter(|(name, _)| new.iter().all(|(other, _)| other != name));
    let names = appeared
        .chain(gone)
        .map(|(name, _)| format!("environment.{name}"));
    names.collect()
}

/// Labels of the user; ours say nothing that other fields don't.
fn changed_labels(old: &ContainerSpec, new: &ContainerSpec) -> Vec<String> {
    let mut names = Vec::new();
    for key in new.labels.keys().chain(old.labels.keys()) {
        let is_ours = key.starts_with("com.docker.compose.");
        let name = format!("labels.{key}");
        if !is_ours && old.labels.get(key) != new.labels.get(key) && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The rest, with the fields of the process beside the others.
fn fields(spec: &ContainerSpec) -> Map<String, Value> {
    let mut spec = spec.clone();
    spec.name.clear();
    spec.labels.clear();
    spec.process.env.clear();
    // Which anonymous volume it is, and whether one was inherited, is nobody's wish.
    spec.mounts.retain(|mount| !is_anonymous(&mount.kind));
    let Ok(Value::Object(mut fields)) = serde_json::to_value(spec) else {
        return Map::new();
    };
    if let Some(Value::Object(process)) = fields.remove("process") {
        fields.extend(process);
    }
    fields
}

/// An inherited one has the name that the engine gave it: 64 hex digits.
fn is_anonymous(kind: &MountKind) -> bool {
    let MountKind::Volume { name, .. } = kind else {
        return false;
    };
    name.as_ref()
        .is_none_or(|name| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The attribute of a service that a field of the spec comes from.
fn word(field: &str) -> &str {
    match field {
        "mounts" => "volumes",
        "network" => "networks",
        "health" => "healthcheck",
        "log" => "logging",
        "rlimits" => "ulimits",
        "stop" => "stop_signal or stop_grace_period",
        "shm_size_bytes" => "shm_size",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_is_told_in_the_words_of_the_file() {
        let mut old = ContainerSpec::default();
        old.process.env = vec![
            ("SAME".into(), Some("1".into())),
            ("COLOUR".into(), Some("red".into())),
        ];
        let mut new = old.clone();
        assert_eq!(describe(&old, &new), "");
        new.process.env[1].1 = Some("blue".into());
        new.labels
            .insert("com.docker.compose.config-hash".into(), "x".into());
        assert_eq!(describe(&old, &new), "environment.COLOUR");
        new.process.command = Some(vec!["serve".into()]);
        new.read_only = true;
        assert_eq!(
            describe(&old, &new),
            "environment.COLOUR, read_only, command"
        );
        new.init = true;
        assert!(describe(&old, &new).ends_with(", …"));
    }

    #[test]
    fn an_inherited_volume_is_no_difference() {
        let volume = |name: Option<String>| ketch_runtime::spec::MountSpec {
            target: "/cache".into(),
            read_only: false,
            kind: MountKind::Volume {
                name,
                no_copy: false,
                subpath: None,
            },
        };
        let mut old = ContainerSpec::default();
        old.mounts.push(volume(Some("0a".repeat(32))));
        let mut new = ContainerSpec::default();
        new.mounts.push(volume(None));
        assert_eq!(describe(&old, &new), "");
    }
}
