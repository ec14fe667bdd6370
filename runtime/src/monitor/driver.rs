//! The machine's hands: its actions done to the world, the world's events told to it.
//!
//! One thread, one epoll loop. What is registered there has a token; a token is never used
//! twice, so a late event of something closed finds nobody.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Instant;

use jiff::Timestamp;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::audience::Audience;
use super::control::{
    self, Ask, AttachAsk, ExecAsk, ExecNote, ExecStreams, Received, Reply, Request,
};
use super::entry::Word;
use super::logfile::{LogFile, Settings};
use super::machine::{Action, Event, Machine, Now, StoppedBy};
use super::probe::Probe;
use super::processes::{self, Reaction};
use super::records::Stream;
use super::stdio::{self, Flow, Input, Output};
use super::{cleanup, spawn};
use crate::cgroup::OomWatch;
use crate::container::record::{Process, Record};
use crate::container::state::{State, Status};
use crate::container::{Container, documents};
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint::{self, Point};
use crate::init::{self, Child, ExecRequest, Stdio};
use crate::spec::signal;
use crate::store::Roots;
use crate::store::lock::{self, Lock};
use crate::sys;
use crate::sys::process::Exit;

/// Registered for the whole life of the monitor.
const SIGNALS: u64 = 0;
const LISTENER: u64 = 1;
/// The adopted process 1, which is not our child.
const ADOPTED: u64 = 2;
const OUT_OF_MEMORY: u64 = 3;
const RESOLVER: u64 = 4;
const FORWARDER: u64 = 5;
const FIRST_FREE: u64 = 16;

/// How long a reaped process may take to show its exit status.
const STATUS_WAIT: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};
/// Exit code of a process whose status nobody saw.
const UNKNOWN_EXIT: i32 = 255;

/// A running monitor.
#[derive(Debug)]
pub struct Driver {
    roots: Roots,
    record: Record,
    run: PathBuf,
    machine: Machine,
    epoll: OwnedFd,
    signals: OwnedFd,
    listener: OwnedFd,
    /// Let go for a question when all descriptors are used up.
    spare: Option<OwnedFd>,
    /// There was none to let go: nobody is listened to.
    deaf: bool,
    log: LogFile,
    outputs: BTreeMap<u64, Output>,
    /// Outputs that wait for somebody who listens to them.
    held: BTreeSet<u64>,
    audience: Audience,
    /// Of the next run's terminal.
    size: Option<(u16, u16)>,
    stdin: Option<OwnedFd>,
    init: Option<Init>,
    net: spawn::Net,
    oom: Option<OomWatch>,
    probes: BTreeMap<u64, Probe>,
    execs: Vec<ExecProcess>,
    connections: BTreeMap<u64, Connection>,
    /// Processes that were asked to stop in place of a deaf process 1.
    hearers: BTreeMap<u64, OwnedFd>,
    next_token: u64,
    todo: VecDeque<Action>,
    /// Somebody is going to start it again: `auto_remove` does not count.
    keep: bool,
    done: bool,
}

/// Process 1 of the container.
#[derive(Debug)]
struct Init {
    pid: u32,
    pidfd: OwnedFd,
}

/// A further process, started for a connection that may be gone.
#[derive(Debug)]
struct ExecProcess {
    pid: u32,
    pidfd: OwnedFd,
    connection: u64,
}

#[derive(Debug)]
struct Connection {
    socket: OwnedFd,
    role: Role,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Has not asked yet.
    New,
    /// Waits for the container's end.
    Ending,
    /// Is told every state; `true`: could not take the last one yet.
    Watching(bool),
    /// Waits for the end of a process.
    Executing,
    /// Waits for the container's process to begin.
    Attaching(AttachAsk),
    /// Waits for its end.
    Attached(AttachAsk),
}

impl Role {
    fn attaching(self) -> Option<AttachAsk> {
        match self {
            Self::Attaching(ask) => Some(ask),
            _ => None,
        }
    }

    fn attached(self) -> Option<AttachAsk> {
        match self {
            Self::Attached(ask) => Some(ask),
            _ => None,
        }
    }
}

impl Driver {
    /// Everything that stays for the monitor's life; the container is not touched yet.
    ///
    /// # Errors
    /// When the kernel or the disk refuses.
    pub fn new(roots: Roots, container: Container, listener: OwnedFd) -> Result<Self> {
        let Container { record, state } = container;
        // A person's ctrl-C and the end of a session are not for us: blocked, never read.
        sys::signal::block(&[libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGPIPE])?;
        let signals = sys::signal::signalfd(&[libc::SIGCHLD, libc::SIGTERM])?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let add = |fd: BorrowedFd<'_>, token| {
            epoll::add(&epoll, fd, EventData::new_u64(token), EventFlags::IN)
        };
        add(signals.as_fd(), SIGNALS)?;
        add(listener.as_fd(), LISTENER)?;
        let settings = Settings::parse(&record.spec.log)?;
        let path = settings.path(&roots.container(&record.id), &record.id);
        let run = roots.container_run(&record.id);
        // A terminal is lost with its monitor: there is nothing to go on with.
        let kept = (!record.process.tty).then_some(run.as_path());
        let log = LogFile::open(settings, path, kept)?;
        Ok(Self {
            run,
            machine: Machine::new(&record, state),
            log,
            roots,
            record,
            epoll,
            signals,
            listener,
            spare: Some(stdio::null()?),
            deaf: false,
            outputs: BTreeMap::new(),
            held: BTreeSet::new(),
            audience: Audience::default(),
            size: None,
            stdin: None,
            init: None,
            net: spawn::Net::default(),
            oom: None,
            probes: BTreeMap::new(),
            execs: Vec::new(),
            connections: BTreeMap::new(),
            hearers: BTreeMap::new(),
            next_token: FIRST_FREE,
            todo: VecDeque::new(),
            keep: false,
            done: false,
        })
    }

    /// Starts or adopts the container, says so, and keeps it to its end.
    ///
    /// # Errors
    /// When it could not be started.
    pub fn run(&mut self, adopt: bool, word: &mut Word) -> Result<()> {
        if let Some(caller) = word.take_caller() {
            let token = self.connect(caller);
            self.on_connection(token);
        }
        let first = if adopt {
            self.adopt()?;
            Event::Adopt
        } else {
            Event::Start
        };
        let actions = self.machine.on(now(), first);
        self.todo.extend(actions);
        // The first start says why it failed with the kind of the failure.
        if self.todo.front() == Some(&Action::Spawn) {
            self.todo.pop_front();
            match self.spawn() {
                Ok(event) => {
                    self.tell_machine(event);
                    // Who hears the word finds the state written; the first health check can
                    // wait until after it.
                    while let Some(action) = self.todo.pop_front() {
                        let is_save = action == Action::Save;
                        self.perform(action);
                        if is_save {
                            break;
                        }
                    }
                }
                Err(failure) => {
                    let reply = Reply::failed(&failure.error);
                    self.tell_machine(failure.event());
                    self.work();
                    word.say(&reply);
                    return Ok(());
                }
            }
        }
        word.say(&Reply::Done);
        failpoint::reached(Point::WordSaid);
        self.work();
        sys::memory::give_back();
        sys::memory::let_go_of_text();
        while !self.done {
            self.turn()?;
        }
        Ok(())
    }

    /// Waits for what happens next and deals with it.
    fn turn(&mut self) -> Result<()> {
        let timeout = self.deadline().map(|at| {
            let left = at.saturating_duration_since(Instant::now());
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        let mut events = [epoll::Event {
            flags: EventFlags::empty(),
            data: EventData::new_u64(0),
        }; 16];
        let count = match epoll::wait(&self.epoll, &mut events, timeout.as_ref()) {
            Ok(count) => count,
            Err(Errno::INTR) => 0,
            Err(errno) => return Err(errno.into()),
        };
        for event in &events[..count] {
            self.ready(event.data.u64());
            self.work();
        }
        self.hear();
        self.net.tick(Instant::now());
        if self
            .machine
            .deadline()
            .is_some_and(|at| at <= Instant::now())
        {
            self.tell_machine(Event::Tick);
            self.work();
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        let both = [self.machine.deadline(), self.net.deadline()];
        both.into_iter().flatten().min()
    }

    fn ready(&mut self, token: u64) {
        match token {
            SIGNALS => self.on_signals(),
            LISTENER => self.on_listener(),
            ADOPTED => self.on_adopted_exit(),
            OUT_OF_MEMORY => self.on_oom(),
            RESOLVER => {
                if let Some(resolver) = &mut self.net.resolver {
                    resolver.ready();
                }
            }
            FORWARDER => {
                if let Some(forwarder) = &mut self.net.forwarder {
                    forwarder.ready();
                }
            }
            token if self.outputs.contains_key(&token) => self.on_output(token),
            token if self.connections.contains_key(&token) => self.on_connection(token),
            token if self.probes.contains_key(&token) => self.on_probe_output(token),
            token if self.hearers.contains_key(&token) => self.on_hearer_gone(token),
            token => self.on_listener_ready(token),
        }
    }

    fn tell_machine(&mut self, event: Event) {
        let actions = self.machine.on(now(), event);
        self.todo.extend(actions);
    }

    fn work(&mut self) {
        while let Some(action) = self.todo.pop_front() {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Spawn => {
                let event = self.spawn().unwrap_or_else(spawn::Failure::event);
                self.tell_machine(event);
                sys::memory::give_back();
                sys::memory::let_go_of_text();
            }
            Action::AskToStop { signal } => {
                self.ask_to_stop(signal);
                failpoint::reached(Point::StopSignalled);
            }
            Action::Signal { signal } => {
                let _gone = self.signal_init(signal);
            }
            Action::KillAll => self.kill_all(),
            Action::KillInit => {
                let _gone = self.signal_init(signal::KILL);
            }
            Action::Thaw => {
                let _told_by_the_state = spawn::thaw(&self.record);
            }
            Action::Probe { id } => self.probe(id),
            Action::KillProbe { id } => {
                if let Some(probe) = self.probes.values().find(|probe| probe.id == id) {
                    probe.kill();
                }
            }
            Action::Save => self.save(),
            Action::Announce { event, signal } => {
                let code = (event == "die").then(|| self.machine.state().exit_code);
                let detail = code.map(|code| ("exitCode", code));
                let detail = detail.or(signal.map(|signal| ("signal", signal)));
                cleanup::announce(&self.roots, &self.record, &event, detail);
            }
            Action::GiveUp => {
                let error = Error::new(
                    ErrorKind::TimedOut,
                    "tried to kill container, but did not receive an exit event",
                );
                self.answer_ending(&Reply::failed(&error));
            }
            Action::End => self.end(),
        }
    }

    // ---- the container's process ----

    fn spawn(&mut self) -> Result<Event, spawn::Failure> {
        let started = spawn::start(
            &self.roots,
            &self.record,
            &self.run,
            &mut self.net,
            self.size,
        )?;
        let spawn::Started {
            child,
            outputs,
            stdin,
            joined,
        } = started;
        self.outputs.clear();
        for output in outputs {
            self.add_output(output);
        }
        self.stdin = stdin;
        self.welcome(child.pid);
        self.watch_oom();
        if let Some(joined) = joined {
            self.watch_net()?;
            let state = self.machine.state_mut();
            state.endpoints = joined.endpoints;
            state.ports = joined.ports;
        }
        self.machine.state_mut().warnings = child.warnings;
        let pid = child.pid;
        self.init = Some(Init {
            pid,
            pidfd: child.pidfd,
        });
        Ok(Event::Started {
            pid,
            start_time: sys::process::start_time(pid).unwrap_or(0),
            boot_id: sys::process::boot_id().unwrap_or_default(),
        })
    }

    /// Takes over a container that runs without a monitor: its streams, its end.
    fn adopt(&mut self) -> Result<()> {
        let state = self.machine.state().clone();
        if let Some(pid) = state.pid {
            let pidfd = sys::process::pidfd_open(pid)?;
            epoll::add(
                &self.epoll,
                &pidfd,
                EventData::new_u64(ADOPTED),
                EventFlags::IN | EventFlags::ET,
            )?;
            self.init = Some(Init { pid, pidfd });
            if !self.record.process.tty {
                let process = &self.record.process;
                // One that ends with its writers has been given to them.
                let input = match process.stdin_open && !process.stdin_once {
                    true => Input::Open,
                    false => Input::Null,
                };
                let streams = stdio::open_streams(&self.run, input)?;
                self.stdin = streams.stdin;
                for output in streams.outputs {
                    self.add_output(output);
                }
            }
            failpoint::reached(Point::AdoptedStreams);
            self.watch_oom();
            // Without names or ports it is still better kept than alone.
            let adopted = self.net.adopt(&self.roots, &self.record, pid, &state);
            let adopted = adopted.and_then(|()| self.watch_net());
            failpoint::reached(Point::AdoptedNetworks);
            if let Err(error) = adopted {
                self.machine.state_mut().error = error.to_string();
            }
        } else {
            // Between two runs: the next one attaches anew.
            let _unwinnable = cleanup::release(&self.roots, &self.record, &state);
        }
        Ok(())
    }

    fn watch_net(&self) -> Result<()> {
        let add = |fd: BorrowedFd<'_>, token| {
            epoll::add(&self.epoll, fd, EventData::new_u64(token), EventFlags::IN)
        };
        if let Some(resolver) = &self.net.resolver {
            add(resolver.poll_fd(), RESOLVER)?;
        }
        if let Some(forwarder) = &self.net.forwarder {
            add(forwarder.poll_fd(), FORWARDER)?;
        }
        Ok(())
    }

    fn watch_oom(&mut self) {
        self.oom = spawn::watch_oom(&self.record);
        if let Some(watch) = &self.oom {
            let data = EventData::new_u64(OUT_OF_MEMORY);
            // Then it is noticed at the end of the process.
            let _unwatched = epoll::add(&self.epoll, watch, data, EventFlags::IN);
        }
    }

    fn on_oom(&mut self) {
        if self.oom.as_mut().is_some_and(OomWatch::take) {
            self.tell_machine(Event::OutOfMemory);
        }
    }

    fn add_output(&mut self, mut output: Output) {
        output.keep_taken(&self.run, &mut self.log);
        let token = self.token();
        let added = epoll::add(
            &self.epoll,
            &output,
            EventData::new_u64(token),
            EventFlags::IN,
        );
        if added.is_ok() {
            self.outputs.insert(token, output);
        }
    }

    fn token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    fn on_output(&mut self, token: u64) {
        if let Some(output) = self.outputs.get_mut(&token)
            && output.drain(&mut self.log, &mut self.audience) == Flow::Ended
        {
            output.finish(&mut self.log, &mut self.audience);
            self.outputs.remove(&token);
        }
        self.keep_pace();
    }

    // ---- who is attached ----

    fn attach(&mut self, token: u64, ask: AttachAsk, fds: Vec<OwnedFd>) -> Result<()> {
        let wanted = [(ask.stdout, Stream::Stdout), (ask.stderr, Stream::Stderr)];
        let streams = wanted.iter().filter(|(is_wanted, _)| *is_wanted);
        if streams.clone().count() != fds.len() {
            return Err(streams_lost());
        }
        for ((_, stream), pipe) in streams.zip(fds) {
            self.audience.join(token, *stream, pipe)?;
        }
        self.size = ask.size.or(self.size);
        Ok(())
    }

    /// The process runs: gives those who wait for it what they asked for.
    fn welcome(&mut self, pid: u32) {
        for (token, ask) in self.those_who(Role::attaching) {
            let input = if ask.stdin { self.give_input() } else { None };
            let fds: Vec<BorrowedFd<'_>> = input.iter().map(|fd| fd.as_fd()).collect();
            if let Some(connection) = self.connections.get_mut(&token) {
                connection.role = Role::Attached(ask);
                let started = Reply::Started { pid };
                let _client_gone = control::send(connection.socket.as_fd(), &started, &fds);
            }
        }
    }

    /// Where the process reads: its terminal, or the other end of its stdin.
    fn give_input(&mut self) -> Option<OwnedFd> {
        let terminal = self.outputs.values().find(|output| output.is_terminal());
        let fd = match terminal {
            Some(output) => output.as_fd(),
            None if self.record.process.stdin_once => return self.stdin.take(),
            None => self.stdin.as_ref()?.as_fd(),
        };
        sys::fd::duplicate(fd).ok()
    }

    /// The process has ended: those who are attached to it are told, and get the rest.
    fn dismiss(&mut self, code: i32) {
        for (token, _) in self.those_who(Role::attached) {
            let listeners = self.audience.leave(Some(token));
            let rests: Result<Vec<OwnedFd>> =
                match listeners.iter().any(|listener| listener.is_behind()) {
                    // One for each, or none: their order says whose they are.
                    true => listeners.iter().map(|it| it.rest()).collect::<Result<_>>(),
                    false => Ok(Vec::new()),
                };
            let rests = rests.unwrap_or_default();
            let fds: Vec<BorrowedFd<'_>> = rests.iter().map(|fd| fd.as_fd()).collect();
            let Some(connection) = self.connections.get_mut(&token) else {
                continue;
            };
            let exited = Reply::Exited { code };
            let _client_gone = control::send(connection.socket.as_fd(), &exited, &fds);
            if self.record.spec.auto_remove {
                // They may wait for that too.
                connection.role = Role::Ending;
            } else {
                self.connections.remove(&token);
            }
        }
    }

    fn those_who(&self, are: fn(Role) -> Option<AttachAsk>) -> Vec<(u64, AttachAsk)> {
        let all = self.connections.iter();
        all.filter_map(|(token, connection)| Some((*token, are(connection.role)?)))
            .collect()
    }

    fn on_listener_ready(&mut self, token: u64) {
        self.audience.ready(token);
        self.keep_pace();
    }

    /// Takes nothing from an output while somebody who listens to it is behind, and waits for them.
    fn keep_pace(&mut self) {
        drop(self.audience.leave(None));
        let mut next = self.next_token;
        for listener in self.audience.listeners() {
            if listener.is_behind() == listener.token.is_some() {
                continue;
            }
            if listener.token.take().is_some() {
                let _closed_below = epoll::delete(&self.epoll, &*listener);
            } else {
                next += 1;
                listener.token = Some(next);
                let data = EventData::new_u64(next);
                let _held_until_it_leaves =
                    epoll::add(&self.epoll, &*listener, data, EventFlags::OUT);
            }
        }
        self.next_token = next;
        for (token, output) in &self.outputs {
            let holds = self.audience.is_behind(output.stream());
            if holds == self.held.contains(token) {
                continue;
            }
            if holds {
                self.held.insert(*token);
                let _read_again = epoll::delete(&self.epoll, output);
            } else {
                self.held.remove(token);
                let data = EventData::new_u64(*token);
                let _was_there = epoll::add(&self.epoll, output, data, EventFlags::IN);
            }
        }
    }

    fn on_signals(&mut self) {
        while let Ok(Some(received)) = sys::signal::read_signalfd(self.signals.as_fd()) {
            if received.signal == libc::SIGTERM {
                // The host goes down. That is not "stopped by hand".
                let stop = Event::Stop {
                    signal: self.record.stop.signal,
                    grace: self.record.stop.grace,
                    by: StoppedBy::Shutdown,
                };
                self.tell_machine(stop);
            }
        }
        while let Ok(Some((pid, exit))) = sys::process::reap_any() {
            self.reaped(pid, exit);
        }
    }

    /// A child has ended: process 1, a further process, a health check, or an orphan.
    fn reaped(&mut self, pid: u32, exit: Exit) {
        if self.init.as_ref().is_some_and(|init| init.pid == pid) {
            self.init_ended(exit);
        } else if let Some(place) = self.execs.iter().position(|exec| exec.pid == pid) {
            let exec = self.execs.swap_remove(place);
            let reply = Reply::Exited { code: exit.code() };
            self.answer(exec.connection, &reply, true);
        } else {
            let probe = self.probes.iter().find(|(_, probe)| probe.pid == pid);
            if let Some(token) = probe.map(|(token, _)| *token)
                && let Some(probe) = self.probes.remove(&token)
            {
                let ended = Event::ProbeEnded {
                    id: probe.id,
                    exit_code: exit.code(),
                    output: probe.into_output(),
                };
                self.tell_machine(ended);
            }
        }
    }

    /// It has ended; whose child it is now decides when it is reaped. A zombie shows its
    /// status in /proc, a reaped process through its pidfd.
    fn on_adopted_exit(&mut self) {
        let Some(init) = &self.init else { return };
        let reaped = || {
            sys::process::exit_of_reaped(init.pidfd.as_fd())
                .ok()
                .flatten()
        };
        let exit = processes::exit_of_zombie(init.pid)
            .or_else(reaped)
            .or_else(|| {
                let mut fds = [PollFd::new(&init.pidfd, PollFlags::empty())];
                let _timed_out = poll(&mut fds, Some(&STATUS_WAIT));
                reaped()
            });
        let exit = exit.unwrap_or(Exit::Code(UNKNOWN_EXIT));
        let _closed_below = epoll::delete(&self.epoll, &init.pidfd);
        self.init_ended(exit);
    }

    fn init_ended(&mut self, exit: Exit) {
        failpoint::reached(Point::ExitSeen);
        self.init = None;
        self.stdin = None;
        self.hearers.clear();
        self.held.clear();
        for (_, mut output) in std::mem::take(&mut self.outputs) {
            output.finish(&mut self.log, &mut self.audience);
        }
        self.dismiss(exit.code());
        failpoint::reached(Point::OutputEnded);
        self.on_oom();
        self.oom = None;
        if self.machine.state().oom_killed {
            self.machine.state_mut().memory_peak_bytes = spawn::memory_peak(&self.record);
        }
        // What is left is removed by the next start.
        let _left_over = spawn::remove_cgroup(&self.record);
        failpoint::reached(Point::CgroupRemoved);
        let signal = match exit {
            Exit::Signal(signal) => Some(signal),
            Exit::Code(_) => None,
        };
        self.tell_machine(Event::Exited {
            exit_code: exit.code(),
            signal,
        });
    }

    fn signal_init(&self, signal: i32) -> Result<()> {
        match &self.init {
            Some(init) => Ok(sys::process::pidfd_send_signal(init.pidfd.as_fd(), signal)?),
            None => Err(Error::new(ErrorKind::Conflict, "no process")),
        }
    }

    /// Process 1 alone decides in Docker, and a signal that it does not handle is dropped by
    /// the kernel while everybody waits. Here the others are asked in its place; when none of
    /// them handles the signal either, nothing is left to wait for.
    fn ask_to_stop(&mut self, signal: i32) {
        let Some(init) = self.init.as_ref().map(|init| init.pid) else {
            return;
        };
        if processes::reaction(init, signal) != Reaction::Nothing {
            if self.signal_init(signal).is_err() {
                self.tell_machine(Event::StopUnsent);
            }
            return;
        }
        let others = processes::of_container(init);
        for pid in others.into_iter().filter(|pid| *pid != init) {
            let Ok(pidfd) = sys::process::pidfd_open(pid) else {
                continue;
            };
            let handles = processes::reaction(pid, signal) == Reaction::Handles;
            let sent = sys::process::pidfd_send_signal(pidfd.as_fd(), signal).is_ok();
            if handles && sent {
                let token = self.token();
                let data = EventData::new_u64(token);
                if epoll::add(&self.epoll, &pidfd, data, EventFlags::IN).is_ok() {
                    self.hearers.insert(token, pidfd);
                }
            }
        }
        if self.hearers.is_empty() {
            self.tell_machine(Event::StopInVain);
        }
    }

    fn on_hearer_gone(&mut self, token: u64) {
        self.hearers.remove(&token);
        if self.hearers.is_empty() && self.init.is_some() {
            // A script that only waited for its child may now end by itself; one that goes on
            // would never have ended: as little patience as with a signal that was not sent.
            self.tell_machine(Event::StopUnsent);
        }
    }

    fn kill_all(&mut self) {
        let _gone = self.signal_init(signal::KILL);
        // With a pid namespace of its own the kernel does the rest.
        if spawn::shares_pid_namespace(&self.record) {
            let _empty = spawn::kill_cgroup(&self.record);
        }
    }

    // ---- health ----

    fn probe(&mut self, id: u64) {
        let Some(init) = &self.init else { return };
        match Probe::start(id, &self.record, init.pidfd.as_fd(), init.pid) {
            Ok(probe) => {
                let token = self.token();
                let data = EventData::new_u64(token);
                let _unread_until_the_end = epoll::add(&self.epoll, &probe, data, EventFlags::IN);
                self.probes.insert(token, probe);
                self.tell_machine(Event::ProbeStarted { id });
            }
            Err(error) => self.tell_machine(Event::ProbeEnded {
                id,
                exit_code: -1,
                output: error.to_string(),
            }),
        }
    }

    fn on_probe_output(&mut self, token: u64) {
        if let Some(probe) = self.probes.get_mut(&token)
            && !probe.drain()
        {
            let _no_more_output = epoll::delete(&self.epoll, &*probe);
        }
    }

    // ---- the socket ----

    fn on_listener(&mut self) {
        loop {
            let accepted = control::accept(self.listener.as_fd());
            if let Ok(Some(socket)) = accepted {
                self.connect(socket);
            } else if accepted.is_ok() {
                return;
            } else if self.spare.take().is_none() {
                // They wait until somebody has gone.
                let _not_there = epoll::delete(&self.epoll, &self.listener);
                self.deaf = true;
                return;
            }
        }
    }

    fn connect(&mut self, socket: OwnedFd) -> u64 {
        let token = self.token();
        let data = EventData::new_u64(token);
        if epoll::add(&self.epoll, &socket, data, EventFlags::IN).is_ok() {
            let role = Role::New;
            self.connections.insert(token, Connection { socket, role });
        }
        token
    }

    /// Keeps a descriptor back for the next question, and listens again once there is one.
    fn hear(&mut self) {
        if self.spare.is_none() {
            self.spare = stdio::null().ok();
        }
        if self.deaf && self.spare.is_some() {
            let data = EventData::new_u64(LISTENER);
            self.deaf = epoll::add(&self.epoll, &self.listener, data, EventFlags::IN).is_err();
        }
    }

    fn on_connection(&mut self, token: u64) {
        let Some(connection) = self.connections.get(&token) else {
            return;
        };
        let socket = connection.socket.as_fd();
        match connection.role {
            Role::New => match control::receive::<Request>(socket) {
                Ok(Received::Message(request, fds)) => self.asked(token, request, fds),
                Ok(Received::Later) => {}
                Ok(Received::Closed) => drop(self.connections.remove(&token)),
                Err(error) => self.answer(token, &Reply::failed(&error), true),
            },
            Role::Watching(true) => self.tell_watcher(token),
            Role::Executing => match control::receive::<ExecNote>(socket) {
                Ok(Received::Message(ExecNote::Signal(signal), _)) => {
                    if let Some(exec) = self.execs.iter().find(|exec| exec.connection == token) {
                        let _gone = sys::process::pidfd_send_signal(exec.pidfd.as_fd(), signal);
                    }
                }
                Ok(Received::Later) => {}
                // Gone: the process goes on running, as with Docker.
                Ok(Received::Closed) | Err(_) => drop(self.connections.remove(&token)),
            },
            Role::Attaching(_) | Role::Attached(_) => match control::receive::<Request>(socket) {
                Ok(Received::Later) => {}
                _ => {
                    self.connections.remove(&token);
                    self.audience.leave(Some(token));
                    self.keep_pace();
                }
            },
            // They have nothing more to say: it can only be the end.
            Role::Ending | Role::Watching(false) => match control::receive::<Request>(socket) {
                Ok(Received::Later) => {}
                _ => drop(self.connections.remove(&token)),
            },
        }
    }

    /// Whoever is answered finds the state written: the machine's actions come first.
    fn asked(&mut self, token: u64, request: Request, fds: Vec<OwnedFd>) {
        if request.version != control::VERSION {
            let error = Error::new(
                ErrorKind::Unsupported,
                "this container's monitor is of another version of ketch: stop and start it",
            );
            return self.answer(token, &Reply::failed(&error), true);
        }
        match request.ask {
            Ask::Stop {
                signal,
                grace,
                keep,
            } => {
                failpoint::reached(Point::StopReceived);
                self.keep |= keep;
                self.set_role(token, Role::Ending);
                let by = StoppedBy::Hand;
                self.tell_machine(Event::Stop { signal, grace, by });
            }
            Ask::Kill { signal } => {
                let ends = signal == signal::KILL || !self.machine.is_running();
                if ends {
                    self.set_role(token, Role::Ending);
                }
                self.tell_machine(Event::Kill { signal });
                if !ends {
                    self.work();
                    self.answer(token, &Reply::Done, true);
                }
            }
            Ask::Pause => {
                let result = self.pause();
                self.work();
                self.answer_result(token, result);
            }
            Ask::Unpause => {
                let result = self.unpause();
                self.work();
                self.answer_result(token, result);
            }
            Ask::Watch => {
                self.set_role(token, Role::Watching(false));
                self.tell_watcher(token);
            }
            Ask::Reload => {
                let result = self.reload();
                self.answer_result(token, result);
            }
            Ask::Exec(ask) => match self.exec(token, *ask, fds) {
                Ok((pid, terminal)) => {
                    self.set_role(token, Role::Executing);
                    let fds: Vec<BorrowedFd<'_>> = terminal.iter().map(|fd| fd.as_fd()).collect();
                    if let Some(connection) = self.connections.get(&token) {
                        let socket = connection.socket.as_fd();
                        let _client_gone = control::send(socket, &Reply::Started { pid }, &fds);
                    }
                }
                Err(error) => self.answer(token, &Reply::failed(&error), true),
            },
            Ask::Attach(ask) => match self.attach(token, ask, fds) {
                Ok(()) => {
                    self.set_role(token, Role::Attaching(ask));
                    if let Some(pid) = self.init.as_ref().map(|init| init.pid) {
                        self.welcome(pid);
                    }
                }
                Err(error) => self.answer(token, &Reply::failed(&error), true),
            },
        }
    }

    fn set_role(&mut self, token: u64, role: Role) {
        if let Some(connection) = self.connections.get_mut(&token) {
            connection.role = role;
        }
    }

    fn answer(&mut self, token: u64, reply: &Reply, last: bool) {
        if let Some(connection) = self.connections.get(&token) {
            let _client_gone = control::send(connection.socket.as_fd(), reply, &[]);
        }
        if last {
            self.connections.remove(&token);
        }
    }

    fn answer_result(&mut self, token: u64, result: Result<()>) {
        let reply = match result {
            Ok(()) => Reply::Done,
            Err(error) => Reply::failed(&error),
        };
        self.answer(token, &reply, true);
    }

    fn answer_ending(&mut self, reply: &Reply) {
        let waiting: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.role == Role::Ending)
            .map(|(token, _)| *token)
            .collect();
        for token in waiting {
            self.answer(token, reply, true);
        }
    }

    /// A watcher that reads slowly gets the newest state when it can take one again.
    fn tell_watcher(&mut self, token: u64) {
        let Some(connection) = self.connections.get_mut(&token) else {
            return;
        };
        let state = Reply::State(Box::new(self.machine.state().clone()));
        let socket = connection.socket.as_fd();
        let late = control::send(socket, &state, &[]).is_err();
        let was_late = connection.role == Role::Watching(true);
        connection.role = Role::Watching(late);
        if late != was_late {
            let flags = if late {
                EventFlags::IN | EventFlags::OUT
            } else {
                EventFlags::IN
            };
            let modified = epoll::modify(
                &self.epoll,
                &connection.socket,
                EventData::new_u64(token),
                flags,
            );
            if modified.is_err() {
                self.connections.remove(&token);
            }
        } else if late {
            // Writable and still refused: the other side is gone.
            self.connections.remove(&token);
        }
    }

    // ---- verbs ----

    fn pause(&mut self) -> Result<()> {
        let id = &self.record.id;
        match self.machine.state().status {
            Status::Running => {}
            Status::Paused => {
                return Err(conflict(format!("container {id} is already paused")));
            }
            _ => return Err(conflict(format!("container {id} is not running"))),
        }
        spawn::freeze(&self.record)?;
        self.tell_machine(Event::Paused);
        Ok(())
    }

    fn unpause(&mut self) -> Result<()> {
        if self.machine.state().status != Status::Paused {
            let id = &self.record.id;
            return Err(conflict(format!("Container {id} is not paused")));
        }
        spawn::thaw(&self.record)?;
        self.tell_machine(Event::Unpaused);
        Ok(())
    }

    fn reload(&mut self) -> Result<()> {
        if let Some(container) = documents::find(&self.roots, &self.record.id)? {
            self.record = container.record;
        }
        Ok(())
    }

    fn exec(
        &mut self,
        connection: u64,
        ask: ExecAsk,
        fds: Vec<OwnedFd>,
    ) -> Result<(u32, Option<OwnedFd>)> {
        let Some(init) = &self.init else {
            let id = &self.record.id;
            return Err(conflict(format!("container {id} is not running")));
        };
        let stdio = exec_stdio(ask.stdio, fds)?;
        let privileged = ask.privileged;
        let request = ExecRequest {
            record: &self.record,
            init: init.pidfd.as_fd(),
            init_pid: init.pid,
            process: exec_process(&self.record.process, ask),
            privileged,
            stdio,
        };
        let Child {
            pid,
            pidfd,
            terminal,
            warnings: _,
        } = init::exec(request)?;
        self.execs.push(ExecProcess {
            pid,
            pidfd,
            connection,
        });
        Ok((pid, terminal))
    }

    // ---- state and end ----

    fn save(&mut self) {
        let id = self.record.id.clone();
        // On a full disk the watchers still learn the truth.
        let _unwritten = documents::write_state(&self.roots, &id, self.machine.state_mut());
        failpoint::reached(Point::StateSaved);
        let watchers: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, connection)| matches!(connection.role, Role::Watching(_)))
            .map(|(token, _)| *token)
            .collect();
        for token in watchers {
            self.tell_watcher(token);
        }
    }

    /// The container has ended for good: whoever waits is answered once all is taken back.
    fn end(&mut self) {
        self.net.close();
        let state: State = self.machine.state().clone();
        let errors = cleanup::release(&self.roots, &self.record, &state);
        let state = self.machine.state_mut();
        if let Some(error) = errors.first()
            && state.error.is_empty()
        {
            state.error = error.to_string();
        }
        if !state.endpoints.is_empty() || !state.ports.is_empty() || !errors.is_empty() {
            state.endpoints.clear();
            state.ports.clear();
            let _unwritten = documents::write_state(&self.roots, &self.record.id, state);
        }
        if self.record.spec.auto_remove && !self.keep {
            let container = Container {
                record: self.record.clone(),
                state: self.machine.state().clone(),
            };
            let _left_for_rm = cleanup::remove(&self.roots, container, true);
            // A lock's file goes with the container when somebody lets go of the lock.
            let lock = Lock::Container(self.record.id.as_str());
            drop(lock::try_acquire(&self.roots, lock));
        }
        cleanup::remove_sockets(&self.roots, &self.record.id);
        failpoint::reached(Point::SocketsRemoved);
        self.answer_ending(&Reply::Done);
        failpoint::reached(Point::EndAnswered);
        self.done = true;
    }
}

fn exec_stdio(streams: ExecStreams, fds: Vec<OwnedFd>) -> Result<Stdio> {
    match streams {
        ExecStreams::Terminal { rows, columns } => Ok(Stdio::Terminal { rows, columns }),
        ExecStreams::Detached => Ok(Stdio::Streams {
            stdin: stdio::null()?,
            stdout: stdio::null()?,
            stderr: stdio::null()?,
        }),
        ExecStreams::Passed => match <[OwnedFd; 3]>::try_from(fds) {
            Ok([stdin, stdout, stderr]) => Ok(Stdio::Streams {
                stdin,
                stdout,
                stderr,
            }),
            Err(_) => Err(streams_lost()),
        },
    }
}

/// The kernel leaves out what there is no descriptor for.
fn streams_lost() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "too many open files in the container's monitor: the streams did not come through",
    )
}

/// The container's own user, directory and variables, unless told otherwise.
fn exec_process(own: &Process, ask: ExecAsk) -> Process {
    let tty = matches!(ask.stdio, ExecStreams::Terminal { .. });
    let mut env = own.env.clone();
    if tty && !env.iter().any(|entry| entry.starts_with("TERM=")) {
        env.push("TERM=xterm".into());
    }
    for entry in ask.env {
        let name = entry.split('=').next().unwrap_or_default();
        env.retain(|known| known.split('=').next() != Some(name));
        env.push(entry);
    }
    Process {
        args: ask.args,
        env,
        user: ask.user.unwrap_or_else(|| own.user.clone()),
        cwd: ask.working_dir.unwrap_or_else(|| own.cwd.clone()),
        tty,
        ..own.clone()
    }
}

fn conflict(message: String) -> Error {
    Error::new(ErrorKind::Conflict, message)
}

fn now() -> Now {
    Now {
        instant: Instant::now(),
        wall: Timestamp::now(),
    }
}
