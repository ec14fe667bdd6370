//! A rule, its files, and what is still to be done about them.

use std::collections::BTreeSet;
use std::mem;
use std::path::Path;

use crate::model::{WatchAction, WatchRule};
use crate::watcher::filter::Filter;
use crate::watcher::relative::Relative;
use crate::watcher::source::{Hint, Source};
use crate::watcher::tree::{Change, Changes, Kind, Tree};

#[derive(Debug)]
pub(super) struct Watched {
    pub(super) service: String,
    pub(super) rule: WatchRule,
    pub(super) tree: Tree,
    /// What has changed in this batch.
    changed: BTreeSet<Relative>,
    /// What is not copied yet.
    pending: Changes,
    /// What is still being written: copied when it is closed, or all is calm.
    open: BTreeSet<Relative>,
    /// What a container refused: the next change is another try.
    refused: Changes,
}

/// What a hint led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) changes: usize,
    /// Nobody is still writing to it.
    pub(super) settled: bool,
}

impl Watched {
    pub(super) fn new(service: &str, rule: WatchRule, filter: Filter) -> Self {
        Self {
            service: service.to_owned(),
            tree: Tree::new(rule.path.clone(), filter),
            rule,
            changed: BTreeSet::new(),
            pending: Changes::new(),
            open: BTreeSet::new(),
            refused: Changes::new(),
        }
    }

    /// Whether its files are copied into containers.
    pub(super) fn syncs(&self) -> bool {
        self.rule.action.syncs()
    }

    /// Learns what there is: nothing of it has changed.
    pub(super) fn learn(&mut self, source: &mut Source) {
        self.tree.look_around(source, &mut Changes::new());
        self.tree.end_batch();
    }

    /// Takes everything for changed that is to be copied at the start; how many files.
    pub(super) fn begin(&mut self) -> usize {
        let action = self.rule.action;
        if self.rule.initial_sync && matches!(action, WatchAction::Sync | WatchAction::SyncRestart)
        {
            self.pending = self.tree.all();
        }
        self.pending.len()
    }

    /// Looks where a hint says; `None` when it is not about this rule.
    pub(super) fn look(&mut self, hint: &Hint, source: &mut Source) -> Option<Seen> {
        if !self.tree.concerns(&hint.path) {
            return None;
        }
        let mut found = Changes::new();
        self.tree.look(hint, source, &mut found);
        let path = Relative::below(&hint.path, self.tree.root());
        // Only a file that was made is still to be written.
        let change = path.as_ref().and_then(|path| found.get(path));
        let settled = hint.settled || change.is_some_and(|it| *it != Change::Put(Kind::File));
        if let Some(path) = path {
            match settled {
                true => drop(self.open.remove(&path)),
                false => drop(self.open.insert(path)),
            }
        }
        let changes = self.keep(found);
        Some(Seen { changes, settled })
    }

    /// Looks at everything; how much has changed.
    pub(super) fn look_around(&mut self, source: &mut Source) -> usize {
        let mut found = Changes::new();
        self.tree.look_around(source, &mut found);
        self.keep(found)
    }

    fn keep(&mut self, found: Changes) -> usize {
        let count = found.len();
        self.changed.extend(found.keys().cloned());
        if self.syncs() && count > 0 {
            for (path, change) in mem::take(&mut self.refused) {
                self.pending.entry(path).or_insert(change);
            }
            self.pending.extend(found);
        }
        count
    }

    /// What is to be copied now: all when it is calm, else what nobody writes to.
    pub(super) fn take_pending(&mut self, is_calm: bool) -> Changes {
        if is_calm {
            self.open.clear();
        }
        let mut changes = mem::take(&mut self.pending);
        for path in &self.open {
            // One that has become a directory since is what others are in.
            if changes.get(path) != Some(&Change::Put(Kind::File)) {
                continue;
            }
            // What was below it goes with it: until then a link may be there, which would lead
            // to files that are to stay.
            let held = changes.range(path.clone()..).map(|(held, _)| held);
            let held: Vec<Relative> = held
                .take_while(|held| held.is_within(path))
                .cloned()
                .collect();
            for path in &held {
                self.pending.extend(changes.remove_entry(path));
            }
        }
        changes
    }

    /// What copying could not do: sources that moved meanwhile, and what a container refused.
    pub(super) fn put_back(&mut self, moved: Changes, refused: Changes) {
        // What has been told of them since counts more.
        for (path, change) in moved {
            self.pending.entry(path).or_insert(change);
        }
        self.refused.extend(refused);
    }

    /// Whether a container has refused something that it still lacks.
    pub(super) fn is_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// The batch is complete: what was made and is gone again has changed nothing.
    pub(super) fn end_batch(&mut self) {
        let tree = &self.tree;
        self.changed.retain(|path| !tree.came_and_went(path));
        self.tree.end_batch();
    }

    /// Whether something has changed in this batch.
    pub(super) fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// What has changed is dealt with.
    pub(super) fn forget_changes(&mut self) {
        self.changed.clear();
    }

    /// The paths that have changed, as seen from a directory.
    pub(super) fn changes_below(&self, base: &Path) -> impl Iterator<Item = String> {
        let named = |path: &&Relative| !path.is_root() || self.changed.len() == 1;
        self.changed.iter().filter(named).map(move |path| {
            let absolute = self.tree.absolute(path);
            let path = absolute.strip_prefix(base).unwrap_or(&absolute);
            path.display().to_string()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::diag::{FileId, Span};

    struct World {
        directory: tempfile::TempDir,
        source: Source,
        watched: Watched,
    }

    impl World {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let rule = WatchRule {
                span: Span::new(FileId(0), 0, 0),
                path: directory.path().to_owned(),
                action: WatchAction::Sync,
                target: "/app".into(),
                ignore: Vec::new(),
                include: Vec::new(),
                initial_sync: false,
                exec: None,
            };
            let filter = Filter::new(&rule.path, &[], &[]).unwrap();
            let mut watched = Watched::new("web", rule, filter);
            let mut source = Source::new().unwrap();
            watched.learn(&mut source);
            Self {
                directory,
                source,
                watched,
            }
        }

        fn hear(&mut self) {
            let hints = self.source.read();
            self.watched.tree.begin_round();
            for hint in &hints.list {
                self.watched.look(hint, &mut self.source);
            }
        }
    }

    fn shown(changes: &Changes) -> Vec<String> {
        let paths = changes.keys().filter(|path| !path.is_root());
        paths.map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn what_is_being_written_waits_for_its_end_or_for_calm() {
        let mut world = World::new();
        let open = fs::File::create(world.directory.path().join("open")).unwrap();
        fs::write(world.directory.path().join("whole"), "x").unwrap();
        world.hear();
        assert_eq!(shown(&world.watched.take_pending(false)), ["whole"]);
        assert_eq!(shown(&world.watched.take_pending(false)), [""; 0]);
        drop(open);
        world.hear();
        assert_eq!(shown(&world.watched.take_pending(false)), ["open"]);
        let _open = fs::File::create(world.directory.path().join("log")).unwrap();
        world.hear();
        assert_eq!(shown(&world.watched.take_pending(true)), ["log"]);
    }

    #[test]
    fn a_file_that_has_become_a_directory_does_not_wait() {
        let mut world = World::new();
        let root = world.directory.path();
        let path = |name: &str| Relative::below(&root.join(name), root).unwrap();
        let watched = &mut world.watched;
        watched.open.extend([path("d"), path("f"), path("g")]);
        watched.pending.extend([
            (path("d"), Change::Put(Kind::Directory)),
            (path("d/f"), Change::Put(Kind::File)),
            (path("f"), Change::Put(Kind::File)),
            (path("g"), Change::Gone),
        ]);
        assert_eq!(shown(&watched.take_pending(false)), ["d", "d/f", "g"]);
        assert_eq!(shown(&watched.take_pending(true)), ["f"]);
    }

    #[test]
    fn what_was_below_a_file_waits_with_it() {
        let mut world = World::new();
        let root = world.directory.path();
        let path = |name: &str| Relative::below(&root.join(name), root).unwrap();
        let watched = &mut world.watched;
        watched.open.insert(path("f"));
        watched.pending.extend([
            (path("f"), Change::Put(Kind::File)),
            (path("f/a"), Change::Gone),
            (path("f.c"), Change::Gone),
        ]);
        assert_eq!(shown(&watched.take_pending(false)), ["f.c"]);
        assert_eq!(shown(&watched.take_pending(true)), ["f", "f/a"]);
    }

    #[test]
    fn what_was_refused_is_tried_with_the_next_change() {
        let mut world = World::new();
        let path = world.directory.path().to_owned();
        fs::write(path.join("a"), "x").unwrap();
        world.hear();
        let refused = world.watched.take_pending(true);
        world.watched.put_back(Changes::new(), refused);
        assert!(world.watched.is_refused());
        assert_eq!(shown(&world.watched.take_pending(true)), [""; 0]);
        fs::write(path.join("b"), "x").unwrap();
        world.hear();
        assert_eq!(shown(&world.watched.take_pending(true)), ["a", "b"]);
        assert!(!world.watched.is_refused());
    }

    #[test]
    fn what_has_been_told_since_counts_more_than_what_could_not_be_copied() {
        let mut world = World::new();
        let file = world.directory.path().join("a");
        fs::write(&file, "x").unwrap();
        world.hear();
        let moved = world.watched.take_pending(true);
        fs::remove_file(&file).unwrap();
        world.hear();
        world.watched.put_back(moved, Changes::new());
        let pending = world.watched.take_pending(true);
        let last = pending.last_key_value().unwrap();
        assert_eq!(last.1, &Change::Gone);
        // It was made in this batch, and nothing has become of it.
        world.watched.end_batch();
        let changed: Vec<String> = world
            .watched
            .changes_below(world.directory.path())
            .collect();
        assert_eq!(changed, [""; 0]);
    }
}
