//! The backend that is the runtime; each arm one call.

use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::thread;

use ketch_runtime::cancel::Cancel;
use ketch_runtime::container::state::{HealthStatus, State, Status};
use ketch_runtime::engine::Engine;
use ketch_runtime::engine::containers::{self, RemoveOptions, StopOptions};
use ketch_runtime::error::{Error, ErrorKind, Result};
use ketch_runtime::store::lock::Guard;

use super::forward::Forwarder;
use super::{Backend, evidence};
use crate::explain;
use crate::model::names::label;
use crate::planner::{Gate, Grace, Op, Until};

/// Carries steps out on an [`Engine`].
#[derive(Debug)]
pub struct EngineBackend {
    engine: Engine,
    /// Let go at the first start or wait: see [`EngineBackend::holding`].
    turn: Mutex<Option<Guard>>,
}

impl EngineBackend {
    /// A backend for this installation.
    pub fn new(engine: Engine) -> Self {
        Self {
            engine,
            turn: Mutex::new(None),
        }
    }

    /// The same, with the project's lock in hand until everything is created. Two commands on one
    /// project take turns at making things; nobody waits for the other's gates.
    #[must_use]
    pub fn holding(self, turn: Option<Guard>) -> Self {
        Self {
            turn: Mutex::new(turn),
            ..self
        }
    }

    fn end_turn(&self) {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        drop(turn.take());
    }
}

impl Backend for EngineBackend {
    fn perform(&self, op: &Op, _cancel: &Cancel) -> Result<()> {
        let engine = &self.engine;
        match op {
            Op::CreateNetwork(spec) => {
                let there = || Ok(engine.network(&spec.name)?.spec.labels == spec.labels);
                made(engine.create_network(spec), there)
            }
            Op::RemoveNetwork { name } => gone(engine.remove_network(name)),
            Op::CreateVolume(spec) => engine.create_volume(spec).map(drop),
            Op::RemoveVolume { name } => gone(engine.remove_volume(name, false)),
            Op::RemoveImage { name } => gone(engine.remove_image(name, false).map(drop)),
            Op::CreateContainer(spec) => {
                let there = || {
                    let labels = engine.container(&spec.name)?.record.spec.labels;
                    let alike = [label::PROJECT, label::SERVICE, label::CONFIG_HASH];
                    Ok(alike
                        .iter()
                        .all(|key| labels.get(*key) == spec.labels.get(*key)))
                };
                made(engine.create_container(spec), there)
            }
            Op::StartContainer { name } => {
                self.end_turn();
                engine.start_container(name)
            }
            Op::StopContainer { name, grace } => gone(engine.stop_container(name, &stop(*grace))),
            Op::RestartContainer { name, grace } => engine.restart_container(name, &stop(*grace)),
            Op::KillContainer { name, signal } => engine.kill_container(name, signal.as_deref()),
            Op::RemoveContainer {
                name,
                force,
                volumes,
            } => gone(engine.remove_container(
                name,
                &RemoveOptions {
                    force: *force,
                    volumes: *volumes,
                },
            )),
            Op::RenameContainer { name, new_name } => engine.rename_container(name, new_name),
            Op::Gate(gate) => Err(Error::new(
                ErrorKind::Internal,
                format!("a wait for {} is no operation", gate.service),
            )),
        }
    }

    fn warnings(&self, op: &Op) -> Vec<String> {
        match op {
            Op::StartContainer { name } | Op::RestartContainer { name, .. } => {
                let container = self.engine.container(name);
                container
                    .map(|found| found.state.warnings)
                    .unwrap_or_default()
            }
            Op::StopContainer { name, .. } => match self.engine.container(name) {
                Ok(found) if found.state.monitor_replaced => {
                    vec!["its monitor did not answer and was replaced".into()]
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    fn wait(&self, gate: &Gate, cancel: &Cancel) -> Result<()> {
        self.end_turn();
        // The first failure ends the other waits of this gate.
        let give_up = Cancel::new()?;
        let give_up = &give_up;
        let (sender, receiver) = channel();
        thread::scope(|scope| {
            for name in &gate.containers {
                let sender = sender.clone();
                scope.spawn(move || {
                    let _received = sender.send(self.wait_for(name, gate, give_up));
                });
            }
            drop(sender);
            let forwarder = Forwarder::spawn(scope, cancel, || give_up.cancel());
            let result = collect(&receiver, gate.until, give_up);
            drop(forwarder);
            result
        })
    }
}

/// What another command on the same project made a moment ago is as good as ours, when it is
/// what we wanted (`there`).
fn made<T>(result: Result<T>, there: impl Fn() -> Result<bool>) -> Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && there().unwrap_or(false) => {
            Ok(())
        }
        other => other.map(drop),
    }
}

/// All must pass, but for `Completed`, where the first replica that ended with 0 is enough
/// (spec 19.3).
fn collect(
    receiver: &std::sync::mpsc::Receiver<Result<()>>,
    until: Until,
    give_up: &Cancel,
) -> Result<()> {
    let mut outcome = None;
    while let Ok(result) = receiver.recv() {
        // The first verdict counts, a cancellation from outside among them; the other waits are
        // given up.
        if outcome.is_none() && (result.is_err() || until == Until::Completed) {
            outcome = Some(result);
            give_up.cancel();
        }
    }
    outcome.unwrap_or(Ok(()))
}

impl EngineBackend {
    fn wait_for(&self, name: &str, gate: &Gate, cancel: &Cancel) -> Result<()> {
        let mut watch = self.engine.watch_container(name)?;
        let mut last = None;
        loop {
            let Some(state) = watch.next(cancel)? else {
                // Ended for good: the last state said so already, unless it was never seen.
                let verdict = verdict_at_end(name, gate, last.as_ref());
                return verdict.map_err(|error| self.explained(error, name));
            };
            if let Some(verdict) = judge(name, gate, &state) {
                return verdict.map_err(|error| self.explained(error, name));
            }
            last = Some(state);
        }
    }
}

impl EngineBackend {
    /// Compose's line first, and below it what the user would have to look for otherwise.
    fn explained(&self, error: Error, name: &str) -> Error {
        let why = evidence(&self.engine, name).map(|evidence| explain::failure(&evidence));
        match why {
            Ok(why) if !why.is_empty() => Error::new(error.kind(), format!("{error}\n{why}")),
            // What can't be explained is told all the same.
            _ => error,
        }
    }
}

/// What this state means for the gate; `None`: wait on.
fn judge(name: &str, gate: &Gate, state: &State) -> Option<Result<()>> {
    let ended = matches!(
        state.status,
        Status::Exited | Status::Dead | Status::Removing
    );
    match gate.until {
        Until::Completed => ended.then(|| completed(gate, state)),
        Until::Healthy | Until::Ready if ended => Some(Err(exited(name, gate, state))),
        Until::Healthy | Until::Ready if state.status == Status::Created => None,
        Until::Healthy => match &state.health {
            None => Some(Err(failed(name, gate, "has no healthcheck configured"))),
            Some(health) => judge_health(name, gate, health.status),
        },
        Until::Ready => match &state.health {
            None => (state.status == Status::Running).then_some(Ok(())),
            Some(health) => judge_health(name, gate, health.status),
        },
    }
}

fn judge_health(name: &str, gate: &Gate, status: HealthStatus) -> Option<Result<()>> {
    match status {
        HealthStatus::Starting => None,
        HealthStatus::Healthy => Some(Ok(())),
        HealthStatus::Unhealthy => Some(Err(failed(name, gate, "is unhealthy"))),
    }
}

fn verdict_at_end(name: &str, gate: &Gate, last: Option<&State>) -> Result<()> {
    match (gate.until, last) {
        (Until::Completed, Some(state)) => completed(gate, state),
        (_, Some(state)) => Err(exited(name, gate, state)),
        (_, None) => Err(failed(name, gate, "is not running")),
    }
}

fn completed(gate: &Gate, state: &State) -> Result<()> {
    if state.exit_code == 0 {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Conflict,
        format!(
            "service {:?} didn't complete successfully: exit {}",
            gate.service, state.exit_code
        ),
    ))
}

fn exited(name: &str, gate: &Gate, state: &State) -> Error {
    failed(name, gate, &format!("exited ({})", state.exit_code))
}

/// Compose's words for a failed gate; `--wait` has the same without the first half.
fn failed(name: &str, gate: &Gate, what: &str) -> Error {
    let prefix = match gate.until {
        Until::Ready => "",
        Until::Healthy | Until::Completed => "dependency failed to start: ",
    };
    Error::new(
        ErrorKind::Conflict,
        format!("{prefix}container {name} {what}"),
    )
}

/// What is already gone need not be removed or stopped.
fn gone(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn stop(grace: Grace) -> StopOptions {
    StopOptions {
        signal: None,
        grace: match grace {
            Grace::Configured => containers::Grace::Configured,
            Grace::For(duration) => containers::Grace::For(duration),
            Grace::Forever => containers::Grace::Forever,
        },
    }
}

#[cfg(test)]
mod tests {
    use ketch_runtime::container::state::Health;

    use super::*;

    fn state(status: Status, exit_code: i32, health: Option<HealthStatus>) -> State {
        State {
            status,
            exit_code,
            health: health.map(|status| Health {
                status,
                ..Health::default()
            }),
            ..State::default()
        }
    }

    /// What the gate says: nothing yet, open, or why it never opens.
    fn verdict(until: Until, state: &State) -> Option<String> {
        let gate = Gate {
            service: "db".into(),
            containers: vec!["app-db-1".into()],
            until,
            required: true,
        };
        let verdict = judge("app-db-1", &gate, state)?;
        Some(verdict.map_or_else(|error| error.to_string(), |()| "open".into()))
    }

    #[test]
    fn healthy_waits_for_health_and_fails_in_composes_words() {
        let say = |status, code, health| verdict(Until::Healthy, &state(status, code, health));
        let running = Status::Running;
        assert_eq!(say(Status::Created, 0, None), None);
        assert_eq!(say(running, 0, Some(HealthStatus::Starting)), None);
        let open = say(running, 0, Some(HealthStatus::Healthy));
        assert_eq!(open.as_deref(), Some("open"));
        let sick = say(running, 0, Some(HealthStatus::Unhealthy));
        let words = "dependency failed to start: container app-db-1 is unhealthy";
        assert_eq!(sick.as_deref(), Some(words));
        let unchecked = say(running, 0, None);
        let words = "dependency failed to start: container app-db-1 has no healthcheck configured";
        assert_eq!(unchecked.as_deref(), Some(words));
        let exited = say(Status::Exited, 3, Some(HealthStatus::Unhealthy));
        let words = "dependency failed to start: container app-db-1 exited (3)";
        assert_eq!(exited.as_deref(), Some(words));
    }

    #[test]
    fn completed_wants_the_code_zero() {
        let say = |status, code| verdict(Until::Completed, &state(status, code, None));
        assert_eq!(say(Status::Running, 0), None);
        assert_eq!(say(Status::Exited, 0).as_deref(), Some("open"));
        let words = "service \"db\" didn't complete successfully: exit 2";
        assert_eq!(say(Status::Exited, 2).as_deref(), Some(words));
    }

    #[test]
    fn ready_is_running_without_a_check_and_healthy_with_one() {
        let say = |status, code, health| verdict(Until::Ready, &state(status, code, health));
        assert_eq!(say(Status::Running, 0, None).as_deref(), Some("open"));
        assert_eq!(say(Status::Running, 0, Some(HealthStatus::Starting)), None);
        let exited = say(Status::Exited, 0, None);
        assert_eq!(exited.as_deref(), Some("container app-db-1 exited (0)"));
    }
}
