//! Restart policies.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What happens when the process ends by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    #[default]
    No,
    Always,
    /// On a non-zero exit code; at most `max` times in a row, 0 being no bound.
    OnFailure {
        max: u32,
    },
    UnlessStopped,
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => f.write_str("no"),
            Self::Always => f.write_str("always"),
            Self::OnFailure { max: 0 } => f.write_str("on-failure"),
            Self::OnFailure { max } => write!(f, "on-failure:{max}"),
            Self::UnlessStopped => f.write_str("unless-stopped"),
        }
    }
}
