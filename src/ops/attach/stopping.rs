//! Stopping what runs in the foreground, and killing it.

use ketch_runtime::cancel::Cancel;
use ketch_runtime::engine::Engine;

use super::super::perform;
use crate::executor::{self, EngineBackend, Failure};
use crate::planner::{Grace, Plan, teardown};
use crate::ui::progress::Progress;

/// Stops these services, dependants first.
pub(super) fn stop(
    engine: &Engine,
    project: &str,
    services: &[String],
    grace: Grace,
    progress: &Progress,
) -> Result<(), Vec<Failure>> {
    let Ok(observed) = executor::observe(engine, project) else {
        return Ok(());
    };
    let graph = teardown::graph_of(&observed);
    let plan = teardown::stop(&graph, &observed, services, grace);
    carry_out(engine, &plan, &mut |event| {
        progress.show(&perform::shown(&event));
    })
}

/// Kills what is still running of these services.
pub(super) fn kill(
    engine: &Engine,
    project: &str,
    services: &[String],
) -> Result<(), Vec<Failure>> {
    let Ok(observed) = executor::observe(engine, project) else {
        return Ok(());
    };
    let plan = teardown::kill(&observed, services, None);
    carry_out(engine, &plan, &mut |_| {})
}

/// To the end: nothing gives up a stop that the user asked for.
fn carry_out(
    engine: &Engine,
    plan: &Plan,
    tell: &mut dyn FnMut(executor::Event),
) -> Result<(), Vec<Failure>> {
    let Ok(never) = Cancel::new() else {
        return Ok(());
    };
    executor::run(plan, &EngineBackend::new(engine.clone()), tell, &never, 0)
}
