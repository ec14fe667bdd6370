//! What failed, and whose it was.

use std::fmt;

use ketch_runtime::error::Error;

use crate::planner::{Op, Step, StepId};

/// One failed step.
#[derive(Debug)]
pub struct Failure {
    /// Absent: the run as a whole.
    pub step: Option<StepId>,
    /// `container app-db-1 start`.
    pub title: String,
    /// Whose container it was.
    pub service: Option<String>,
    /// A gate: the error speaks in Compose's words and is printed alone.
    pub is_gate: bool,
    pub error: Error,
}

impl Failure {
    pub(super) fn of_step(step: &Step, error: Error) -> Self {
        Self {
            step: Some(step.id),
            title: step.title(),
            service: step.service.clone(),
            is_gate: matches!(step.op, Op::Gate(_)),
            error,
        }
    }

    pub(super) fn of_plan(error: Error) -> Self {
        Self {
            step: None,
            title: String::new(),
            service: None,
            is_gate: false,
            error,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.service {
            Some(service) if !self.is_gate => write!(f, "service {service:?}: {}", self.error),
            _ => self.error.fmt(f),
        }
    }
}
