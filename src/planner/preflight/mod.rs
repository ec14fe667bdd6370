//! Pure: what would stop a plan half way, found before its first step.
//!
//! [`wants`] says what the plan depends on; the executor looks at that much of the [`Host`];
//! [`check`] compares the two and tells every problem at once. What the plan itself frees
//! (ports of containers that it stops, names of those that it removes) is no problem.
//! What the kernel lacks is in [`features`].

mod features;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use indexmap::IndexMap;
use ketch_runtime::container::state::PublishedPort;
use ketch_runtime::features::{Feature, Lack};
use ketch_runtime::network::ipam::{self, AnyPrefix, Prefix};
use ketch_runtime::network::ports::{self, Holder, Obstacle};
use ketch_runtime::spec::{ContainerSpec, MountKind, NetworkMode, NetworkSpec, PortBinding};

use super::{Observed, Op, Plan};
use crate::diag::{Diagnostic, Diagnostics, Severity, Span};
use crate::model::names::label;
use crate::model::{Project, Service};

/// A host port: every address when none is given.
pub type HostPort = (Option<IpAddr>, u16, ketch_runtime::spec::Protocol);

/// What a plan depends on that is not ketch's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wants {
    pub ports: Vec<HostPort>,
    /// Bind sources that are not made when they are missing.
    pub sources: BTreeSet<PathBuf>,
    /// Whether a network with a subnet of the user's choice is made.
    pub subnets: bool,
    /// What the kernel must have.
    pub features: BTreeSet<Feature>,
}

/// The host, as far as that goes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Host {
    /// Every container, of all projects.
    pub containers: Vec<Neighbour>,
    /// For wanted ports that no container has: where and why they can't be had.
    pub obstacles: Vec<(HostPort, IpAddr, Obstacle)>,
    /// Those of the wanted sources that do not exist.
    pub missing: BTreeSet<PathBuf>,
    pub subnets: Vec<Subnet>,
    /// Those of the wanted features that the kernel does not have.
    pub lacks: Vec<Lack>,
    /// We are not root there.
    pub unprivileged: bool,
}

/// A container, of whatever project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Neighbour {
    pub id: String,
    pub name: String,
    pub project: Option<String>,
    pub service: Option<String>,
    /// Taken now; none when it does not run.
    pub ports: Vec<PublishedPort>,
}

/// A range that a network has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    pub network: String,
    pub address: IpAddr,
    pub length: u8,
}

impl Host {
    /// Whether a container has this port.
    pub fn publishes(&self, (address, port, protocol): &HostPort) -> bool {
        let addresses = ports::addresses(*address);
        self.containers.iter().any(|container| {
            container.ports.iter().any(|taken| {
                addresses
                    .iter()
                    .any(|one| ports::conflicts(taken, *one, *port, *protocol))
            })
        })
    }
}

/// What to look at before the plan is carried out.
pub fn wants(plan: &Plan, observed: &Observed) -> Wants {
    let outline = Outline::new(plan, observed);
    let mut wants = Wants::default();
    for started in &outline.started {
        for binding in bindings(started.spec) {
            for port in binding.host_ports.clone().into_iter().flatten() {
                let wanted = (binding.host_ip, port, binding.protocol);
                if !wants.ports.contains(&wanted) {
                    wants.ports.push(wanted);
                }
            }
        }
        wants
            .sources
            .extend(must_exist(started.spec).map(|(_, source)| source.clone()));
    }
    for (_, _, spec) in &outline.created {
        wants
            .sources
            .extend(must_exist(spec).map(|(_, source)| source.clone()));
    }
    let mut networks = outline.networks.iter();
    wants.subnets = networks.any(|network| !chosen_subnets(network).is_empty());
    wants.features = features::needs(&outline).into_keys().collect();
    wants
}

/// Everything that would stop the plan, at its place in the user's files when they are there.
pub fn check(
    project: Option<&Project>,
    plan: &Plan,
    observed: &Observed,
    host: &Host,
) -> Diagnostics {
    let mut check = Check {
        project,
        outline: Outline::new(plan, observed),
        host,
        problems: Diagnostics::default(),
    };
    if host.unprivileged {
        let message = "ketch needs root to run containers".to_owned();
        let diagnostic = check.report(None, message).hint("run it with sudo");
        check.problems.push(diagnostic);
    }
    check.names();
    check.sources();
    check.ports();
    check.subnets();
    check
        .problems
        .extend(features::check(project, &check.outline, &host.lacks));
    check.problems
}

/// A plan as the containers that it makes, starts and takes away.
struct Outline<'a> {
    /// Service, final name, spec.
    created: Vec<(&'a str, &'a str, &'a ContainerSpec)>,
    started: Vec<Started<'a>>,
    /// Containers that leave their ports before anything starts.
    stopped: BTreeSet<&'a str>,
    /// Containers that leave their names.
    removed: BTreeSet<&'a str>,
    networks: Vec<&'a NetworkSpec>,
    removed_networks: BTreeSet<&'a str>,
}

struct Started<'a> {
    service: &'a str,
    spec: &'a ContainerSpec,
}

impl<'a> Outline<'a> {
    fn new(plan: &'a Plan, observed: &'a Observed) -> Self {
        let mut outline = Self {
            created: Vec::new(),
            started: Vec::new(),
            stopped: BTreeSet::new(),
            removed: BTreeSet::new(),
            networks: Vec::new(),
            removed_networks: BTreeSet::new(),
        };
        // What stands behind a name at this point of the plan.
        let mut specs: IndexMap<&str, &ContainerSpec> = IndexMap::new();
        for container in &observed.containers {
            if let Some(spec) = &container.spec {
                specs.insert(&container.name, spec);
            }
        }
        for step in &plan.steps {
            let service = step.service.as_deref().unwrap_or_default();
            match &step.op {
                Op::CreateContainer(spec) => {
                    specs.insert(&spec.name, spec);
                    outline.created.push((service, &spec.name, spec));
                }
                Op::RenameContainer { name, new_name } => {
                    outline.rename(name, new_name);
                    if let Some(spec) = specs.swap_remove(name.as_str()) {
                        specs.insert(new_name, spec);
                    }
                }
                Op::StartContainer { name } => {
                    // One that is being stopped gives back what it has before it starts.
                    if observed.container(name).is_some_and(|own| own.stopping) {
                        outline.stopped.insert(name);
                    }
                    if let Some(spec) = specs.get(name.as_str()).copied() {
                        outline.started.push(Started { service, spec });
                    }
                }
                Op::RemoveContainer { name, .. } => {
                    outline.stopped.insert(name);
                    outline.removed.insert(name);
                }
                Op::StopContainer { name, .. }
                | Op::RestartContainer { name, .. }
                | Op::KillContainer { name, .. } => {
                    outline.stopped.insert(name);
                }
                Op::CreateNetwork(spec) => outline.networks.push(spec),
                Op::RemoveNetwork { name } => {
                    outline.removed_networks.insert(name);
                }
                Op::CreateVolume(_)
                | Op::RemoveVolume { .. }
                | Op::RemoveImage { .. }
                | Op::Gate(_) => {}
            }
        }
        outline
    }

    fn rename(&mut self, name: &'a str, new_name: &'a str) {
        match self.created.iter_mut().find(|created| created.1 == name) {
            Some(created) => created.1 = new_name,
            None => {
                self.removed.insert(name);
            }
        }
    }
}

/// Who has a port.
enum Owner<'a> {
    Container(&'a Neighbour),
    /// A service that starts in the same plan.
    Planned(&'a str, Option<Span>),
}

struct Check<'a> {
    project: Option<&'a Project>,
    outline: Outline<'a>,
    host: &'a Host,
    problems: Diagnostics,
}

impl<'a> Check<'a> {
    fn service(&self, name: &str) -> Option<&'a Service> {
        let project = self.project?;
        let services = &project.services;
        services.get(name).or_else(|| project.disabled.get(name))
    }

    fn report(&mut self, span: Option<Span>, message: String) -> Diagnostic {
        let diagnostic = Diagnostic::new(Severity::Error, message);
        match span {
            Some(span) => diagnostic.label(span, ""),
            None => diagnostic,
        }
    }

    /// Names of new containers, against those of all projects.
    fn names(&mut self) {
        let host = self.host;
        for (service, name, spec) in self.outline.created.clone() {
            let is_there = |other: &&Neighbour| {
                other.name == name && !self.outline.removed.contains(other.name.as_str())
            };
            let Some(other) = host.containers.iter().find(is_there) else {
                continue;
            };
            let is_one_off = spec
                .labels
                .get(label::ONE_OFF)
                .is_some_and(|it| it == "True");
            let written = self.service(service).filter(|_| !is_one_off);
            let span = written.map(|service| {
                let name = service.container_name.as_ref();
                name.map_or(service.span, |name| name.span)
            });
            let message = format!(
                "service {service:?}: Conflict. The container name \"/{name}\" is already in use by container {}",
                whose(other)
            );
            let hint = match is_one_off {
                true => "choose another `--name`, or remove that container",
                false => "choose another `container_name`, or remove that container",
            };
            let diagnostic = self.report(span, message).hint(hint);
            self.problems.push(diagnostic);
        }
    }

    fn sources(&mut self) {
        let created = self.outline.created.iter();
        let created = created.map(|(service, _, spec)| (*service, *spec));
        let started = self.outline.started.iter();
        let started = started.map(|started| (started.service, started.spec));
        let specs: Vec<_> = created.chain(started).collect();
        for (service, spec) in specs {
            for (target, source) in must_exist(spec) {
                if !self.host.missing.contains(source) {
                    continue;
                }
                let span = self
                    .service(service)
                    .map(|service| mount_place(service, target));
                let message = format!(
                    "service {service:?}: invalid mount config for type \"bind\": bind source path does not exist: {}",
                    source.display()
                );
                let diagnostic = self.report(span, message);
                self.problems.push(diagnostic);
            }
        }
    }

    /// Gives every start its ports as the runtime will: of a range the first that can be had.
    fn ports(&mut self) {
        let mut taken: Vec<(PublishedPort, Owner<'a>)> = Vec::new();
        for container in &self.host.containers {
            if !self.outline.stopped.contains(container.name.as_str()) {
                let ports = container.ports.iter().cloned();
                taken.extend(ports.map(|port| (port, Owner::Container(container))));
            }
        }
        for index in 0..self.outline.started.len() {
            let Started { service, spec } = self.outline.started[index];
            for binding in bindings(spec) {
                let Some(range) = &binding.host_ports else {
                    continue;
                };
                let span = self
                    .service(service)
                    .map(|service| port_place(service, binding));
                let mut refusal = None;
                let free = range.clone().find(|port| {
                    let problem = self.port_problem(service, binding, *port, &taken, span);
                    let is_free = problem.is_none();
                    refusal = refusal.take().or(problem);
                    is_free
                });
                match (free, refusal) {
                    (Some(port), _) => taken.extend(
                        published(binding, port).map(|one| (one, Owner::Planned(service, span))),
                    ),
                    (None, Some(problem)) => self.problems.push(problem),
                    (None, None) => {}
                }
            }
        }
    }

    fn port_problem(
        &self,
        service: &str,
        binding: &PortBinding,
        port: u16,
        taken: &[(PublishedPort, Owner<'a>)],
        span: Option<Span>,
    ) -> Option<Diagnostic> {
        let place = |message: String| {
            let message = format!("service {service:?}: {message}");
            let diagnostic = Diagnostic::new(Severity::Error, message);
            match span {
                Some(span) => diagnostic.label(span, ""),
                None => diagnostic,
            }
        };
        for address in ports::addresses(binding.host_ip) {
            let conflicts = |other: &&(PublishedPort, Owner<'a>)| {
                ports::conflicts(&other.0, address, port, binding.protocol)
            };
            let Some((_, owner)) = taken.iter().find(conflicts) else {
                continue;
            };
            let socket = SocketAddr::new(address, port);
            let what = format!("Bind for {socket} failed: port is already allocated");
            return Some(match owner {
                Owner::Container(container) => {
                    place(format!("{what} by container {}", whose(container)))
                        .hint("stop that container, or publish another port")
                }
                Owner::Planned(other, _) if *other == service => {
                    place(format!("{what} by another container of this service"))
                        .hint("publish a range of host ports, or any free one")
                }
                Owner::Planned(other, first) => {
                    let diagnostic = place(format!("{what} by service {other:?}"))
                        .hint("publish another port for one of them");
                    match first {
                        Some(first) => diagnostic.label(*first, "taken here first"),
                        None => diagnostic,
                    }
                }
            });
        }
        let wanted = (binding.host_ip, port, binding.protocol);
        let obstacles = &self.host.obstacles;
        let (_, address, obstacle) = obstacles.iter().find(|(other, ..)| *other == wanted)?;
        let what = format!(
            "failed to bind host port {}/{}",
            SocketAddr::new(*address, port),
            binding.protocol.as_str()
        );
        Some(match obstacle {
            Obstacle::Held(Some(Holder { program, pid })) => place(format!(
                "{what}: address already in use by {program} (pid {pid})"
            ))
            .hint("stop that program, or publish another port"),
            Obstacle::Held(None) => place(format!("{what}: address already in use"))
                .hint("stop the program that has it, or publish another port"),
            Obstacle::NoSuchAddress => place(format!("{what}: cannot assign requested address"))
                .hint(format!(
                    "no interface of this host has the address {address}"
                )),
            Obstacle::Refused(why) => place(format!("{what}: {why}")),
        })
    }

    fn subnets(&mut self) {
        let removed = &self.outline.removed_networks;
        let there = self.host.subnets.iter();
        let mut taken: Vec<(String, AnyPrefix)> = there
            .filter(|subnet| !removed.contains(subnet.network.as_str()))
            .map(|subnet| (subnet.network.clone(), prefix(subnet)))
            .collect();
        for network in self.outline.networks.clone() {
            for (text, own) in chosen_subnets(network) {
                if let Some((other, _)) = taken.iter().find(|(_, other)| overlap(*other, own)) {
                    let message = format!(
                        "network {}: invalid pool request: Pool overlaps with other one on this address space: \
                         {text} and that of network {other}",
                        network.name
                    );
                    let networks = self.project.map(|project| project.networks.values());
                    let written = networks.into_iter().flatten();
                    let span = written
                        .map(|network| &network.resource)
                        .find(|resource| resource.name == network.name)
                        .map(|resource| resource.span);
                    let diagnostic = self.report(span, message).hint("choose another subnet");
                    self.problems.push(diagnostic);
                }
                taken.push((network.name.clone(), own));
            }
        }
    }
}

/// Only a container with a network of its own publishes anything.
fn bindings(spec: &ContainerSpec) -> &[PortBinding] {
    match spec.network {
        NetworkMode::Networks(_) => &spec.ports,
        NetworkMode::None | NetworkMode::Host | NetworkMode::Container(_) => &[],
    }
}

fn published(binding: &PortBinding, port: u16) -> impl Iterator<Item = PublishedPort> {
    let (container_port, protocol) = (binding.container_port, binding.protocol);
    let addresses = ports::addresses(binding.host_ip).into_iter();
    addresses.map(move |host_ip| PublishedPort {
        host_ip,
        host_port: port,
        container_port,
        protocol,
    })
}

/// Targets and sources of binds that nobody makes.
fn must_exist(spec: &ContainerSpec) -> impl Iterator<Item = (&str, &PathBuf)> {
    spec.mounts.iter().filter_map(|mount| match &mount.kind {
        MountKind::Bind {
            source,
            create_host_path: false,
            ..
        } => Some((mount.target.as_str(), source)),
        _ => None,
    })
}

/// Where a mount or a secret was written.
fn mount_place(service: &Service, target: &str) -> Span {
    let mounts = service
        .volumes
        .iter()
        .map(|mount| (&mount.target, mount.span));
    let files = service.secrets.iter().chain(&service.configs);
    let files = files.map(|file| (&file.target, file.span));
    let found = mounts.chain(files).find(|(other, _)| *other == target);
    found.map_or(service.span, |(_, span)| span)
}

/// Where a port was written.
fn port_place(service: &Service, binding: &PortBinding) -> Span {
    let found = service.ports.iter().find(|port| {
        port.target == binding.container_port
            && port.published == binding.host_ports
            && port.host_ip == binding.host_ip
            && port.protocol == binding.protocol.as_str()
    });
    found.map_or(service.span, |port| port.span)
}

/// `shop-api-1 (project "shop", service "api")`.
fn whose(container: &Neighbour) -> String {
    match (&container.project, &container.service) {
        (Some(project), Some(service)) => {
            format!(
                "{} (project {project:?}, service {service:?})",
                container.name
            )
        }
        _ => container.name.clone(),
    }
}

/// Subnets that the user wrote; what can't be read is told by the runtime.
fn chosen_subnets(network: &NetworkSpec) -> Vec<(String, AnyPrefix)> {
    let written = network.subnets.iter().filter_map(|one| one.subnet.as_ref());
    written
        .filter_map(|text| Some((text.clone(), ipam::parse_prefix(text).ok()?)))
        .collect()
}

fn prefix(subnet: &Subnet) -> AnyPrefix {
    match subnet.address {
        IpAddr::V4(address) => AnyPrefix::V4(Prefix::of(address, subnet.length)),
        IpAddr::V6(address) => AnyPrefix::V6(Prefix::of(address, subnet.length)),
    }
}

fn overlap(one: AnyPrefix, other: AnyPrefix) -> bool {
    match (one, other) {
        (AnyPrefix::V4(one), AnyPrefix::V4(other)) => one.overlaps(other),
        (AnyPrefix::V6(one), AnyPrefix::V6(other)) => one.overlaps(other),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
