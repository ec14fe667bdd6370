//! Who must be there first, and in what condition.

use crate::diag::Span;

/// One entry of `depends_on`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    pub condition: Condition,
    /// Recreate or restart this service after the dependency was.
    pub restart: bool,
    /// False: a missing or disabled dependency only gives a warning.
    pub required: bool,
    /// Where it is written; for an implied one, what implies it.
    pub span: Span,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    Started,
    Healthy,
    CompletedSuccessfully,
}

impl Condition {
    /// As written in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "service_started",
            Self::Healthy => "service_healthy",
            Self::CompletedSuccessfully => "service_completed_successfully",
        }
    }
}
