//! Pure: the screen of `ketch why`.

use jiff::Timestamp;
use ketch_runtime::container::state::{HealthStatus, State, Status};

use super::{Evidence, failure};
use crate::model::Condition;
use crate::units::duration;

/// What a service waits for.
#[derive(Debug, Clone, PartialEq)]
pub struct Dependency {
    pub service: String,
    pub condition: Condition,
    pub containers: Vec<Evidence>,
}

/// Why a service is not running or not healthy: each of its containers, and for those that never
/// ran, what they wait for.
pub fn story(
    service: &str,
    containers: &[Evidence],
    dependencies: &[Dependency],
    now: Timestamp,
) -> String {
    let mut lines = Vec::new();
    if containers.is_empty() {
        lines.push(format!(
            "service {service} has no container: `ketch up -d {service}` makes one"
        ));
    }
    for evidence in containers {
        lines.push(format!(
            "container {} {}",
            evidence.record.name,
            situation(&evidence.state, now)
        ));
        if is_well(&evidence.state) {
            lines.push("  nothing is wrong".into());
            continue;
        }
        let text = failure(evidence);
        lines.extend(text.lines().map(str::to_owned));
    }
    let waits = containers
        .iter()
        .any(|evidence| evidence.state.started_at.is_none());
    if waits || containers.is_empty() {
        for dependency in dependencies {
            lines.extend(blockers(dependency, now));
        }
    }
    if lines.is_empty() {
        lines.push(format!("service {service}: nothing is known"));
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

/// A container that was waited for in vain, as lines below an error; empty when it is ready.
pub fn unready(evidence: &Evidence, now: Timestamp) -> String {
    if is_well(&evidence.state) {
        return String::new();
    }
    let (name, situation) = (&evidence.record.name, situation(&evidence.state, now));
    let mut text = format!("\ncontainer {name} {situation}");
    for line in failure(evidence).lines() {
        text.push('\n');
        text.push_str(line);
    }
    text
}

/// A dependency whose condition does not hold, with its own story.
fn blockers(dependency: &Dependency, now: Timestamp) -> Vec<String> {
    let Dependency {
        service, condition, ..
    } = dependency;
    if dependency.containers.is_empty() {
        return vec![format!(
            "it waits for {service} ({}), which has no container",
            condition.as_str()
        )];
    }
    let mut lines = Vec::new();
    for evidence in &dependency.containers {
        if holds(*condition, &evidence.state) {
            continue;
        }
        lines.push(format!(
            "it waits for {service} ({}): container {} {}",
            condition.as_str(),
            evidence.record.name,
            situation(&evidence.state, now)
        ));
        lines.extend(failure(evidence).lines().map(str::to_owned));
    }
    lines
}

fn holds(condition: Condition, state: &State) -> bool {
    match condition {
        Condition::Started => state.started_at.is_some(),
        Condition::Healthy => {
            let health = state.health.as_ref().map(|health| health.status);
            state.status == Status::Running && health == Some(HealthStatus::Healthy)
        }
        Condition::CompletedSuccessfully => {
            state.status == Status::Exited && state.started_at.is_some() && state.exit_code == 0
        }
    }
}

fn is_well(state: &State) -> bool {
    let health = state.health.as_ref().map(|health| health.status);
    state.status == Status::Running && matches!(health, None | Some(HealthStatus::Healthy))
}

/// `exited (1) 5 seconds ago, after 3 seconds`.
fn situation(state: &State, now: Timestamp) -> String {
    let ago = |then: Option<Timestamp>| then.map(|then| between(then, now));
    let restarts = match state.restart_count {
        0 => String::new(),
        1 => ", restarted once by its policy".into(),
        count => format!(", restarted {count} times by its policy"),
    };
    let ran = match (state.started_at, state.finished_at) {
        (Some(started), Some(finished)) => {
            format!(", after it ran for {}", between(started, finished))
        }
        _ => String::new(),
    };
    match state.status {
        Status::Created => "was never started".into(),
        Status::Running => {
            let since = ago(state.started_at).unwrap_or_default();
            let health = match state.health.as_ref().map(|health| health.status) {
                None => "has no health check",
                Some(HealthStatus::Starting) => "is not healthy yet",
                Some(HealthStatus::Healthy) => "is healthy",
                Some(HealthStatus::Unhealthy) => "is unhealthy",
            };
            format!("has been running for {since} and {health}{restarts}")
        }
        Status::Paused => "is paused: `ketch unpause` lets it go on".into(),
        Status::Restarting => {
            let since = ago(state.finished_at).unwrap_or_default();
            let code = state.exit_code;
            format!("exited ({code}) {since} ago{ran}, and will be started again{restarts}")
        }
        Status::Exited => {
            let since = ago(state.finished_at).map(|since| format!(" {since} ago"));
            let since = since.unwrap_or_default();
            format!("exited ({}){since}{ran}{restarts}", state.exit_code)
        }
        Status::Removing | Status::Dead => "is being removed".into(),
    }
}

fn between(then: Timestamp, now: Timestamp) -> String {
    let passed = std::time::Duration::try_from(now.duration_since(then)).unwrap_or_default();
    duration::human(passed).to_lowercase()
}
