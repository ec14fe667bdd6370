//! `kill`: a signal to running containers, one-off ones included.

use ketch_runtime::spec::signal;

use super::scope::Scope;
use super::{Context, Result, perform};
use crate::executor;
use crate::planner::teardown;

/// Sends a signal to the containers of these services (empty: all).
///
/// # Errors
/// `no such service: x`; a signal that does not exist.
pub fn run(context: &Context, services: &[String], signal: &str, orphans: bool) -> Result<()> {
    signal::parse(signal)?;
    let scope = Scope::find(context)?;
    let observed = executor::observe(&context.engine, &scope.name)?;
    let named = scope.services(&observed, services)?;
    let services = if orphans && services.is_empty() {
        Vec::new()
    } else {
        named
    };
    let plan = teardown::kill(&observed, &services, Some(signal));
    if plan.steps.is_empty() {
        context.ui.talk("No container to kill");
        return Ok(());
    }
    perform::run(context, &plan)
}
