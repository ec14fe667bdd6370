//! `logs`.

use crate::ops::{self, Context, Error, Result};

/// View output from containers
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Follow log output
    #[arg(short, long)]
    follow: bool,
    /// index of the container if service has multiple replicas
    #[arg(long, value_name = "int")]
    index: Option<u32>,
    /// Produce monochrome output
    #[arg(long)]
    no_color: bool,
    /// Don't print prefix in logs
    #[arg(long)]
    no_log_prefix: bool,
    /// Show logs since timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m for 42 minutes)
    #[arg(long, value_name = "string")]
    since: Option<String>,
    /// Number of lines to show from the end of the logs for each container
    #[arg(
        short = 'n',
        long,
        value_name = "string",
        default_value = "all",
        allow_hyphen_values = true
    )]
    tail: String,
    /// Show timestamps
    #[arg(short, long)]
    timestamps: bool,
    /// Show logs before a timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m for 42 minutes)
    #[arg(long, value_name = "string")]
    until: Option<String>,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        if self.index.is_some() && self.services.len() != 1 {
            return Err(Error::Failed(
                "--index requires one service to be selected".into(),
            ));
        }
        let moment = |text: &Option<String>, flag: &str| {
            let Some(text) = text else { return Ok(None) };
            ops::logs::moment(text, jiff::Timestamp::now())
                .map(Some)
                .ok_or_else(|| {
                    Error::Failed(format!(
                        "invalid value for \"{flag}\": {text:?} is neither a time nor a duration"
                    ))
                })
        };
        let tail = match self.tail.as_str() {
            "all" | "" => None,
            // As the engine has it, what is not a number means all.
            number => number.parse().ok(),
        };
        let options = ops::logs::Options {
            since: moment(&self.since, "since")?,
            until: moment(&self.until, "until")?,
            tail,
            follow: self.follow,
            index: self.index,
            services: self.services,
            style: crate::ui::logs::Style {
                no_colour: self.no_color,
                no_prefix: self.no_log_prefix,
                timestamps: self.timestamps,
                split_streams: false,
            },
        };
        ops::logs::run(context, &options)
    }
}
