//! The verbs of Compose: one file each, its doc comment is the help.

mod attach;
mod build;
mod config;
mod cp;
mod create;
mod down;
mod events;
mod exec;
mod explain;
mod images;
mod kill;
mod logs;
mod ls;
mod pause;
mod port;
mod ps;
mod pull;
mod push;
mod restart;
mod rm;
mod run;
mod scale;
mod start;
pub(super) mod stats;
mod stop;
mod top;
mod unpause;
mod up;
mod version;
mod volumes;
mod wait;
mod watch;
mod why;

use clap::Subcommand;

use crate::ops::{Context, Error, Result};

/// Compose's commands.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    Attach(attach::Args),
    Build(build::Args),
    Config(config::Args),
    Cp(cp::Args),
    Create(create::Args),
    Down(down::Args),
    Events(events::Args),
    Exec(exec::Args),
    Explain(explain::Args),
    Images(images::Args),
    Kill(kill::Args),
    Logs(logs::Args),
    Ls(ls::Args),
    Pause(pause::Args),
    Port(port::Args),
    Ps(ps::Args),
    Pull(pull::Args),
    Push(push::Args),
    Restart(restart::Args),
    Rm(rm::Args),
    Run(Box<run::Args>),
    Scale(scale::Args),
    Start(start::Args),
    Stats(stats::Args),
    Stop(stop::Args),
    Top(top::Args),
    Unpause(unpause::Args),
    Up(up::Args),
    Version(version::Args),
    Volumes(volumes::Args),
    Wait(wait::Args),
    Watch(watch::Args),
    Why(why::Args),
}

impl Verb {
    /// Whether ctrl-C has a meaning beyond the end of the program.
    pub(super) fn can_be_given_up(&self) -> bool {
        !matches!(
            self,
            Self::Config(_)
                | Self::Explain(_)
                | Self::Images(_)
                | Self::Ls(_)
                | Self::Port(_)
                | Self::Ps(_)
                | Self::Top(_)
                | Self::Version(_)
                | Self::Volumes(_)
                | Self::Why(_)
        )
    }

    /// Whether nobody wants to see how it goes.
    pub(super) fn is_quiet(&self) -> bool {
        matches!(self, Self::Run(args) if args.is_quiet())
    }

    pub(super) fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Attach(args) => args.run(context),
            Self::Build(args) => args.run(context),
            Self::Config(args) => args.run(context),
            Self::Cp(args) => args.run(context),
            Self::Create(args) => args.run(context),
            Self::Down(args) => args.run(context),
            Self::Events(args) => args.run(context),
            Self::Exec(args) => args.run(context),
            Self::Explain(args) => args.run(context),
            Self::Images(args) => args.run(context),
            Self::Kill(args) => args.run(context),
            Self::Logs(args) => args.run(context),
            Self::Ls(args) => args.run(context),
            Self::Pause(args) => args.run(context),
            Self::Port(args) => args.run(context),
            Self::Ps(args) => args.run(context),
            Self::Pull(args) => args.run(context),
            Self::Push(args) => args.run(context),
            Self::Restart(args) => args.run(context),
            Self::Rm(args) => args.run(context),
            Self::Run(args) => args.run(context),
            Self::Scale(args) => args.run(context),
            Self::Start(args) => args.run(context),
            Self::Stats(args) => args.run(context),
            Self::Stop(args) => args.run(context),
            Self::Top(args) => args.run(context),
            Self::Unpause(args) => args.run(context),
            Self::Up(args) => args.run(context),
            Self::Version(args) => args.run(context),
            Self::Volumes(args) => args.run(context),
            Self::Wait(args) => args.run(context),
            Self::Watch(args) => args.run(context),
            Self::Why(args) => args.run(context),
        }
    }
}

/// Reads `SERVICE=NUM`.
fn scales(options: &[String]) -> Result<Vec<(String, u32)>> {
    let read = |option: &String| {
        let (service, number) = option.split_once('=')?;
        Some((service.to_owned(), number.parse().ok()?))
    };
    options
        .iter()
        .map(|option| {
            read(option).ok_or_else(|| {
                Error::Failed(format!(
                    "invalid --scale option {option:?}. Should be SERVICE=NUM"
                ))
            })
        })
        .collect()
}

/// `--wait-timeout`: seconds; zero and less is no limit.
fn wait_timeout(seconds: Option<i64>) -> Option<u64> {
    let seconds = u64::try_from(seconds?).ok()?;
    (seconds > 0).then_some(seconds)
}

/// Two flags that make no sense together.
fn exclusive(both: bool, one: &str, other: &str) -> Result<()> {
    if both {
        return Err(Error::Failed(format!("{one} and {other} are incompatible")));
    }
    Ok(())
}

/// What ketch knows and does not do yet: said, never ignored.
fn not_yet(given: bool, flag: &str) -> Result<()> {
    if given {
        return Err(Error::Failed(format!(
            "{flag} is not carried out by ketch yet"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_is_a_service_and_a_number() {
        assert_eq!(scales(&["web=3".into()]).unwrap(), [("web".into(), 3)]);
        let Err(Error::Failed(message)) = scales(&["web".into()]) else {
            panic!("a scale without a number was taken");
        };
        assert_eq!(
            message,
            "invalid --scale option \"web\". Should be SERVICE=NUM"
        );
    }
}
