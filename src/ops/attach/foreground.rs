//! The loop of an attached `up`: what to print, and when the whole is over.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use jiff::Timestamp;
use ketch_runtime::cancel::Cancel;
use ketch_runtime::container::state::Status;
use ketch_runtime::engine::containers::LogQuery;

use super::super::logs::Told;
use super::super::scope::{self, short_name};
use super::super::up::{Abort, Attach};
use super::super::watch::Notice;
use super::super::{Context, Error, Result, perform};
use super::sources::{self, Message, Run};
use super::{Services, attached_names, stopping};
use crate::executor::{self, EventStatus, Failure};
use crate::planner::{Op, Plan, Until};
use crate::ui::logs::Printer;
use crate::ui::progress::Progress;

/// How long the last output of stopped containers is waited for.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A container that was started or found running.
struct Member {
    run: Run,
    service: String,
    attached: bool,
    /// Its log has been read to the end.
    log_ended: bool,
    /// It has ended for good, with this code.
    exit: Option<i32>,
    told: bool,
}

/// How far a log has been shown. One that is started again is read anew from there, while who
/// read it before comes to the end; each record is shown by the first of them.
struct Shown {
    last: Timestamp,
    readers: u32,
}

/// Why everything is being stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Interrupted,
    /// A container ended with this code.
    Aborted(i32),
}

/// The state of the loop; lives on one thread.
pub(super) struct Foreground<'a> {
    context: &'a Context,
    project: &'a str,
    plan: &'a Plan,
    services: &'a Services,
    options: &'a Attach,
    begun: Timestamp,
    sender: Sender<Message>,
    printer: Printer,
    /// By container.
    members: IndexMap<String, Member>,
    runs: u32,
    /// By the container's id.
    shown: HashMap<String, Shown>,
    /// Services whose containers are being replaced: their ends mean nothing.
    replacing: Vec<String>,
    /// Until output begins.
    progress: Option<Progress>,
    stop_reading: Cancel,
    /// Gives up what `up` still has to do.
    give_up: Cancel,
    up: Option<Result<(), Vec<Failure>>>,
    ending: Option<Ending>,
    /// Everything is stopped; output is waited for until then.
    drain_until: Option<Instant>,
}

impl<'a> Foreground<'a> {
    pub(super) fn new(
        context: &'a Context,
        project: &'a str,
        plan: &'a Plan,
        services: &'a Services,
        options: &'a Attach,
        begun: Timestamp,
        sender: &Sender<Message>,
    ) -> Result<Self> {
        let names = attached_names(plan, project, services);
        let mut foreground = Self {
            context,
            project,
            plan,
            services,
            options,
            begun,
            sender: sender.clone(),
            printer: Printer::new(&context.ui, options.style, &names),
            members: IndexMap::new(),
            runs: 0,
            shown: HashMap::new(),
            replacing: Vec::new(),
            progress: Some(perform::begin(context, plan)),
            stop_reading: Cancel::new()?,
            give_up: Cancel::new()?,
            up: None,
            ending: None,
            drain_until: None,
        };
        for kept in &plan.kept {
            foreground.follow(&kept.service, &kept.container);
        }
        Ok(foreground)
    }

    /// Cancelled when what `up` still has to do is given up.
    pub(super) fn give_up(&self) -> Cancel {
        self.give_up.clone()
    }

    /// Ends the threads that read, and the picture.
    pub(super) fn leave(&mut self) {
        self.stop_reading.cancel();
        if let Some(progress) = self.progress.take() {
            progress.finish();
        }
    }

    /// Takes messages until the whole is over.
    pub(super) fn run(&mut self, receiver: &Receiver<Message>) -> Result<()> {
        while !self.is_over() {
            // A sender is kept in `self`: the only error is that the time is up.
            let message = match self.drain_until {
                None => receiver.recv().ok(),
                Some(end) => receiver
                    .recv_timeout(end.saturating_duration_since(Instant::now()))
                    .ok(),
            };
            let Some(message) = message else { break };
            match message {
                Message::Step(event) => self.step(&event)?,
                Message::Up(result) => self.up_ended(result)?,
                Message::Log(run, told) => self.log(&run, told)?,
                Message::State {
                    run,
                    status,
                    exit_code,
                } => {
                    self.state(&run, status, exit_code)?;
                }
                Message::Gone(run) => self.gone(&run)?,
                Message::Watch(notice) => self.watched(notice)?,
                Message::WatchEnded(result) => match result {
                    Err(Error::Interrupted) | Ok(()) => {}
                    Err(error) => return Err(error),
                },
                Message::Interrupted => self.interrupted(),
                Message::Stopped(result) => self.stopped(result)?,
            }
        }
        self.verdict()
    }

    /// All attached containers have ended, by themselves or because we stopped them.
    fn is_over(&self) -> bool {
        let has_ended = |member: &Member| !member.attached || member.told;
        if self.drain_until.is_some() {
            let was_stopped = |member: &&Member| self.services.stopped.contains(&member.service);
            return self.members.values().filter(was_stopped).all(has_ended);
        }
        self.ending.is_none()
            && self.options.watch.is_none()
            && !self.give_up.is_cancelled()
            && matches!(self.up, Some(Ok(())))
            && self.members.values().all(has_ended)
    }

    /// Stopping waits for this: a container that starts meanwhile would be missed.
    fn up_ended(&mut self, result: Result<(), Vec<Failure>>) -> Result<()> {
        if let Err(failures) = &result
            && !self.give_up.is_cancelled()
        {
            return Err(perform::failed(failures));
        }
        self.up = Some(result);
        if self.ending.is_some() {
            self.stop();
            return Ok(());
        }
        self.begin_output()
    }

    fn step(&mut self, event: &executor::Event) -> Result<()> {
        let step = self.plan.step(event.step);
        let starts = matches!(
            step.op,
            Op::StartContainer { .. } | Op::RestartContainer { .. }
        );
        // Once stopping has begun, steps are those of another plan.
        if self.ending.is_some() {
            if let Some(progress) = &self.progress {
                progress.show(&perform::shown(event));
            }
            return Ok(());
        }
        if starts && event.status == EventStatus::Working {
            return self.begin_output();
        }
        if starts && event.status == EventStatus::Done {
            if let Some(service) = step.service.clone() {
                self.follow(&service, &event.subject.name);
            }
            return Ok(());
        }
        // Output has begun: of the remaining steps only what went wrong is worth a line.
        match &self.progress {
            Some(progress) => progress.show(&perform::shown(event)),
            None if matches!(event.status, EventStatus::Warning) => {
                let details = if event.details.is_empty() {
                    &event.text
                } else {
                    &event.details
                };
                self.context
                    .ui
                    .warn(format_args!("{}: {details}", event.subject));
            }
            None => {}
        }
        Ok(())
    }

    /// The picture of the work ends where output begins.
    fn begin_output(&mut self) -> Result<()> {
        // Once stopping has begun, the picture is that of the stop.
        if self.ending.is_none()
            && let Some(progress) = self.progress.take()
        {
            progress.finish();
            let names = attached_names(self.plan, self.project, self.services);
            if !names.is_empty() {
                self.context
                    .ui
                    .line(format_args!("Attaching to {}", names.join(", ")))?;
            }
        }
        Ok(())
    }

    /// Reads the log and the states of a container from now on.
    fn follow(&mut self, service: &str, container: &str) {
        if self.members.contains_key(container) {
            return;
        }
        let engine = self.context.engine.clone();
        // One that is gone already is told so by its name.
        let id = engine
            .container(container)
            .map_or_else(|_| container.to_owned(), |it| it.record.id.to_string());
        self.runs += 1;
        let run = Run {
            number: self.runs,
            container: container.to_owned(),
            id,
        };
        let attached = self.services.attached.contains(service);
        let member = Member {
            run: run.clone(),
            service: service.to_owned(),
            attached,
            log_ended: !attached,
            exit: None,
            told: false,
        };
        self.members.insert(container.to_owned(), member);
        if attached {
            let (engine, cancel) = (engine.clone(), self.stop_reading.clone());
            let (run, sender) = (run.clone(), self.sender.clone());
            let begun = Shown {
                last: self.begun,
                readers: 0,
            };
            let shown = self.shown.entry(run.id.clone()).or_insert(begun);
            shown.readers += 1;
            let since = shown.last;
            let query = LogQuery {
                follow: true,
                since: Some(since),
                ..LogQuery::default()
            };
            thread::spawn(move || sources::read_log(&engine, &run, &query, &cancel, &sender));
        }
        let sender = self.sender.clone();
        let cancel = self.stop_reading.clone();
        thread::spawn(move || sources::watch(&engine, &run, &cancel, &sender));
    }

    /// Containers that are replaced because files have changed go on being shown.
    fn watched(&mut self, notice: Notice) -> Result<()> {
        match notice {
            Notice::Replacing(services) => self.replacing.extend(services),
            Notice::Replaced(services) => {
                self.replacing.retain(|service| !services.contains(service));
                if self.ending.is_some() {
                    return Ok(());
                }
                for member in scope::members(&self.context.engine, self.project)? {
                    if services.contains(&member.service) && !member.one_off {
                        self.members.shift_remove(member.name());
                        self.follow(&member.service, member.name());
                    }
                }
                let gone = |member: &Member| services.contains(&member.service);
                let engine = &self.context.engine;
                self.members
                    .retain(|name, member| !gone(member) || engine.container(name).is_ok());
            }
        }
        Ok(())
    }

    /// Whether this is what the container does now, and not what it did before it was replaced.
    fn is_current(&self, run: &Run) -> bool {
        let member = self.members.get(&run.container);
        member.is_some_and(|member| {
            member.run.number == run.number && !self.replacing.contains(&member.service)
        })
    }

    fn log(&mut self, run: &Run, told: Told) -> Result<()> {
        self.begin_output()?;
        let project = self.project;
        match told {
            Told::Record(container, record) => {
                if let Some(shown) = self.shown.get_mut(&run.id) {
                    if shown.readers > 1 && record.time <= shown.last {
                        return Ok(());
                    }
                    shown.last = record.time;
                }
                let (printer, mut printed) = (&mut self.printer, Ok(()));
                let mut print =
                    || printed = printer.record(short_name(&container, project), &record);
                // While everything is being stopped, output goes above the picture of that.
                match &self.progress {
                    Some(progress) => progress.above(&mut print),
                    None => print(),
                }
                printed?;
            }
            Told::Ended(container) => {
                self.printer.flush(short_name(&container, project))?;
                if self.is_current(run)
                    && let Some(member) = self.members.get_mut(&container)
                {
                    member.log_ended = true;
                    self.tell_exit(&container)?;
                }
            }
            Told::Failed(error) => self.context.ui.warn(error),
        }
        Ok(())
    }

    fn state(&mut self, run: &Run, status: Status, exit_code: i32) -> Result<()> {
        if !self.is_current(run) {
            return Ok(());
        }
        let container = run.container.as_str();
        let Some(member) = self.members.get_mut(container) else {
            return Ok(());
        };
        match status {
            Status::Restarting if member.attached => {
                let name = short_name(container, self.project);
                let text = format!("{name} exited with code {exit_code} (restarting)");
                self.context.ui.line(text)?;
            }
            Status::Exited | Status::Dead | Status::Removing if member.exit.is_none() => {
                member.exit = Some(exit_code);
                self.tell_exit(container)?;
                self.maybe_abort(container, exit_code);
            }
            _ => {}
        }
        Ok(())
    }

    fn gone(&mut self, run: &Run) -> Result<()> {
        if self.is_current(run)
            && let Some(member) = self.members.get_mut(&run.container)
        {
            member.exit.get_or_insert(0);
            self.tell_exit(&run.container)?;
        }
        Ok(())
    }

    /// `web-1 exited with code 3`, after its last line.
    fn tell_exit(&mut self, container: &str) -> Result<()> {
        let Some(member) = self.members.get_mut(container) else {
            return Ok(());
        };
        let Some(code) = member.exit.filter(|_| member.log_ended && !member.told) else {
            return Ok(());
        };
        member.told = true;
        if member.attached {
            let name = short_name(container, self.project);
            self.context
                .ui
                .line(format_args!("{name} exited with code {code}"))?;
        }
        Ok(())
    }

    fn maybe_abort(&mut self, container: &str, code: i32) {
        let aborts = match self.options.abort {
            Abort::Never => false,
            Abort::OnExit => true,
            Abort::OnFailure => code != 0,
        };
        // A one-shot that others wait for ends as it should.
        if aborts && self.ending.is_none() && !self.is_waited_for(container) {
            self.context.ui.talk("Aborting on container exit...");
            self.end(Ending::Aborted(code));
        }
    }

    fn is_waited_for(&self, container: &str) -> bool {
        let Some(member) = self.members.get(container) else {
            return false;
        };
        self.plan.steps.iter().any(|step| {
            matches!(&step.op, Op::Gate(gate)
                if gate.service == member.service && gate.until == Until::Completed)
        })
    }

    fn interrupted(&mut self) {
        if self.ending.is_some() {
            return;
        }
        self.context
            .ui
            .talk("Gracefully Stopping... press Ctrl+C again to force");
        self.end(Ending::Interrupted);
    }

    fn end(&mut self, ending: Ending) {
        self.ending = Some(ending);
        self.give_up.cancel();
        if self.up.is_some() {
            self.stop();
        }
    }

    /// Stops in reverse order on a thread of its own; the second signal kills.
    fn stop(&mut self) {
        if let Some(progress) = self.progress.take() {
            progress.finish();
        }
        let progress = self.context.ui.progress("Stopping");
        self.progress = Some(progress.clone());
        let (engine, sender) = (self.context.engine.clone(), self.sender.clone());
        let (project, services) = (self.project.to_owned(), self.services.stopped.clone());
        let grace = self.services.grace;
        let second = self.context.signals.second();
        let killer = (
            engine.clone(),
            project.clone(),
            services.clone(),
            second.clone(),
        );
        thread::spawn(move || {
            let (engine, project, services, second) = killer;
            sources::wait_for(&second);
            let _what_is_left_is_told_by_stop = stopping::kill(&engine, &project, &services);
        });
        thread::spawn(move || {
            let result = stopping::stop(&engine, &project, &services, grace, &progress);
            let _loop_left = sender.send(Message::Stopped(result));
        });
    }

    /// What was stopped may still have a last word.
    fn stopped(&mut self, result: Result<(), Vec<Failure>>) -> Result<()> {
        if let Some(progress) = self.progress.take() {
            progress.finish();
        }
        self.drain_until = Some(Instant::now() + LAST_WORDS);
        result.map_err(|failures| perform::failed(&failures))
    }

    fn verdict(&self) -> Result<()> {
        match self.ending {
            None => Ok(()),
            Some(Ending::Interrupted) => Err(Error::Interrupted),
            Some(Ending::Aborted(code)) => {
                let from = self.options.exit_code_from.as_ref();
                match from
                    .and_then(|service| self.exit_code_of(service))
                    .unwrap_or(code)
                {
                    0 => Ok(()),
                    code => Err(Error::ExitedWith(code)),
                }
            }
        }
    }

    /// The code of the service's first container, from the disk: its end may not have been told yet.
    fn exit_code_of(&self, service: &str) -> Option<i32> {
        let found = self
            .members
            .iter()
            .find(|(_, member)| member.service == service);
        let (name, member) = found?;
        match self.context.engine.container(name) {
            Ok(container) => Some(container.state.exit_code),
            Err(_) => member.exit,
        }
    }
}
