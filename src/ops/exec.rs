//! `exec`: a further process in a running container, with our standard streams.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::channel;
use std::thread;

use ketch_runtime::cancel::Cancel;
use ketch_runtime::engine::containers::{Exec, ExecSpec, ExecStdio};
use ketch_runtime::error::ErrorKind;

use super::detach_keys::Keys;
use super::scope::Scope;
use super::terminal::{self, Patient, Raw, carry_input, carry_output, wait_for_output};
use super::{Context, Error, Result};

/// What to run.
#[derive(Debug)]
pub struct Options {
    pub service: String,
    /// Never empty.
    pub command: Vec<String>,
    pub index: Option<u32>,
    /// `NAME=value`.
    pub env: Vec<String>,
    pub user: Option<String>,
    pub working_dir: Option<String>,
    pub privileged: bool,
    pub streams: Streams,
}

/// What its standard streams are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Streams {
    /// Nobody waits for it.
    None,
    Pipes {
        /// Whether our stdin is read.
        stdin: bool,
    },
    /// Left with these keys; the process runs on.
    Terminal(Keys),
}

/// Runs it and ends with its code.
///
/// # Errors
/// `service "x" is not running`; the code of the command.
pub fn run(context: &Context, options: Options) -> Result<()> {
    let scope = Scope::find(context)?;
    let member = scope.running(&context.engine, &options.service, options.index)?;
    if context.dry_run {
        return Ok(());
    }
    let name = member.name().to_owned();
    in_container(context, &name, options)
}

/// The same in a container by its name; service and index mean nothing.
///
/// # Errors
/// A container that is not there, or does not run; the code of the command.
pub fn in_container(context: &Context, name: &str, options: Options) -> Result<()> {
    let code = match options.streams.clone() {
        Streams::None => {
            let spec = spec(options, ExecStdio::Detached);
            context.engine.exec(name, spec)?;
            0
        }
        Streams::Pipes { stdin } => with_pipes(context, name, options, stdin)?,
        Streams::Terminal(keys) => with_terminal(context, name, options, keys)?,
    };
    if code == 0 {
        Ok(())
    } else {
        Err(Error::ExitedWith(code))
    }
}

fn spec(options: Options, stdio: ExecStdio) -> ExecSpec {
    ExecSpec {
        args: options.command,
        env: options.env,
        user: options.user,
        working_dir: options.working_dir,
        privileged: options.privileged,
        stdio,
    }
}

fn with_pipes(context: &Context, name: &str, options: Options, stdin: bool) -> Result<i32> {
    let pipe = || io::pipe().map_err(|error| Error::Failed(format!("pipe: {error}")));
    let (their_stdin, our_stdin) = pipe()?;
    let (our_stdout, their_stdout) = pipe()?;
    let (our_stderr, their_stderr) = pipe()?;
    let stdio = ExecStdio::Pipes {
        stdin: their_stdin.into(),
        stdout: their_stdout.into(),
        stderr: their_stderr.into(),
    };
    let mut exec = start(context, name, options, stdio)?;
    // A closed stdin reads as its end.
    if stdin {
        carry_input(our_stdin, None, || {});
    } else {
        drop(our_stdin);
    }
    let (sender, ended) = channel();
    for (pipe, to_stderr) in [(our_stdout, false), (our_stderr, true)] {
        let (ui, sender) = (context.ui.clone(), sender.clone());
        thread::spawn(move || {
            let carried = carry_output(pipe, |bytes| {
                if to_stderr {
                    ui.error_data(bytes);
                    Ok(())
                } else {
                    ui.data(bytes)
                }
            });
            let _waiter_left = sender.send(carried);
        });
    }
    drop(sender);
    let code = wait(context, &mut exec, &context.cancel)?;
    wait_for_output(&ended, 2)?;
    Ok(code)
}

fn with_terminal(context: &Context, name: &str, options: Options, keys: Keys) -> Result<i32> {
    let (rows, columns) = terminal::size().unwrap_or((24, 80));
    let mut exec = start(
        context,
        name,
        options,
        ExecStdio::Terminal { rows, columns },
    )?;
    let Some(master) = exec.take_terminal() else {
        return Err(Error::Failed(format!(
            "exec in {name}: the engine gave no terminal"
        )));
    };
    let copy = |fd: &OwnedFd| {
        fd.try_clone()
            .map_err(|error| Error::Failed(format!("exec in {name}: {error}")))
    };
    let (input, size) = (copy(&master)?, copy(&master)?);
    let left = Cancel::new()?;
    let (leave, interrupted) = (left.clone(), left.clone());
    let raw = Raw::enter();
    carry_input(Patient(input), Some(keys), move || leave.cancel());
    let given_up = context.cancel.clone();
    thread::spawn(move || {
        super::attach::wait_for(&given_up);
        interrupted.cancel();
    });
    terminal::follow_size(context.signals.clone(), size);
    let (ui, (sender, ended)) = (context.ui.clone(), channel());
    thread::spawn(move || {
        let carried = carry_output(File::from(master), |bytes| ui.data(bytes));
        let _waiter_left = sender.send(carried);
    });
    let code = wait(context, &mut exec, &left);
    if code.is_err() && left.is_cancelled() && !context.cancel.is_cancelled() {
        drop(raw);
        context.ui.talk(terminal::LEFT_BY_KEYS);
        return Ok(0);
    }
    let written = wait_for_output(&ended, 1);
    drop(raw);
    written.and(code)
}

fn start(context: &Context, name: &str, options: Options, stdio: ExecStdio) -> Result<Exec> {
    match context.engine.exec(name, spec(options, stdio)) {
        Ok(exec) => Ok(exec),
        // The codes of a shell, and the words of the runtime that people know.
        Err(error) => match error.kind() {
            ErrorKind::CommandNotFound => refused(context, 127, &error),
            ErrorKind::NotExecutable => refused(context, 126, &error),
            _ => Err(Error::Engine(error)),
        },
    }
}

fn refused(context: &Context, code: i32, error: &ketch_runtime::error::Error) -> Result<Exec> {
    context.ui.error(format_args!(
        "OCI runtime exec failed: exec failed: unable to start container process: {error}"
    ));
    Err(Error::ExitedWith(code))
}

fn wait(context: &Context, exec: &mut Exec, cancel: &Cancel) -> Result<i32> {
    match exec.wait(cancel) {
        Ok(code) => Ok(code),
        Err(_) if context.cancel.is_cancelled() => Err(Error::Interrupted),
        // It may have been missing only once the container's files were looked at.
        Err(error) if error.kind() == ErrorKind::CommandNotFound => {
            context.ui.error(error);
            Ok(127)
        }
        Err(error) if error.kind() == ErrorKind::NotExecutable => {
            context.ui.error(error);
            Ok(126)
        }
        Err(error) => Err(Error::Engine(error)),
    }
}
