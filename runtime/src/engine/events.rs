//! What happens to containers, images, networks and volumes, as it is told.

use indexmap::IndexMap;
use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::Engine;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind, Result};
use crate::store::changes::Changes;
use crate::store::document;
use crate::store::events::{self, Event, Reader};

/// Events, one after the other.
#[derive(Debug)]
pub struct EventWatch {
    reader: Reader,
    changes: Changes,
}

impl Engine {
    /// What happens from now on; with the past, what is still known of it comes first.
    ///
    /// # Errors
    /// When the data root can't be read.
    pub fn watch_events(&self, with_past: bool) -> Result<EventWatch> {
        let roots = self.roots();
        document::make_directory(roots.data())?;
        // Watched first, then read: what is told in between is not missed.
        let changes = Changes::of(roots.data())?;
        let reader = match with_past {
            true => Reader::from_start(roots)?,
            false => Reader::from_now(roots)?,
        };
        Ok(EventWatch { reader, changes })
    }

    /// An event nobody could write is no reason to fail what has already been done.
    pub(super) fn tell(&self, kind: &str, action: &str, id: &str, attributes: &[(&str, &str)]) {
        let attributes = attributes.iter();
        let event = Event {
            time: Timestamp::now(),
            kind: kind.into(),
            action: action.into(),
            id: id.into(),
            attributes: attributes
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect::<IndexMap<_, _>>(),
        };
        if let Err(error) = events::append(self.roots(), &event) {
            tracing::warn!(%error, "cannot write event");
        }
    }
}

impl EventWatch {
    /// Waits for the next event; `None`: none came until then.
    ///
    /// # Errors
    /// `Cancelled`; events that can't be read.
    pub fn next(&mut self, until: Option<Timestamp>, cancel: &Cancel) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.reader.next_event()? {
                return Ok(Some(event));
            }
            let left = until.map(|until| until.duration_since(Timestamp::now()));
            if left.is_some_and(|left| !left.is_positive()) {
                return Ok(None);
            }
            let left = left.map(|left| Timespec {
                tv_sec: left.as_secs(),
                tv_nsec: left.subsec_nanos().into(),
            });
            let mut fds = vec![PollFd::new(cancel, PollFlags::IN)];
            fds.extend(
                self.changes
                    .fd()
                    .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)),
            );
            let patience = self.changes.patience();
            let timeout = left.into_iter().chain(patience).min();
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            if !fds[0].revents().is_empty() {
                return Err(Error::new(ErrorKind::Cancelled, "cancelled"));
            }
            self.changes.take();
        }
    }
}
