//! Containers by their own names, whatever made them: the verbs of `docker`.

pub mod attach;
pub mod inspect;
pub mod list;
pub mod run;

use std::time::Duration;

use ketch_runtime::cancel::Cancel;
use ketch_runtime::container::Container;
use ketch_runtime::engine::Engine;
use ketch_runtime::engine::containers::{Grace, LogQuery, RemoveOptions, StopOptions};

use super::logs;
use super::{Context, Error, Result};
use crate::ui::logs::{Printer, Style};

/// What is done to containers, one after the other.
#[derive(Debug, Clone)]
pub enum Act {
    Start,
    Stop {
        signal: Option<String>,
        seconds: Option<i64>,
    },
    Restart {
        signal: Option<String>,
        seconds: Option<i64>,
    },
    Kill {
        signal: Option<String>,
    },
    Remove {
        force: bool,
        volumes: bool,
    },
    Pause,
    Unpause,
}

/// Does it to each, prints the names of those that it was done to, and goes on after a failure.
///
/// # Errors
/// When one failed; each was told.
pub fn act(context: &Context, names: &[String], act: &Act) -> Result<()> {
    let mut failed = false;
    for name in names {
        match one(&context.engine, name, act) {
            Ok(()) => context.ui.line(name)?,
            Err(error) => {
                context.ui.error(error);
                failed = true;
            }
        }
    }
    if failed { Err(Error::Reported) } else { Ok(()) }
}

fn one(engine: &Engine, name: &str, act: &Act) -> ketch_runtime::error::Result<()> {
    let stop = |signal: &Option<String>, seconds: Option<i64>| StopOptions {
        signal: signal.clone(),
        grace: match seconds {
            None => Grace::Configured,
            Some(seconds) => u64::try_from(seconds)
                .map_or(Grace::Forever, |it| Grace::For(Duration::from_secs(it))),
        },
    };
    match act {
        Act::Start => engine.start_container(name),
        Act::Stop { signal, seconds } => engine.stop_container(name, &stop(signal, *seconds)),
        Act::Restart { signal, seconds } => engine.restart_container(name, &stop(signal, *seconds)),
        Act::Kill { signal } => engine.kill_container(name, signal.as_deref()),
        Act::Remove { force, volumes } => engine.remove_container(
            name,
            &RemoveOptions {
                force: *force,
                volumes: *volumes,
            },
        ),
        Act::Pause => engine.pause_container(name),
        Act::Unpause => engine.unpause_container(name),
    }
}

/// Another name for a container.
///
/// # Errors
/// A name that is taken, or none.
pub fn rename(context: &Context, name: &str, new_name: &str) -> Result<()> {
    Ok(context.engine.rename_container(name, new_name)?)
}

/// Waits for the end of each and prints its exit code.
///
/// # Errors
/// A container that is not there.
pub fn wait(context: &Context, names: &[String]) -> Result<()> {
    for name in names {
        let container = context.engine.container(name)?;
        let code = ended(&context.engine, &container, &context.cancel)?;
        context.ui.line(code)?;
    }
    Ok(())
}

/// The exit code of a container once it has ended.
fn ended(
    engine: &Engine,
    container: &Container,
    cancel: &Cancel,
) -> ketch_runtime::error::Result<i32> {
    let mut code = container.state.exit_code;
    if !container.state.status.is_active() {
        return Ok(code);
    }
    let mut watch = engine.watch_container(container.record.id.as_str())?;
    while let Some(state) = watch.next(cancel)? {
        code = state.exit_code;
        if !state.status.is_active() {
            break;
        }
    }
    Ok(code)
}

/// What a container wrote: its stdout to ours, its stderr to ours.
///
/// # Errors
/// A container that is not there; a log that can't be read.
pub fn logs(context: &Context, name: &str, query: &LogQuery, timestamps: bool) -> Result<()> {
    let container = context.engine.container(name)?;
    let style = Style {
        no_colour: true,
        no_prefix: true,
        timestamps,
        split_streams: true,
    };
    let names = [container.record.name.clone()];
    let mut printer = Printer::new(&context.ui, style, &names);
    let (sender, receiver) = std::sync::mpsc::channel();
    let (engine, cancel) = (context.engine.clone(), context.cancel.clone());
    let (id, shown, query) = (
        container.record.id.to_string(),
        names[0].clone(),
        query.clone(),
    );
    std::thread::spawn(move || logs::read(&engine, &id, &shown, &query, &cancel, &sender));
    logs::print(context, receiver, &mut printer)
}
