//! Every exit code in one table, and the last words that go with it.

use std::io::Write;
use std::process::ExitCode;

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
            ui.error(error);
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

/// The end of a command line that could not be read.
pub(super) fn parsing(ended: &Ended) -> ExitCode {
    match ended {
        Ended::Help(text) => {
            print(text);
            ExitCode::SUCCESS
        }
        Ended::UnknownCommand { help, message } => {
            print(help);
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

fn print(text: &str) {
    let _unread = write!(std::io::stdout(), "{text}");
}

/// A process' code as the kernel keeps it: the lowest eight bits.
fn code_of(code: i32) -> u8 {
    u8::try_from(code & 0xff).unwrap_or(FAILED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_containers_code_is_passed_on() {
        assert_eq!(code_of(0), 0);
        assert_eq!(code_of(137), 137);
        assert_eq!(code_of(-1), 255);
    }
}
