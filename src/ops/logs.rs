//! `logs`: what containers wrote, side by side.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use ketch_runtime::cancel::Cancel;
use ketch_runtime::engine::Engine;
use ketch_runtime::engine::containers::{LogQuery, LogRecord};
use ketch_runtime::error::ErrorKind;

use super::scope::Scope;
use super::{Context, Error, Result};
use crate::ui::logs::{Printer, Style};

/// What to show.
#[derive(Debug)]
pub struct Options {
    pub services: Vec<String>,
    pub index: Option<u32>,
    pub query: LogQuery,
    pub style: Style,
}

/// Shows logs; following ends when all containers have ended for good.
///
/// # Errors
/// `no such service: x`, a log that can't be read.
pub fn run(context: &Context, options: &Options) -> Result<()> {
    let scope = Scope::find(context)?;
    let mut members = scope.containers(&context.engine, &options.services)?;
    if let Some(index) = options.index {
        members.retain(|member| member.number == index);
        if members.is_empty() {
            let service = options.services.join(", ");
            return Err(Error::Failed(format!(
                "service {service:?} has no container #{index}"
            )));
        }
    }
    let query = &options.query;
    let names: Vec<String> = members
        .iter()
        .map(|member| member.short_name(&scope.name).to_owned())
        .collect();
    let mut printer = Printer::new(&context.ui, options.style, &names);
    if query.follow {
        follow(context, &members, &names, query, &mut printer)
    } else {
        // One after the other, as they stand: nothing waits.
        for (member, name) in members.iter().zip(&names) {
            let mut reader = context.engine.container_logs(member.name(), query)?;
            while let Some(record) = reader.next(&context.cancel)? {
                printer.record(name, &record)?;
            }
            printer.flush(name)?;
        }
        Ok(())
    }
}

fn follow(
    context: &Context,
    members: &[super::scope::Member],
    names: &[String],
    query: &LogQuery,
    printer: &mut Printer,
) -> Result<()> {
    let (sender, receiver) = channel();
    for (member, name) in members.iter().zip(names) {
        let (engine, cancel) = (context.engine.clone(), context.cancel.clone());
        let (container, name) = (member.name().to_owned(), name.clone());
        let (query, sender) = (query.clone(), sender.clone());
        thread::spawn(move || read(&engine, &container, &name, &query, &cancel, &sender));
    }
    drop(sender);
    print(context, receiver, printer)
}

/// Prints what readers tell, until the last of them has ended.
pub(super) fn print(
    context: &Context,
    receiver: Receiver<Told>,
    printer: &mut Printer,
) -> Result<()> {
    let mut outcome = Ok(());
    for told in receiver {
        match told {
            Told::Record(name, record) => printer.record(&name, &record)?,
            Told::Ended(name) => printer.flush(&name)?,
            Told::Failed(error) => outcome = Err(Error::Engine(error)),
        }
    }
    if context.cancel.is_cancelled() {
        return Err(Error::Interrupted);
    }
    outcome
}

/// What a thread that reads a log has to say.
#[derive(Debug)]
pub enum Told {
    Record(String, LogRecord),
    /// There is nothing more to come from this container.
    Ended(String),
    Failed(ketch_runtime::error::Error),
}

/// Reads one log to its end and passes it on under this name; ends early when nobody listens.
pub fn read(
    engine: &Engine,
    container: &str,
    name: &str,
    query: &LogQuery,
    cancel: &Cancel,
    sender: &Sender<Told>,
) {
    let told = |told| sender.send(told).is_ok();
    let result = engine
        .container_logs(container, query)
        .and_then(|mut reader| {
            while let Some(record) = reader.next(cancel)? {
                if !told(Told::Record(name.to_owned(), record)) {
                    return Ok(());
                }
            }
            Ok(())
        });
    match result {
        // Removed meanwhile, or given up by us: its log has ended.
        Err(error) if !matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::NotFound) => {
            told(Told::Failed(error));
        }
        _ => {}
    }
    told(Told::Ended(name.to_owned()));
}

/// A moment as `--since` takes it: RFC 3339, a date, seconds since 1970, or how long ago.
pub fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    if let Some(ago) = duration(text) {
        return now.checked_sub(ago).ok();
    }
    if let Ok(seconds) = text.parse::<f64>() {
        return Timestamp::from_duration(jiff::SignedDuration::try_from_secs_f64(seconds).ok()?)
            .ok();
    }
    let local = text.parse::<jiff::civil::DateTime>().ok().or_else(|| {
        let date = text.parse::<jiff::civil::Date>().ok()?;
        Some(date.to_datetime(jiff::civil::Time::midnight()))
    })?;
    Some(
        local
            .to_zoned(jiff::tz::TimeZone::system())
            .ok()?
            .timestamp(),
    )
}

/// Go's durations: `42m`, `1h30m`, `1.5s`, `300ms`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let units = [
            ("ms", 1e-3),
            ("us", 1e-6),
            ("ns", 1e-9),
            ("h", 3600.0),
            ("m", 60.0),
            ("s", 1.0),
        ];
        let (unit, seconds) = units.iter().find(|(unit, _)| rest.starts_with(unit))?;
        sum += Duration::try_from_secs_f64(number * seconds).ok()?;
        rest = &rest[unit.len()..];
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_time_or_how_long_ago() {
        let now = Timestamp::from_second(10_000).unwrap();
        let seconds = |text: &str| moment(text, now).map(Timestamp::as_second);
        assert_eq!(seconds("42m"), Some(10_000 - 42 * 60));
        assert_eq!(seconds("1h30m"), Some(10_000 - 5400));
        assert_eq!(seconds("1970-01-01T00:00:05Z"), Some(5));
        assert_eq!(seconds("1700000000"), Some(1_700_000_000));
        assert_eq!(seconds("yesterday"), None);
        assert_eq!(seconds(""), None);
    }
}
