//! `wait`: until the containers of these services have ended.

use std::sync::mpsc::channel;
use std::thread;

use ketch_runtime::cancel::Cancel;
use ketch_runtime::engine::Engine;

use super::scope::{Member, Scope};
use super::{Context, Error, Result, down};

/// Waiting itself failed.
const WAIT_FAILED: i32 = 42;

/// Waits for all of them; the code is that of the one that ended last.
///
/// # Errors
/// `no such service: x`; the container's code.
pub fn run(context: &Context, services: &[String], down_project: bool) -> Result<()> {
    let scope = Scope::find(context)?;
    let members = scope.containers_and_one_offs(&context.engine, services)?;
    if members.is_empty() {
        return Err(Error::Failed(format!(
            "no containers for project {:?}",
            scope.name
        )));
    }
    let (sender, receiver) = channel();
    for member in members {
        let (engine, cancel, sender) = (
            context.engine.clone(),
            context.cancel.clone(),
            sender.clone(),
        );
        thread::spawn(move || {
            let ended = until_ended(&engine, &member, &cancel);
            let _receiver_left = sender.send((member.container.record.id, ended));
        });
    }
    drop(sender);
    let mut last = 0;
    for (id, ended) in receiver {
        match ended {
            Ok(code) => {
                context.ui.line(format_args!(
                    "container {:?} exited with status code {code}",
                    id.as_str()
                ))?;
                last = code;
            }
            Err(_) if context.cancel.is_cancelled() => return Err(Error::Interrupted),
            Err(error) => {
                context.ui.error(error);
                last = WAIT_FAILED;
            }
        }
    }
    if down_project {
        let options = down::Options {
            remove_orphans: true,
            ..down::Options::default()
        };
        down::run(context, &options)?;
    }
    if last == 0 {
        Ok(())
    } else {
        Err(Error::ExitedWith(last))
    }
}

fn until_ended(
    engine: &Engine,
    member: &Member,
    cancel: &Cancel,
) -> ketch_runtime::error::Result<i32> {
    let mut code = member.container.state.exit_code;
    if !member.container.state.status.is_active() {
        return Ok(code);
    }
    let mut watch = engine.watch_container(member.name())?;
    while let Some(state) = watch.next(cancel)? {
        code = state.exit_code;
        if !state.status.is_active() {
            break;
        }
    }
    Ok(code)
}
