//! A plan shown and carried out: what every changing command ends with.

use std::time::Duration;

use indexmap::IndexSet;
use jiff::Timestamp;
use ketch_runtime::cancel::Cancel;
use ketch_runtime::error::ErrorKind;

use super::deadline::Deadline;
use super::{Context, Error, Result};
use crate::diag::Diagnostics;
use crate::executor::{self, EventStatus, Failure};
use crate::explain;
use crate::model::Project;
use crate::planner::{Grace, Observed, Op, Plan, preflight};
use crate::ui::progress::{self, Progress};

/// Carries the plan out under a picture of it; with `--dry-run` prints it and changes nothing.
///
/// # Errors
/// What failed, in words that are complete.
pub fn run(context: &Context, plan: &Plan) -> Result<()> {
    run_until(context, plan, &context.cancel)
}

/// As [`run`], given up after so many seconds (absent: never): `--wait-timeout`.
///
/// # Errors
/// What failed; `application not healthy after 3s`, and why not.
pub fn run_within(context: &Context, plan: &Plan, seconds: Option<u64>) -> Result<()> {
    let Some(seconds) = seconds else {
        return run(context, plan);
    };
    let deadline = Deadline::after(context, Duration::from_secs(seconds))?;
    match run_until(context, plan, &deadline.cancel) {
        Err(Error::Interrupted) if deadline.is_over() => Err(Error::Failed(format!(
            "application not healthy after {seconds}s{}",
            not_ready(context, plan)
        ))),
        other => other,
    }
}

/// The containers that the plan still waits for, each with why.
fn not_ready(context: &Context, plan: &Plan) -> String {
    let gates = plan.steps.iter().filter_map(|step| match &step.op {
        Op::Gate(gate) => Some(gate),
        _ => None,
    });
    let names: IndexSet<&String> = gates.flat_map(|gate| &gate.containers).collect();
    let mut text = String::new();
    for name in names {
        if let Ok(evidence) = executor::evidence(&context.engine, name) {
            text.push_str(&explain::unready(&evidence, Timestamp::now()));
        }
    }
    text
}

fn run_until(context: &Context, plan: &Plan, cancel: &Cancel) -> Result<()> {
    let progress = begin(context, plan);
    if context.dry_run {
        progress.finish();
        return Ok(context.ui.data(plan.to_string().as_bytes())?);
    }
    let backend = context.backend();
    let mut tell = |event: executor::Event| progress.show(&shown(&event));
    let result = executor::run(plan, &backend, &mut tell, cancel, context.parallelism());
    progress.finish();
    result.map_err(|failures| failed(&failures))
}

/// What would stop the plan of the project `name` half way, found before its first step; nothing is changed.
///
/// # Errors
/// When the stores can't be read.
pub fn preflight(
    context: &Context,
    name: &str,
    project: Option<&Project>,
    plan: &Plan,
    observed: &Observed,
) -> Result<Diagnostics> {
    if plan.steps.is_empty() {
        return Ok(Diagnostics::default());
    }
    let wants = preflight::wants(plan, observed);
    let host = executor::survey(&context.engine, name, &wants)?;
    Ok(preflight::check(project, plan, observed, &host))
}

/// Says what comes before the first step: warnings, and containers that stay as they are.
pub fn begin(context: &Context, plan: &Plan) -> Progress {
    for warning in &plan.warnings {
        context.ui.warn(warning);
    }
    let progress = context.ui.progress("Running");
    // A printed plan says what would change; what stays is said only where nothing does.
    let says_kept = !context.dry_run || plan.steps.is_empty();
    for kept in plan.kept.iter().filter(|_| says_kept) {
        progress.done(format!("Container {}", kept.container), "Running");
    }
    progress
}

/// An event of the executor in the words of the progress.
pub fn shown(event: &executor::Event) -> progress::Event {
    progress::Event {
        id: event.subject.to_string(),
        text: event.text.clone(),
        details: event.details.clone(),
        status: match event.status {
            EventStatus::Working => progress::Status::Working,
            EventStatus::Done => progress::Status::Done,
            EventStatus::Warning => progress::Status::Warning,
            EventStatus::Error => progress::Status::Error,
        },
    }
}

/// All failures of a plan as one error.
pub fn failed(failures: &[Failure]) -> Error {
    let given_up = |failure: &Failure| failure.error.kind() == ErrorKind::Cancelled;
    if failures.iter().all(given_up) {
        return Error::Interrupted;
    }
    let mut lines: Vec<String> = Vec::new();
    for failure in failures.iter().filter(|failure| !given_up(failure)) {
        let line = failure.to_string();
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    Error::Failed(lines.join("\n"))
}

/// `-t`: seconds; a negative number waits for ever.
pub fn grace(timeout: Option<i64>) -> Grace {
    match timeout.map(u64::try_from) {
        None => Grace::Configured,
        Some(Ok(seconds)) => Grace::For(Duration::from_secs(seconds)),
        Some(Err(_)) => Grace::Forever,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_seconds_or_for_ever() {
        assert_eq!(grace(None), Grace::Configured);
        assert_eq!(grace(Some(0)), Grace::For(Duration::ZERO));
        assert_eq!(grace(Some(-1)), Grace::Forever);
    }
}
