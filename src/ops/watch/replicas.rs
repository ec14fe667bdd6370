//! The containers of a service, and what each of them has been given.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use ketch_runtime::container::state::Status;
use ketch_runtime::engine::containers::{Files, StopOptions};
use ketch_runtime::error::{Error, ErrorKind};
use ketch_runtime::store::id::Id;

use super::super::Context;
use super::super::scope::Member;
use super::watched::Watched;
use crate::watcher::sync::{self, Undone};
use crate::watcher::tree::Changes;

/// What is known of the containers of a project. A rule is its place in the list.
#[derive(Debug, Default)]
pub(super) struct Replicas {
    open: HashMap<Id, Files>,
    /// They have all that was copied by the rule since they were made.
    known: HashSet<(usize, Id)>,
    /// They could not be copied to: all is copied when they can.
    behind: HashSet<(usize, Id)>,
}

/// Into one that does not run. One that is about to be started again, because what it was given
/// before makes it fail, is held back until it has what may mend it.
fn between_runs(
    context: &Context,
    id: &Id,
    watched: &Watched,
    changes: &Changes,
) -> Result<Undone, Error> {
    let engine = &context.engine;
    let name = id.as_str();
    let is_restarting = engine.container(name)?.state.status.is_active();
    if is_restarting {
        engine.stop_container(name, &StopOptions::default())?;
    }
    let mut all = changes.clone();
    all.extend(watched.tree.all());
    let files = engine.files(name)?;
    let target = Path::new(&watched.rule.target);
    let undone = sync::apply(&files, target, &watched.tree, &all);
    drop(files);
    if is_restarting {
        engine.start_container(name)?;
    }
    Ok(undone)
}

/// What came of copying.
#[derive(Debug, Default)]
pub(super) struct Copied {
    /// By container.
    pub(super) failures: Vec<String>,
    /// To be done with what will be told next.
    pub(super) moved: Changes,
    /// To be done with the next change.
    pub(super) refused: Changes,
}

impl Replicas {
    /// Takes these containers as up to date with so many rules.
    pub(super) fn trust(&mut self, members: &[Member], rules: usize) {
        for member in members {
            let id = &member.container.record.id;
            self.known.extend((0..rules).map(|rule| (rule, id.clone())));
        }
    }

    /// Whether some container has to be given what it missed.
    pub(super) fn are_behind(&self) -> bool {
        !self.behind.is_empty()
    }

    /// Copies changes into all containers of the rule's service; one that is new, was behind or
    /// does not run is given everything.
    pub(super) fn copy(
        &mut self,
        context: &Context,
        members: &[Member],
        (rule, watched): (usize, &Watched),
        changes: &Changes,
    ) -> Copied {
        let mut copied = Copied::default();
        let of_service = |member: &&Member| member.service == watched.service && !member.one_off;
        for member in members.iter().filter(of_service) {
            let key = (rule, member.container.record.id.clone());
            let is_whole = self.known.contains(&key) && !self.behind.contains(&key);
            if is_whole && changes.is_empty() {
                continue;
            }
            let result = match member.container.state.status {
                Status::Running | Status::Paused => self
                    .copy_into(context, &key.1, watched, changes, is_whole)
                    .or_else(|error| match context.engine.container(key.1.as_str()) {
                        Ok(now) if now.state.status != Status::Running => {
                            between_runs(context, &key.1, watched, changes)
                        }
                        _ => Err(error),
                    }),
                _ => between_runs(context, &key.1, watched, changes),
            };
            match result {
                Ok(undone) => {
                    self.behind.remove(&key);
                    self.known.insert(key);
                    copied.moved.extend(undone.moved);
                    copied.refused.extend(undone.refused);
                    let told = |error| format!("{}: {error}", member.name());
                    copied.failures.extend(undone.error.map(told));
                }
                Err(error) => {
                    self.behind.insert(key);
                    copied.failures.push(format!("{}: {error}", member.name()));
                }
            }
        }
        copied
    }

    fn copy_into(
        &mut self,
        context: &Context,
        id: &Id,
        watched: &Watched,
        changes: &Changes,
        mut is_whole: bool,
    ) -> Result<Undone, Error> {
        let is_current = |files: &Files| context.engine.is_current(id, files);
        let target = Path::new(&watched.rule.target);
        for _ in 0..2 {
            let files = match self.open.remove(id).filter(is_current) {
                Some(files) => files,
                None => context.engine.running_files(id.as_str())?,
            };
            let undone = if is_whole {
                sync::apply(&files, target, &watched.tree, changes)
            } else {
                let mut all = changes.clone();
                all.extend(watched.tree.all());
                sync::apply(&files, target, &watched.tree, &all)
            };
            if is_current(&files) {
                self.open.insert(id.clone(), files);
                return Ok(undone);
            }
            // It was restarted while we were at it: what it has been given may be half.
            is_whole = false;
        }
        let what = "it is being restarted";
        Err(Error::new(ErrorKind::Conflict, what))
    }
}
