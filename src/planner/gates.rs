//! Pure: starts, and the gates before them.
//!
//! A gate is there only when something starts behind it; one gate serves all who wait for
//! the same service in the same condition.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cause, Gate, Op, Plan, StepId, Until};
use crate::graph::ServiceGraph;
use crate::model::Condition;

/// A container to be started.
#[derive(Debug, Clone)]
pub(super) struct ToStart {
    pub(super) name: String,
    /// Steps that make it ready to be started.
    pub(super) after: Vec<StepId>,
    pub(super) cause: Cause,
}

/// Adds starts to a plan, service after service, dependencies first.
pub(super) struct Starter<'a> {
    graph: &'a ServiceGraph,
    /// What must be done before the first start.
    barrier: Vec<StepId>,
    /// Steps that come after the whole barrier.
    behind: BTreeSet<StepId>,
    /// The containers that each service has in the end.
    containers: BTreeMap<String, Vec<String>>,
    started: BTreeMap<String, Vec<StepId>>,
    gates: Vec<(String, Until, bool, StepId)>,
}

impl<'a> Starter<'a> {
    pub(super) fn new(graph: &'a ServiceGraph, barrier: Vec<StepId>) -> Self {
        Self {
            graph,
            barrier,
            behind: BTreeSet::new(),
            containers: BTreeMap::new(),
            started: BTreeMap::new(),
            gates: Vec::new(),
        }
    }

    /// The service will have this container.
    pub(super) fn expect(&mut self, service: &str, container: &str) {
        let containers = self.containers.entry(service.to_owned()).or_default();
        containers.push(container.to_owned());
    }

    /// Starts these containers of a service behind the gates of its dependencies.
    pub(super) fn start(&mut self, plan: &mut Plan, service: &str, containers: &[ToStart]) {
        if containers.is_empty() {
            return;
        }
        let needed = self.open_gates(plan, service);
        for container in containers {
            let mut after = container.after.clone();
            after.extend(&needed);
            if !after.iter().any(|step| self.behind.contains(step)) {
                after.extend(&self.barrier);
            }
            let op = Op::StartContainer {
                name: container.name.clone(),
            };
            let id = plan.push(op, after, container.cause.clone());
            plan.step_mut(id).service = Some(service.to_owned());
            self.behind.insert(id);
            self.started.entry(service.to_owned()).or_default().push(id);
        }
    }

    /// The gates of a service that is started when the plan is done.
    pub(super) fn wait_for_dependencies(&mut self, plan: &mut Plan, service: &str) {
        self.open_gates(plan, service);
    }

    /// What the service's start has to wait for.
    fn open_gates(&mut self, plan: &mut Plan, service: &str) -> Vec<StepId> {
        let mut needed = Vec::new();
        for (dependency, edge) in self.graph.dependencies(service) {
            match edge.condition {
                Condition::Started => {
                    needed.extend(self.started.get(dependency).into_iter().flatten());
                }
                Condition::Healthy => {
                    needed.extend(self.gate(
                        plan,
                        service,
                        dependency,
                        Until::Healthy,
                        edge.required,
                    ));
                }
                Condition::CompletedSuccessfully => {
                    needed.extend(self.gate(
                        plan,
                        service,
                        dependency,
                        Until::Completed,
                        edge.required,
                    ));
                }
            }
        }
        needed
    }

    /// The gate of a dependency; none when it has no containers (scaled to 0, or left out).
    fn gate(
        &mut self,
        plan: &mut Plan,
        service: &str,
        dependency: &str,
        until: Until,
        required: bool,
    ) -> Option<StepId> {
        let known = self.gates.iter().find(|(name, condition, strict, _)| {
            name == dependency && *condition == until && *strict == required
        });
        if let Some((.., id)) = known {
            if let Cause::NeededBy(services) = &mut plan.step_mut(*id).cause {
                services.push(service.to_owned());
            }
            return Some(*id);
        }
        let cause = Cause::NeededBy(vec![service.to_owned()]);
        let id = self.push_gate(plan, dependency, until, required, cause)?;
        self.gates
            .push((dependency.to_owned(), until, required, id));
        Some(id)
    }

    fn push_gate(
        &mut self,
        plan: &mut Plan,
        service: &str,
        until: Until,
        required: bool,
        cause: Cause,
    ) -> Option<StepId> {
        let containers = self.containers.get(service)?.clone();
        let after = self.started.get(service).cloned().unwrap_or_default();
        let is_behind = after.iter().any(|step| self.behind.contains(step));
        let gate = Gate {
            service: service.to_owned(),
            containers,
            until,
            required,
        };
        let id = plan.push(Op::Gate(gate), after, cause);
        plan.step_mut(id).service = Some(service.to_owned());
        if is_behind {
            self.behind.insert(id);
        }
        Some(id)
    }

    /// `--wait`: the service is healthy or runs; one that others wait for to complete has done so.
    pub(super) fn wait_for_ready(&mut self, plan: &mut Plan, service: &str) {
        let dependants = self.graph.dependants(service);
        let completes = dependants
            .iter()
            .any(|(_, edge)| edge.condition == Condition::CompletedSuccessfully);
        let until = if completes {
            Until::Completed
        } else {
            Until::Ready
        };
        self.push_gate(plan, service, until, true, Cause::Waited);
    }
}
