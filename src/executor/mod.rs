//! Carrying a plan out: ready steps at once, no decisions.
//!
//! One thread owns the progress and starts a thread for each step whose predecessors are
//! done; results come back over one channel, so that there is nothing to lock. Every step
//! is a blocking kernel operation or a wait that watches a [`Cancel`]; see
//! `docs/decisions/executor-threads.md`.
//!
//! After a failure of a step that is not best effort nothing new begins, running
//! operations end, and waits are given up: what was made stays as it is.

mod backend;
mod engine;
mod evidence;
mod failure;
mod files;
mod forward;
mod observe;
mod progress;
mod survey;

use std::sync::mpsc::{Receiver, channel};
use std::thread;

use ketch_runtime::cancel::Cancel;
use ketch_runtime::error::{Error, ErrorKind};
use ketch_runtime::failpoint::{self, Point};

pub use backend::Backend;
pub use engine::EngineBackend;
pub use evidence::{evidence, evidence_at};
pub use failure::Failure;
pub use files::DiskFiles;
pub use observe::{observe, project_names};
pub use survey::survey;

use crate::planner::{Op, Plan, Step, StepId, Subject};
use forward::Forwarder;
use progress::Progress;

/// Something to show while a plan is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub step: StepId,
    /// `Container app-db-1`.
    pub subject: Subject,
    pub status: EventStatus,
    /// Compose's word: `Creating`, `Created`, `Waiting`, `Healthy`, `Error`, …
    pub text: String,
    /// The error, or empty.
    pub details: String,
}

/// Where a resource stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventStatus {
    Working,
    Done,
    Warning,
    Error,
}

/// Carries out a plan; `tell` is called on this thread only. `parallelism` bounds the
/// operations that run at once, waits not counted; 0 is no bound.
///
/// # Errors
/// Every failure, in the order in which they came. One of kind `Cancelled` when `cancel` was
/// and steps were left undone.
pub fn run(
    plan: &Plan,
    backend: &dyn Backend,
    tell: &mut dyn FnMut(Event),
    cancel: &Cancel,
    parallelism: usize,
) -> Result<(), Vec<Failure>> {
    let give_up = match Cancel::new() {
        Ok(token) => token,
        Err(error) => return Err(vec![Failure::of_plan(error)]),
    };
    let (sender, receiver) = channel();
    let mut run = Run {
        plan,
        progress: Progress::new(plan),
        give_up: &give_up,
        tell,
        failures: Vec::new(),
        stopped: false,
    };
    thread::scope(|scope| {
        let cancelled = sender.clone();
        let forwarder = Forwarder::spawn(scope, cancel, move || {
            let _owner_may_be_gone = cancelled.send(Message::Cancelled);
        });
        loop {
            while let Some(step) = run.next_ready(parallelism) {
                run.told_before(step);
                let (sender, give_up) = (sender.clone(), &give_up);
                scope.spawn(move || {
                    failpoint::reached(Point::StepBegun);
                    let result = match &step.op {
                        Op::Gate(gate) => backend.wait(gate, give_up).map(|()| Vec::new()),
                        op => backend.perform(op, cancel).map(|()| backend.warnings(op)),
                    };
                    failpoint::reached(Point::StepEnded);
                    // The owner only leaves when nothing runs, so the receiver is there.
                    let _received = sender.send(Message::Ended(step.id, result));
                });
            }
            if run.progress.running() == 0 || !run.receive(&receiver) {
                break;
            }
        }
        drop(forwarder);
    });
    run.end(cancel)
}

/// What reaches the owner of the progress.
enum Message {
    /// With what could not be done in full.
    Ended(StepId, Result<Vec<String>, Error>),
    Cancelled,
}

/// The state of one run; lives on the calling thread.
struct Run<'a> {
    plan: &'a Plan,
    progress: Progress,
    /// Ends the waits of gates: after a failure, and when the caller cancels.
    give_up: &'a Cancel,
    tell: &'a mut dyn FnMut(Event),
    failures: Vec<Failure>,
    /// Nothing new begins.
    stopped: bool,
}

impl<'a> Run<'a> {
    fn next_ready(&mut self, parallelism: usize) -> Option<&'a Step> {
        if self.stopped {
            return None;
        }
        let id = self.progress.begin_next(self.plan, parallelism)?;
        Some(self.plan.step(id))
    }

    /// Takes one message; false when there can be no more.
    fn receive(&mut self, receiver: &Receiver<Message>) -> bool {
        match receiver.recv() {
            Ok(Message::Cancelled) => self.stop(),
            Ok(Message::Ended(id, result)) => self.settle(self.plan.step(id), result),
            Err(_) => return false,
        }
        true
    }

    fn stop(&mut self) {
        self.stopped = true;
        self.give_up.cancel();
    }

    fn settle(&mut self, step: &Step, result: Result<Vec<String>, Error>) {
        self.progress.end(step.id);
        let error = match result {
            Ok(warnings) => {
                for warning in &warnings {
                    self.say(step, EventStatus::Warning, "Warning", warning);
                }
                self.say(step, EventStatus::Done, step.announce.after, "");
                return;
            }
            Err(error) => error,
        };
        let required = !matches!(&step.op, Op::Gate(gate) if !gate.required);
        let text = error.to_string();
        // What explains it stands below, in the error that ends the command.
        let first_line = text.lines().next().unwrap_or_default();
        if self.stopped && error.kind() == ErrorKind::Cancelled {
            // Given up, not failed: what made us give up is told.
            self.progress.fail(step.id);
        } else if !required {
            self.say(step, EventStatus::Warning, "Skipped", first_line);
        } else if is_still_in_use(step, &error) {
            self.say(step, EventStatus::Warning, "Resource is still in use", "");
        } else {
            self.say(step, EventStatus::Error, "Error", first_line);
            self.failures.push(Failure::of_step(step, error));
            if !step.best_effort {
                self.progress.fail(step.id);
                self.stop();
            }
        }
    }

    fn told_before(&mut self, step: &Step) {
        self.say(step, EventStatus::Working, step.announce.before, "");
    }

    fn say(&mut self, step: &Step, status: EventStatus, text: &str, details: &str) {
        if text.is_empty() {
            return;
        }
        for subject in &step.announce.subjects {
            (self.tell)(Event {
                step: step.id,
                subject: subject.clone(),
                status,
                text: text.to_owned(),
                details: details.to_owned(),
            });
        }
    }

    fn end(mut self, cancel: &Cancel) -> Result<(), Vec<Failure>> {
        if self.failures.is_empty() && self.progress.is_incomplete() && cancel.is_cancelled() {
            let error = Error::new(ErrorKind::Cancelled, "canceled");
            self.failures.push(Failure::of_plan(error));
        }
        if self.failures.is_empty() {
            Ok(())
        } else {
            Err(self.failures)
        }
    }
}

/// `down` leaves a network or image that others use, and is content (Compose's "Resource is
/// still in use").
fn is_still_in_use(step: &Step, error: &Error) -> bool {
    step.best_effort
        && error.kind() == ErrorKind::InUse
        && matches!(
            step.op,
            Op::RemoveNetwork { .. } | Op::RemoveVolume { .. } | Op::RemoveImage { .. }
        )
}

#[cfg(test)]
mod tests;
