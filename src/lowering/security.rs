//! Pure: what the process may do: capabilities, `security_opt`, namespaces.

use ketch_runtime::spec::{Namespace, Seccomp, SecuritySpec};

use super::{Context, networks};
use crate::diag::{Diagnostic, Spanned};
use crate::loader::files::Unreadable;

/// capabilities(7), without `CAP_`.
const CAPABILITIES: &[&str] = &[
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// Rights and confinement of a service's containers.
pub(super) fn lower_security(context: &mut Context<'_>) -> SecuritySpec {
    let service = context.service;
    check_capabilities(context, "cap_add", &service.cap_add);
    check_capabilities(context, "cap_drop", &service.cap_drop);
    let cgroup = service.cgroup.as_deref();
    let mut security = SecuritySpec {
        privileged: service.privileged,
        cap_add: service.cap_add.clone(),
        cap_drop: service.cap_drop.clone(),
        sysctls: service.sysctls.clone(),
        pid: namespace(context, "pid", service.pid.as_deref()),
        ipc: namespace(context, "ipc", service.ipc.as_deref()),
        uts: namespace(context, "uts", service.uts.as_deref()),
        cgroup: cgroup.map(|text| namespace(context, "cgroup", Some(text))),
        ..SecuritySpec::default()
    };
    for option in &service.security_opt {
        apply_option(context, &mut security, option);
    }
    security
}

fn check_capabilities(context: &mut Context<'_>, key: &str, names: &[String]) {
    for (index, name) in names.iter().enumerate() {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if bare != "ALL" && !CAPABILITIES.contains(&bare) {
            context.error(key, Some(index), format!("unknown capability {name:?}"));
        }
    }
}

fn namespace(context: &mut Context<'_>, key: &str, text: Option<&str>) -> Namespace {
    let Some(text) = text else {
        return Namespace::Private;
    };
    if let Some(service) = text.strip_prefix("service:") {
        return Namespace::Container(networks::first_container(context.project, service));
    }
    if let Some(container) = text.strip_prefix("container:") {
        return Namespace::Container(container.to_owned());
    }
    match text {
        "" | "private" => Namespace::Private,
        "host" => Namespace::Host,
        "shareable" if key == "ipc" => Namespace::Shareable,
        _ => {
            context.error(key, None, format!("invalid {key} mode {text:?}"));
            Namespace::Private
        }
    }
}

/// One item of `security_opt`; `:` stands for `=` too.
fn apply_option(context: &mut Context<'_>, security: &mut SecuritySpec, option: &Spanned<String>) {
    let text = option.value.as_str();
    let (key, value) = match text.split_once('=').or_else(|| text.split_once(':')) {
        Some((key, value)) => (key, Some(value)),
        None => (text, None),
    };
    match (key, value) {
        ("no-new-privileges", None | Some("true")) => security.no_new_privileges = true,
        ("no-new-privileges", Some("false")) => security.no_new_privileges = false,
        ("seccomp", Some("unconfined")) => security.seccomp = Seccomp::Unconfined,
        ("seccomp", Some("builtin")) => security.seccomp = Seccomp::Default,
        ("seccomp", Some(path)) => {
            if let Some(profile) = read_profile(context, option, path) {
                security.seccomp = Seccomp::Profile(profile);
            }
        }
        ("label", Some(label)) => security.selinux.push(label.to_owned()),
        ("apparmor", Some(profile)) => security.apparmor = Some(profile.to_owned()),
        ("systempaths", Some("unconfined")) => security.system_paths_unconfined = true,
        _ => {
            let message = format!("invalid security option {text:?}");
            let hint =
                "known are no-new-privileges, seccomp=, label=, apparmor=, systempaths=unconfined";
            context.report(Diagnostic::error(option.span, message).hint(hint));
        }
    }
}

fn read_profile(context: &mut Context<'_>, option: &Spanned<String>, path: &str) -> Option<String> {
    let path = context.project.working_dir.join(path);
    match context.files.read(&path) {
        Ok(text) => Some(text.to_string()),
        Err(why) => {
            let reason = match why {
                Unreadable::Missing => "no such file".to_owned(),
                Unreadable::Other(reason) => reason,
            };
            let message = format!(
                "opening seccomp profile {} failed: {reason}",
                path.display()
            );
            context.report(Diagnostic::error(option.span, message));
            None
        }
    }
}
