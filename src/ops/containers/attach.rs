//! Attached to a container: our standard streams are its own, until it ends or we leave.

use std::fs::File;
use std::io::{self, IsTerminal as _, PipeReader};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use ketch_runtime::cancel::Cancel;
use ketch_runtime::container::Container;
use ketch_runtime::container::state::Status;
use ketch_runtime::engine::Engine;
use ketch_runtime::engine::containers::{AttachSpec, Attached, Ended};

use super::super::detach_keys::Keys;
use super::super::scope::Scope;
use super::super::terminal::{self, Patient, Raw};
use super::super::{Context, Error, Result, attach as foreground};
use crate::ui::{Ui, Unwritten};

/// Which of our streams are the container's, and what else we do for it.
#[derive(Debug, Clone)]
pub struct Attach {
    /// Where the container has an open stdin.
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    /// Signals are the program's; never at a terminal, whose keys are.
    pub sig_proxy: bool,
    /// These leave a container with a terminal.
    pub keys: Keys,
}

impl Attach {
    /// All that it has.
    pub fn all() -> Self {
        Self {
            stdin: true,
            stdout: true,
            stderr: true,
            sig_proxy: true,
            keys: Keys::default(),
        }
    }

    /// # Errors
    /// A terminal whose input would not come from one.
    pub fn check(&self, tty: bool, stdin_open: bool) -> Result<()> {
        if tty && stdin_open && self.stdin && !io::stdin().is_terminal() {
            let message = "the input device is not a TTY";
            return Err(Error::Failed(message.into()));
        }
        Ok(())
    }
}

/// Attaches to a running container, and ends with its code.
///
/// # Errors
/// One that does not run; the container's code.
pub fn run(context: &Context, name: &str, attach: &Attach) -> Result<()> {
    Session::join(context, name, attach)?.end(context)
}

/// Attaches to the running container of a service.
///
/// # Errors
/// `service "x" is not running`; the container's code.
pub fn service(
    context: &Context,
    service: &str,
    index: Option<u32>,
    attach: &Attach,
) -> Result<()> {
    let member = Scope::find(context)?.running(&context.engine, service, index)?;
    if context.dry_run {
        return Ok(());
    }
    run(context, member.name(), attach)
}

/// Starts it, or attaches to one that runs, and ends with its code.
///
/// # Errors
/// What keeps it from starting; the container's code.
pub fn start(context: &Context, name: &str, attach: &Attach) -> Result<()> {
    let container = context.engine.container(name)?;
    let session = match container.state.status.is_active() {
        true => Session::join(context, name, attach)?,
        false => Session::start(context, name, attach)?,
    };
    session.end(context)
}

/// A container, and our streams on their way to it and from it.
#[derive(Debug)]
pub(super) struct Session {
    container: Container,
    attach: Attach,
    attached: Attached,
    outputs: Vec<(Sink, PipeReader)>,
    /// It ran before we came.
    joined: bool,
    signals: Option<Receiver<i32>>,
}

/// Why we no longer wait for a container that runs on.
#[derive(Debug)]
enum Left {
    ByKeys,
    BySignal,
    /// Its signals were passed on, and nothing came of it.
    Impatient,
    Unwritten(Unwritten),
}

#[derive(Debug, Clone, Copy)]
enum Sink {
    Stdout,
    Stderr,
}

impl Sink {
    fn write(self, ui: &Ui, bytes: &[u8]) -> Result<(), Unwritten> {
        match self {
            Self::Stdout => ui.data(bytes),
            Self::Stderr => {
                ui.error_data(bytes);
                Ok(())
            }
        }
    }
}

impl Session {
    pub(super) fn start(context: &Context, name: &str, attach: &Attach) -> Result<Self> {
        Self::begin(context, name, attach, false, Engine::start_attached)
    }

    fn join(context: &Context, name: &str, attach: &Attach) -> Result<Self> {
        Self::begin(context, name, attach, true, Engine::attach_container)
    }

    fn begin(
        context: &Context,
        name: &str,
        attach: &Attach,
        joined: bool,
        how: fn(&Engine, &str, AttachSpec) -> ketch_runtime::error::Result<Attached>,
    ) -> Result<Self> {
        let container = context.engine.container(name)?;
        let process = &container.record.process;
        // One that can't be attached to is told so first.
        if !joined || container.state.status == Status::Running {
            attach.check(process.tty, process.stdin_open)?;
        }
        let mut spec = AttachSpec {
            stdin: attach.stdin && process.stdin_open,
            size: terminal::size().filter(|_| process.tty),
            ..AttachSpec::default()
        };
        let mut outputs = Vec::new();
        let mut pipe = |wanted: bool, sink: Sink| -> Result<Option<OwnedFd>> {
            if !wanted {
                return Ok(None);
            }
            let (ours, theirs) =
                io::pipe().map_err(|error| Error::Failed(format!("pipe: {error}")))?;
            outputs.push((sink, ours));
            Ok(Some(theirs.into()))
        };
        spec.stdout = pipe(attach.stdout, Sink::Stdout)?;
        // A terminal has one stream.
        spec.stderr = pipe(attach.stderr && !process.tty, Sink::Stderr)?;
        // From here on: what comes while it starts is the program's already.
        let proxy = attach.sig_proxy && !process.tty;
        let signals = proxy.then(|| context.signals.taken());
        let attached = how(&context.engine, container.record.id.as_str(), spec)?;
        Ok(Self {
            attached,
            outputs,
            joined,
            signals,
            attach: attach.clone(),
            container,
        })
    }

    /// Stays until it ends or we leave; its code is the command's.
    pub(super) fn end(self, context: &Context) -> Result<()> {
        match self.stay(context)? {
            0 => Ok(()),
            code => Err(Error::ExitedWith(code)),
        }
    }

    fn stay(mut self, context: &Context) -> Result<i32> {
        let door = Door::new()?;
        let raw = self.carry_input(context, &door);
        let outputs: Vec<_> = std::mem::take(&mut self.outputs)
            .into_iter()
            .map(|(sink, pipe)| carry_output(&context.ui, sink, pipe, &door))
            .collect();
        self.mind_signals(context, &door);
        let ended = self.attached.wait(&door.token);
        let result = match (ended, door.left.try_recv()) {
            (Ok(ended), _) => finish(&context.ui, ended, outputs),
            (Err(_), Ok(left)) => {
                drop(raw);
                return leave(context, left);
            }
            (Err(error), Err(_)) => Err(error.into()),
        };
        drop(raw);
        let code = result?;
        if self.container.record.spec.auto_remove {
            self.attached.removed()?;
        }
        Ok(code)
    }

    /// Our terminal is the container's while the result lives.
    fn carry_input(&mut self, context: &Context, door: &Door) -> Option<Raw> {
        let input = self.attached.take_input()?;
        if !self.container.record.process.tty {
            terminal::carry_input(Patient(input), None, || {});
            return None;
        }
        let raw = Raw::enter();
        if self.joined {
            terminal::redraw(&input);
        }
        if let Ok(terminal) = input.try_clone() {
            terminal::follow_size(context.signals.clone(), terminal);
        }
        let exit = door.exit();
        let keys = self.attach.keys.clone();
        terminal::carry_input(Patient(input), Some(keys), move || exit.leave(Left::ByKeys));
        Some(raw)
    }

    /// Passes signals on; where they are not the program's they end our being here.
    fn mind_signals(&mut self, context: &Context, door: &Door) {
        let exit = door.exit();
        let Some(signals) = self.signals.take() else {
            let cancel = context.cancel.clone();
            thread::spawn(move || {
                foreground::wait_for(&cancel);
                exit.leave(Left::BySignal);
            });
            return;
        };
        let engine = context.engine.clone();
        let id = self.container.record.id.to_string();
        thread::spawn(move || {
            let mut endings = 0;
            for signal in signals {
                endings += u32::from(matches!(signal, 2 | 15));
                if endings == 3 {
                    return exit.leave(Left::Impatient);
                }
                let _ended_already = engine.kill_container(&id, Some(&signal.to_string()));
            }
        });
    }
}

/// By which the threads around a container let the one that waits for it go.
struct Door {
    token: Cancel,
    left: Receiver<Left>,
    sender: Sender<Left>,
}

struct Exit {
    token: Cancel,
    sender: Sender<Left>,
}

impl Door {
    fn new() -> Result<Self> {
        let (sender, left) = channel();
        Ok(Self {
            token: Cancel::new()?,
            left,
            sender,
        })
    }

    fn exit(&self) -> Exit {
        Exit {
            token: self.token.clone(),
            sender: self.sender.clone(),
        }
    }
}

impl Exit {
    fn leave(&self, left: Left) {
        let _left_already = self.sender.send(left);
        self.token.cancel();
    }
}

fn carry_output(ui: &Ui, sink: Sink, pipe: PipeReader, door: &Door) -> JoinHandle<Sink> {
    let (ui, exit) = (ui.clone(), door.exit());
    thread::spawn(move || {
        if let Err(unwritten) = terminal::carry_output(pipe, |bytes| sink.write(&ui, bytes)) {
            exit.leave(Left::Unwritten(unwritten));
        }
        sink
    })
}

/// It has ended: its pipes are closed, and what did not go through them came with the news.
fn finish(ui: &Ui, ended: Ended, outputs: Vec<JoinHandle<Sink>>) -> Result<i32> {
    let mut rest = ended.rest.into_iter();
    for output in outputs {
        let Ok(sink) = output.join() else {
            continue;
        };
        if let Some(rest) = rest.next() {
            terminal::carry_output(File::from(rest), |bytes| sink.write(ui, bytes))?;
        }
    }
    Ok(ended.code)
}

fn leave(context: &Context, left: Left) -> Result<i32> {
    match left {
        Left::ByKeys => {
            context.ui.talk(terminal::LEFT_BY_KEYS);
            Ok(0)
        }
        Left::BySignal => Err(Error::Interrupted),
        Left::Impatient => {
            let message = "got 3 SIGTERM/SIGINTs, forcefully exiting";
            Err(Error::Failed(message.into()))
        }
        Left::Unwritten(unwritten) => Err(unwritten.into()),
    }
}
