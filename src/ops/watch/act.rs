//! What a batch of changes leads to, beyond copying: restarts, commands, new images.

use std::time::Instant;

use indexmap::IndexSet;

use super::super::{Context, Error, Result, build, exec, images, perform, up};
use super::watched::Watched;
use super::{Session, replacing, shown_time};
use crate::executor;
use crate::graph::ServiceGraph;
use crate::model::{WatchAction, WatchExec};
use crate::planner::{Grace, teardown};

/// By service, in the order of the file.
#[derive(Debug, Default)]
struct Todo {
    rebuild: IndexSet<String>,
    restart: IndexSet<String>,
    exec: Vec<(String, WatchExec)>,
}

impl Session<'_> {
    /// Does what the changes of this batch ask for, and tells it. What fails is told, and the
    /// next change is another try.
    pub(super) fn act(&mut self) -> Result<()> {
        let begun = self.batch.begun().unwrap_or_else(Instant::now);
        self.rules.iter_mut().for_each(Watched::end_batch);
        let todo = self.todo();
        let shown = self.changes_shown();
        self.rules.iter_mut().for_each(Watched::forget_changes);
        let restarts: Vec<String> = todo.restart.iter().cloned().collect();
        let restarted = match restarts.is_empty() {
            true => Ok(()),
            false => self.restart(&restarts),
        };
        for (service, (count, paths)) in &shown {
            if todo.rebuild.contains(service) {
                continue;
            }
            let syncs = |it: &&Watched| it.service == *service && it.syncs();
            let mut parts = Vec::new();
            if self.rules.iter().find(syncs).is_some() {
                parts.push(format!(
                    "Syncing service {service:?} after {count} changes were detected: {paths}"
                ));
            }
            if todo.restart.contains(service) && restarted.is_ok() {
                let detected = match parts.is_empty() {
                    true => format!(" after {count} changes were detected: {paths}"),
                    false => String::new(),
                };
                parts.push(format!("service(s) [{service:?}] restarted{detected}"));
            }
            if !parts.is_empty() {
                self.say(&format!("{} ({})", parts.join("; "), shown_time(begun)));
            }
        }
        tell(self.context, restarted)?;
        for (service, command) in &todo.exec {
            self.exec(service, command)?;
        }
        if !todo.rebuild.is_empty() {
            let services: Vec<String> = todo.rebuild.iter().cloned().collect();
            let paths: Vec<&str> = services
                .iter()
                .filter_map(|service| Some(shown.get(service)?.1.as_str()))
                .collect();
            self.say(&format!(
                "Rebuilding service(s) {services:?} after changes were detected: {}",
                paths.join(", ")
            ));
            match self.rebuild(&services) {
                Ok(()) => self.say(&format!(
                    "service(s) {services:?} successfully built and started ({})",
                    shown_time(begun)
                )),
                failed => {
                    tell(self.context, failed)?;
                    self.say(&format!(
                        "service(s) {services:?} not rebuilt: what runs, runs on"
                    ));
                }
            }
        }
        Ok(())
    }

    fn todo(&self) -> Todo {
        let mut todo = Todo::default();
        for watched in self.rules.iter().filter(|it| it.has_changed()) {
            let service = watched.service.clone();
            match watched.rule.action {
                WatchAction::Sync => {}
                WatchAction::SyncRestart | WatchAction::Restart => {
                    todo.restart.insert(service);
                }
                WatchAction::SyncExec => todo
                    .exec
                    .extend(watched.rule.exec.clone().map(|exec| (service, exec))),
                WatchAction::Rebuild => {
                    todo.rebuild.insert(service);
                }
            }
        }
        // A new container has it all.
        let rebuilt = &todo.rebuild;
        todo.restart.retain(|service| !rebuilt.contains(service));
        todo.exec.retain(|(service, _)| !rebuilt.contains(service));
        todo
    }

    fn restart(&mut self, services: &[String]) -> Result<()> {
        let project = &self.loaded.project;
        let engine = &self.context.engine;
        let graph = ServiceGraph::new(project)
            .map_err(|cycle| Error::diagnostic(cycle, &self.loaded.sources))?;
        let observed = executor::observe(engine, &project.name)?;
        let plan = teardown::restart(&graph, &observed, services, Grace::Configured, false);
        let mut touched: Vec<String> = plan
            .steps
            .iter()
            .filter_map(|step| step.service.clone())
            .collect();
        touched.dedup();
        let backend = self.context.backend();
        let (cancel, parallel) = (&self.context.cancel, self.context.parallelism());
        let result = replacing(self.tell, &touched, || {
            executor::run(&plan, &backend, &mut |_| {}, cancel, parallel)
        });
        result.map_err(|failures| perform::failed(&failures))
    }

    /// In each running container of the service.
    fn exec(&self, service: &str, command: &WatchExec) -> Result<()> {
        let members = self.members()?;
        let running = members.iter().filter(|member| {
            member.service == service
                && !member.one_off
                && member.container.state.status.is_active()
        });
        for member in running {
            let begun = Instant::now();
            let options = exec::Options {
                service: service.to_owned(),
                command: command.command.clone(),
                index: None,
                env: command
                    .environment
                    .iter()
                    .filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)))
                    .collect(),
                user: command.user.clone(),
                working_dir: command.working_dir.clone(),
                privileged: command.privileged,
                streams: exec::Streams::Pipes { stdin: false },
            };
            let (name, shown) = (member.name(), command.command.join(" "));
            match exec::in_container(self.context, name, options) {
                Ok(()) => self.say(&format!("ran {shown:?} in {name} ({})", shown_time(begun))),
                Err(Error::ExitedWith(code)) => {
                    self.context
                        .ui
                        .error(format_args!("⦿ {shown:?} in {name} ended with code {code}"));
                }
                failed => tell(self.context, failed)?,
            }
        }
        Ok(())
    }

    /// A new image, then new containers of it; a failed build changes nothing.
    fn rebuild(&mut self, services: &[String]) -> Result<()> {
        let (context, project) = (self.context, &self.loaded.project);
        let before = images::ids(&context.engine, project)?;
        let extra = build::Extra {
            quiet: self.options.quiet,
            ..build::Extra::default()
        };
        build::services(context, project, services, &extra)?;
        let options = up::Options {
            services: services.to_vec(),
            recreate: up::Recreate::Always,
            no_deps: true,
            start: true,
            ..up::Options::default()
        };
        replacing(self.tell, services, || up::run(context, &options))?;
        let members = self.members()?;
        self.replicas.trust(&members, self.rules.len());
        if self.options.prune {
            let after = images::ids(&context.engine, project)?;
            for service in services {
                let old = before
                    .get(service)
                    .filter(|id| after.get(service) != Some(id));
                let unnamed = |id: &&String| {
                    let image = context.engine.image(id);
                    image.is_ok_and(|image| image.references.is_empty())
                };
                if let Some(id) = old.filter(unnamed) {
                    // One that another container uses stays.
                    let _used = context.engine.remove_image(id, false);
                }
            }
        }
        Ok(())
    }
}

/// What went wrong is shown and watching goes on, unless it was interrupted.
pub(super) fn tell(context: &Context, result: Result<()>) -> Result<()> {
    match result {
        Ok(()) | Err(Error::Reported) => Ok(()),
        Err(Error::Invalid(failed)) => {
            context.ui.diagnostics(&failed.diagnostics, &failed.sources);
            Ok(())
        }
        Err(Error::Engine(error)) if !context.cancel.is_cancelled() => {
            context.ui.error(error);
            Ok(())
        }
        Err(Error::Failed(message)) => {
            context.ui.error(message);
            Ok(())
        }
        Err(Error::ExitedWith(code)) => {
            context.ui.error(format_args!("ended with code {code}"));
            Ok(())
        }
        Err(other) => Err(other),
    }
}
