//! Pure: what ended a container, told apart.

use ketch_runtime::container::record::Record;
use ketch_runtime::container::state::{EndedBy, State, Status};
use ketch_runtime::spec::signal;

use crate::units::{bytes, duration};

/// Signals that a program brings upon itself.
const CRASHES: &[(i32, &str)] = &[
    (4, "illegal instruction"),
    (5, "trap"),
    (6, "aborted"),
    (7, "bus error"),
    (8, "arithmetic error"),
    (11, "segmentation fault"),
    (31, "forbidden system call"),
];

/// Why it does not run; `None` while it does, or when it was never started.
pub fn cause(record: &Record, state: &State) -> Option<String> {
    match state.status {
        Status::Running | Status::Paused => return None,
        Status::Created if state.error.is_empty() => return None,
        Status::Created | Status::Exited | Status::Restarting | Status::Removing | Status::Dead => {
        }
    }
    if !state.error.is_empty() {
        return Some(format!("it could not be started: {}", state.error));
    }
    if state.oom_killed {
        return Some(out_of_memory(record, state));
    }
    if let Some(text) = by_us(record, state) {
        return Some(text);
    }
    Some(match state.signal {
        Some(number) => by_signal(number),
        None => by_itself(state.exit_code),
    })
}

fn out_of_memory(record: &Record, state: &State) -> String {
    let limit = record.spec.resources.memory_bytes;
    let limit = limit.map_or_else(
        || "no limit of its own, the host's memory was used up".to_owned(),
        |limit| format!("limit {}", bytes::human_binary(limit)),
    );
    let peak = state.memory_peak_bytes;
    let peak = peak.map_or_else(String::new, |peak| {
        format!(", peak {}", bytes::human_binary(peak))
    });
    let what = if state.signal == Some(signal::KILL) {
        "the kernel killed it for want of memory (OOM)".to_owned()
    } else {
        format!(
            "the kernel killed a process in it for want of memory (OOM), and it ended with exit code {}",
            state.exit_code
        )
    };
    format!("{what}: {limit}{peak}")
}

fn by_us(record: &Record, state: &State) -> Option<String> {
    let stop = signal::name(record.stop.signal);
    Some(match state.ended_by? {
        EndedBy::Stop => format!("it was stopped by ketch ({stop})"),
        EndedBy::GraceRanOut => {
            let grace = record.stop.grace.map_or_else(String::new, |grace| {
                format!(" (stop_grace_period {})", duration::print(grace))
            });
            format!(
                "ketch stopped it, and it did not end after {stop} within its grace{grace}: it was killed"
            )
        }
        EndedBy::StopInVain => format!(
            "ketch stopped it; nothing in it handles {stop}, so it was killed without waiting"
        ),
        EndedBy::Signal(number) if is_answer(state, number) => {
            format!("{} was sent to it by hand", signal::name(number))
        }
        // A signal that it went on after (SIGHUP): something else ended it.
        EndedBy::Signal(_) => return None,
        EndedBy::Unseen => {
            "its end was not seen: the machine went down, or its monitor was killed with it".into()
        }
    })
}

fn is_answer(state: &State, number: i32) -> bool {
    const STOPS: [i32; 4] = [2, 3, signal::KILL, signal::TERM];
    state.signal == Some(number) || state.exit_code == 128 + number || STOPS.contains(&number)
}

fn by_signal(number: i32) -> String {
    let name = signal::name(number);
    match CRASHES.iter().find(|(crash, _)| *crash == number) {
        Some((_, what)) => format!("it crashed: {name} ({what})"),
        None => {
            format!("{name} from elsewhere ended it: sent neither by ketch nor for want of memory")
        }
    }
}

fn by_itself(code: i32) -> String {
    match code {
        0 => "it ended by itself, with success (exit code 0)".into(),
        126 => "it ended with exit code 126: a command was found, but can't be executed".into(),
        127 => "it ended with exit code 127: a command was not found".into(),
        129..=192 => {
            let name = signal::name(code - 128);
            format!("it ended with exit code {code}: a process in it was ended by {name}")
        }
        _ => format!("it ended by itself with exit code {code}"),
    }
}
