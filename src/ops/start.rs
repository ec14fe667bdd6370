//! `start`: what is there, behind its gates.

use super::scope::Scope;
use super::{Context, Error, Result, aftermath, perform};
use crate::executor;
use crate::planner::teardown;

/// What to start.
#[derive(Debug)]
pub struct Options {
    pub services: Vec<String>,
    pub wait: bool,
    pub wait_timeout: Option<u64>,
}

/// Starts the containers of these services (empty: all) and of what they need.
///
/// # Errors
/// `service "x" has no container to start`; a failed gate.
pub fn run(context: &Context, options: &Options) -> Result<()> {
    let scope = Scope::find(context)?;
    let observed = executor::observe(&context.engine, &scope.name)?;
    let services = scope.services(&observed, &options.services)?;
    let graph = scope.graph(&observed, &services)?;
    let plan = teardown::start(&graph, &observed, &services, options.wait)
        .map_err(|problem| Error::diagnostic(problem, &scope.sources))?;
    let problems = perform::preflight(
        context,
        &scope.name,
        scope.project.as_ref(),
        &plan,
        &observed,
    )?;
    if problems.has_errors() {
        return Err(Error::invalid(problems, &scope.sources));
    }
    context.ui.diagnostics(&problems, &scope.sources);
    let seconds = options.wait_timeout.filter(|_| options.wait);
    perform::run_within(context, &plan, seconds)?;
    // Whoever was waited for has been judged already.
    if options.wait {
        return Ok(());
    }
    aftermath::tell(context, &plan)
}
