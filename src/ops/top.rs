//! `top`: the processes of running containers, in the columns of `ps -ef`.

use std::time::Duration;

use indexmap::IndexMap;
use jiff::{Timestamp, Zoned};
use ketch_runtime::engine::containers::ProcessRow;

use super::scope::Scope;
use super::{Context, Result};
use crate::ui::table::{self, Layout};

const HEAD: [&str; 10] = [
    "SERVICE", "#", "UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD",
];

/// Lists them, a line each.
///
/// # Errors
/// `no such service: x`.
pub fn run(context: &Context, services: &[String]) -> Result<()> {
    let scope = Scope::find(context)?;
    let users = users(&std::fs::read_to_string("/etc/passwd").unwrap_or_default());
    let now = Zoned::now();
    let mut rows = Vec::new();
    for member in scope.containers(&context.engine, services)? {
        if !member.container.state.status.is_active() {
            continue;
        }
        for process in context.engine.container_processes(member.name())? {
            let mut row = vec![member.service.clone(), member.number.to_string()];
            row.extend(columns(process, &users, &now));
            rows.push(row);
        }
    }
    if !rows.is_empty() {
        context
            .ui
            .data(table::render(Layout::Docker, &HEAD, &rows).as_bytes())?;
    }
    Ok(())
}

/// `docker top`: the processes of one container.
///
/// # Errors
/// A container that is not there, or does not run.
pub fn of_container(context: &Context, name: &str) -> Result<()> {
    let users = users(&std::fs::read_to_string("/etc/passwd").unwrap_or_default());
    let now = Zoned::now();
    let processes = context.engine.container_processes(name)?;
    let rows: Vec<Vec<String>> = processes
        .into_iter()
        .map(|process| columns(process, &users, &now).to_vec())
        .collect();
    let text = table::render(Layout::Docker, &HEAD[2..], &rows);
    Ok(context.ui.data(text.as_bytes())?)
}

/// Names of this host's users: numbers are the host's too.
fn users(passwd: &str) -> IndexMap<u32, String> {
    let mut users = IndexMap::new();
    for line in passwd.lines() {
        let mut fields = line.split(':');
        let (name, uid) = (fields.next(), fields.nth(1));
        if let (Some(name), Some(uid)) = (name, uid.and_then(|uid| uid.parse().ok())) {
            // The first entry of a number is its name.
            users.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    users
}

fn columns(process: ProcessRow, users: &IndexMap<u32, String>, now: &Zoned) -> [String; 8] {
    let user = users.get(&process.uid).cloned();
    [
        user.unwrap_or_else(|| process.uid.to_string()),
        process.pid.to_string(),
        process.ppid.to_string(),
        share(process.cpu, process.started, now.timestamp()).to_string(),
        start(process.started, now),
        process.terminal.unwrap_or_else(|| "?".into()),
        clock(process.cpu),
        process.command,
    ]
}

/// Percent of one CPU over the whole life, as `ps` has it in C: at most 99.
fn share(cpu: Duration, started: Timestamp, now: Timestamp) -> u128 {
    let life = Duration::try_from(now.duration_since(started)).unwrap_or_default();
    let percent = (cpu.as_millis() * 100).checked_div(life.as_millis());
    percent.unwrap_or(0).min(99)
}

/// The time of a start today, the day of one this year, the year of an older one.
fn start(started: Timestamp, now: &Zoned) -> String {
    let started = started.to_zoned(now.time_zone().clone());
    let form = if started.date() == now.date() {
        "%H:%M"
    } else if started.year() == now.year() {
        "%b%d"
    } else {
        "%Y"
    };
    started.strftime(form).to_string()
}

/// `00:01:02`, `3-00:01:02`.
fn clock(cpu: Duration) -> String {
    let seconds = cpu.as_secs();
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let days = match days {
        0 => String::new(),
        days => format!("{days}-"),
    };
    format!(
        "{days}{hours:02}:{:02}:{:02}",
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn a_process_is_shown_as_ps_shows_it() {
        let now: Timestamp = "2026-11-25T12:00:00Z".parse().unwrap();
        let now = now.to_zoned(TimeZone::UTC);
        let users = users("root:x:0:0::/:/bin/sh\nbroken\ntoor:x:0:0::/:/bin/sh\n");
        let row = |uid, started: &str, seconds| {
            let process = ProcessRow {
                uid,
                pid: 7,
                ppid: 1,
                terminal: None,
                cpu: Duration::from_secs(seconds),
                started: started.parse().unwrap(),
                command: "sleep inf".into(),
            };
            columns(process, &users, &now).join(" ")
        };
        assert_eq!(
            row(0, "2026-11-25T11:00:00Z", 360),
            "root 7 1 10 11:00 ? 00:06:00 sleep inf"
        );
        assert_eq!(
            row(9, "2026-11-03T12:00:00Z", 90_061),
            "9 7 1 4 Nov03 ? 1-01:01:01 sleep inf"
        );
        assert_eq!(
            row(0, "2025-11-03T12:00:00Z", 0),
            "root 7 1 0 2025 ? 00:00:00 sleep inf"
        );
    }
}
