//! A health check as written.

use std::time::Duration;

use crate::diag::Span;

/// `healthcheck:`; absent fields are the image's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    pub span: Span,
    /// `[CMD, …]`, `[CMD-SHELL, text]`, `[NONE]`.
    pub test: Option<Vec<String>>,
    pub interval: Option<Duration>,
    pub timeout: Option<Duration>,
    pub start_period: Option<Duration>,
    pub start_interval: Option<Duration>,
    pub retries: Option<u32>,
    pub disable: bool,
}

impl HealthCheck {
    /// Whether it switches the image's check off.
    pub fn is_disabled(&self) -> bool {
        self.disable
            || self
                .test
                .as_ref()
                .is_some_and(|test| test.first().is_some_and(|word| word == "NONE"))
    }
}
