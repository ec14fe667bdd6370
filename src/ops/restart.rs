//! `restart`: dependencies first, and with them dependants that ask for it.

use super::scope::Scope;
use super::{Context, Result, aftermath, perform};
use crate::executor;
use crate::planner::teardown;

/// Restarts the containers of these services (empty: all), stopped ones too.
///
/// # Errors
/// `no such service: x`; what could not be restarted.
pub fn run(
    context: &Context,
    services: &[String],
    timeout: Option<i64>,
    dependants: bool,
) -> Result<()> {
    let scope = Scope::find(context)?;
    let observed = executor::observe(&context.engine, &scope.name)?;
    let services = scope.services(&observed, services)?;
    let graph = scope.graph(&observed, &services)?;
    let grace = perform::grace(timeout);
    let plan = teardown::restart(&graph, &observed, &services, grace, !dependants);
    perform::run(context, &plan)?;
    aftermath::tell(context, &plan)
}
