//! The files of a rule as they were when they were last looked at, and what has changed since.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::time::ClockId;

use super::filter::Filter;
use super::relative::Relative;
use super::source::{Hint, Source};

/// What has happened to a path, relative to the rule's own; in an order in which it can be done.
pub type Changes = BTreeMap<Relative, Change>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Put(Kind),
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Directory,
    Link,
}

/// One file as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    kind: Kind,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    number: (u64, u64),
    mode: u32,
    owner: (u32, u32),
    /// The clock of file systems moves in ticks (`CLOCK_REALTIME_COARSE`): one that was changed
    /// in the tick in which it was looked at may be changed again and look the same.
    is_fresh: bool,
    /// When it was looked at, and all below it.
    round: u64,
    whole_round: u64,
    /// Its changes count; else it only leads to others.
    counts: bool,
}

impl Entry {
    /// `None`: a device, a socket, a pipe.
    fn of(metadata: &Metadata, counts: bool, round: Round) -> Option<Self> {
        let kind = match metadata.file_type() {
            kind if kind.is_dir() => Kind::Directory,
            kind if kind.is_symlink() => Kind::Link,
            kind if kind.is_fifo() || kind.is_socket() => return None,
            kind if kind.is_block_device() || kind.is_char_device() => return None,
            _ => Kind::File,
        };
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Some(Self {
            kind,
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed,
            number: (metadata.dev(), metadata.ino()),
            mode: metadata.mode(),
            owner: (metadata.uid(), metadata.gid()),
            is_fresh: changed >= round.begun,
            round: round.number,
            whole_round: 0,
            counts,
        })
    }

    /// Whether the hints of this round say nothing new of it.
    fn is_seen(&self, round: Round, whole: bool) -> bool {
        let below = whole && self.kind == Kind::Directory;
        let last = if below { self.whole_round } else { self.round };
        last == round.number
    }

    /// Whether what is there now has to be put again.
    fn differs(&self, now: &Self) -> bool {
        match self.kind == now.kind {
            true if self.kind == Kind::Directory => {
                (self.mode, self.owner) != (now.mode, now.owner)
            }
            true => {
                self.is_fresh
                    || (self.size, self.modified, self.changed, self.number)
                        != (now.size, now.modified, now.changed, now.number)
            }
            false => true,
        }
    }
}

/// The files of one rule.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    filter: Filter,
    /// By their path below the root; its own is empty.
    entries: BTreeMap<Relative, Entry>,
    round: Round,
    /// What was not there before this batch.
    new: BTreeSet<Relative>,
}

/// A look at what a number of hints say, all of which came before it.
#[derive(Debug, Clone, Copy, Default)]
struct Round {
    number: u64,
    /// By the clock of file systems: seconds and nanoseconds.
    begun: (i64, i64),
}

impl Tree {
    /// Of a path that need not be there; nothing is known of it yet.
    pub fn new(root: PathBuf, filter: Filter) -> Self {
        Self {
            root,
            filter,
            entries: BTreeMap::new(),
            round: Round::default(),
            new: BTreeSet::new(),
        }
    }

    /// Whether it was made in this batch and is gone again: what tools write aside and rename.
    pub fn came_and_went(&self, path: &Relative) -> bool {
        self.new.contains(path) && !self.entries.contains_key(path)
    }

    /// A batch is dealt with.
    pub fn end_batch(&mut self) {
        self.new.clear();
    }

    /// What is looked at from now on need not be looked at again for hints that have been read
    /// by now.
    pub fn begin_round(&mut self) {
        self.round.number += 1;
        self.round.begun = now();
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether a hint may be about it.
    pub fn concerns(&self, path: &Path) -> bool {
        Relative::below(path, &self.root).is_some() || self.root.starts_with(path)
    }

    /// All that is known, as if it were new.
    pub fn all(&self) -> Changes {
        let counted = self.entries.iter().filter(|(_, entry)| entry.counts);
        counted
            .map(|(path, entry)| (path.clone(), Change::Put(entry.kind)))
            .collect()
    }

    /// Looks where a hint says.
    pub fn look(&mut self, hint: &Hint, source: &mut Source, changes: &mut Changes) {
        match Relative::below(&hint.path, &self.root) {
            Some(path) => self.visit(&path, hint.whole, source, changes),
            // A directory that leads here.
            None if self.root.starts_with(&hint.path) => self.look_around(source, changes),
            None => {}
        }
    }

    /// Looks at everything: the first time, and when it is not known where to look.
    pub fn look_around(&mut self, source: &mut Source, changes: &mut Changes) {
        // The way to it, as far as it is there: it may be made, replaced or moved away.
        let way = self.root.ancestors().skip(1).find(|way| way.is_dir());
        if let Some(way) = way {
            source.watch(way);
        }
        self.visit(&Relative::default(), true, source, changes);
    }

    fn visit(&mut self, path: &Relative, whole: bool, source: &mut Source, changes: &mut Changes) {
        let known = self.entries.get(path);
        if known.is_some_and(|known| known.is_seen(self.round, whole)) {
            return;
        }
        let absolute = self.absolute(path);
        let counts = self.filter.takes(&absolute);
        let metadata = match path.is_root() {
            // The rule's own path may be a link to what is meant.
            true => absolute.metadata(),
            false => absolute.symlink_metadata(),
        };
        let now = metadata
            .ok()
            .and_then(|metadata| Entry::of(&metadata, counts, self.round));
        let Some(now) = now else {
            return self.gone(path, changes);
        };
        let is_directory = now.kind == Kind::Directory;
        let leads = is_directory && self.filter.enters(&absolute);
        if !counts && !leads {
            return;
        }
        let known = self.entries.get(path);
        if known.is_none() && !self.is_reached(path) {
            return;
        }
        let was_directory = known.is_some_and(|known| known.kind == Kind::Directory);
        let is_same = known.is_some_and(|known| known.number == now.number);
        let differs = known.is_none_or(|known| known.differs(&now));
        if known.is_none() {
            self.new.insert(path.clone());
        }
        if was_directory && !is_directory {
            self.gone_below(path, changes);
        }
        if counts && differs {
            changes.insert(path.clone(), Change::Put(now.kind));
        }
        self.entries.insert(path.clone(), now);
        if is_directory && (whole || !was_directory || !is_same) {
            self.visit_below(path, &absolute, source, changes);
        }
    }

    /// Every directory above is known to be one; else it is visited when that one is.
    fn is_reached(&self, path: &Relative) -> bool {
        let Some(parent) = path.parent() else {
            return true;
        };
        let is_directory = |entry: &Entry| entry.kind == Kind::Directory;
        self.entries.get(&parent).is_some_and(is_directory)
    }

    /// Watched first, then read: what is made in between is told.
    fn visit_below(
        &mut self,
        path: &Relative,
        absolute: &Path,
        source: &mut Source,
        changes: &mut Changes,
    ) {
        source.watch(absolute);
        self.round.begun = now();
        if let Some(entry) = self.entries.get_mut(path) {
            entry.whole_round = self.round.number;
        }
        let mut names: Vec<OsString> = match fs::read_dir(absolute) {
            Ok(entries) => entries.flatten().map(|entry| entry.file_name()).collect(),
            Err(_) => return,
        };
        names.sort();
        for name in &names {
            self.visit(&path.join(name), true, source, changes);
        }
        let is_missing = |below: &&Relative| {
            let name = below.file_name().unwrap_or_default();
            below.parent().as_ref() == Some(path)
                && names
                    .binary_search_by(|it| it.as_os_str().cmp(name))
                    .is_err()
        };
        let vanished: Vec<Relative> = self.below(path).filter(is_missing).cloned().collect();
        for path in vanished {
            self.gone(&path, changes);
        }
    }

    fn below(&self, path: &Relative) -> impl Iterator<Item = &Relative> {
        let after = (
            std::ops::Bound::Excluded(path.clone()),
            std::ops::Bound::Unbounded,
        );
        let path = path.clone();
        self.entries
            .range(after)
            .map(|(below, _)| below)
            .take_while(move |below| below.is_within(&path))
    }

    fn gone(&mut self, path: &Relative, changes: &mut Changes) {
        self.gone_below(path, changes);
        let Some(entry) = self.entries.remove(path) else {
            return;
        };
        // The directory that all is copied to stays.
        let is_target = path.is_root() && entry.kind == Kind::Directory;
        if entry.counts && !is_target {
            changes.insert(path.clone(), Change::Gone);
        }
    }

    /// Each by its name: what is there again before it is told is another one with others below.
    fn gone_below(&mut self, path: &Relative, changes: &mut Changes) {
        let below: Vec<Relative> = self.below(path).cloned().collect();
        for path in below {
            if self.entries.remove(&path).is_some_and(|entry| entry.counts) {
                changes.insert(path, Change::Gone);
            }
        }
    }

    /// The path on the host.
    pub fn absolute(&self, path: &Relative) -> PathBuf {
        match path.is_root() {
            true => self.root.clone(),
            false => self.root.join(&**path),
        }
    }
}

/// By the clock of file systems.
fn now() -> (i64, i64) {
    let now = rustix::time::clock_gettime(ClockId::RealtimeCoarse);
    (now.tv_sec, now.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World {
        directory: tempfile::TempDir,
        source: Source,
        tree: Tree,
    }

    impl World {
        fn new(ignore: &[&str], include: &[&str]) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let root = directory.path().join("src");
            let owned = |list: &[&str]| list.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
            let filter = Filter::new(&root, &owned(ignore), &owned(include)).unwrap();
            Self {
                directory,
                source: Source::new().unwrap(),
                tree: Tree::new(root, filter),
            }
        }

        fn path(&self, path: &str) -> PathBuf {
            self.directory.path().join("src").join(path)
        }

        fn write(&self, path: &str, text: &str) {
            fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
            fs::write(self.path(path), text).unwrap();
        }

        fn look_around(&mut self) -> Vec<String> {
            let mut changes = Changes::new();
            self.tree.begin_round();
            self.tree.look_around(&mut self.source, &mut changes);
            shown(&changes)
        }

        /// What the kernel's hints lead to.
        fn told(&mut self) -> Vec<String> {
            let mut changes = Changes::new();
            loop {
                let hints = self.source.read();
                if hints.list.is_empty() {
                    return shown(&changes);
                }
                self.tree.begin_round();
                for hint in &hints.list {
                    self.tree.look(hint, &mut self.source, &mut changes);
                }
            }
        }
    }

    fn shown(changes: &Changes) -> Vec<String> {
        let show = |(path, change): (&Relative, &Change)| {
            let sign = match change {
                Change::Gone => '-',
                Change::Put(Kind::File) => '+',
                Change::Put(Kind::Directory) => '/',
                Change::Put(Kind::Link) => '@',
            };
            format!("{sign}{}", path.display())
        };
        changes.iter().map(show).collect()
    }

    #[test]
    fn what_is_made_renamed_and_removed_is_found() {
        let mut world = World::new(&["skip"], &[]);
        assert_eq!(world.look_around(), [""; 0]);
        world.write("a", "1");
        world.write("skip/x", "1");
        world.write("d/e/f", "1");
        assert_eq!(world.told(), ["/", "+a", "/d", "/d/e", "+d/e/f"]);
        world.write("a", "2");
        assert_eq!(world.told(), ["+a"]);
        world.write("skip/y", "1");
        assert_eq!(world.told(), [""; 0]);
        fs::rename(world.path("d"), world.path("g")).unwrap();
        assert_eq!(
            world.told(),
            ["-d", "-d/e", "-d/e/f", "/g", "/g/e", "+g/e/f"]
        );
        world.write("g/e/h", "1");
        assert_eq!(world.told(), ["+g/e/h"]);
        fs::remove_dir_all(world.path("g")).unwrap();
        std::os::unix::fs::symlink("a", world.path("g")).unwrap();
        assert_eq!(world.told(), ["@g", "-g/e", "-g/e/f", "-g/e/h"]);
        fs::remove_dir_all(world.path("")).unwrap();
        assert_eq!(world.told(), ["-a", "-g"]);
        world.write("a", "3");
        assert_eq!(world.told(), ["/", "+a"]);
    }

    #[test]
    fn nothing_is_missed_when_the_kernel_tells_nothing() {
        let mut world = World::new(&[], &["**/*.js"]);
        world.write("d/a.js", "1");
        world.write("d/a.css", "1");
        assert_eq!(world.look_around(), ["+d/a.js"]);
        std::thread::sleep(std::time::Duration::from_millis(30));
        world.look_around();
        assert_eq!(world.look_around(), [""; 0]);
        world.write("d/a.js", "2");
        world.write("d/b/c.js", "1");
        assert_eq!(world.look_around(), ["+d/a.js", "+d/b/c.js"]);
        fs::remove_dir_all(world.path("d")).unwrap();
        assert_eq!(world.look_around(), ["-d/a.js", "-d/b/c.js"]);
        assert_eq!(shown(&world.tree.all()), [""; 0]);
    }

    #[test]
    fn one_file_may_be_all() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("app.conf");
        let filter = Filter::new(&file, &[], &[]).unwrap();
        let (mut tree, mut source) = (Tree::new(file.clone(), filter), Source::new().unwrap());
        let mut changes = Changes::new();
        tree.look_around(&mut source, &mut changes);
        fs::write(directory.path().join("other"), "1").unwrap();
        fs::write(directory.path().join("new"), "1").unwrap();
        fs::rename(directory.path().join("new"), &file).unwrap();
        for hint in &source.read().list {
            tree.look(hint, &mut source, &mut changes);
        }
        assert_eq!(shown(&changes), ["+"]);
    }
}
