//! Health checks.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A health check, as asked for; absent fields are the image's, then the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthSpec {
    /// `[CMD, argv…]`, `[CMD-SHELL, text]` or `[NONE]`.
    pub test: Option<Vec<String>>,
    /// Default 30 s.
    pub interval: Option<Duration>,
    /// Default 30 s.
    pub timeout: Option<Duration>,
    /// Default 0.
    pub start_period: Option<Duration>,
    /// Default 5 s.
    pub start_interval: Option<Duration>,
    /// Default 3.
    pub retries: Option<u32>,
}
