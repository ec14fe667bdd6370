//! Yes or no. Where nobody can answer, the answer is no.

use std::io::{self, BufRead, IsTerminal, Write};

use super::Ui;

impl Ui {
    /// Asks on stderr and reads one line of stdin; anything but a yes is a no.
    ///
    /// Standard input that is not a terminal is read too, as Compose does: `yes | ketch rm`.
    pub fn confirm(&self, question: &str) -> bool {
        self.error_data(format!("{question} [yN] ").as_bytes());
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer);
        if !io::stdin().is_terminal() {
            let _unread = io::stderr().write_all(b"\n");
        }
        read.is_ok() && is_yes(&answer)
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
