//! Pure: `up`: what is there becomes what is wanted.
//!
//! In this order, which the numbers of the steps show: containers of changed networks and
//! volumes give way; networks and volumes; all creations; stops, dependants first;
//! removals and renames; starts with their gates. No container starts before all are
//! created (spec 19.2).

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;

use super::containers::{Action, Decision, decide_service};
use super::gates::{Starter, ToStart};
use super::{
    Cause, Kept, Observed, ObservedContainer, Op, Options, Plan, StepId, networks, volumes,
};
use crate::diag::{Diagnostic, Diagnostics};
use crate::graph::ServiceGraph;
use crate::lowering::Lowered;
use crate::model::Project;
use crate::model::names::label;

/// Plans `up` or `create`.
///
/// # Errors
/// External networks and volumes that do not exist, at their places.
pub fn reconcile(
    project: &Project,
    graph: &ServiceGraph,
    lowered: &Lowered,
    observed: &Observed,
    options: &Options,
) -> Result<Plan, Diagnostics> {
    let mut problems = Diagnostics::default();
    let mut plan = Plan::default();
    let networks = networks::decide(
        project,
        lowered,
        observed,
        &mut problems,
        &mut plan.warnings,
    );
    let volumes = volumes::decide(
        project,
        lowered,
        observed,
        options,
        &mut problems,
        &mut plan,
    );
    if problems.has_errors() {
        return Err(problems);
    }
    let scope = Scope {
        project,
        graph,
        lowered,
        observed,
        options,
    };
    let mut reconciler = Reconciler {
        decisions: scope.decide(&volumes),
        scope,
        plan,
        emptied: BTreeMap::new(),
        settled: BTreeMap::new(),
        resources: BTreeMap::new(),
    };
    reconciler.warn_of_orphans();
    reconciler.clear_left_overs();
    reconciler.clear_changed(&networks, &volumes);
    reconciler.make_resources(&networks, &volumes);
    reconciler.create();
    reconciler.stop();
    reconciler.remove_and_rename();
    reconciler.start(&networks);
    Ok(reconciler.plan)
}

/// Containers of one project: more than one machine carries, less than fills its memory with a
/// plan for them.
const MOST_CONTAINERS: u64 = 10_000;

/// Refuses a project of more containers than a plan holds, at the service that is too many.
///
/// # Errors
/// That service, its number and the bound.
pub fn refuse_too_many(project: &Project, options: &Options) -> Result<(), Diagnostics> {
    let mut total = 0u64;
    for (name, service) in &project.services {
        let replicas = replicas(project, options, name);
        total += u64::from(replicas);
        if total > MOST_CONTAINERS {
            let message = format!(
                "services.{name}: {replicas} containers are too many: a project may have \
                 {MOST_CONTAINERS}"
            );
            let mut problems = Diagnostics::default();
            problems.push(Diagnostic::error(service.span, message));
            return Err(problems);
        }
    }
    Ok(())
}

fn replicas(project: &Project, options: &Options, service: &str) -> u32 {
    let given = options.scale.get(service).copied();
    let written = project.services.get(service);
    given.unwrap_or_else(|| written.map_or(1, crate::model::Service::replicas))
}

/// What planning looks at.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) project: &'a Project,
    pub(super) graph: &'a ServiceGraph,
    pub(super) lowered: &'a Lowered,
    pub(super) observed: &'a Observed,
    pub(super) options: &'a Options,
}

impl<'a> Scope<'a> {
    /// Whether the service was named, or all were meant.
    pub(super) fn is_target(&self, service: &str) -> bool {
        let targets = &self.options.targets;
        targets.is_empty() || targets.iter().any(|target| target == service)
    }

    /// The services to look after, dependencies first.
    fn services(&self) -> impl Iterator<Item = &'a str> {
        let scope = *self;
        let only_targets = scope.options.no_dependencies;
        let services = scope.graph.order();
        services.filter(move |service| !only_targets || scope.is_target(service))
    }

    /// How many containers the service should have.
    pub(super) fn replicas(&self, service: &str) -> u32 {
        replicas(self.project, self.options, service)
    }

    /// Whether the service's one container is started by who is attached to it.
    fn is_started_by_others(&self, service: &str) -> bool {
        let one_off = self.options.one_off.as_ref();
        one_off.is_some_and(|one_off| one_off.attached && one_off.service == service)
    }

    fn decide(&self, volumes: &[volumes::Decision]) -> Vec<Decision<'a>> {
        let replaced = volumes.iter().filter(|volume| volume.recreate);
        let replaced = replaced.map(|volume| volume.spec.name.clone()).collect();
        let mut decisions: Vec<Decision<'a>> = Vec::new();
        for service in self.services() {
            let of_service = decide_service(self, service, &decisions, &replaced);
            decisions.extend(of_service);
        }
        if !self.options.no_start {
            self.restart_dependants(&mut decisions);
        }
        decisions
    }

    /// `restart: true`: who runs on unchanged is stopped before, and started after, a dependency
    /// that is recreated.
    fn restart_dependants(&self, decisions: &mut [Decision<'a>]) {
        let mut recreated: Vec<&str> = Vec::new();
        for decision in decisions.iter() {
            let again = matches!(decision.action, Action::Recreate { .. } | Action::Replace);
            if again && !recreated.contains(&decision.service) {
                recreated.push(decision.service);
            }
        }
        for decision in decisions.iter_mut() {
            if !matches!(decision.action, Action::Keep { running: true }) {
                continue;
            }
            let dependencies = self.graph.dependencies(decision.service);
            let changed = dependencies
                .iter()
                .find(|(name, edge)| edge.restart && recreated.contains(name));
            if let Some((name, _)) = changed {
                decision.action = Action::Restart;
                decision.cause = Cause::DependencyChanged((*name).to_owned());
            }
        }
    }

    /// Containers of the project that belong to no service of it: their service is gone from the
    /// files, or they are one-offs that have ended.
    fn orphans(&self) -> Vec<&'a ObservedContainer> {
        let known = |service: &str| {
            self.project.services.contains_key(service)
                || self.project.disabled.contains_key(service)
        };
        self.observed
            .containers
            .iter()
            .filter(|container| {
                if container.one_off {
                    !container.is_active()
                } else {
                    !known(&container.service)
                }
            })
            .collect()
    }
}

struct Reconciler<'a> {
    scope: Scope<'a>,
    decisions: Vec<Decision<'a>>,
    plan: Plan,
    /// Containers that were stopped already, and the step that did it.
    emptied: BTreeMap<String, StepId>,
    /// The last step of a container's creation, by final name.
    settled: BTreeMap<String, StepId>,
    /// The steps that make networks and volumes, by kind and real name.
    resources: BTreeMap<(&'static str, String), StepId>,
}

impl<'a> Reconciler<'a> {
    fn container_step(
        &mut self,
        service: &str,
        op: Op,
        after: impl Into<Vec<StepId>>,
        cause: Cause,
    ) -> StepId {
        let id = self.plan.push(op, after, cause);
        self.plan.step_mut(id).service = Some(service.to_owned());
        id
    }

    fn stop_step(
        &mut self,
        container: &ObservedContainer,
        after: Vec<StepId>,
        cause: Cause,
    ) -> StepId {
        let op = Op::StopContainer {
            name: container.name.clone(),
            grace: self.scope.options.grace,
        };
        let id = self.container_step(&container.service, op, after, cause);
        self.emptied.insert(container.name.clone(), id);
        id
    }

    fn remove_step(
        &mut self,
        container: &ObservedContainer,
        after: Vec<StepId>,
        cause: Cause,
    ) -> StepId {
        let op = Op::RemoveContainer {
            name: container.name.clone(),
            force: true,
            volumes: false,
        };
        self.container_step(&container.service, op, after, cause)
    }

    fn warn_of_orphans(&mut self) {
        let options = self.scope.options;
        let orphans = self.scope.orphans();
        if orphans.is_empty() || options.remove_orphans || options.ignore_orphans {
            return;
        }
        let names: Vec<&str> = orphans.iter().map(|orphan| orphan.name.as_str()).collect();
        self.plan.warnings.push(format!(
            "Found orphan containers ([{}]) for this project. If you removed or renamed this service in your compose \
             file, you can run this command with the --remove-orphans flag to clean it up.",
            names.join(" ")
        ));
    }

    /// What an interrupted recreation left has the name that the next one needs.
    fn clear_left_overs(&mut self) {
        for decision in self.decisions.clone() {
            if let Action::Clear { old } = decision.action {
                let id = self.remove_step(old, Vec::new(), decision.cause);
                self.emptied.insert(old.name.clone(), id);
            }
        }
    }

    /// Stops what is joined to a network that is made anew, and removes what uses a volume that is.
    fn clear_changed(&mut self, networks: &[networks::Decision], volumes: &[volumes::Decision]) {
        let observed = self.scope.observed;
        let anew = |name: &str| {
            networks
                .iter()
                .any(|network| network.recreate && network.spec.name == name)
        };
        let emptied = |name: &str| {
            volumes
                .iter()
                .any(|volume| volume.recreate && volume.spec.name == name)
        };
        for container in in_reverse(self.scope.graph, &observed.containers) {
            let network = container.networks.iter().find(|name| anew(name));
            let volume = container
                .volumes
                .iter()
                .find(|mount| emptied(&mount.volume));
            let cause = match (volume, network) {
                (Some(mount), _) => Cause::VolumeRecreated(mount.volume.clone()),
                (None, Some(name)) => Cause::NetworkRecreated(name.clone()),
                (None, None) => continue,
            };
            let mut last = None;
            if container.is_active() {
                last = Some(self.stop_step(
                    container,
                    self.stops_of_dependants(&container.service),
                    cause.clone(),
                ));
            }
            if volume.is_some() {
                let removed = self.remove_step(container, Vec::from_iter(last), cause);
                self.emptied.insert(container.name.clone(), removed);
            }
        }
    }

    fn stops_of_dependants(&self, service: &str) -> Vec<StepId> {
        let mut stops = Vec::new();
        for (dependant, _) in self.scope.graph.dependants(service) {
            for container in self.scope.observed.of_service(dependant) {
                stops.extend(self.emptied.get(&container.name).copied());
            }
        }
        stops
    }

    fn make_resources(&mut self, networks: &[networks::Decision], volumes: &[volumes::Decision]) {
        for network in networks {
            let name = network.spec.name.clone();
            let mut after = Vec::new();
            let mut cause = Cause::Missing;
            if network.recreate {
                after.extend(self.users(|container| container.networks.contains(&name)));
                let op = Op::RemoveNetwork { name: name.clone() };
                after = vec![
                    self.plan
                        .push(op, after, Cause::ConfigurationChanged(String::new())),
                ];
                cause = Cause::Follows;
            }
            let op = Op::CreateNetwork(Box::new(network.spec.clone()));
            let id = self.plan.push(op, after, cause);
            self.resources.insert(("network", name), id);
        }
        for volume in volumes {
            let name = volume.spec.name.clone();
            let mut after = Vec::new();
            let mut cause = Cause::Missing;
            if volume.recreate {
                let uses = |container: &ObservedContainer| {
                    container.volumes.iter().any(|mount| mount.volume == name)
                };
                after.extend(self.users(uses));
                let op = Op::RemoveVolume { name: name.clone() };
                after = vec![
                    self.plan
                        .push(op, after, Cause::ConfigurationChanged(String::new())),
                ];
                cause = Cause::Follows;
            }
            let op = Op::CreateVolume(Box::new(volume.spec.clone()));
            let id = self.plan.push(op, after, cause);
            self.resources.insert(("volume", name), id);
        }
    }

    fn users(&self, uses: impl Fn(&ObservedContainer) -> bool) -> Vec<StepId> {
        let containers = self.scope.observed.containers.iter();
        let users = containers.filter(|container| uses(container));
        users
            .filter_map(|container| self.emptied.get(&container.name).copied())
            .collect()
    }

    /// All new containers; one that takes another's place gets a temporary name first.
    fn create(&mut self) {
        for index in 0..self.decisions.len() {
            let decision = self.decisions[index].clone();
            let Some(spec) = decision.spec else { continue };
            let mut after = Vec::new();
            for name in spec.networks() {
                after.extend(self.resources.get(&("network", name)).copied());
            }
            for name in spec.volumes() {
                after.extend(self.resources.get(&("volume", name)).copied());
            }
            // A namespace is shared with the container that has the name in the end.
            for name in spec.shares() {
                after.extend(self.settled.get(&name).copied());
            }
            after.extend(self.emptied.get(&spec.0.name).copied());
            let op = Op::CreateContainer(Box::new(spec.0));
            let id = self.container_step(decision.service, op, after, decision.cause.clone());
            if let Action::Recreate { .. } = decision.action {
                let announce = &mut self.plan.step_mut(id).announce;
                announce.subjects[0].name.clone_from(&decision.name);
                announce.before = "Recreate";
                announce.after = "";
            }
            self.settled.insert(decision.name, id);
        }
    }

    /// Everything that has to end, dependants first.
    fn stop(&mut self) {
        for service in self.scope.graph.reverse_order() {
            for decision in self.decisions.clone() {
                if decision.service != service {
                    continue;
                }
                let Some(old) = decision.stops() else {
                    continue;
                };
                if !old.is_active() || self.emptied.contains_key(&old.name) {
                    continue;
                }
                let mut after = self.stops_of_dependants(service);
                after.extend(self.settled.get(&decision.name).copied());
                let inside = matches!(decision.action, Action::Recreate { .. });
                let cause = if inside {
                    Cause::Follows
                } else {
                    decision.cause.clone()
                };
                let id = self.stop_step(old, after, cause);
                if inside {
                    self.say_nothing(id, &decision.name);
                }
            }
        }
    }

    /// A step inside a recreation shows only when it fails, as the container's own.
    fn say_nothing(&mut self, id: StepId, name: &str) {
        let announce = &mut self.plan.step_mut(id).announce;
        announce.before = "";
        announce.after = "";
        name.clone_into(&mut announce.subjects[0].name);
    }

    fn remove_and_rename(&mut self) {
        for decision in self.decisions.clone() {
            match &decision.action {
                Action::Recreate { old, temporary } => {
                    self.finish_recreation(&decision, old, temporary);
                }
                Action::Remove { old } => {
                    let after = self.emptied.get(&old.name).copied();
                    self.remove_step(old, Vec::from_iter(after), decision.cause.clone());
                }
                Action::Rename { old, .. } => {
                    let mut after = Vec::from_iter(self.emptied.get(&old.name).copied());
                    after.extend(self.settled.get(&decision.name).copied());
                    let op = Op::RenameContainer {
                        name: old.name.clone(),
                        new_name: decision.name.clone(),
                    };
                    let id =
                        self.container_step(decision.service, op, after, decision.cause.clone());
                    self.settled.insert(decision.name.clone(), id);
                }
                Action::Keep { .. }
                | Action::Create
                | Action::Replace
                | Action::Restart
                | Action::Clear { .. } => {}
            }
        }
        if self.scope.options.remove_orphans {
            self.remove_orphans();
        }
    }

    fn finish_recreation(
        &mut self,
        decision: &Decision<'a>,
        old: &ObservedContainer,
        temporary: &str,
    ) {
        let created = self.settled.get(&decision.name).copied();
        let stopped = self.emptied.get(&old.name).copied();
        let after: Vec<StepId> = created.into_iter().chain(stopped).collect();
        // The stop came after the creation already, unless a changed network asked for it.
        let after = match (created, stopped) {
            (Some(created), Some(stopped)) if stopped > created => vec![stopped],
            _ => after,
        };
        let removed = self.remove_step(old, after, Cause::Follows);
        self.say_nothing(removed, &decision.name);
        let op = Op::RenameContainer {
            name: temporary.to_owned(),
            new_name: decision.name.clone(),
        };
        let renamed = self.container_step(decision.service, op, [removed], Cause::Follows);
        let announce = &mut self.plan.step_mut(renamed).announce;
        announce.after = "Recreated";
        announce.subjects[0].name.clone_from(&decision.name);
        self.settled.insert(decision.name.clone(), renamed);
    }

    fn remove_orphans(&mut self) {
        for orphan in self.scope.orphans() {
            let mut after = Vec::from_iter(self.emptied.get(&orphan.name).copied());
            if orphan.is_active() && after.is_empty() {
                after.push(self.stop_step(orphan, Vec::new(), Cause::Orphan));
            }
            self.remove_step(orphan, after, Cause::Orphan);
        }
    }

    /// The steps that nothing comes after: when they are done, all is done that was planned so far.
    fn sinks(&self) -> Vec<StepId> {
        let steps = &self.plan.steps;
        let followed: BTreeSet<StepId> = steps.iter().flat_map(|step| step.after.clone()).collect();
        let ids = steps.iter().map(|step| step.id);
        ids.filter(|id| !followed.contains(id)).collect()
    }

    fn start(&mut self, networks: &[networks::Decision]) {
        let mut starter = Starter::new(self.scope.graph, self.sinks());
        let mut services: IndexMap<&str, Vec<ToStart>> = IndexMap::new();
        for decision in &self.decisions {
            let to_start = services.entry(decision.service).or_default();
            if matches!(
                decision.action,
                Action::Remove { .. } | Action::Clear { .. }
            ) {
                continue;
            }
            starter.expect(decision.service, &decision.name);
            let bounced = self.emptied.get(&decision.name).copied();
            let running =
                matches!(decision.action, Action::Keep { running: true }) && bounced.is_none();
            if running {
                self.plan.kept.push(Kept {
                    service: decision.service.to_owned(),
                    container: decision.name.clone(),
                });
                continue;
            }
            let settled = self.settled.get(&decision.name).copied();
            let joins = |network: &&networks::Decision| {
                let name = &network.spec.name;
                network.recreate
                    && decision
                        .observed
                        .is_some_and(|old| old.networks.contains(name))
            };
            let remade = networks.iter().filter(joins);
            let remade = remade.filter_map(|network| {
                let key = ("network", network.spec.name.clone());
                self.resources.get(&key).copied()
            });
            to_start.push(ToStart {
                name: decision.name.clone(),
                after: settled.or(bounced).into_iter().chain(remade).collect(),
                cause: decision.start_cause(),
            });
        }
        if self.scope.options.no_start {
            return;
        }
        let mut waited: BTreeSet<&str> = BTreeSet::new();
        for (service, to_start) in &services {
            if self.scope.is_started_by_others(service) {
                starter.wait_for_dependencies(&mut self.plan, service);
                continue;
            }
            starter.start(&mut self.plan, service, to_start);
            if self.scope.options.wait && self.scope.is_target(service) {
                waited.insert(service);
            }
        }
        for service in services.keys().filter(|service| waited.contains(**service)) {
            starter.wait_for_ready(&mut self.plan, service);
        }
    }
}

/// Containers, those of dependants first; what belongs to no service comes first of all.
fn in_reverse<'a>(
    graph: &ServiceGraph,
    containers: &'a [ObservedContainer],
) -> Vec<&'a ObservedContainer> {
    let place = |container: &ObservedContainer| {
        let found = graph
            .reverse_order()
            .position(|name| name == container.service);
        found.map_or(0, |position| position + 1)
    };
    let mut sorted: Vec<&ObservedContainer> = containers.iter().collect();
    sorted.sort_by_key(|container| place(container));
    sorted
}

/// Whether a container was made by a convergence of ours; others of its labels are left alone.
pub(super) fn is_ours(container: &ObservedContainer) -> bool {
    container.config_hash.is_some() && container.labels.contains_key(label::PROJECT)
}
