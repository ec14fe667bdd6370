//! `inspect`: everything that is known of a thing, in Docker's shape.

use indexmap::IndexMap;
use ketch_runtime::container::Container;
use ketch_runtime::container::record::{Mount, Source};
use ketch_runtime::container::state::{Endpoint, Status};
use ketch_runtime::error::ErrorKind;
use ketch_runtime::spec::{NetworkMode, RestartPolicy};
use serde_json::{Map, Value, json};

use super::super::{Context, Error, Result};
use crate::ui::template::{self, Format};

/// Go's zero time, which stands for "never".
const NEVER: &str = "0001-01-01T00:00:00Z";

/// A way to look something up by name; `None` when there is no such thing.
pub type Find<'a> = &'a dyn Fn(&Context, &str) -> Result<Option<Value>>;

/// Prints each, as an array or by a template; a missing one is told, and the others are shown.
///
/// # Errors
/// When one is missing; a template that asks for what is not there.
pub fn run(context: &Context, names: &[String], format: &str, kinds: &[Find<'_>]) -> Result<()> {
    let mut found = Vec::new();
    let mut failed = false;
    for name in names {
        let mut kinds = kinds.iter();
        let value = kinds.find_map(|find| find(context, name).transpose());
        match value.transpose()? {
            Some(value) => found.push(value),
            None => {
                context
                    .ui
                    .error(format_args!("Error: No such object: {name}"));
                failed = true;
            }
        }
    }
    match Format::parse(format).map_err(Error::Failed)? {
        Format::Table => {
            let text = serde_json::to_string_pretty(&found)
                .map_err(|error| Error::Failed(error.to_string()))?;
            context.ui.line(template::escaped(&text))?;
        }
        Format::Json => {
            for value in &found {
                context.ui.line(template::json(value))?;
            }
        }
        Format::Text(template) | Format::TableOf(template) => {
            let text = template::render(&template, None, &found).map_err(Error::Failed)?;
            context.ui.data(text.as_bytes())?;
        }
    }
    if failed { Err(Error::Reported) } else { Ok(()) }
}

/// A container by its name, id or the beginning of it.
///
/// # Errors
/// When the store can't be read.
pub fn container(context: &Context, name: &str) -> Result<Option<Value>> {
    match context.engine.container(name) {
        Ok(container) => Ok(Some(shown(&container))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn shown(container: &Container) -> Value {
    let record = &container.record;
    let spec = &record.spec;
    let (path, args) = match record.process.args.split_first() {
        Some((path, args)) => (path.as_str(), args),
        None => ("", &[][..]),
    };
    json!({
        "Id": record.id.as_str(),
        "Created": record.created.to_string(),
        "Path": path,
        "Args": args,
        "State": state(container),
        "Image": record.image_id.as_str(),
        "Name": format!("/{}", record.name),
        "RestartCount": container.state.restart_count,
        "Driver": "overlay2",
        "Platform": "linux",
        "HostConfig": host_config(container),
        "Mounts": record.mounts.iter().filter_map(mount).collect::<Vec<_>>(),
        "Config": {
            "Hostname": record.hostname,
            "Domainname": spec.domainname.clone().unwrap_or_default(),
            "User": record.process.user,
            "ExposedPorts": exposed(container),
            "Tty": record.process.tty,
            "OpenStdin": record.process.stdin_open,
            "StdinOnce": record.process.stdin_once,
            "Env": record.process.env,
            "Cmd": spec.process.command,
            "Image": spec.image,
            "WorkingDir": record.process.cwd,
            "Entrypoint": spec.process.entrypoint,
            "Labels": spec.labels,
            "StopSignal": spec.stop.signal,
        },
        "NetworkSettings": network_settings(container),
    })
}

fn state(container: &Container) -> Value {
    let state = &container.state;
    let time = |moment: Option<jiff::Timestamp>| {
        moment.map_or_else(|| NEVER.to_owned(), |it| it.to_string())
    };
    let mut shown = json!({
        "Status": state.status.as_str(),
        "Running": state.status.is_active(),
        "Paused": state.status == Status::Paused,
        "Restarting": state.status == Status::Restarting,
        "OOMKilled": state.oom_killed,
        "Dead": state.status == Status::Dead,
        "Pid": state.pid.unwrap_or(0),
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": time(state.started_at),
        "FinishedAt": time(state.finished_at),
    });
    if let Some(health) = &state.health {
        let probes = health.log.iter().map(|probe| {
            json!({
                "Start": probe.start.to_string(),
                "End": probe.end.to_string(),
                "ExitCode": probe.exit_code,
                "Output": probe.output,
            })
        });
        shown["Health"] = json!({
            "Status": health.status.as_str(),
            "FailingStreak": health.failing_streak,
            "Log": probes.collect::<Vec<_>>(),
        });
    }
    shown
}

fn host_config(container: &Container) -> Value {
    let spec = &container.record.spec;
    let (restart, retries) = match spec.restart {
        RestartPolicy::No => ("no", 0),
        RestartPolicy::Always => ("always", 0),
        RestartPolicy::OnFailure { max } => ("on-failure", max),
        RestartPolicy::UnlessStopped => ("unless-stopped", 0),
    };
    let mode = match &spec.network {
        NetworkMode::None => "none".to_owned(),
        NetworkMode::Host => "host".to_owned(),
        NetworkMode::Container(id) => format!("container:{id}"),
        NetworkMode::Networks(endpoints) => endpoints
            .first()
            .map_or_else(|| "bridge".into(), |end| end.network.clone()),
    };
    let binds = container.record.mounts.iter().filter_map(|mount| {
        let source = match &mount.source {
            Source::Bind { path, .. } => path.display().to_string(),
            Source::Volume { name, .. } => name.clone(),
            Source::Tmpfs { .. } | Source::File { .. } => return None,
        };
        let mode = if mount.read_only { "ro" } else { "rw" };
        Some(format!("{source}:{}:{mode}", mount.target))
    });
    let mut bindings: IndexMap<String, Vec<Value>> = IndexMap::new();
    for port in &container.state.ports {
        let key = format!("{}/{}", port.container_port, port.protocol.as_str());
        bindings.entry(key).or_default().push(json!({
            "HostIp": port.host_ip.to_string(),
            "HostPort": port.host_port.to_string(),
        }));
    }
    json!({
        "Binds": binds.collect::<Vec<_>>(),
        "NetworkMode": mode,
        "PortBindings": bindings,
        "RestartPolicy": {"Name": restart, "MaximumRetryCount": retries},
        "AutoRemove": spec.auto_remove,
        "CapAdd": spec.security.cap_add,
        "CapDrop": spec.security.cap_drop,
        "ExtraHosts": spec.extra_hosts.iter().map(|(name, ip)| format!("{name}:{ip}")).collect::<Vec<_>>(),
        "Privileged": spec.security.privileged,
        "ReadonlyRootfs": spec.read_only,
        "Init": spec.init,
        "ShmSize": spec.shm_size_bytes.unwrap_or(64 << 20),
        "Memory": spec.resources.memory_bytes.unwrap_or(0),
        "MemoryReservation": spec.resources.memory_reservation_bytes.unwrap_or(0),
        "MemorySwap": spec.resources.memory_swap_bytes.unwrap_or(0),
        "NanoCpus": spec.resources.nano_cpus.unwrap_or(0),
        "CpuShares": spec.resources.cpu_shares.unwrap_or(0),
        "CpusetCpus": spec.resources.cpuset_cpus.clone().unwrap_or_default(),
        "PidsLimit": spec.resources.pids,
    })
}

fn exposed(container: &Container) -> Map<String, Value> {
    let ports = container.record.exposed.iter();
    ports
        .map(|(port, protocol)| (format!("{port}/{}", protocol.as_str()), json!({})))
        .collect()
}

fn mount(mount: &Mount) -> Option<Value> {
    let (kind, name, source) = match &mount.source {
        Source::Bind { path, .. } => ("bind", None, path.display().to_string()),
        Source::Volume { name, path, .. } => ("volume", Some(name), path.display().to_string()),
        Source::Tmpfs { .. } => ("tmpfs", None, String::new()),
        Source::File { .. } => return None,
    };
    let mut shown = json!({
        "Type": kind,
        "Source": source,
        "Destination": mount.target,
        "Mode": if mount.read_only { "ro" } else { "" },
        "RW": !mount.read_only,
        "Propagation": "",
    });
    if let Some(name) = name {
        shown["Name"] = name.as_str().into();
        shown["Driver"] = "local".into();
    }
    Some(shown)
}

fn network_settings(container: &Container) -> Value {
    let state = &container.state;
    let networks: Map<String, Value> = state
        .endpoints
        .iter()
        .map(|endpoint| (endpoint.network.clone(), network(endpoint)))
        .collect();
    let first = state.endpoints.first().map(network).unwrap_or_default();
    json!({
        "Ports": host_config(container)["PortBindings"],
        "IPAddress": first["IPAddress"],
        "Gateway": first["Gateway"],
        "MacAddress": first["MacAddress"],
        "Networks": networks,
    })
}

fn network(endpoint: &Endpoint) -> Value {
    let text = |address: Option<String>| address.unwrap_or_default();
    json!({
        "Aliases": endpoint.names,
        "DNSNames": endpoint.names,
        "NetworkID": endpoint.network_id,
        "EndpointID": endpoint.host_interface,
        "Gateway": text(endpoint.ipv4_gateway.map(|it| it.to_string())),
        "IPAddress": text(endpoint.ipv4.map(|(it, _)| it.to_string())),
        "IPPrefixLen": endpoint.ipv4.map_or(0, |(_, bits)| bits),
        "IPv6Gateway": text(endpoint.ipv6_gateway.map(|it| it.to_string())),
        "GlobalIPv6Address": text(endpoint.ipv6.map(|(it, _)| it.to_string())),
        "GlobalIPv6PrefixLen": endpoint.ipv6.map_or(0, |(_, bits)| bits),
        "MacAddress": endpoint.mac_address,
    })
}
