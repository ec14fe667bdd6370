//! Flags that several commands have in common.

use clap::Args;
use ketch_runtime::engine::containers::LogQuery;
use ketch_runtime::registry::credentials::ConfigFile;

use crate::ops::containers::attach::Attach;
use crate::ops::detach_keys::Keys;
use crate::ops::{Context, Error, Result, events, logs};
use crate::ui::template;

/// `--format` of lists.
#[derive(Debug, Args)]
pub(super) struct Shape {
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or 'TEMPLATE'
    #[arg(
        long = "format",
        value_name = "string",
        default_value = "",
        hide_default_value = true
    )]
    format: String,
}

impl Shape {
    /// What it says.
    ///
    /// # Errors
    /// A template that is none.
    pub(super) fn parse(&self) -> Result<template::Format> {
        template::Format::parse(&self.format).map_err(Error::Failed)
    }
}

/// `--filter` of lists.
#[derive(Debug, Args)]
pub(super) struct Filtering {
    /// Filter output based on conditions provided
    #[arg(short = 'f', long = "filter", value_name = "filter")]
    pub(super) filters: Vec<String>,
}

/// From when and until when.
#[derive(Debug, Args)]
pub(super) struct Span {
    /// Show all events created since timestamp
    #[arg(long, value_name = "string")]
    since: Option<String>,
    /// Stream events until this timestamp
    #[arg(long, value_name = "string")]
    until: Option<String>,
}

impl Span {
    pub(super) fn parse(self) -> events::Span {
        events::Span {
            since: self.since,
            until: self.until,
        }
    }
}

/// What prunes know.
#[derive(Debug, Args)]
pub(super) struct Pruning {
    /// Provide filter values (e.g. "label=<key>=<value>")
    #[arg(long = "filter", value_name = "filter")]
    pub(super) filters: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    pub(super) force: bool,
}

/// What `run`, `start` and `attach` know of being attached.
#[derive(Debug, Args)]
pub(super) struct Staying {
    #[command(flatten)]
    keys: DetachKeys,
    /// Proxy received signals to the process
    #[arg(
        long,
        value_name = "bool",
        num_args = 0..=1,
        require_equals = true,
        default_value = "true",
        default_missing_value = "true",
        hide_possible_values = true,
        action = clap::ArgAction::Set
    )]
    sig_proxy: bool,
}

impl Staying {
    /// Attached to all that the container has.
    ///
    /// # Errors
    /// Keys that are none.
    pub(super) fn parse(&self, context: &Context) -> Result<Attach> {
        Ok(Attach {
            sig_proxy: self.sig_proxy,
            keys: self.keys.parse(context)?,
            ..Attach::all()
        })
    }
}

/// `--detach-keys`.
#[derive(Debug, Args)]
pub(super) struct DetachKeys {
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string")]
    detach_keys: Option<String>,
}

impl DetachKeys {
    /// What it says, or the user's `config.json`.
    ///
    /// # Errors
    /// Keys that are none.
    pub(super) fn parse(&self, context: &Context) -> Result<Keys> {
        let said = self.detach_keys.clone().filter(|keys| !keys.is_empty());
        let configured = || {
            let directory = context.registry.user.as_deref()?;
            Some(ConfigFile::read(directory).ok()?.detach_keys()?.to_owned())
        };
        match said.or_else(configured) {
            Some(keys) => Keys::parse(&keys),
            None => Ok(Keys::default()),
        }
    }
}

/// What `logs` of all faces know.
#[derive(Debug, Args)]
pub(super) struct Reading {
    /// Follow log output
    #[arg(short, long)]
    follow: bool,
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
    pub(super) timestamps: bool,
    /// Show logs before a timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m for 42 minutes)
    #[arg(long, value_name = "string")]
    until: Option<String>,
}

impl Reading {
    /// What to read.
    ///
    /// # Errors
    /// A moment that is none.
    pub(super) fn query(&self) -> Result<LogQuery> {
        Ok(LogQuery {
            follow: self.follow,
            // As the engine has it, what is not a number means all.
            tail: self.tail.parse().ok(),
            since: moment(self.since.as_deref(), "since")?,
            until: moment(self.until.as_deref(), "until")?,
        })
    }
}

fn moment(text: Option<&str>, flag: &str) -> Result<Option<jiff::Timestamp>> {
    let Some(text) = text else { return Ok(None) };
    let moment = logs::moment(text, jiff::Timestamp::now());
    moment.map(Some).ok_or_else(|| {
        Error::Failed(format!(
            "invalid value for \"{flag}\": {text:?} is neither a time nor a duration"
        ))
    })
}
