//! Pure: an image in the making: a stage after some of its instructions.

use indexmap::IndexMap;
use jiff::Timestamp;

use super::cache::KeyBuilder;
use super::dockerfile::Instruction;
use super::dockerfile::instruction::{Command, Run};
use super::dockerfile::lines::Heredoc;
use super::stages;
use crate::content::digest::Digest;
use crate::image::config::{Healthcheck, History, ImageConfig};

pub(super) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A stage as it stands after some of its instructions.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    /// Digest of all that the file system depends on.
    pub(super) key: Digest,
    /// Chain ids, lowest first.
    pub(super) layers: Vec<Digest>,
    pub(super) config: ImageConfig,
    /// Every ENV and ARG in order; the last of a name wins.
    pub(super) variables: Vec<(String, String)>,
    /// ARG names declared in this stage, in order.
    pub(super) arguments: Vec<String>,
    /// CMD was set in this very stage: ENTRYPOINT leaves it alone.
    pub(super) has_own_command: bool,
    /// When the latest layer was made.
    pub(super) created: Option<Timestamp>,
}

impl Draft {
    pub(super) fn scratch() -> Self {
        let mut state = Self {
            key: KeyBuilder::new("scratch").finish(),
            layers: Vec::new(),
            config: ImageConfig {
                architecture: stages::architecture().into(),
                os: "linux".into(),
                ..ImageConfig::default()
            },
            variables: Vec::new(),
            arguments: Vec::new(),
            has_own_command: false,
            created: None,
        };
        state.set_environment("PATH", DEFAULT_PATH);
        state.variables = state.environment();
        state
    }

    /// Instructions that only change the configuration, without variables.
    pub(super) fn configure(&mut self, instruction: &Instruction) {
        match instruction {
            Instruction::Cmd(command) => {
                let args = self.command(command);
                self.has_own_command = true;
                self.history(format!("CMD {}", quoted(&args)));
                self.config.config.cmd = Some(args);
            }
            Instruction::Entrypoint(command) => {
                let args = self.command(command);
                if !self.has_own_command {
                    self.config.config.cmd = None;
                }
                self.history(format!("ENTRYPOINT {}", quoted(&args)));
                self.config.config.entrypoint = Some(args);
            }
            Instruction::Shell(words) => {
                self.history(format!("SHELL [{}]", words.join(" ")));
                self.config.config.shell = Some(words.clone());
            }
            Instruction::Healthcheck(health) => {
                self.history(format!("HEALTHCHECK {}", quoted(&health.test)));
                self.config.config.healthcheck = Some(Healthcheck {
                    test: health.test.clone(),
                    interval: health.interval,
                    timeout: health.timeout,
                    start_period: health.start_period,
                    start_interval: health.start_interval,
                    retries: health.retries,
                });
            }
            Instruction::OnBuild(trigger) => {
                self.config
                    .config
                    .on_build
                    .get_or_insert_default()
                    .push(trigger.clone());
            }
            Instruction::Maintainer(author) => {
                self.history(format!("MAINTAINER {author}"));
                self.config.author = Some(author.clone());
            }
            _ => unreachable!("the solver carries the other instructions out itself"),
        }
    }

    pub(super) fn command(&self, command: &Command) -> Vec<String> {
        match command {
            Command::Shell(text) => self.shell_form(text),
            Command::Exec(args) => args.clone(),
        }
    }

    pub(super) fn shell_form(&self, text: &str) -> Vec<String> {
        let default = || vec!["/bin/sh".to_owned(), "-c".to_owned()];
        let mut args = self.config.config.shell.clone().unwrap_or_else(default);
        args.push(text.to_owned());
        args
    }

    /// The argument vector of a RUN, its here-documents included.
    pub(super) fn run_args(&self, run: &Run) -> Vec<String> {
        match (&run.command, run.heredocs.as_slice()) {
            (Command::Exec(args), _) => args.clone(),
            (Command::Shell(text), []) => self.shell_form(text),
            (Command::Shell(text), [only])
                if text.split_whitespace().count() == 1 && !only.body.starts_with("#!") =>
            {
                self.shell_form(&heredoc_body(only))
            }
            // The shell reads its own here-documents.
            (Command::Shell(text), many) => {
                let mut whole = text.clone();
                for heredoc in many {
                    whole += &format!("\n{}{}", heredoc.body, heredoc.name);
                }
                self.shell_form(&whole)
            }
        }
    }

    pub(super) fn working_dir(&self) -> String {
        match self.config.config.working_dir.as_str() {
            "" => "/".into(),
            path => path.into(),
        }
    }

    /// The image's variables, as pairs.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let split = |entry: &String| {
            entry
                .split_once('=')
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
        };
        self.config
            .config
            .env
            .iter()
            .flatten()
            .filter_map(split)
            .collect()
    }

    pub(super) fn set_environment(&mut self, name: &str, value: &str) {
        let env = self.config.config.env.get_or_insert_default();
        let entry = format!("{name}={value}");
        let prefix = format!("{name}=");
        match env.iter_mut().find(|old| old.starts_with(&prefix)) {
            Some(old) => *old = entry,
            None => env.push(entry),
        }
    }

    /// What RUN sees: ENV and ARG together, the last assignment of a name winning.
    pub(super) fn run_environment(&self) -> Vec<(String, String)> {
        let mut env: IndexMap<String, String> = IndexMap::new();
        for (name, value) in &self.variables {
            env.insert(name.clone(), value.clone());
        }
        env.into_iter().collect()
    }

    pub(super) fn declared_arguments(&self) -> Vec<String> {
        let value = |name: &String| self.variables.iter().rev().find(|(key, _)| key == name);
        self.arguments
            .iter()
            .filter_map(value)
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }

    /// An entry for an instruction that makes no layer; it takes the time of the layer before it, so
    /// that a cached build gives the same image.
    pub(super) fn history(&mut self, created_by: String) {
        self.config.history.push(History {
            created: self.created,
            created_by: Some(created_by),
            comment: Some("buildkit.dockerfile.v0".into()),
            empty_layer: true,
            ..History::default()
        });
    }
}

/// A here-document's text, without the leading tabs that do not count.
pub(super) fn heredoc_body(heredoc: &Heredoc) -> String {
    if !heredoc.chomp {
        return heredoc.body.clone();
    }
    heredoc
        .body
        .split_inclusive('\n')
        .map(|line| line.trim_start_matches('\t'))
        .collect()
}

/// As Go prints a list of strings: `["a" "b c"]`.
fn quoted(args: &[String]) -> String {
    let words: Vec<String> = args.iter().map(|word| format!("{word:?}")).collect();
    format!("[{}]", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn env_replaces_in_place_and_the_last_assignment_wins() {
        let mut state = Draft::scratch();
        state.set_environment("A", "1");
        state.set_environment("B", "2");
        state.set_environment("A", "3");
        assert_eq!(
            state.config.config.env.as_deref().unwrap()[1..],
            ["A=3", "B=2"]
        );
        state.variables = vec![("A".into(), "1".into()), ("A".into(), "2".into())];
        assert_eq!(state.run_environment(), [("A".to_owned(), "2".to_owned())]);
    }

    #[test]
    fn entrypoint_drops_an_inherited_command_only() {
        let mut state = Draft::scratch();
        state.config.config.cmd = Some(vec!["old".into()]);
        state.configure(&Instruction::Entrypoint(Command::Exec(vec!["e".into()])));
        assert_eq!(state.config.config.cmd, None);
        state.configure(&Instruction::Cmd(Command::Shell("x".into())));
        state.configure(&Instruction::Entrypoint(Command::Exec(vec!["f".into()])));
        assert_eq!(
            state.config.config.cmd.as_deref().unwrap(),
            ["/bin/sh", "-c", "x"]
        );
    }
}
