//! `stop`: dependants first.

use super::scope::Scope;
use super::{Context, Result, perform};
use crate::executor;
use crate::planner::teardown;

/// Stops the containers of these services (empty: all).
///
/// # Errors
/// `no such service: x`; what could not be stopped.
pub fn run(context: &Context, services: &[String], timeout: Option<i64>) -> Result<()> {
    let scope = Scope::find(context)?;
    let observed = executor::observe(&context.engine, &scope.name)?;
    let services = scope.services(&observed, services)?;
    let graph = scope.graph(&observed, &services)?;
    let plan = teardown::stop(&graph, &observed, &services, perform::grace(timeout));
    perform::run(context, &plan)
}
