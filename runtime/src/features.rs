//! What containers and networks need of the kernel, and what of it this host lacks.
//!
//! [`of_container`] and [`of_network`] say what a spec needs; [`missing`] looks at that much of
//! the host, and makes nothing. At most the kernel loads a module on the way, which the start
//! would have made it load. What can't be found out for want of rights is no lack: whoever needs
//! it will be told.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::cgroup::{self, Layout};
use crate::init::new_namespaces;
use crate::network::{bridge, nft, records, sandbox};
use crate::spec::{ContainerSpec, NetworkMode, NetworkSpec, Seccomp};
use crate::sys::netlink::Socket;
use crate::sys::{self, mount, namespace};

/// Something that a kernel may have or lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// The file system that layers are put together with.
    Overlay,
    /// By the kernel's name: `mnt`, `pid`, `ipc`, `uts`, `net`.
    Namespace(&'static str),
    /// Filters of system calls.
    Seccomp,
    /// Control groups of any kind.
    Cgroups,
    /// Devices can be refused to a control group.
    DeviceRules,
    /// What keeps a limit: `memory`, `cpu`, `cpuset`, `pids`.
    Controller(&'static str),
    /// Interfaces of a kind: `bridge`, `veth`.
    Interface(&'static str),
    /// nf_tables.
    PacketFilter,
    Ipv6,
    ForwardIpv4,
    ForwardIpv6,
}

/// A feature that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    pub feature: Feature,
    /// How it shows: the kernel's refusal, or what is not there.
    pub reason: String,
}

/// Pure: what a container of this spec needs when it starts.
pub fn of_container(spec: &ContainerSpec) -> BTreeSet<Feature> {
    let security = &spec.security;
    let mut needs = BTreeSet::from([Feature::Overlay, Feature::Cgroups]);
    needs.extend(namespace::names_of(new_namespaces(spec)).map(Feature::Namespace));
    let filtered = match security.seccomp {
        Seccomp::Default => !security.privileged,
        Seccomp::Profile(_) => true,
        Seccomp::Unconfined => false,
    };
    if filtered {
        needs.insert(Feature::Seccomp);
    }
    if !security.privileged {
        needs.insert(Feature::DeviceRules);
    }
    needs.extend(cgroup::controllers(&spec.resources).map(Feature::Controller));
    if let NetworkMode::Networks(endpoints) = &spec.network {
        needs.extend([
            Feature::Interface("bridge"),
            Feature::Interface("veth"),
            Feature::PacketFilter,
        ]);
        // Of other networks only their own spec says whether they lead out.
        let mut names = endpoints.iter().map(|endpoint| endpoint.network.as_str());
        if names.any(|name| name == records::DEFAULT) {
            needs.insert(Feature::ForwardIpv4);
        }
    }
    needs
}

/// Pure: what a network of this spec needs.
pub fn of_network(spec: &NetworkSpec) -> BTreeSet<Feature> {
    let mut needs = BTreeSet::from([Feature::Interface("bridge"), Feature::PacketFilter]);
    let leads_out = !spec.internal;
    if spec.enable_ipv4 != Some(false) && leads_out {
        needs.insert(Feature::ForwardIpv4);
    }
    if spec.enable_ipv6 == Some(true) {
        needs.insert(Feature::Ipv6);
        if leads_out {
            needs.insert(Feature::ForwardIpv6);
        }
    }
    needs
}

/// Those of the wanted features that this host lacks, in their order.
pub fn missing(wanted: &BTreeSet<Feature>) -> Vec<Lack> {
    let asks_cgroups = |feature: &Feature| {
        use Feature::{Cgroups, Controller, DeviceRules};
        matches!(feature, Cgroups | DeviceRules | Controller(_))
    };
    let layout = if wanted.iter().any(asks_cgroups) {
        // Nothing can be read: then there is nothing.
        Layout::detect().unwrap_or_default()
    } else {
        Layout::default()
    };
    let lacks = wanted.iter().filter_map(|feature| {
        let reason = reason(*feature, &layout)?;
        Some(Lack {
            feature: *feature,
            reason,
        })
    });
    lacks.collect()
}

/// Why a feature can't be had; `None` when it can, or nobody knows.
fn reason(feature: Feature, layout: &Layout) -> Option<String> {
    match feature {
        Feature::Overlay => file_system("overlay"),
        Feature::Namespace(kind) => namespaces(kind),
        Feature::Seccomp => sys::seccomp::refusal(),
        Feature::Cgroups => layout
            .is_empty()
            .then(|| "nothing is mounted below /sys/fs/cgroup".into()),
        Feature::DeviceRules => (!layout.restricts_devices())
            .then(|| "there is neither a devices controller nor cgroup v2".into()),
        Feature::Controller(name) => {
            (!layout.offers(name)).then(|| format!("the controller {name} is not there"))
        }
        Feature::Interface(kind) => {
            let refusal = bridge::refuses_kind(&mut Socket::route().ok()?, kind);
            refusal.ok().flatten()
        }
        Feature::PacketFilter => nft::refusal(),
        Feature::Ipv6 => (!sandbox::has_ipv6()).then(|| "/proc/sys/net/ipv6 is not there".into()),
        // Where IPv6 is missing as a whole, that is the lack.
        Feature::ForwardIpv6 if !sandbox::has_ipv6() => None,
        Feature::ForwardIpv4 => sandbox::refuses_sysctl("ipv4/ip_forward", "1"),
        Feature::ForwardIpv6 => sandbox::refuses_sysctl("ipv6/conf/all/forwarding", "1"),
    }
}

fn file_system(kind: &str) -> Option<String> {
    match mount::FsContext::open(kind) {
        Err(error) if error.is(libc::ENODEV) || error.is(libc::ENOSYS) => Some(error.to_string()),
        Ok(_) | Err(_) => None,
    }
}

fn namespaces(kind: &str) -> Option<String> {
    if !Path::new("/proc/self/ns").join(kind).exists() {
        return Some(format!("/proc/self/ns/{kind} is not there"));
    }
    let limit = fs::read_to_string(format!("/proc/sys/user/max_{kind}_namespaces"));
    let is_none = limit.is_ok_and(|text| text.trim() == "0");
    is_none.then(|| format!("user.max_{kind}_namespaces is 0"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{EndpointSpec, Namespace, Resources, SecuritySpec};

    fn shown(needs: &BTreeSet<Feature>) -> String {
        let names: Vec<String> = needs.iter().map(|one| format!("{one:?}")).collect();
        names.join(" ")
    }

    #[test]
    fn a_container_needs_what_its_spec_asks_for() {
        let spec = ContainerSpec {
            network: NetworkMode::Networks(vec![EndpointSpec {
                network: "app_default".into(),
                ..EndpointSpec::default()
            }]),
            resources: Resources {
                memory_bytes: Some(1 << 20),
                pids: Some(5),
                ..Resources::default()
            },
            ..ContainerSpec::default()
        };
        assert_eq!(
            shown(&of_container(&spec)),
            "Overlay Namespace(\"ipc\") Namespace(\"mnt\") Namespace(\"net\") Namespace(\"pid\") Namespace(\"uts\") \
             Seccomp Cgroups DeviceRules Controller(\"memory\") Controller(\"pids\") \
             Interface(\"bridge\") Interface(\"veth\") PacketFilter"
        );
        let spec = ContainerSpec {
            network: NetworkMode::Host,
            security: SecuritySpec {
                privileged: true,
                pid: Namespace::Host,
                ipc: Namespace::Host,
                uts: Namespace::Host,
                ..SecuritySpec::default()
            },
            ..ContainerSpec::default()
        };
        assert_eq!(
            shown(&of_container(&spec)),
            "Overlay Namespace(\"mnt\") Cgroups"
        );
        assert!(of_container(&ContainerSpec::default()).contains(&Feature::ForwardIpv4));
    }

    #[test]
    fn a_network_needs_its_families_and_a_way_out() {
        let spec = NetworkSpec {
            enable_ipv6: Some(true),
            ..NetworkSpec::default()
        };
        assert_eq!(
            shown(&of_network(&spec)),
            "Interface(\"bridge\") PacketFilter Ipv6 ForwardIpv4 ForwardIpv6"
        );
        let spec = NetworkSpec {
            internal: true,
            ..NetworkSpec::default()
        };
        assert_eq!(
            shown(&of_network(&spec)),
            "Interface(\"bridge\") PacketFilter"
        );
    }

    #[test]
    fn a_host_without_cgroups_lacks_all_that_hangs_on_them() {
        let layout = Layout::default();
        for feature in [
            Feature::Cgroups,
            Feature::DeviceRules,
            Feature::Controller("memory"),
        ] {
            assert!(reason(feature, &layout).is_some(), "{feature:?}");
        }
    }
}
