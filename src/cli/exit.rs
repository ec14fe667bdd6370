//! Every exit code in one table, and the last words that go with it.

use std::io::Write;
use std::process::ExitCode;

use ketch_runtime::error::ErrorKind;

use super::parse::Ended;
use crate::ops::Error;
use crate::ui::Ui;

/// Anything that failed, wrong usage included (Compose knows no other code for it).
const FAILED: u8 = 1;
/// SIGINT or SIGTERM ended the command.
const INTERRUPTED: u8 = 130;
/// What a shell reports for a writer whose reader went away: 128 + SIGPIPE.
const CLOSED: u8 = 141;

/// Prints what ended the command, once, and gives its code.
pub(super) fn report(ui: &Ui, error: &Error) -> ExitCode {
    let code = match error {
        Error::Invalid(failed) => {
            ui.diagnostics(&failed.diagnostics, &failed.sources);
            FAILED
        }
        Error::Engine(error) => {
            let is_root = rustix::process::geteuid().is_root();
            ui.error(with_rights(error, is_root));
            FAILED
        }
        Error::Failed(message) => {
            ui.error(message);
            FAILED
        }
        // Each was shown where it happened.
        Error::Reported => FAILED,
        Error::ExitedWith(code) => code_of(*code),
        Error::Interrupted => INTERRUPTED,
        Error::Closed => CLOSED,
    };
    ExitCode::from(code)
}

/// A refusal for want of rights says how to have them.
fn with_rights(error: &ketch_runtime::error::Error, is_root: bool) -> String {
    if error.kind() == ErrorKind::Denied && !is_root {
        return format!("ketch needs root (run it with sudo): {error}");
    }
    error.to_string()
}

/// The end of a command line that could not be read.
pub(super) fn parsing(ended: &Ended) -> ExitCode {
    match ended {
        Ended::Help(text) => print(text),
        Ended::UnknownCommand { help, message } => {
            let _the_message_counts = print(help);
            usage(message)
        }
        Ended::Usage(message) => usage(message),
    }
}

/// A command line that makes no sense.
pub(super) fn usage(message: &str) -> ExitCode {
    let _unread = writeln!(std::io::stderr(), "{message}");
    ExitCode::from(FAILED)
}

fn print(text: &str) -> ExitCode {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::from(CLOSED),
        Err(error) => {
            let error = ketch_runtime::error::Error::from(error);
            usage(&format!("write standard output: {error}"))
        }
    }
}

/// A process' code as the kernel keeps it: the lowest eight bits.
fn code_of(code: i32) -> u8 {
    u8::try_from(code & 0xff).unwrap_or(FAILED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_refused_is_told_to_be_root() {
        let error = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let error = ketch_runtime::error::Error::from(error).context("read /x");
        assert_eq!(
            with_rights(&error, false),
            "ketch needs root (run it with sudo): read /x: permission denied"
        );
        assert_eq!(with_rights(&error, true), "read /x: permission denied");
    }

    #[test]
    fn a_containers_code_is_passed_on() {
        assert_eq!(code_of(0), 0);
        assert_eq!(code_of(137), 137);
        assert_eq!(code_of(-1), 255);
    }
}
