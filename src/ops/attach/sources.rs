//! The threads that feed the loop: logs, states, signals. Each ends by itself.

use std::sync::mpsc::{Sender, channel};
use std::thread;

use ketch_runtime::cancel::Cancel;
use ketch_runtime::container::state::Status;
use ketch_runtime::engine::Engine;
use ketch_runtime::engine::containers::LogQuery;
use rustix::event::{PollFd, PollFlags, poll};

use super::super::logs::{self, Told};
use super::super::watch::Notice;
use super::super::{Context, Result};
use crate::executor::{self, Failure};

/// A container, followed from one moment on: it may be started again and followed anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) number: u32,
    pub(super) container: String,
    /// Its id: another one has another log.
    pub(super) id: String,
}

/// Everything that can happen.
pub(super) enum Message {
    Step(executor::Event),
    /// The plan of `up` has ended.
    Up(Result<(), Vec<Failure>>),
    Log(Run, Told),
    State {
        run: Run,
        status: Status,
        exit_code: i32,
    },
    /// No state can come from this container any more.
    Gone(Run),
    /// What is watched has changed, and its containers with it.
    Watch(Notice),
    /// Nothing is watched any more.
    WatchEnded(Result<()>),
    Interrupted,
    /// The plan that stops everything has ended.
    Stopped(Result<(), Vec<Failure>>),
}

/// Reads one log to its end.
pub(super) fn read_log(
    engine: &Engine,
    run: &Run,
    query: &LogQuery,
    cancel: &Cancel,
    sender: &Sender<Message>,
) {
    let (told, incoming) = channel();
    thread::scope(|scope| {
        let (id, name) = (&run.id, &run.container);
        scope.spawn(move || logs::read(engine, id, name, query, cancel, &told));
        for told in incoming {
            if sender.send(Message::Log(run.clone(), told)).is_err() {
                break;
            }
        }
    });
}

/// Tells every state of a container, and when no more can come.
pub(super) fn watch(engine: &Engine, run: &Run, cancel: &Cancel, sender: &Sender<Message>) {
    if let Ok(mut watch) = engine.watch_container(&run.id) {
        while let Ok(Some(state)) = watch.next(cancel) {
            let message = Message::State {
                run: run.clone(),
                status: state.status,
                exit_code: state.exit_code,
            };
            if sender.send(message).is_err() {
                return;
            }
        }
    }
    let _loop_left = sender.send(Message::Gone(run.clone()));
}

/// Tells of the first SIGINT or SIGTERM, and gives up what `up` still has to do.
pub(super) fn watch_signals(context: &Context, give_up: &Cancel, sender: &Sender<Message>) {
    let (first, give_up, sender) = (context.cancel.clone(), give_up.clone(), sender.clone());
    thread::spawn(move || {
        wait_for(&first);
        give_up.cancel();
        let _loop_left = sender.send(Message::Interrupted);
    });
}

/// Blocks until the token is cancelled. Signals are blocked in this thread, so nothing else wakes it.
pub(in crate::ops) fn wait_for(token: &Cancel) {
    let mut fds = [PollFd::new(token, PollFlags::IN)];
    while let Err(rustix::io::Errno::INTR) = poll(&mut fds, None) {}
}
