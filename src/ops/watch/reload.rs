//! The compose files and their variables, watched like everything else.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use super::super::{Result, up};
use super::act::tell;
use super::watched::Watched;
use super::{Session, replacing, rules_of};
use crate::loader::Loaded;
use crate::watcher::batch::Batch;
use crate::watcher::filter::Filter;
use crate::watcher::source::{Hint, Source};
use crate::watcher::tree::{Changes, Tree};

/// Each by itself, and when they have changed.
#[derive(Debug)]
pub(super) struct Files {
    trees: Vec<Tree>,
    batch: Batch,
}

impl Files {
    /// All that a project was read from, and a `.env` that may come.
    pub(super) fn of(loaded: &Loaded) -> Self {
        let project = &loaded.project;
        let services = project.services.values();
        let of_services = services.flat_map(|service| &service.env_files);
        let mut paths: BTreeSet<PathBuf> = BTreeSet::new();
        paths.extend(project.config_files.iter().cloned());
        paths.extend(project.env_files.iter().cloned());
        paths.extend(of_services.map(|file| file.path.clone()));
        paths.insert(project.working_dir.join(".env"));
        let tree = |path: PathBuf| {
            let path = path.canonicalize().unwrap_or(path);
            let filter = Filter::new(&path, &[], &[]).ok()?;
            path.is_absolute().then(|| Tree::new(path, filter))
        };
        Self {
            trees: paths.into_iter().filter_map(tree).collect(),
            batch: Batch::default(),
        }
    }

    /// Learns what they are, or whether that has changed.
    pub(super) fn look_around(&mut self, source: &mut Source, is_first: bool) {
        let mut changes = Changes::new();
        for tree in &mut self.trees {
            tree.look_around(source, &mut changes);
        }
        if !changes.is_empty() && !is_first {
            self.batch.note(Instant::now(), 1, true);
        }
    }

    /// As [`Tree::begin_round`].
    pub(super) fn begin_round(&mut self) {
        self.trees.iter_mut().for_each(Tree::begin_round);
    }

    pub(super) fn look(&mut self, hint: &Hint, source: &mut Source) {
        for tree in &mut self.trees {
            let mut changes = Changes::new();
            if tree.concerns(&hint.path) {
                tree.look(hint, source, &mut changes);
            }
            let is_closed = hint.settled && self.batch.due().is_some();
            if !changes.is_empty() || is_closed {
                self.batch.note(Instant::now(), 1, hint.settled);
            }
        }
    }
}

impl Session<'_> {
    /// When the files are to be read again: what has changed by the rules that hold is dealt with
    /// first.
    pub(super) fn reload_due(&self) -> Option<Instant> {
        match self.batch.due() {
            Some(_) => None,
            None => self.files.batch.due(),
        }
    }

    /// Reads the files again when they have changed; a typed line applies what they said.
    pub(super) fn files_changed(&mut self, is_typed: bool) -> Result<()> {
        let now = Instant::now();
        if self.reload_due().is_some_and(|due| due <= now) {
            self.files.batch.done(now);
            self.reload()?;
        } else if is_typed && std::mem::take(&mut self.asks) {
            self.apply()?;
        }
        Ok(())
    }

    fn reload(&mut self) -> Result<()> {
        self.asks = false;
        let context = self.context;
        let loaded = match context.load(&self.options.services) {
            Ok(loaded) => loaded,
            Err(error) => {
                tell(context, Err(error))?;
                self.say("the files have errors: what they said before holds");
                return Ok(());
            }
        };
        let lacks = self.replicas.are_behind() || self.rules.iter().any(Watched::is_refused);
        match rules_of(context, self.options, &loaded) {
            Ok(rules) => self.rules = rules,
            Err(error) => {
                tell(context, Err(error))?;
                self.rules = Vec::new();
            }
        }
        self.loaded = loaded;
        self.files = Files::of(&self.loaded);
        self.learn(!lacks)?;
        match up::announced(context, &self.up_options()) {
            Ok(None) => self.say("the files have changed; nothing has to be done for it"),
            Ok(Some(_)) if self.options.apply => self.apply()?,
            Ok(Some(plan)) => {
                self.context.ui.talk(plan.trim_end());
                if self.stdin_open {
                    self.asks = true;
                    self.say("the files have changed: press Enter to carry this out");
                } else {
                    self.say(
                        "the files have changed: `ketch up -d` carries this out, \
                         and `watch --apply` does it at once",
                    );
                }
            }
            Err(error) => tell(context, Err(error))?,
        }
        Ok(())
    }

    fn apply(&mut self) -> Result<()> {
        let services: Vec<String> = self.loaded.project.services.keys().cloned().collect();
        let begun = Instant::now();
        let result = replacing(self.tell, &services, || {
            up::run(self.context, &self.up_options())
        });
        let is_done = result.is_ok();
        tell(self.context, result)?;
        if is_done {
            let took = super::shown_time(begun);
            self.say(&format!("the files have changed: carried out ({took})"));
        }
        Ok(())
    }

    fn up_options(&self) -> up::Options {
        up::Options {
            services: self.options.services.clone(),
            start: true,
            ..up::Options::default()
        }
    }
}
