//! Pure: when to act. A single save goes at once, a storm is waited for until it calms.

use std::time::{Duration, Instant};

/// After the last event of a save; an editor's renames come within this.
const SAVE: Duration = Duration::from_millis(2);
/// After the last event of many.
const STORM: Duration = Duration::from_millis(40);
/// As long a writer is given to close its file.
const WRITER: Duration = Duration::from_millis(150);
/// A storm that never calms is acted on all the same.
const LONGEST: Duration = Duration::from_secs(2);
/// So many events are no save any more.
const MANY: usize = 24;
/// Two saves within this are the beginning of a storm.
const RECENT: Duration = Duration::from_millis(100);
/// Copying does not wait for calm: so many, or so long.
const CHUNK: usize = 256;
const CHUNK_WAIT: Duration = Duration::from_millis(8);

/// What has come since the last time that something was done.
#[derive(Debug, Default)]
pub struct Batch {
    begun: Option<Instant>,
    last: Option<Instant>,
    events: usize,
    /// A file is being written and not closed yet.
    is_open: bool,
    /// Since files were copied last, within this batch.
    copied: Option<(Instant, usize)>,
    /// When the last batch was complete.
    before: Option<Instant>,
}

impl Batch {
    /// So much has changed; `settled` unless it is a file that may still be written to.
    pub fn note(&mut self, now: Instant, count: usize, settled: bool) {
        self.begun.get_or_insert(now);
        self.last = Some(now);
        self.events += count;
        self.is_open = !settled;
    }

    /// When the first change came.
    pub fn begun(&self) -> Option<Instant> {
        self.begun
    }

    /// When it is complete; `None`: nothing has changed.
    pub fn due(&self) -> Option<Instant> {
        let (begun, last) = (self.begun?, self.last?);
        let recent = |before: Instant| begun.saturating_duration_since(before) < RECENT;
        let wait = match () {
            () if self.is_open => WRITER,
            () if self.events > MANY || self.before.is_some_and(recent) => STORM,
            () => SAVE,
        };
        Some((last + wait).min(begun + LONGEST))
    }

    /// When what has changed is to be copied, but for what is still being written, though there
    /// may be more to come.
    pub fn copy_due(&self) -> Option<Instant> {
        let (begun, due) = (self.begun?, self.due()?);
        let (since, copied) = self.copied.unwrap_or((begun, 0));
        let early = match self.events - copied {
            0 => return Some(due),
            CHUNK.. => since,
            _ => since + CHUNK_WAIT,
        };
        Some(early.min(due))
    }

    /// All that has come so far is copied.
    pub fn copied(&mut self, now: Instant) {
        self.copied = Some((now, self.events));
    }

    /// It is dealt with.
    pub fn done(&mut self, now: Instant) {
        *self = Self {
            before: Some(now),
            ..Self::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(batch: &Batch, start: Instant) -> u128 {
        batch.due().unwrap().duration_since(start).as_millis()
    }

    #[test]
    fn a_save_goes_at_once_when_the_file_is_closed() {
        let start = Instant::now();
        let mut batch = Batch::default();
        assert_eq!(batch.due(), None);
        batch.note(start, 1, false);
        assert_eq!(after(&batch, start), 150, "its writer may not be done");
        batch.note(start + Duration::from_millis(1), 1, true);
        assert_eq!(after(&batch, start), 3);
        assert_eq!(batch.copy_due(), batch.due());
        batch.note(start + Duration::from_millis(1), 1, false);
        assert_eq!(batch.copy_due(), Some(start + CHUNK_WAIT));
    }

    #[test]
    fn a_storm_is_waited_for_and_copied_meanwhile() {
        let start = Instant::now();
        let mut batch = Batch::default();
        for _ in 0..30 {
            batch.note(start, 1, true);
        }
        assert_eq!(after(&batch, start), 40);
        let mut now = start;
        for _ in 0..300 {
            now += Duration::from_millis(1);
            batch.note(now, 1, true);
        }
        assert_eq!(after(&batch, start), 340);
        assert_eq!(batch.copy_due(), Some(start), "enough to be copied");
        batch.copied(now);
        assert_eq!(batch.copy_due(), batch.due());
        batch.note(now, 1, true);
        assert_eq!(batch.copy_due(), batch.due().min(Some(now + CHUNK_WAIT)));
        for _ in 0..100 {
            now += Duration::from_millis(30);
            batch.note(now, 1, true);
        }
        assert_eq!(after(&batch, start), 2000, "it never calms");
        batch.done(now);
        assert_eq!(batch.due(), None);
        batch.note(now + Duration::from_millis(5), 1, true);
        assert_eq!(after(&batch, now), 45, "it is not over");
    }
}
