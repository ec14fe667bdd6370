//! Staying in the foreground: the outputs and ends of many containers, and what ctrl-C means.
//!
//! The plan is carried out on a thread of its own while output already flows. Everything
//! that happens (steps, log records, states, signals) comes in over one channel, and one
//! loop decides: there is nothing to lock and no order to guess.

mod foreground;
mod sources;
mod stopping;

use std::sync::mpsc::channel;
use std::thread;

use indexmap::IndexSet;
use jiff::Timestamp;

use super::scope::short_name;
use super::up::Attach;
use super::{Context, Error, Result};
use crate::executor;
use crate::model::Project;
use crate::planner::{Grace, Op, Plan};
use foreground::Foreground;
use sources::Message;
pub(super) use sources::wait_for;

/// Which services are meant by what.
#[derive(Debug)]
pub struct Services {
    /// Their output is shown, and their ends end the command.
    attached: IndexSet<String>,
    /// Stopped when the command is interrupted.
    stopped: Vec<String>,
    /// How long they are given for it.
    grace: Grace,
}

impl Services {
    /// From what the command line and the files say.
    ///
    /// # Errors
    /// `no such service: x`.
    pub fn new(
        project: &Project,
        named: &[String],
        options: &Attach,
        grace: Grace,
    ) -> Result<Self> {
        let from = options.exit_code_from.iter();
        for service in options.only.iter().chain(&options.not).chain(from) {
            if !project.services.contains_key(service) {
                return Err(Error::Failed(format!("no such service: {service}")));
            }
        }
        let stopped: Vec<String> = if named.is_empty() {
            project.services.keys().cloned().collect()
        } else {
            named.to_vec()
        };
        let candidates: Vec<String> = match () {
            () if !options.only.is_empty() => options.only.clone(),
            () if options.dependencies => project.services.keys().cloned().collect(),
            () => stopped.clone(),
        };
        let says_no = |name: &String| {
            let by_file = project
                .services
                .get(name)
                .and_then(|service| service.attach);
            options.not.contains(name) || (options.only.is_empty() && by_file == Some(false))
        };
        let attached = candidates
            .into_iter()
            .filter(|name| !says_no(name))
            .collect();
        Ok(Self {
            attached,
            stopped,
            grace,
        })
    }
}

/// Carries the plan out, shows output, and ends when all attached containers have ended.
///
/// # Errors
/// What failed; the code of the container that ended the whole; `Interrupted`.
pub fn run(
    context: &Context,
    project: &str,
    plan: &Plan,
    services: &Services,
    options: &Attach,
    begun: Timestamp,
) -> Result<()> {
    let (sender, receiver) = channel();
    let mut foreground =
        Foreground::new(context, project, plan, services, options, begun, &sender)?;
    let give_up = foreground.give_up();
    sources::watch_signals(context, &give_up, &sender);
    let result = thread::scope(|scope| {
        let (up, give_up) = (sender.clone(), &give_up);
        scope.spawn(move || {
            let backend = context.backend();
            let steps = up.clone();
            let mut tell = move |event| {
                let _loop_left = steps.send(Message::Step(event));
            };
            let parallelism = context.parallelism();
            let result = executor::run(plan, &backend, &mut tell, give_up, parallelism);
            let is_up = result.is_ok();
            let _loop_left = up.send(Message::Up(result));
            if let Some(watch) = options.watch.as_ref().filter(|_| is_up) {
                let notices = up.clone();
                let tell = move |notice| {
                    let _loop_left = notices.send(Message::Watch(notice));
                };
                let result = super::watch::beside(context, watch, give_up, &tell);
                let _loop_left = up.send(Message::WatchEnded(result));
            }
        });
        let result = foreground.run(&receiver);
        // Whatever ended the loop, nobody waits for the rest of the plan.
        give_up.cancel();
        result
    });
    foreground.leave();
    result
}

/// The names that will be shown, so that prefixes are aligned from the first line on.
fn attached_names(plan: &Plan, project: &str, services: &Services) -> Vec<String> {
    let started = plan.steps.iter().filter_map(|step| match &step.op {
        Op::StartContainer { name } | Op::RestartContainer { name, .. } => {
            Some((step.service.as_deref()?, name.as_str()))
        }
        _ => None,
    });
    let kept = plan
        .kept
        .iter()
        .map(|kept| (kept.service.as_str(), kept.container.as_str()));
    let mut names: Vec<String> = kept
        .chain(started)
        .filter(|(service, _)| services.attached.contains(*service))
        .map(|(_, container)| short_name(container, project).to_owned())
        .collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::super::up::Abort;
    use super::*;
    use crate::ui::logs::Style;

    const FILE: &str = "services:\n  db: {image: a}\n  web: {image: a, depends_on: [db]}\n  \
                        quiet: {image: a, attach: false}\n";

    fn options(only: &[&str], not: &[&str], dependencies: bool) -> Attach {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Attach {
            only: owned(only),
            not: owned(not),
            dependencies,
            style: Style::default(),
            abort: Abort::Never,
            exit_code_from: None,
            watch: None,
        }
    }

    fn attached(named: &[&str], options: &Attach) -> Vec<String> {
        let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
        let project = testing::project(FILE);
        let services = Services::new(&project, &named, options, Grace::Configured).unwrap();
        let mut names: Vec<String> = services.attached.into_iter().collect();
        names.sort();
        names
    }

    #[test]
    fn named_services_are_attached_and_the_file_may_say_no() {
        assert_eq!(attached(&[], &options(&[], &[], false)), ["db", "web"]);
        assert_eq!(attached(&["web"], &options(&[], &[], false)), ["web"]);
        assert_eq!(attached(&["web"], &options(&[], &[], true)), ["db", "web"]);
        assert_eq!(attached(&[], &options(&["quiet"], &[], false)), ["quiet"]);
        assert_eq!(attached(&[], &options(&[], &["db"], false)), ["web"]);
    }

    #[test]
    fn an_unknown_service_is_refused() {
        let project = testing::project(FILE);
        let result = Services::new(
            &project,
            &[],
            &options(&["nope"], &[], false),
            Grace::Configured,
        );
        let Err(Error::Failed(message)) = result else {
            panic!("an unknown service was taken");
        };
        assert_eq!(message, "no such service: nope");
    }
}
