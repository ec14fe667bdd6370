//! Pure: which kernel parameters a container sets for its own namespaces.

use crate::container::record::Record;
use crate::error::{Error, ErrorKind, Result};
use crate::spec::{Namespace, NetworkMode};

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sysctl {
    /// Below /proc/sys.
    pub(super) path: String,
    pub(super) value: String,
    /// Ours, not the user's: no error when the kernel lacks it.
    pub(super) implied: bool,
}

const IPC: &[&str] = &[
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Everyone may bind low ports and send pings: both belong to the container's own namespace.
const DEFAULTS: &[(&str, &str)] = &[
    ("net.ipv4.ip_unprivileged_port_start", "0"),
    ("net.ipv4.ping_group_range", "0 2147483647"),
];

/// The parameters in the order in which they are set.
pub(super) fn plan(record: &Record) -> Result<Vec<Sysctl>> {
    let security = &record.spec.security;
    let own_net = matches!(
        record.spec.network,
        NetworkMode::None | NetworkMode::Networks(_)
    );
    let own_ipc = security.ipc != Namespace::Host;
    let own_uts = security.uts != Namespace::Host;
    let mut planned = Vec::new();
    if own_net {
        let missing = DEFAULTS
            .iter()
            .filter(|(name, _)| !security.sysctls.contains_key(*name));
        planned.extend(missing.map(|(name, value)| sysctl(name, value, true)));
    }
    for (name, value) in &security.sysctls {
        let refusal = if name.starts_with("net.") {
            (record.spec.network == NetworkMode::Host)
                .then(|| format!("sysctl \"{name}\" not allowed in host network namespace"))
        } else if IPC.contains(&name.as_str()) || name.starts_with("fs.mqueue.") {
            (!own_ipc)
                .then(|| format!("sysctl \"{name}\" is not allowed in the hosts ipc namespace"))
        } else if name == "kernel.domainname" && own_uts {
            None
        } else {
            Some(format!(
                "sysctl \"{name}\" is not in a separate kernel namespace"
            ))
        };
        if let Some(text) = refusal {
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        planned.push(sysctl(name, value, false));
    }
    Ok(planned)
}

fn sysctl(name: &str, value: &str, implied: bool) -> Sysctl {
    Sysctl {
        path: format!("sys/{}", name.replace('.', "/")),
        value: value.to_owned(),
        implied,
    }
}
