//! AppArmor: which profile a container's processes get. We load none (that would need a
//! parser): Docker's own is used where it is loaded.

use std::fs;

use crate::spec::SecuritySpec;

const DEFAULT: &str = "docker-default";

/// The profile for the next exec, or nothing: no AppArmor, unconfined, or no profile loaded.
pub fn apparmor_profile(security: &SecuritySpec) -> Option<String> {
    let enabled = fs::read_to_string("/sys/module/apparmor/parameters/enabled")
        .is_ok_and(|text| text.trim() == "Y");
    if !enabled {
        return None;
    }
    match security.apparmor.as_deref() {
        Some("unconfined") => None,
        Some(name) if !name.is_empty() => Some(name.to_owned()),
        _ if security.privileged => None,
        _ => {
            let loaded =
                fs::read_to_string("/sys/kernel/security/apparmor/profiles").unwrap_or_default();
            is_loaded(&loaded, DEFAULT).then(|| DEFAULT.to_owned())
        }
    }
}

fn is_loaded(profiles: &str, name: &str) -> bool {
    // Lines look like `docker-default (enforce)`.
    profiles.lines().any(|line| {
        line.rsplit_once(" (")
            .is_some_and(|(known, _)| known == name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_found_by_its_whole_name() {
        let profiles = "/usr/sbin/x (enforce)\ndocker-default (enforce)\n";
        assert!(is_loaded(profiles, "docker-default"));
        assert!(!is_loaded(profiles, "docker"));
    }
}
