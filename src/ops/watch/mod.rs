//! `watch`: files that change are in the containers, or restart or rebuild them.
//!
//! One loop waits for the kernel's hints, looks at what has changed, copies at once, and does
//! the rest when it has become calm.

mod act;
mod reload;
mod replicas;
mod rules;
mod watched;

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::mem;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use ketch_runtime::cancel::Cancel;
use ketch_runtime::container::state::Status;
use ketch_runtime::store::lock::{self, Guard, Lock};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::scope::{self, Member};
use super::{Context, Error, Result, up};
use crate::loader::Loaded;
use crate::watcher::batch::Batch;
use crate::watcher::source::{Hint, Source};
use replicas::Replicas;
use watched::Watched;

/// What the command line says.
#[derive(Debug)]
pub struct Options {
    /// Empty: all.
    pub services: Vec<String>,
    /// Remove the image that a new one takes the place of.
    pub prune: bool,
    /// No output of builds.
    pub quiet: bool,
    /// Derive rules where the file has none.
    pub infer: bool,
    /// Carry out changes of the file without being asked.
    pub apply: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            services: Vec::new(),
            prune: true,
            quiet: false,
            infer: true,
            apply: false,
        }
    }
}

/// What is told to whoever shows the containers' output meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The containers of these services end now, and it means nothing.
    Replacing(Vec<String>),
    /// They have been started again.
    Replaced(Vec<String>),
}

/// How often is looked at what the kernel does not tell.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// So many paths are named in a line.
const NAMED: usize = 3;

/// Brings the project up (absent: it is), and watches until it is interrupted.
///
/// # Errors
/// What is wrong with the files; nothing to watch; `Interrupted`.
pub fn run(context: &Context, options: &Options, up: Option<&up::Options>) -> Result<()> {
    let mut session = Session::begin(context, options, &context.cancel, &|_| {})?;
    if let Some(up) = up {
        up::run(context, up)?;
    }
    session.run()
}

/// Watches a project that somebody else brings up and shows: `up --watch`. What happens to
/// containers is told.
///
/// # Errors
/// As with [`run`].
pub fn beside(
    context: &Context,
    options: &Options,
    cancel: &Cancel,
    tell: &dyn Fn(Notice),
) -> Result<()> {
    Session::begin(context, options, cancel, tell)?.run()
}

/// Whether there is something to watch, before anything is made.
///
/// # Errors
/// As with [`run`].
pub fn check(context: &Context, options: &Options, loaded: &Loaded) -> Result<()> {
    rules_of(context, options, loaded).map(drop)
}

struct Session<'a> {
    context: &'a Context,
    options: &'a Options,
    cancel: &'a Cancel,
    tell: &'a dyn Fn(Notice),
    loaded: Loaded,
    source: Source,
    rules: Vec<Watched>,
    replicas: Replicas,
    known_members: Option<Vec<Member>>,
    batch: Batch,
    /// Compose files and their variables.
    files: reload::Files,
    /// The terminal's next line means yes.
    asks: bool,
    stdin_open: bool,
    /// One watch per project.
    _alone: Guard,
}

impl<'a> Session<'a> {
    fn begin(
        context: &'a Context,
        options: &'a Options,
        cancel: &'a Cancel,
        tell: &'a dyn Fn(Notice),
    ) -> Result<Self> {
        let loaded = context.load(&options.services)?;
        let name = &loaded.project.name;
        let alone = format!("{name}.watch");
        let alone = lock::try_acquire(context.engine.roots(), Lock::Group(&alone))?;
        let Some(alone) = alone else {
            return Err(Error::Failed(format!(
                "project {name:?} is watched by another command already"
            )));
        };
        let rules = rules_of(context, options, &loaded)?;
        let source = Source::new().map_err(|errno| Error::Failed(format!("inotify: {errno}")))?;
        let files = reload::Files::of(&loaded);
        Ok(Self {
            context,
            options,
            cancel,
            tell,
            source,
            rules,
            replicas: Replicas::default(),
            known_members: None,
            batch: Batch::default(),
            files,
            loaded,
            asks: false,
            stdin_open: std::io::stdin().is_terminal(),
            _alone: alone,
        })
    }

    fn run(&mut self) -> Result<()> {
        self.tell_derived();
        self.learn(true)?;
        self.copy_first()?;
        self.say("Watch enabled");
        let mut warned = false;
        let mut looked = Instant::now();
        while !self.cancel.is_cancelled() {
            if let Some(limit) = self.source.limit()
                && !mem::replace(&mut warned, true)
            {
                let advice = limit.advice();
                self.context.ui.warn(format_args!(
                    "{advice}; until then files are looked at once a second"
                ));
            }
            let is_typed = self.wait()?;
            let hints = self.source.read();
            self.begin_round();
            let blind = self.source.limit().is_some() || self.replicas.are_behind();
            if hints.lost || (blind && looked.elapsed() >= LOOK_AGAIN) {
                self.look_around();
                looked = Instant::now();
            }
            for hint in &hints.list {
                self.look(hint);
            }
            let now = Instant::now();
            let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
            let is_calm = is_due(self.batch.due());
            let mut moved = 0;
            if is_calm || is_due(self.batch.copy_due()) {
                moved = self.copy(is_calm)?;
                self.batch.copied(now);
            }
            if is_calm {
                self.act()?;
                self.batch.done(Instant::now());
            }
            if moved > 0 {
                // They may be back as they were, of which nothing is told.
                self.batch.note(Instant::now(), moved, true);
            }
            self.files_changed(is_typed)?;
        }
        Err(Error::Interrupted)
    }

    /// Learns what there is: nothing of it has changed. The containers are as they should be, or
    /// are given everything with the next change.
    fn learn(&mut self, are_current: bool) -> Result<()> {
        self.begin_round();
        self.replicas = Replicas::default();
        if are_current {
            let members = self.members()?;
            self.replicas.trust(&members, self.rules.len());
        }
        self.files.look_around(&mut self.source, true);
        for watched in &mut self.rules {
            watched.learn(&mut self.source);
        }
        Ok(())
    }

    fn begin_round(&mut self) {
        self.files.begin_round();
        for watched in &mut self.rules {
            watched.tree.begin_round();
        }
    }

    /// Copies what is to be copied at the start.
    fn copy_first(&mut self) -> Result<()> {
        let begun = Instant::now();
        let sizes: Vec<usize> = self.rules.iter_mut().map(Watched::begin).collect();
        self.copy(true)?;
        for (watched, size) in self.rules.iter().zip(sizes) {
            if size > 0 {
                let (service, took) = (&watched.service, shown_time(begun));
                self.say(&format!(
                    "Syncing service {service:?} with {size} files at the start ({took})"
                ));
            }
        }
        Ok(())
    }

    /// Which rules hold that nobody wrote.
    fn tell_derived(&self) {
        let services = &self.loaded.project.services;
        if services.values().any(|service| !service.watch.is_empty()) {
            return;
        }
        for watched in &self.rules {
            let told = rules::told(watched, &self.loaded.project);
            self.say(&format!(
                "derived, as there is no 'develop' section: {told}"
            ));
        }
    }

    /// Sleeps until there is something to do; true when a line was typed.
    fn wait(&mut self) -> Result<bool> {
        let dues = [self.batch.copy_due(), self.batch.due(), self.reload_due()];
        let until_due = dues
            .into_iter()
            .flatten()
            .min()
            .map(|due| due.saturating_duration_since(Instant::now()));
        let blind = self.source.limit().is_some() || self.replicas.are_behind();
        let timeout = match until_due {
            None if blind => Some(LOOK_AGAIN),
            due => due,
        };
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let cancel = self.cancel.as_fd();
        let mut fds = vec![PollFd::from_borrowed_fd(cancel, PollFlags::IN)];
        fds.extend(
            self.source
                .fd()
                .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)),
        );
        let stdin = rustix::stdio::stdin();
        if self.asks && self.stdin_open {
            fds.push(PollFd::new(&stdin, PollFlags::IN));
        }
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Error::Failed(format!("poll: {errno}"))),
        }
        let is_ready = self.asks
            && self.stdin_open
            && fds.last().is_some_and(|stdin| !stdin.revents().is_empty());
        if !is_ready {
            return Ok(false);
        }
        let mut line = [0; 1024];
        match rustix::io::read(stdin, &mut line) {
            Ok(1..) => Ok(true),
            _ => {
                self.stdin_open = false;
                Ok(false)
            }
        }
    }

    fn look(&mut self, hint: &Hint) {
        self.files.look(hint, &mut self.source);
        let now = Instant::now();
        for watched in &mut self.rules {
            let Some(seen) = watched.look(hint, &mut self.source) else {
                continue;
            };
            let is_closed = seen.settled && self.batch.due().is_some();
            if seen.changes > 0 || is_closed {
                self.batch.note(now, seen.changes, seen.settled);
            }
        }
    }

    fn look_around(&mut self) {
        self.files.look_around(&mut self.source, false);
        let now = Instant::now();
        for watched in &mut self.rules {
            let changes = watched.look_around(&mut self.source);
            if changes > 0 || self.replicas.are_behind() {
                self.batch.note(now, changes, true);
            }
        }
    }

    fn members(&self) -> Result<Vec<Member>> {
        scope::members(&self.context.engine, &self.loaded.project.name)
    }

    /// Copies what has been found; what fails is told and tried again. Returns how much has moved
    /// meanwhile, and is to be copied soon.
    fn copy(&mut self, is_calm: bool) -> Result<usize> {
        let mut moved = 0;
        if !self.rules.iter().any(Watched::syncs) {
            return Ok(moved);
        }
        let members = match self.known_members.take() {
            Some(members) if !is_calm => members,
            _ => self.members()?,
        };
        for index in 0..self.rules.len() {
            if !self.rules[index].syncs() {
                continue;
            }
            let changes = self.rules[index].take_pending(is_calm);
            let watched = &self.rules[index];
            // Those that fail again and again are held back while they are copied to.
            let failing = members.iter().any(|member| {
                let status = member.container.state.status;
                member.service == watched.service && status == Status::Restarting
            });
            let services = failing.then(|| watched.service.clone());
            let services: Vec<String> = services.into_iter().collect();
            let (context, replicas) = (self.context, &mut self.replicas);
            let copied = replacing(self.tell, &services, || {
                replicas.copy(context, &members, (index, watched), &changes)
            });
            for failure in copied.failures {
                self.context
                    .ui
                    .error(format_args!("⦿ could not sync {failure}"));
            }
            moved += copied.moved.len();
            self.rules[index].put_back(copied.moved, copied.refused);
        }
        // In a storm they are not looked up for every part of it.
        self.known_members = Some(members).filter(|_| !is_calm);
        Ok(moved)
    }

    /// `web: a.js, b.js and 3 more`, by service.
    fn changes_shown(&self) -> IndexMap<String, (usize, String)> {
        let mut by_service: IndexMap<String, BTreeSet<String>> = IndexMap::new();
        let base = &self.loaded.project.working_dir;
        for watched in self.rules.iter().filter(|it| it.has_changed()) {
            let service = by_service.entry(watched.service.clone()).or_default();
            service.extend(watched.changes_below(base));
        }
        let line = |paths: &BTreeSet<String>| {
            let named: Vec<&str> = paths.iter().take(NAMED).map(String::as_str).collect();
            match paths.len().saturating_sub(NAMED) {
                0 => named.join(", "),
                more => format!("{} and {more} more", named.join(", ")),
            }
        };
        by_service
            .iter()
            .map(|(service, paths)| (service.clone(), (paths.len(), line(paths))))
            .collect()
    }

    /// A line of our own, told from the containers' by its sign.
    fn say(&self, text: &str) {
        // Nobody may read our stdout and the files be watched all the same.
        let _unread = self.context.ui.line(format_args!("⦿ {text}"));
    }
}

/// Does what may end the containers of these services for a moment.
fn replacing<T>(tell: &dyn Fn(Notice), services: &[String], work: impl FnOnce() -> T) -> T {
    if services.is_empty() {
        return work();
    }
    tell(Notice::Replacing(services.to_vec()));
    let done = work();
    tell(Notice::Replaced(services.to_vec()));
    done
}

fn rules_of(context: &Context, options: &Options, loaded: &Loaded) -> Result<Vec<Watched>> {
    let mut rules = rules::by_file(context, loaded, &options.services)?;
    if !rules.is_empty() {
        return Ok(rules);
    }
    if options.infer {
        rules = rules::derived(&loaded.project, &options.services)?;
    }
    if rules.is_empty() {
        return Err(Error::Failed(
            "none of the selected services is configured for watch, consider setting an 'develop' section"
                .into(),
        ));
    }
    Ok(rules)
}

/// `3ms`, `1.2s`.
fn shown_time(begun: Instant) -> String {
    let took = begun.elapsed();
    match took.as_millis() {
        milliseconds @ 0..1000 => format!("{milliseconds}ms"),
        _ => format!("{:.1}s", took.as_secs_f64()),
    }
}
