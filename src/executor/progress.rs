//! Pure: which steps of a plan are done, and which may begin.

use crate::planner::{Op, Plan, StepId};

/// How far a plan has come.
#[derive(Debug)]
pub(super) struct Progress {
    phases: Vec<Phase>,
    running: usize,
    /// Running steps that are not waits.
    working: usize,
    is_wait: Vec<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Pending,
    Running,
    Done,
    Failed,
}

impl Progress {
    pub(super) fn new(plan: &Plan) -> Self {
        let is_wait = plan.steps.iter().map(|step| matches!(step.op, Op::Gate(_)));
        Self {
            phases: vec![Phase::Pending; plan.steps.len()],
            running: 0,
            working: 0,
            is_wait: is_wait.collect(),
        }
    }

    /// The next step whose predecessors are all done; it counts as running from now on.
    pub(super) fn begin_next(&mut self, plan: &Plan, parallelism: usize) -> Option<StepId> {
        let has_room = parallelism == 0 || self.working < parallelism;
        let step = plan.steps.iter().find(|step| {
            let index = step.id.0 - 1;
            self.phases[index] == Phase::Pending
                && (has_room || self.is_wait[index])
                && step
                    .after
                    .iter()
                    .all(|earlier| self.phases[earlier.0 - 1] == Phase::Done)
        })?;
        let index = step.id.0 - 1;
        self.phases[index] = Phase::Running;
        self.running += 1;
        self.working += usize::from(!self.is_wait[index]);
        Some(step.id)
    }

    /// The step has ended; what comes after it may begin.
    pub(super) fn end(&mut self, id: StepId) {
        let index = id.0 - 1;
        self.phases[index] = Phase::Done;
        self.running -= 1;
        self.working -= usize::from(!self.is_wait[index]);
    }

    /// The step that has just ended failed: what comes after it may not begin.
    pub(super) fn fail(&mut self, id: StepId) {
        self.phases[id.0 - 1] = Phase::Failed;
    }

    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// Whether a step was not carried out.
    pub(super) fn is_incomplete(&self) -> bool {
        self.phases.iter().any(|phase| *phase != Phase::Done)
    }
}
