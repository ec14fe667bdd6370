//! Running plans against a recorder.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use ketch_runtime::cancel::Cancel;
use ketch_runtime::error::{Error, ErrorKind, Result};

use super::{Backend, Event, EventStatus, Failure, run};
use crate::planner::{Cause, Gate, Op, Plan, Step, StepId, Until};

type Meeting = (Mutex<Sender<()>>, Mutex<Receiver<()>>);

/// Writes down what is asked of it; some names fail, some meet first.
#[derive(Default)]
struct Recorder {
    done: Mutex<Vec<String>>,
    failing: Vec<(&'static str, ErrorKind)>,
    /// Starts of these names end only when both are under way.
    meeting: Option<Meeting>,
    /// Gates wait until they are cancelled.
    patient: bool,
    cancel_at: Option<(&'static str, Cancel)>,
}

impl Backend for Recorder {
    fn perform(&self, op: &Op, _cancel: &Cancel) -> Result<()> {
        let name = op.name();
        if let Some((at, cancel)) = &self.cancel_at
            && name == *at
        {
            cancel.cancel();
        }
        match (&self.meeting, name) {
            (Some((sender, _)), "one") => sender.lock().unwrap().send(()).unwrap(),
            (Some((_, receiver)), "two") => {
                let patience = Duration::from_secs(20);
                receiver.lock().unwrap().recv_timeout(patience).unwrap();
            }
            _ => {}
        }
        self.done
            .lock()
            .unwrap()
            .push(format!("{} {name}", op.verb()));
        match self.failing.iter().find(|(failing, _)| *failing == name) {
            Some((_, kind)) => Err(Error::new(*kind, format!("{name} is broken"))),
            None => Ok(()),
        }
    }

    fn wait(&self, gate: &Gate, cancel: &Cancel) -> Result<()> {
        if self.patient {
            let mut fds = [rustix::event::PollFd::new(
                cancel,
                rustix::event::PollFlags::IN,
            )];
            rustix::event::poll(&mut fds, None).unwrap();
            return Err(Error::new(ErrorKind::Cancelled, "canceled"));
        }
        self.done
            .lock()
            .unwrap()
            .push(format!("gate {}", gate.service));
        match self.failing.iter().find(|(name, _)| *name == gate.service) {
            Some((_, kind)) => Err(Error::new(
                *kind,
                "dependency failed to start: container x is unhealthy",
            )),
            None => Ok(()),
        }
    }
}

fn start(name: &str) -> Op {
    Op::StartContainer { name: name.into() }
}

fn gate(service: &str, required: bool) -> Op {
    Op::Gate(Gate {
        service: service.into(),
        containers: vec![format!("app-{service}-1")],
        until: Until::Healthy,
        required,
    })
}

fn plan(steps: Vec<(Op, &[usize])>) -> Plan {
    let mut plan = Plan::default();
    for (index, (op, after)) in steps.into_iter().enumerate() {
        plan.steps.push(Step {
            id: StepId(index + 1),
            announce: op.announce(),
            service: Some(op.name().to_owned()),
            op,
            after: after.iter().map(|number| StepId(*number)).collect(),
            cause: Cause::Follows,
            best_effort: false,
        });
    }
    plan
}

fn carry_out(
    plan: &Plan,
    backend: &Recorder,
    cancel: &Cancel,
    parallelism: usize,
) -> (std::result::Result<(), Vec<Failure>>, Vec<Event>) {
    let mut events = Vec::new();
    let result = run(
        plan,
        backend,
        &mut |event| events.push(event),
        cancel,
        parallelism,
    );
    (result, events)
}

fn words(events: &[Event]) -> Vec<String> {
    let lines = events
        .iter()
        .map(|event| format!("{} {}", event.subject, event.text));
    lines.collect()
}

#[test]
fn steps_run_in_order_and_say_so() {
    let plan = plan(vec![
        (start("db"), &[]),
        (gate("db", true), &[1]),
        (start("web"), &[2]),
    ]);
    let backend = Recorder::default();
    let (result, events) = carry_out(&plan, &backend, &Cancel::new().unwrap(), 0);
    assert!(result.is_ok());
    assert_eq!(
        *backend.done.lock().unwrap(),
        ["start db", "gate db", "start web"]
    );
    assert_eq!(
        words(&events),
        [
            "Container db Starting",
            "Container db Started",
            "Container app-db-1 Waiting",
            "Container app-db-1 Healthy",
            "Container web Starting",
            "Container web Started",
        ]
    );
}

#[test]
fn independent_steps_run_at_once() {
    let (sender, receiver) = channel();
    let backend = Recorder {
        meeting: Some((Mutex::new(sender), Mutex::new(receiver))),
        ..Recorder::default()
    };
    // The first to begin waits for the other.
    let plan = plan(vec![(start("two"), &[]), (start("one"), &[])]);
    let (result, _) = carry_out(&plan, &backend, &Cancel::new().unwrap(), 0);
    assert!(result.is_ok());
    let mut done = backend.done.lock().unwrap().clone();
    done.sort();
    assert_eq!(done, ["start one", "start two"]);
}

#[test]
fn parallelism_bounds_the_work_but_not_the_waits() {
    let plan = plan(vec![
        (start("a"), &[]),
        (start("b"), &[]),
        (start("c"), &[]),
        (gate("g", true), &[]),
    ]);
    let backend = Recorder::default();
    let (result, events) = carry_out(&plan, &backend, &Cancel::new().unwrap(), 1);
    assert!(result.is_ok());
    let mut working = 0;
    for event in events.iter().filter(|event| event.step != StepId(4)) {
        working += if event.status == EventStatus::Working {
            1
        } else {
            -1
        };
        assert!(working <= 1, "{:?}", words(&events));
    }
}

#[test]
fn after_a_failure_nothing_new_begins_and_waits_are_given_up() {
    let plan = plan(vec![
        (start("db"), &[]),
        (gate("other", true), &[]),
        (start("web"), &[1]),
        (start("api"), &[2]),
    ]);
    let backend = Recorder {
        failing: vec![("db", ErrorKind::Conflict)],
        patient: true,
        ..Recorder::default()
    };
    let (result, events) = carry_out(&plan, &backend, &Cancel::new().unwrap(), 0);
    let failures = result.unwrap_err();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].to_string(), "service \"db\": db is broken");
    assert_eq!(failures[0].title, "container db start");
    assert_eq!(*backend.done.lock().unwrap(), ["start db"]);
    assert!(words(&events).contains(&"Container db Error".to_owned()));
}

#[test]
fn best_effort_goes_on_and_tells_all_failures() {
    let remove = |name: &str| Op::RemoveContainer {
        name: name.into(),
        force: true,
        volumes: false,
    };
    let network = Op::RemoveNetwork { name: "net".into() };
    let mut plan = plan(vec![
        (remove("a"), &[]),
        (remove("b"), &[1]),
        (network, &[1, 2]),
    ]);
    for step in &mut plan.steps {
        step.best_effort = true;
    }
    let backend = Recorder {
        failing: vec![
            ("a", ErrorKind::Internal),
            ("b", ErrorKind::Internal),
            ("net", ErrorKind::InUse),
        ],
        ..Recorder::default()
    };
    let (result, events) = carry_out(&plan, &backend, &Cancel::new().unwrap(), 0);
    assert_eq!(result.unwrap_err().len(), 2);
    let last = events.last().unwrap();
    assert_eq!(last.status, EventStatus::Warning);
    assert_eq!(last.text, "Resource is still in use");
}

#[test]
fn a_gate_that_is_not_required_only_warns() {
    let plan = plan(vec![(gate("db", false), &[]), (start("web"), &[1])]);
    let backend = Recorder {
        failing: vec![("db", ErrorKind::Conflict)],
        ..Recorder::default()
    };
    let (result, events) = carry_out(&plan, &backend, &Cancel::new().unwrap(), 0);
    assert!(result.is_ok());
    assert_eq!(backend.done.lock().unwrap().last().unwrap(), "start web");
    assert!(
        events
            .iter()
            .any(|event| event.status == EventStatus::Warning)
    );
}

#[test]
fn a_failed_gate_speaks_in_its_own_words() {
    let plan = plan(vec![(gate("db", true), &[]), (start("web"), &[1])]);
    let backend = Recorder {
        failing: vec![("db", ErrorKind::Conflict)],
        ..Recorder::default()
    };
    let (result, _) = carry_out(&plan, &backend, &Cancel::new().unwrap(), 0);
    let failures = result.unwrap_err();
    assert_eq!(
        failures[0].to_string(),
        "dependency failed to start: container x is unhealthy"
    );
}

#[test]
fn a_cancelled_run_ends_what_is_under_way_and_begins_nothing() {
    let cancel = Cancel::new().unwrap();
    let plan = plan(vec![
        (gate("db", true), &[]),
        (start("a"), &[]),
        (start("b"), &[1]),
    ]);
    let backend = Recorder {
        patient: true,
        cancel_at: Some(("a", cancel.clone())),
        ..Recorder::default()
    };
    let (result, _) = carry_out(&plan, &backend, &cancel, 0);
    let failures = result.unwrap_err();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].error.kind(), ErrorKind::Cancelled);
    assert_eq!(*backend.done.lock().unwrap(), ["start a"]);
}
