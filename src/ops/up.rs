//! `up`, `create`, `scale`: the project as the files say.

use indexmap::IndexSet;
use jiff::Timestamp;

use super::images::{self, Policy};
use super::{Context, Error, Result, attach, is_set, perform, watch};
use crate::diag::Diagnostics;
use crate::executor::{self, DiskFiles};
use crate::graph::ServiceGraph;
use crate::loader::{self, Loaded};
use crate::lowering::{self, Lowered};
use crate::model::Project;
use crate::planner::{self, Observed, Plan};
use crate::ui::logs::Style;

/// What the command line says.
#[derive(Debug, Default)]
pub struct Options {
    pub services: Vec<String>,
    pub recreate: Recreate,
    /// `--always-recreate-deps`.
    pub recreate_dependencies: bool,
    /// `-V`.
    pub renew_volumes: bool,
    pub no_deps: bool,
    pub images: Policy,
    pub remove_orphans: bool,
    pub scale: Vec<(String, u32)>,
    /// Seconds; negative: for ever.
    pub timeout: Option<i64>,
    /// False: create only.
    pub start: bool,
    pub wait: bool,
    pub wait_timeout: Option<u64>,
    pub yes: bool,
    /// Absent: return when all is started.
    pub attach: Option<Attach>,
}

/// When existing containers are replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Recreate {
    #[default]
    Diverged,
    Always,
    Never,
}

/// Staying in the foreground.
#[derive(Debug)]
pub struct Attach {
    /// `--attach`; empty: by the files.
    pub only: Vec<String>,
    /// `--no-attach`.
    pub not: Vec<String>,
    /// `--attach-dependencies`.
    pub dependencies: bool,
    pub style: Style,
    pub abort: Abort,
    pub exit_code_from: Option<String>,
    /// `--watch`: files that change are acted on meanwhile.
    pub watch: Option<watch::Options>,
}

/// Which end of a container ends the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abort {
    Never,
    OnExit,
    OnFailure,
}

/// Brings the project up.
///
/// # Errors
/// What is wrong with the files; images that can't be had; what could not be done.
pub fn run(context: &Context, options: &Options) -> Result<()> {
    let begun = Timestamp::now();
    let loaded = load(context, options)?;
    let project = &loaded.project;
    if let Some(watch) = options.attach.as_ref().and_then(|it| it.watch.as_ref()) {
        watch::check(context, watch, &loaded)?;
    }
    let choices = choices(project, options)?;
    let grace = choices.grace;
    let plan = prepared(context, &loaded, choices, (options.images, options.yes))?;
    match &options.attach {
        Some(attach) if !context.dry_run => {
            let services = attach::Services::new(project, &options.services, attach, grace)?;
            attach::run(context, &project.name, &plan, &services, attach, begun)
        }
        _ => execute(context, &plan, options),
    }
}

/// A plan that can be carried out: what was wrong has been told, images that were missing are
/// here, and what may be lost has been asked about (`yes`: without asking).
pub(super) fn prepared(
    context: &Context,
    loaded: &Loaded,
    mut choices: planner::Options,
    (policy, yes): (Policy, bool),
) -> Result<Plan> {
    let project = &loaded.project;
    let graph =
        ServiceGraph::new(project).map_err(|cycle| Error::diagnostic(cycle, &loaded.sources))?;
    let needs = images::needs(context, project, policy)?;
    // Everything that is wrong is told before anything is made, images of our own included.
    let mut planned = plan(context, loaded, &graph, &choices, &needs.problems)?;
    if !needs.to_build.is_empty() || !needs.to_pull.is_empty() {
        context.end_turn();
        images::pull(context, loaded, &needs, policy.quiet_pull)?;
        images::build(context, project, &needs, policy)?;
        planned = plan(context, loaded, &graph, &choices, &Diagnostics::default())?;
    }
    context
        .ui
        .diagnostics(&planned.lowered.warnings, &loaded.sources);
    if planned.plan.questions.is_empty() || context.dry_run {
        return Ok(planned.plan);
    }
    choices.recreate_volumes = ask(context, &planned.plan, yes);
    let (lowered, observed) = (&planned.lowered, &planned.observed);
    planner::reconcile(project, &graph, lowered, observed, &choices)
        .map_err(|problems| Error::invalid(problems, &loaded.sources))
}

/// What [`run`] would do, in the words of `--dry-run`; `None`: nothing. Nothing is changed.
///
/// # Errors
/// What is wrong with the files.
pub fn announced(context: &Context, options: &Options) -> Result<Option<String>> {
    let loaded = load(context, options)?;
    let project = &loaded.project;
    let graph =
        ServiceGraph::new(project).map_err(|cycle| Error::diagnostic(cycle, &loaded.sources))?;
    let choices = choices(project, options)?;
    let needs = images::needs(context, project, options.images)?;
    let planned = plan(context, &loaded, &graph, &choices, &needs.problems)?;
    context.end_turn();
    let steps = planned.plan.steps.len();
    Ok((steps > 0).then(|| planned.plan.to_string()))
}

/// A plan, and what it was made from.
struct Planned {
    lowered: Lowered,
    observed: Observed,
    plan: Plan,
}

/// Plans with the images that are here, and checks the plan against the host. Nothing is changed.
fn plan(
    context: &Context,
    loaded: &Loaded,
    graph: &ServiceGraph,
    choices: &planner::Options,
    known: &Diagnostics,
) -> Result<Planned> {
    let project = &loaded.project;
    let invalid = |found: Diagnostics| {
        let mut problems = known.clone();
        problems.extend(found);
        Error::invalid(problems, &loaded.sources)
    };
    planner::refuse_too_many(project, choices).map_err(invalid)?;
    let image_ids = images::ids(&context.engine, project)?;
    let mut lowered =
        lowering::lower(project, &image_ids, &DiskFiles::default()).map_err(invalid)?;
    context.take_turn(&project.name)?;
    let observed = executor::observe(&context.engine, &project.name)?;
    let plan = planner::reconcile(project, graph, &lowered, &observed, choices).map_err(invalid)?;
    let found = perform::preflight(context, &project.name, Some(project), &plan, &observed)?;
    if known.has_errors() || found.has_errors() {
        return Err(invalid(found));
    }
    lowered.warnings.extend(found);
    Ok(Planned {
        lowered,
        observed,
        plan,
    })
}

fn load(context: &Context, options: &Options) -> Result<Loaded> {
    let loaded = context.load_with(&loader::Options {
        services: options.services.clone(),
        no_dependencies: options.no_deps,
        ..context.project.clone()
    })?;
    let project = &loaded.project;
    if project.services.is_empty() {
        return Err(Error::Failed("no service selected".into()));
    }
    for (service, _) in &options.scale {
        if !project.services.contains_key(service) {
            return Err(Error::Failed(format!("no such service: {service}")));
        }
    }
    Ok(loaded)
}

pub(super) fn choices(project: &Project, options: &Options) -> Result<planner::Options> {
    let says = |name: &str| is_set(project.environment.get(name));
    let remove_orphans = options.remove_orphans || says("COMPOSE_REMOVE_ORPHANS");
    let ignore_orphans = says("COMPOSE_IGNORE_ORPHANS");
    if remove_orphans && ignore_orphans {
        return Err(Error::Failed(
            "cannot combine COMPOSE_IGNORE_ORPHANS and --remove-orphans".into(),
        ));
    }
    let recreate = match options.recreate {
        Recreate::Diverged => planner::Recreate::Diverged,
        Recreate::Always => planner::Recreate::Force,
        Recreate::Never => planner::Recreate::Never,
    };
    Ok(planner::Options {
        targets: options.services.clone(),
        recreate,
        recreate_dependencies: match options.recreate {
            _ if options.recreate_dependencies => planner::Recreate::Force,
            Recreate::Never => planner::Recreate::Never,
            Recreate::Diverged | Recreate::Always => planner::Recreate::Diverged,
        },
        renew_anonymous_volumes: options.renew_volumes,
        no_start: !options.start,
        remove_orphans,
        ignore_orphans,
        scale: options.scale.iter().cloned().collect(),
        grace: perform::grace(options.timeout),
        no_dependencies: options.no_deps,
        wait: options.wait,
        one_off: None,
        recreate_volumes: IndexSet::new(),
    })
}

/// Asks before anything is lost; where nobody can answer, the answer is no.
fn ask(context: &Context, plan: &Plan, yes: bool) -> IndexSet<String> {
    let agreed = plan
        .questions
        .iter()
        .filter(|question| yes || context.ui.confirm(&question.text, &context.cancel));
    agreed.map(|question| question.volume.clone()).collect()
}

fn execute(context: &Context, plan: &Plan, options: &Options) -> Result<()> {
    let seconds = options.wait_timeout.filter(|_| options.wait);
    perform::run_within(context, plan, seconds)
}
