//! Pure: what would stop a plan half way, found before its first step.
//!
//! [`wants`] says what the plan depends on; the executor looks at that much of the [`Host`];
//! [`check`] compares the two and tells every problem at once. What the plan itself frees
//! (ports of containers that it stops, names of those that it removes) is no problem.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use indexmap::IndexMap;
use ketch_runtime::container::state::PublishedPort;
use ketch_runtime::network::ipam::{self, AnyPrefix, Prefix};
use ketch_runtime::network::ports::{self, Holder, Obstacle};
use ketch_runtime::spec::{ContainerSpec, MountKind, NetworkMode, NetworkSpec, PortBinding};

use super::{Observed, Op, Plan};
use crate::diag::{Diagnostic, Diagnostics, Severity, Span};
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
    check.names();
    check.sources();
    check.ports();
    check.subnets();
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
        for (service, name, _) in self.outline.created.clone() {
            let is_there = |other: &&Neighbour| {
                other.name == name && !self.outline.removed.contains(other.name.as_str())
            };
            let Some(other) = host.containers.iter().find(is_there) else {
                continue;
            };
            let written = self.service(service);
            let span = written.map(|service| {
                let name = service.container_name.as_ref();
                name.map_or(service.span, |name| name.span)
            });
            let message = format!(
                "service {service:?}: Conflict. The container name \"/{name}\" is already in use by container {}",
                whose(other)
            );
            let hint = "choose another `container_name`, or remove that container";
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
mod tests {
    use ketch_runtime::spec::Protocol;

    use super::*;
    use crate::diag::{Sources, render};
    use crate::graph::ServiceGraph;
    use crate::loader;
    use crate::lowering::fixture::{NoFiles, lowered};
    use crate::planner::{Options, reconcile};

    /// What is said to this file, a line each, on such a host.
    fn say(text: &str, observed: &Observed, host: &Host) -> Vec<String> {
        let options = loader::Options {
            working_dir: "/app".into(),
            config_files: vec!["-".into()],
            stdin: Some(text.into()),
            project_name: Some("app".into()),
            ..loader::Options::default()
        };
        let loaded = loader::load(&NoFiles, &options).unwrap();
        let project = &loaded.project;
        let graph = ServiceGraph::new(project).unwrap();
        let lowered = lowered(project);
        let plan = reconcile(project, &graph, &lowered, observed, &Options::default()).unwrap();
        let problems = check(Some(project), &plan, observed, host);
        lines(&problems, &loaded.sources)
    }

    fn lines(problems: &Diagnostics, sources: &Sources) -> Vec<String> {
        let lines = problems.iter();
        lines
            .map(|problem| render::render_line(problem, sources))
            .collect()
    }

    fn neighbour(project: &str, service: &str, port: u16) -> Neighbour {
        Neighbour {
            id: "0123".into(),
            name: format!("{project}-{service}-1"),
            project: Some(project.into()),
            service: Some(service.into()),
            ports: vec![PublishedPort {
                host_ip: IpAddr::from([0, 0, 0, 0]),
                host_port: port,
                container_port: 80,
                protocol: Protocol::Tcp,
            }],
        }
    }

    fn held(port: u16) -> (HostPort, IpAddr, Obstacle) {
        let holder = Holder {
            program: "nginx".into(),
            pid: 77,
        };
        let address = IpAddr::from([0, 0, 0, 0]);
        let wanted = (None, port, Protocol::Tcp);
        (wanted, address, Obstacle::Held(Some(holder)))
    }

    #[test]
    fn every_problem_is_told_with_its_place_and_its_holder() {
        let text = "\
services:
  a: {image: x, ports: ['8080:80', '8081:81']}
  b: {image: x, ports: ['8082:80'], container_name: theirs}
  c:
    image: x
    ports: ['8082:80']
    volumes: [{type: bind, source: /none, target: /data, bind: {create_host_path: false}}]
networks:
  default: {ipam: {config: [{subnet: 10.9.1.0/24}]}}
";
        let mut named = neighbour("shop", "api", 8081);
        named.name = "theirs".into();
        let host = Host {
            containers: vec![named],
            obstacles: vec![held(8080)],
            missing: BTreeSet::from(["/none".into()]),
            subnets: vec![Subnet {
                network: "other".into(),
                address: IpAddr::from([10, 9, 0, 0]),
                length: 16,
            }],
        };
        let expected = [
            "<stdin>:3:53: service \"b\": Conflict. The container name \"/theirs\" is already in use by container theirs (project \"shop\", service \"api\")",
            "<stdin>:7:15: service \"c\": invalid mount config for type \"bind\": bind source path does not exist: /none",
            "<stdin>:2:25: service \"a\": failed to bind host port 0.0.0.0:8080/tcp: address already in use by nginx (pid 77)",
            "<stdin>:2:36: service \"a\": Bind for 0.0.0.0:8081 failed: port is already allocated by container theirs (project \"shop\", service \"api\")",
            "<stdin>:6:13: service \"c\": Bind for 0.0.0.0:8082 failed: port is already allocated by service \"b\"",
            "<stdin>:9:3: network app_default: invalid pool request: Pool overlaps with other one on this address space: 10.9.1.0/24 and that of network other",
        ];
        assert_eq!(say(text, &Observed::default(), &host), expected);
    }

    #[test]
    fn a_range_needs_one_free_port_for_each_replica() {
        let text = "services: {a: {image: x, scale: 2, ports: ['8080-8082:80']}}";
        let mut host = Host {
            obstacles: vec![held(8080)],
            ..Host::default()
        };
        assert_eq!(say(text, &Observed::default(), &host), Vec::<String>::new());
        host.containers.push(neighbour("shop", "api", 8081));
        assert_eq!(say(text, &Observed::default(), &host).len(), 1);
        let fixed = "services: {a: {image: x, scale: 2, ports: ['9000:80']}}";
        let said = say(fixed, &Observed::default(), &Host::default());
        assert!(
            said[0].ends_with("by another container of this service"),
            "{said:?}"
        );
    }

    #[test]
    fn what_the_plan_frees_is_no_conflict() {
        let text = "services: {a: {image: x, ports: ['8080:80']}}";
        let mut host = Host {
            containers: vec![neighbour("app", "a", 8080)],
            ..Host::default()
        };
        let mut observed = Observed::default();
        observed.containers.push(super::super::ObservedContainer {
            name: "app-a-1".into(),
            service: "a".into(),
            number: 1,
            status: ketch_runtime::container::state::Status::Running,
            config_hash: Some("another".into()),
            labels: IndexMap::from([("com.docker.compose.project".into(), "app".into())]),
            ..super::super::ObservedContainer::default()
        });
        assert_eq!(say(text, &observed, &host), Vec::<String>::new());
        // Another project's, of course, is.
        host.containers.push(neighbour("shop", "api", 8080));
        assert_eq!(say(text, &observed, &host).len(), 1);
    }

    #[test]
    fn other_addresses_and_protocols_do_not_meet() {
        let text = "services: {a: {image: x, ports: ['127.0.0.1:53:53', '127.0.0.2:53:53', '127.0.0.1:53:53/udp']}}";
        assert_eq!(
            say(text, &Observed::default(), &Host::default()),
            Vec::<String>::new()
        );
    }
}
