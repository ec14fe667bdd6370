//! `stats`: what running containers use, once a second.

use std::time::Duration;

use ketch_runtime::container::Container;
use ketch_runtime::engine::containers::{ContainerFilter, Stats};
use ketch_runtime::error::ErrorKind;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use super::scope::Scope;
use super::{Context, Error, Result, images};
use crate::ui::status;
use crate::ui::template::Format;
use crate::units::bytes;

/// What is shown, and how.
#[derive(Debug)]
pub struct Options {
    /// Those that do not run too.
    pub all: bool,
    pub format: Format,
    /// One picture and the end.
    pub once: bool,
    pub full: bool,
}

/// Between two looks.
const TURN: Duration = Duration::from_secs(1);
/// The whole screen, and back to its beginning.
const CLEAR: &[u8] = b"\x1b[2J\x1b[H";

/// Of a project's containers.
///
/// # Errors
/// `no such service: x`.
pub fn of_services(context: &Context, services: &[String], options: &Options) -> Result<()> {
    let scope = Scope::find(context)?;
    let find = || -> Result<Vec<Container>> {
        let members = scope.containers(&context.engine, services)?;
        Ok(members.into_iter().map(|member| member.container).collect())
    };
    run(context, options, &find)
}

/// Of these containers, or of all.
///
/// # Errors
/// A container that is not there.
pub fn of_containers(context: &Context, names: &[String], options: &Options) -> Result<()> {
    let find = || -> Result<Vec<Container>> {
        if names.is_empty() {
            return Ok(context.engine.containers(&ContainerFilter::default())?);
        }
        let found = names.iter().map(|name| Ok(context.engine.container(name)?));
        found.collect()
    };
    // Named ones are shown whatever they do.
    let options = Options {
        all: options.all || !names.is_empty(),
        format: options.format.clone(),
        ..*options
    };
    run(context, &options, &find)
}

fn run(
    context: &Context,
    options: &Options,
    find: &dyn Fn() -> Result<Vec<Container>>,
) -> Result<()> {
    let mut before: Vec<(String, Stats)> = Vec::new();
    loop {
        let mut containers = find()?;
        containers.retain(|it| options.all || it.state.status.is_active());
        let mut now = Vec::new();
        for container in &containers {
            let id = container.record.id.as_str();
            match context.engine.container_stats(id) {
                Ok(stats) => now.push((id.to_owned(), stats)),
                // Removed meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        if !before.is_empty() || containers.is_empty() {
            show(context, options, &containers, &before, &now)?;
            if options.once {
                return Ok(());
            }
        }
        before = now;
        if gave_up(context)? {
            return Err(Error::Interrupted);
        }
    }
}

/// Waits for the next turn.
fn gave_up(context: &Context) -> Result<bool> {
    let mut fds = [PollFd::new(&context.cancel, PollFlags::IN)];
    let turn = Timespec::try_from(TURN).map_err(|error| Error::Failed(error.to_string()))?;
    match poll(&mut fds, Some(&turn)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(context.cancel.is_cancelled()),
        Err(errno) => Err(Error::Failed(errno.to_string())),
    }
}

fn show(
    context: &Context,
    options: &Options,
    containers: &[Container],
    before: &[(String, Stats)],
    now: &[(String, Stats)],
) -> Result<()> {
    let of = |stats: &[(String, Stats)], id: &str| {
        let mut found = stats.iter().filter(|(known, _)| known == id);
        found.next().map(|(_, stats)| *stats)
    };
    let mut rows = Vec::new();
    for container in containers {
        let id = container.record.id.as_str();
        if let Some(stats) = of(now, id) {
            rows.push(row(container, of(before, id), &stats, options.full));
        }
    }
    if !options.once && options.format == Format::Table {
        context.ui.data(CLEAR)?;
    }
    let head = [
        "CONTAINER ID",
        "NAME",
        "CPU %",
        "MEM USAGE / LIMIT",
        "MEM %",
        "NET I/O",
        "BLOCK I/O",
        "PIDS",
    ];
    let columns = [
        "ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs",
    ];
    images::formatted(context, &options.format, &head, &columns, &rows)
}

fn row(container: &Container, before: Option<Stats>, stats: &Stats, full: bool) -> Value {
    let id = match full {
        true => container.record.id.as_str(),
        false => container.record.id.short(),
    };
    let usage = &stats.usage;
    let pair = |first: u64, second: u64, shown: fn(u64) -> String| {
        format!("{} / {}", shown(first), shown(second))
    };
    json!({
        "BlockIO": pair(usage.read_bytes, usage.written_bytes, status::size),
        "CPUPerc": format!("{:.2}%", cpu_percent(before, stats)),
        "Container": id,
        "ID": id,
        "MemPerc": format!("{:.2}%", percent(usage.memory_bytes, stats.memory_limit_bytes)),
        "MemUsage": pair(usage.memory_bytes, stats.memory_limit_bytes, bytes::human_binary),
        "Name": container.record.name,
        "NetIO": pair(stats.received_bytes, stats.sent_bytes, status::size),
        "PIDs": usage.pids.to_string(),
    })
}

/// 100 is one processor.
fn cpu_percent(before: Option<Stats>, now: &Stats) -> f64 {
    let Some(before) = before else { return 0.0 };
    let used = now.usage.cpu_ns.saturating_sub(before.usage.cpu_ns);
    let passed = now.at.duration_since(before.at).as_nanos();
    percent(used, u64::try_from(passed).unwrap_or(u64::MAX))
}

#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    part as f64 / whole as f64 * 100.0
}
