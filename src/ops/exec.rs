//! `exec`: a further process in a running container, with our standard streams.
//!
//! The container is never given our own terminal or files: bytes are carried between
//! ours and pipes, or the terminal that the engine made in the container's own devpts.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use ketch_runtime::engine::containers::{Exec, ExecSpec, ExecStdio};
use ketch_runtime::error::ErrorKind;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{self, OptionalActions, Termios};

use super::scope::Scope;
use super::signals::Signals;
use super::{Context, Error, Result};
use crate::ui::Unwritten;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streams {
    /// Nobody waits for it.
    None,
    Pipes {
        /// Whether our stdin is read.
        stdin: bool,
    },
    Terminal,
}

/// How long output may still come after the process ended: something it left behind may hold a pipe.
const LAST_OUTPUT: Duration = Duration::from_secs(2);

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
    let code = match options.streams {
        Streams::None => {
            let spec = spec(options, ExecStdio::Detached);
            context.engine.exec(name, spec)?;
            0
        }
        Streams::Pipes { stdin } => with_pipes(context, name, options, stdin)?,
        Streams::Terminal => with_terminal(context, name, options)?,
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
        carry_input(our_stdin);
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
    let code = wait(context, &mut exec)?;
    wait_for_output(&ended, 2)?;
    Ok(code)
}

fn with_terminal(context: &Context, name: &str, options: Options) -> Result<i32> {
    let size = termios::tcgetwinsize(rustix::stdio::stdin()).ok();
    let size = size.filter(|size| size.ws_row > 0 && size.ws_col > 0);
    let (rows, columns) = size.map_or((24, 80), |size| (size.ws_row, size.ws_col));
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
    let raw = Raw::enter();
    carry_input(File::from(input));
    follow_size(context.signals.clone(), size);
    let (ui, (sender, ended)) = (context.ui.clone(), channel());
    thread::spawn(move || {
        let carried = carry_output(File::from(master), |bytes| ui.data(bytes));
        let _waiter_left = sender.send(carried);
    });
    let code = wait(context, &mut exec);
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

fn wait(context: &Context, exec: &mut Exec) -> Result<i32> {
    match exec.wait(&context.cancel) {
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

/// Carries our stdin into the container until either side ends. Nothing waits for this thread: a
/// read of stdin can't be taken back, and the process ends with the command.
fn carry_input(to: impl Write + Send + 'static) {
    let mut to = to;
    thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut buffer = [0; 16 * 1024];
        while let Ok(read @ 1..) = stdin.read(&mut buffer) {
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
    });
}

fn carry_output(
    from: impl Read,
    mut to: impl FnMut(&[u8]) -> Result<(), Unwritten>,
) -> Result<(), Unwritten> {
    let mut from = from;
    let mut buffer = [0; 16 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => to(&buffer[..read])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A terminal whose other side is gone gives EIO.
            Err(_) => return Ok(()),
        }
    }
}

/// Waits for the last of the output. A reader that went away is the program's own affair.
fn wait_for_output(ended: &Receiver<Result<(), Unwritten>>, streams: usize) -> Result<()> {
    for _ in 0..streams {
        match ended.recv_timeout(LAST_OUTPUT) {
            Ok(Err(failed @ Unwritten::Failed(_))) => return Err(failed.into()),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    Ok(())
}

/// Tells the container's terminal whenever ours changes its size.
fn follow_size(signals: Signals, terminal: OwnedFd) {
    thread::spawn(move || {
        while let Ok(resized) = signals.next_resize() {
            let mut fds = [PollFd::new(&resized, PollFlags::IN)];
            if let Err(error) = poll(&mut fds, None)
                && error != rustix::io::Errno::INTR
            {
                break;
            }
            if let Ok(size) = termios::tcgetwinsize(rustix::stdio::stdin())
                && termios::tcsetwinsize(&terminal, size).is_err()
            {
                break;
            }
        }
    });
}

/// Our terminal passes every byte on as it is, until this is dropped.
struct Raw(Option<Termios>);

impl Raw {
    fn enter() -> Self {
        let stdin = rustix::stdio::stdin();
        let Ok(before) = termios::tcgetattr(stdin) else {
            return Self(None);
        };
        let mut raw = before.clone();
        raw.make_raw();
        match termios::tcsetattr(stdin, OptionalActions::Now, &raw) {
            Ok(()) => Self(Some(before)),
            Err(_) => Self(None),
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let stdin = rustix::stdio::stdin();
            let _gone_with_the_terminal = termios::tcsetattr(stdin, OptionalActions::Drain, before);
        }
    }
}
