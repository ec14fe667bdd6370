//! Pure: why a container is not running or not healthy, and where a value comes from, in words.
//!
//! [`Evidence`] is what is known of one container; [`failure`] tells what its failed gate was
//! about, as lines to stand below Compose's own; [`story`] is the screen of `ketch why`.
//! [`origins`] lists the values of a project, [`env`] the variables of a service.

mod cause;
pub mod env;
mod health;
pub mod origins;
mod story;

use ketch_runtime::container::record::Record;
use ketch_runtime::container::state::{HealthStatus, State, Status};

pub use cause::cause;
pub use story::{Dependency, story, unready};

/// How many of the last lines of a log are shown.
pub const LOG_LINES: usize = 10;
/// Longer lines are cut.
const LINE_WIDTH: usize = 200;

/// What is known of a container.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    pub record: Record,
    pub state: State,
    /// The last lines that it wrote, oldest first.
    pub log: Vec<String>,
}

/// Whether its last run ended, and not with success.
pub fn has_failed(state: &State) -> bool {
    let runs = matches!(state.status, Status::Running | Status::Paused);
    !runs && (state.exit_code != 0 || state.oom_killed || !state.error.is_empty())
}

/// Why it is not ready, as indented lines; empty when there is nothing to add.
pub fn failure(evidence: &Evidence) -> String {
    let mut lines = Vec::new();
    let state = &evidence.state;
    if let Some(cause) = cause(&evidence.record, state) {
        lines.push(format!("  cause: {cause}"));
    }
    let runs = matches!(state.status, Status::Running | Status::Paused);
    let is_sick = |health: &ketch_runtime::container::state::Health| {
        health.status != HealthStatus::Healthy && runs
    };
    if state.health.as_ref().is_some_and(is_sick) {
        lines.extend(health::attempts(&evidence.record, state));
    }
    lines.extend(log(evidence));
    lines.join("\n")
}

fn log(evidence: &Evidence) -> Vec<String> {
    if evidence.log.is_empty() {
        // Before the first start nobody could have written anything.
        let never = evidence.state.started_at.is_none();
        return Vec::from_iter((!never).then(|| "  log: empty".to_owned()));
    }
    let first = &evidence.log.len().saturating_sub(LOG_LINES);
    let lines = evidence.log[*first..].iter();
    let mut shown = vec!["  last lines of its log:".to_owned()];
    shown.extend(lines.map(|line| format!("    | {}", safe(line))));
    shown
}

/// A line of a container as it may be shown on a terminal: no control characters, not too long.
fn safe(line: &str) -> String {
    let mut shown = String::new();
    for (count, letter) in line.trim_end().chars().enumerate() {
        if count == LINE_WIDTH {
            shown.push('…');
            break;
        }
        match letter {
            '\t' => shown.push(' '),
            _ if letter.is_control() => shown.extend(letter.escape_default()),
            _ => shown.push(letter),
        }
    }
    shown
}

#[cfg(test)]
mod tests;
