//! `rm`: removes stopped containers, after a question.

use super::scope::Scope;
use super::{Context, Error, Result, perform};
use crate::executor;
use crate::planner::{Op, teardown};

/// What to remove.
#[derive(Debug)]
pub struct Options {
    pub services: Vec<String>,
    /// Do not ask.
    pub force: bool,
    /// Stop running ones first.
    pub stop: bool,
    /// Their anonymous volumes too.
    pub volumes: bool,
}

/// Removes the stopped containers of these services (empty: all).
///
/// # Errors
/// `no such service: x`; what could not be removed.
pub fn run(context: &Context, options: &Options) -> Result<()> {
    let scope = Scope::find(context)?;
    let observed = executor::observe(&context.engine, &scope.name)?;
    let services = scope.services(&observed, &options.services)?;
    let graph = scope.graph(&observed, &services)?;
    let stop = options.stop.then(|| perform::grace(None));
    let plan = teardown::remove(&graph, &observed, &services, stop, options.volumes);
    let names: Vec<&str> = plan
        .steps
        .iter()
        .filter_map(|step| match &step.op {
            Op::RemoveContainer { name, .. } => Some(name.as_str()),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        context.ui.talk("No stopped containers");
        return Ok(());
    }
    let question = format!("Going to remove {}", names.join(", "));
    if options.force {
        context.ui.talk(question);
    } else if !context.dry_run && !context.ui.confirm(&question, &context.cancel) {
        let given_up = context.cancel.is_cancelled();
        return if given_up {
            Err(Error::Interrupted)
        } else {
            Ok(())
        };
    }
    perform::run(context, &plan)
}
