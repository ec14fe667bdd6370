//! Pure: a health check and what came of it.

use jiff::Timestamp;
use ketch_runtime::container::record::Record;
use ketch_runtime::container::state::{ProbeResult, State};

use super::safe;
use crate::units::duration;

/// Lines of one attempt's output that are shown.
const OUTPUT_LINES: usize = 5;

/// The check, how often it failed, and what the attempts said, same ones once.
pub(super) fn attempts(record: &Record, state: &State) -> Vec<String> {
    let (Some(check), Some(health)) = (&record.health, &state.health) else {
        return Vec::new();
    };
    let mut lines = vec![
        format!("  health check: {}", command(&check.args)),
        format!(
            "  attempts: {} failed in a row (retries {}, interval {}, timeout {}{})",
            health.failing_streak,
            check.retries,
            duration::print(check.interval),
            duration::print(check.timeout),
            if check.start_period.is_zero() {
                String::new()
            } else {
                format!(", start_period {}", duration::print(check.start_period))
            },
        ),
    ];
    let started = state.started_at;
    // Results of earlier runs are kept in the log too.
    let of_this_run = health
        .log
        .iter()
        .filter(|probe| started.is_none_or(|started| probe.start >= started));
    let mut groups: Vec<(&ProbeResult, usize)> = Vec::new();
    for probe in of_this_run.filter(|probe| probe.exit_code != 0) {
        match groups.last_mut() {
            Some((last, count))
                if last.exit_code == probe.exit_code && last.output == probe.output =>
            {
                *last = probe;
                *count += 1;
            }
            _ => groups.push((probe, 1)),
        }
    }
    for (probe, count) in groups {
        lines.push(result(probe, count, started));
        let output = probe.output.lines().filter(|line| !line.trim().is_empty());
        let output: Vec<&str> = output.collect();
        let shown = output.iter().take(OUTPUT_LINES);
        lines.extend(shown.map(|line| format!("      | {}", safe(line))));
        if output.len() > OUTPUT_LINES {
            lines.push("      | …".into());
        }
    }
    lines
}

fn result(probe: &ProbeResult, count: usize, started: Option<Timestamp>) -> String {
    let when = started.map_or_else(String::new, |started| {
        let since = probe.end.duration_since(started).as_secs_f64();
        format!(" {since:.1}s after the start")
    });
    let how_often = if count == 1 {
        String::new()
    } else {
        format!(", {count} times alike, the last")
    };
    let code = match probe.exit_code {
        -1 => "no exit code".to_owned(),
        126 => "exit code 126 (can't be executed)".into(),
        127 => "exit code 127 (command not found)".into(),
        code => format!("exit code {code}"),
    };
    let silent = if probe.output.trim().is_empty() {
        ", no output"
    } else {
        ":"
    };
    format!("    {code}{how_often}{when}{silent}")
}

/// The words of a command; those with blanks in quotes.
fn command(args: &[String]) -> String {
    let words = args.iter().map(|word| {
        let is_plain = !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || c == '"');
        if is_plain {
            safe(word)
        } else {
            format!("{word:?}")
        }
    });
    words.collect::<Vec<_>>().join(" ")
}
