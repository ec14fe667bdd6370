//! What became of containers that were just started: one that fails at once is told with its
//! cause. Compose says nothing there, so it is talk: the command's exit code stays.

use std::thread;
use std::time::Duration;

use indexmap::IndexSet;
use jiff::Timestamp;
use ketch_runtime::cancel::Cancel;
use ketch_runtime::container::state::{HealthStatus, State, Status};
use ketch_runtime::engine::Engine;

use super::deadline::Deadline;
use super::{Context, Result};
use crate::executor;
use crate::explain;
use crate::planner::{Op, Plan};

/// How long a start is watched: a wrong setting or a missing file shows within it, and nobody
/// notices it where all is well.
const ATTENTION: Duration = Duration::from_millis(250);

/// Watches what the plan has started for a moment, and tells what failed meanwhile.
///
/// # Errors
/// When the process is out of file descriptors.
pub fn tell(context: &Context, plan: &Plan) -> Result<()> {
    let started = started(plan);
    if context.dry_run || started.is_empty() {
        return Ok(());
    }
    let deadline = Deadline::after(context, ATTENTION)?;
    let ended = ended(&context.engine, &started, &deadline.cancel);
    for (name, state) in ended {
        // One that is removed meanwhile has no story.
        let Ok(evidence) = executor::evidence_at(&context.engine, name, state) else {
            continue;
        };
        if explain::has_failed(&evidence.state) {
            let story = explain::unready(&evidence, Timestamp::now());
            let (first, rest) = story.trim_start().split_once('\n').unwrap_or((&story, ""));
            context.ui.warn_at_length(first, rest);
        }
    }
    Ok(())
}

fn started(plan: &Plan) -> IndexSet<&str> {
    let names = plan.steps.iter().filter_map(|step| match &step.op {
        Op::StartContainer { name } | Op::RestartContainer { name, .. } => Some(name.as_str()),
        _ => None,
    });
    names.collect()
}

/// Those that end before the watch does, and how: one that is started again at once runs by the
/// time that it is told of.
fn ended<'a>(engine: &Engine, names: &IndexSet<&'a str>, cancel: &Cancel) -> Vec<(&'a str, State)> {
    thread::scope(|scope| {
        let watches: Vec<_> = names
            .iter()
            .map(|name| (*name, scope.spawn(move || end(engine, name, cancel))))
            .collect();
        let ended = watches.into_iter().filter_map(|(name, watch)| {
            // A watch that panicked has seen nothing.
            Some((name, watch.join().ok().flatten()?))
        });
        ended.collect()
    })
}

fn end(engine: &Engine, name: &str, cancel: &Cancel) -> Option<State> {
    let mut watch = engine.watch_container(name).ok()?;
    loop {
        let state = watch.next(cancel).ok()??;
        if is_over(&state) {
            return Some(state);
        }
        if is_healthy(&state) {
            return None;
        }
    }
}

fn is_over(state: &State) -> bool {
    matches!(
        state.status,
        Status::Exited | Status::Restarting | Status::Dead
    )
}

fn is_healthy(state: &State) -> bool {
    let health = state.health.as_ref().map(|health| health.status);
    health == Some(HealthStatus::Healthy)
}
