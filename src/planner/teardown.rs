//! Pure: `down`, `stop`, `start`, `restart`, `kill`, `rm` as plans.
//!
//! They need no file: a [`ServiceGraph`] comes from the project, or from the labels of its
//! containers ([`graph_of`]). Whatever takes away goes on after a failure.

use std::collections::BTreeMap;

use super::gates::{Starter, ToStart};
use super::{Cause, Grace, Observed, ObservedContainer, Op, Plan, StepId};
use crate::diag::{Diagnostic, Severity};
use crate::graph::ServiceGraph;
use crate::model::Project;
use crate::model::names::{self, label};

/// What `down` may be told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Down {
    /// Empty: everything.
    pub services: Vec<String>,
    pub grace: Grace,
    /// `-v`: named volumes of the project, and anonymous ones of the removed containers.
    pub volumes: bool,
    /// One-offs too, and containers of services that the project no longer has.
    pub remove_orphans: bool,
    pub images: RemoveImages,
}

/// `--rmi`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RemoveImages {
    #[default]
    None,
    /// Those without an `image:` of their own.
    Local,
    All,
}

/// The graph that containers remember, for commands without a file.
pub fn graph_of(observed: &Observed) -> ServiceGraph {
    let services = observed
        .containers
        .iter()
        .filter(|container| !container.one_off);
    ServiceGraph::from_labels(services.map(|container| {
        let label = container.labels.get(label::DEPENDS_ON);
        (container.service.as_str(), label.map_or("", String::as_str))
    }))
}

/// Stops and removes containers, then networks, and volumes and images when asked. `name` is the
/// project's; `project` is absent without a file, and the labels are all there is.
pub fn down(
    name: &str,
    project: Option<&Project>,
    graph: &ServiceGraph,
    observed: &Observed,
    options: &Down,
) -> Plan {
    let mut teardown = Teardown::new(graph);
    let selected: Vec<&str> = if options.services.is_empty() {
        graph.order().collect()
    } else {
        graph.with_dependants(&options.services)
    };
    let is_known = |service: &str| {
        let is_disabled = project.is_some_and(|project| project.disabled.contains_key(service));
        graph.contains(service) || is_disabled
    };
    let chosen = observed.containers.iter().filter(|container| {
        if container.one_off || !is_known(&container.service) {
            return options.remove_orphans;
        }
        selected.contains(&container.service.as_str())
    });
    let chosen: Vec<&ObservedContainer> = chosen.collect();
    let mut removed = Vec::new();
    for container in teardown.in_reverse(&chosen) {
        let stopped = container
            .is_active()
            .then(|| teardown.stop(container, options.grace));
        removed.push(teardown.remove(container, Vec::from_iter(stopped), options.volumes));
    }
    for network in observed.networks.values() {
        if network
            .labels
            .get(label::PROJECT)
            .is_some_and(|owner| owner == name)
        {
            let name = network.name.clone();
            teardown.push(Op::RemoveNetwork { name }, removed.clone());
        }
    }
    if options.volumes {
        for volume in volumes_to_remove(name, project, observed) {
            teardown.push(Op::RemoveVolume { name: volume }, removed.clone());
        }
    }
    for image in images_to_remove(name, project, observed, &selected, options.images) {
        teardown.push(Op::RemoveImage { name: image }, removed.clone());
    }
    teardown.plan
}

/// Named volumes that the project made; with a file, those that it still declares.
fn volumes_to_remove(name: &str, project: Option<&Project>, observed: &Observed) -> Vec<String> {
    let ours = observed.volumes.values().filter(|volume| {
        let is_declared = |key: &String| {
            project.is_none_or(|project| {
                let declared = project.volumes.get(key);
                declared.is_some_and(|volume| !volume.resource.external)
            })
        };
        let is_ours = volume
            .labels
            .get(label::PROJECT)
            .is_some_and(|owner| owner == name);
        is_ours && volume.labels.get(label::VOLUME).is_some_and(is_declared)
    });
    ours.map(|volume| volume.name.clone()).collect()
}

fn images_to_remove(
    name: &str,
    project: Option<&Project>,
    observed: &Observed,
    selected: &[&str],
    which: RemoveImages,
) -> Vec<String> {
    if which == RemoveImages::None {
        return Vec::new();
    }
    let mut images: Vec<String> = Vec::new();
    let mut add = |image: String| {
        if !images.contains(&image) {
            images.push(image);
        }
    };
    let services = project.iter().flat_map(|project| project.services.values());
    for service in services.filter(|service| selected.contains(&service.name.as_str())) {
        match &service.image {
            Some(image) if which == RemoveImages::All => add(image.value.clone()),
            Some(_) => {}
            None => add(names::image(name, &service.name)),
        }
    }
    if project.is_none() {
        for image in observed.images.values() {
            let is_ours = image
                .labels
                .get(label::PROJECT)
                .is_some_and(|owner| owner == name);
            if is_ours {
                image.references.iter().cloned().for_each(&mut add);
            }
        }
    }
    images.retain(|image| is_stored(observed, image));
    images
}

fn is_stored(observed: &Observed, name: &str) -> bool {
    let tagged = format!("{name}:latest");
    observed.images.values().any(|image| {
        image
            .references
            .iter()
            .any(|known| known == name || *known == tagged)
    })
}

/// Stops containers, dependants first; also "stops" stopped ones, as Compose does.
pub fn stop(graph: &ServiceGraph, observed: &Observed, services: &[String], grace: Grace) -> Plan {
    let mut teardown = Teardown::new(graph);
    for container in teardown.in_reverse(&of_services(observed, services)) {
        teardown.stop(container, grace);
    }
    teardown.plan
}

/// Removes stopped containers; with `stop`, running ones too.
pub fn remove(
    graph: &ServiceGraph,
    observed: &Observed,
    services: &[String],
    stop: Option<Grace>,
    volumes: bool,
) -> Plan {
    let mut teardown = Teardown::new(graph);
    for container in teardown.in_reverse(&of_services(observed, services)) {
        match (container.is_active(), stop) {
            (true, None) => {}
            (true, Some(grace)) => {
                let stopped = teardown.stop(container, grace);
                teardown.remove(container, vec![stopped], volumes);
            }
            (false, _) => {
                teardown.remove(container, Vec::new(), volumes);
            }
        }
    }
    teardown.plan
}

/// Sends a signal to running containers, one-offs included; all at once.
pub fn kill(observed: &Observed, services: &[String], signal: Option<&str>) -> Plan {
    let graph = ServiceGraph::default();
    let mut teardown = Teardown::new(&graph);
    for container in &observed.containers {
        let is_chosen = services.is_empty() || services.contains(&container.service);
        if is_chosen && container.is_active() {
            let op = Op::KillContainer {
                name: container.name.clone(),
                signal: signal.map(str::to_owned),
            };
            teardown.push_for(container, op, Vec::new());
        }
    }
    teardown.plan
}

/// Restarts containers, dependencies first, and with them dependants that ask for it.
pub fn restart(
    graph: &ServiceGraph,
    observed: &Observed,
    services: &[String],
    grace: Grace,
    no_dependencies: bool,
) -> Plan {
    let mut plan = Plan::default();
    let mut done: BTreeMap<&str, Vec<StepId>> = BTreeMap::new();
    for service in graph.order() {
        let dependencies = graph.dependencies(service);
        let is_named = services.is_empty() || services.iter().any(|name| name == service);
        let followed = dependencies
            .iter()
            .find(|(name, edge)| edge.restart && services.iter().any(|named| named == name));
        let cause = match followed {
            _ if is_named => Cause::Asked,
            Some((name, _)) if !no_dependencies => Cause::DependencyChanged((*name).to_owned()),
            _ => continue,
        };
        let after: Vec<StepId> = dependencies
            .iter()
            .flat_map(|(name, _)| done.get(name).cloned().unwrap_or_default())
            .collect();
        for container in observed.of_service(service) {
            let op = Op::RestartContainer {
                name: container.name.clone(),
                grace,
            };
            let id = plan.push(op, after.clone(), cause.clone());
            plan.step_mut(id).service = Some(service.to_owned());
            done.entry(service).or_default().push(id);
        }
    }
    plan
}

/// Starts what is there of the services and of what they need, behind the gates.
///
/// # Errors
/// A named service without containers.
pub fn start(
    graph: &ServiceGraph,
    observed: &Observed,
    services: &[String],
    wait: bool,
) -> Result<Plan, Diagnostic> {
    let mut plan = Plan::default();
    let mut starter = Starter::new(graph, Vec::new());
    let chosen: Vec<&str> = if services.is_empty() {
        graph.order().collect()
    } else {
        graph.with_dependencies(services)
    };
    for service in &chosen {
        let containers = observed.of_service(service);
        if containers.is_empty() && services.iter().any(|name| name == service) {
            let message = format!("service {service:?} has no container to start");
            return Err(Diagnostic::new(Severity::Error, message));
        }
        for container in &containers {
            starter.expect(service, &container.name);
        }
        let stopped = containers.iter().filter(|container| !container.is_active());
        let to_start: Vec<ToStart> = stopped
            .map(|container| ToStart {
                name: container.name.clone(),
                after: Vec::new(),
                cause: Cause::NotRunning,
            })
            .collect();
        starter.start(&mut plan, service, &to_start);
    }
    if wait {
        for service in &chosen {
            if services.is_empty() || services.iter().any(|name| name == service) {
                starter.wait_for_ready(&mut plan, service);
            }
        }
    }
    Ok(plan)
}

fn of_services<'a>(observed: &'a Observed, services: &[String]) -> Vec<&'a ObservedContainer> {
    let chosen = observed.containers.iter().filter(|container| {
        let is_chosen = services.is_empty() || services.contains(&container.service);
        is_chosen && !container.one_off
    });
    chosen.collect()
}

/// A plan that takes away, and what it has stopped so far.
struct Teardown<'a> {
    graph: &'a ServiceGraph,
    plan: Plan,
    stopped: BTreeMap<String, Vec<StepId>>,
}

impl<'a> Teardown<'a> {
    fn new(graph: &'a ServiceGraph) -> Self {
        Self {
            graph,
            plan: Plan::default(),
            stopped: BTreeMap::new(),
        }
    }

    /// Dependants first; what belongs to no known service comes first of all.
    fn in_reverse<'c>(&self, containers: &[&'c ObservedContainer]) -> Vec<&'c ObservedContainer> {
        let place = |container: &ObservedContainer| {
            let found = self
                .graph
                .reverse_order()
                .position(|name| name == container.service);
            found.map_or(0, |position| position + 1)
        };
        let mut sorted = containers.to_vec();
        sorted.sort_by_key(|container| (place(container), container.number));
        sorted
    }

    fn push(&mut self, op: Op, after: Vec<StepId>) -> StepId {
        let id = self.plan.push(op, after, Cause::Asked);
        self.plan.step_mut(id).best_effort = true;
        id
    }

    fn push_for(&mut self, container: &ObservedContainer, op: Op, after: Vec<StepId>) -> StepId {
        let id = self.push(op, after);
        self.plan.step_mut(id).service = Some(container.service.clone());
        id
    }

    fn stop(&mut self, container: &ObservedContainer, grace: Grace) -> StepId {
        let dependants = self.graph.dependants(&container.service);
        let after = dependants
            .iter()
            .flat_map(|(name, _)| self.stopped.get(*name).cloned().unwrap_or_default())
            .collect();
        let op = Op::StopContainer {
            name: container.name.clone(),
            grace,
        };
        let id = self.push_for(container, op, after);
        let stopped = self.stopped.entry(container.service.clone()).or_default();
        stopped.push(id);
        id
    }

    fn remove(
        &mut self,
        container: &ObservedContainer,
        after: Vec<StepId>,
        volumes: bool,
    ) -> StepId {
        let op = Op::RemoveContainer {
            name: container.name.clone(),
            force: true,
            volumes,
        };
        self.push_for(container, op, after)
    }
}
