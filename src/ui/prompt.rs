//! Yes or no. Where nobody can answer, the answer is no.

use std::io::{self, BufRead, IsTerminal};

use ketch_runtime::cancel::Cancel;
use rustix::event::{PollFd, PollFlags, poll};

use super::Ui;

impl Ui {
    /// Asks on stderr and reads one line of stdin; anything but a yes is a no, and so is giving up.
    ///
    /// Standard input that is not a terminal is read too, as Compose does: `yes | ketch rm`.
    pub fn confirm(&self, question: &str, cancel: &Cancel) -> bool {
        self.error_data(format!("{question} [yN] ").as_bytes());
        let stdin = io::stdin();
        let mut fds = [
            PollFd::new(&stdin, PollFlags::IN),
            PollFd::new(cancel, PollFlags::IN),
        ];
        let polled = poll(&mut fds, None);
        let mut answer = String::new();
        let is_read =
            polled.is_ok() && !cancel.is_cancelled() && stdin.lock().read_line(&mut answer).is_ok();
        // A terminal has echoed the end of the line; nothing else has.
        if !is_read || !stdin.is_terminal() {
            self.error_data(b"\n");
        }
        is_read && is_yes(&answer)
    }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        assert!(is_yes("y\n"));
        assert!(is_yes(" YES \n"));
        assert!(!is_yes("\n"));
        assert!(!is_yes(""));
        assert!(!is_yes("yessir"));
    }
}
