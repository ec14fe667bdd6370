//! `down`: stops and removes what `up` made.

use super::scope::Scope;
use super::{Context, Result, is_set, perform};
use crate::executor;
use crate::planner::teardown::{self, Down, RemoveImages};

/// What to take down.
#[derive(Debug, Default)]
pub struct Options {
    /// Empty: everything.
    pub services: Vec<String>,
    pub remove_orphans: bool,
    pub images: Option<Images>,
    /// Seconds; negative: for ever.
    pub timeout: Option<i64>,
    pub volumes: bool,
}

/// `--rmi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Images {
    /// Those without a name of the user's.
    Local,
    All,
}

/// Takes the project down.
///
/// # Errors
/// What could not be removed; the rest is removed all the same.
pub fn run(context: &Context, options: &Options) -> Result<()> {
    let scope = Scope::find(context)?;
    // Another command that is making things is waited for: half of them could not be planned.
    context.take_turn(&scope.name)?;
    let observed = executor::observe(&context.engine, &scope.name)?;
    if !options.services.is_empty() {
        scope.services(&observed, &options.services)?;
    }
    let graph = scope.graph(&observed, &options.services)?;
    let environment = match &scope.project {
        Some(project) => &project.environment,
        None => &context.project.environment,
    };
    let choices = Down {
        services: options.services.clone(),
        grace: perform::grace(options.timeout),
        volumes: options.volumes,
        remove_orphans: options.remove_orphans || is_set(environment.get("COMPOSE_REMOVE_ORPHANS")),
        images: match options.images {
            None => RemoveImages::None,
            Some(Images::Local) => RemoveImages::Local,
            Some(Images::All) => RemoveImages::All,
        },
    };
    let plan = teardown::down(
        &scope.name,
        scope.project.as_ref(),
        &graph,
        &observed,
        &choices,
    );
    if plan.steps.is_empty() {
        context.ui.warn(format_args!(
            "No resource found to remove for project {:?}.",
            scope.name
        ));
    }
    perform::run(context, &plan)
}
