//! Engine → [`Evidence`]: what explains why a container is not ready.

use jiff::Timestamp;
use ketch_runtime::cancel::Cancel;
use ketch_runtime::container::record::Record;
use ketch_runtime::container::state::State;
use ketch_runtime::engine::Engine;
use ketch_runtime::engine::containers::LogQuery;
use ketch_runtime::error::Result;

use crate::explain::{Evidence, LOG_LINES};

/// What is known of a container now, its health as the monitor knows it.
///
/// # Errors
/// When there is no such container.
pub fn evidence(engine: &Engine, name: &str) -> Result<Evidence> {
    let container = engine.container(name)?;
    let mut state = container.state;
    if state.status.is_active() {
        // Results of probes are not written down each time; the monitor has them.
        let told = engine.watch_container(name)?.next(&Cancel::new()?)?;
        state = told.unwrap_or(state);
    }
    Ok(gathered(engine, container.record, state))
}

/// As it was in a state that it was seen in.
///
/// # Errors
/// When there is no such container.
pub fn evidence_at(engine: &Engine, name: &str, state: State) -> Result<Evidence> {
    let record = engine.container(name)?.record;
    Ok(gathered(engine, record, state))
}

fn gathered(engine: &Engine, record: Record, state: State) -> Evidence {
    // A log that can't be read explains nothing, and is no failure of its own.
    let log = last_lines(engine, &record.name, state.started_at).unwrap_or_default();
    Evidence { record, state, log }
}

/// Of the last run: what an earlier one wrote was about another failure.
fn last_lines(engine: &Engine, name: &str, since: Option<Timestamp>) -> Result<Vec<String>> {
    let query = LogQuery {
        tail: Some(LOG_LINES),
        since,
        ..LogQuery::default()
    };
    let mut reader = engine.container_logs(name, &query)?;
    let cancel = Cancel::new()?;
    let mut lines = Vec::new();
    while let Some(record) = reader.next(&cancel)? {
        lines.push(String::from_utf8_lossy(&record.text).into_owned());
    }
    Ok(lines)
}
