//! `ps`: the containers of the project.

use jiff::Timestamp;
use ketch_runtime::container::record::Source;
use ketch_runtime::spec::NetworkMode;
use serde_json::{Value, json};

use super::scope::{self, Member, Scope};
use super::{Context, Error, Result};
use crate::ui::table::{self, Layout};
use crate::ui::template::{self, Format};
use crate::ui::{age, status};

/// What to list.
#[derive(Debug)]
pub struct Options {
    pub services: Vec<String>,
    /// Stopped and one-off ones too.
    pub all: bool,
    /// Containers of services that the files do not have.
    pub orphans: bool,
    /// Nothing is cut short.
    pub full: bool,
    /// Only these; implies `all`.
    pub statuses: Vec<String>,
    pub show: Show,
}

/// How to list it.
#[derive(Debug, PartialEq, Eq)]
pub enum Show {
    Ids,
    Services,
    Rows(Format),
}

const STATUSES: [&str; 7] = [
    "paused",
    "restarting",
    "removing",
    "running",
    "dead",
    "created",
    "exited",
];

/// Lists the containers.
///
/// # Errors
/// `no such service: x`, an unknown status, a template that asks for an unknown field.
pub fn run(context: &Context, options: &Options) -> Result<()> {
    for wanted in &options.statuses {
        if !STATUSES.contains(&wanted.as_str()) {
            return Err(Error::Failed(format!("unknown status {wanted:?}")));
        }
    }
    let scope = Scope::find(context)?;
    let all = scope::members(&context.engine, &scope.name)?;
    scope.check(&all, &options.services)?;
    let members: Vec<Member> = all
        .into_iter()
        .filter(|member| is_listed(member, &scope, options))
        .collect();
    match &options.show {
        Show::Ids => {
            for member in &members {
                context.ui.line(member.container.record.id.as_str())?;
            }
        }
        Show::Services => {
            let mut services: Vec<&str> = members
                .iter()
                .map(|member| member.service.as_str())
                .collect();
            services.dedup();
            for service in services {
                context.ui.line(service)?;
            }
        }
        Show::Rows(format) => rows(context, &scope, options, format, &members)?,
    }
    Ok(())
}

fn is_listed(member: &Member, scope: &Scope, options: &Options) -> bool {
    let state = member.container.state.status;
    if !options.services.is_empty() && !options.services.contains(&member.service) {
        return false;
    }
    let orphan = scope.project.as_ref().is_some_and(|project| {
        !project.services.contains_key(&member.service)
            && !project.disabled.contains_key(&member.service)
    });
    if orphan && !options.orphans {
        return false;
    }
    if !options.statuses.is_empty() {
        return options
            .statuses
            .iter()
            .any(|status| status == state.as_str());
    }
    options.all || (state.is_active() && !member.one_off)
}

fn rows(
    context: &Context,
    scope: &Scope,
    options: &Options,
    format: &Format,
    members: &[Member],
) -> Result<()> {
    let now = Timestamp::now();
    let fields = |member: &Member| row(member, &scope.name, options.full, now);
    match format {
        Format::Table => {
            let head = [
                "NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS",
            ];
            let cells = |member: &Member| {
                let row = fields(member);
                let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
                [
                    "Name",
                    "Image",
                    "Command",
                    "Service",
                    "RunningFor",
                    "Status",
                    "Ports",
                ]
                .map(text)
                .to_vec()
            };
            let rows: Vec<Vec<String>> = members.iter().map(cells).collect();
            context
                .ui
                .data(table::render(Layout::Docker, &head, &rows).as_bytes())?;
        }
        Format::Json => {
            for member in members {
                context.ui.line(template::json(&fields(member)))?;
            }
        }
        Format::Text(template) | Format::TableOf(template) => {
            let rows: Vec<Value> = members.iter().map(fields).collect();
            let titles: Option<template::Titles<'_>> = match format {
                Format::TableOf(_) => Some(&[("ID", "CONTAINER ID"), ("RunningFor", "CREATED")]),
                _ => None,
            };
            let text = template::render(template, titles, &rows).map_err(Error::Failed)?;
            context.ui.data(text.as_bytes())?;
        }
    }
    Ok(())
}

/// The fields of `--format json`, in their order.
fn row(member: &Member, project: &str, full: bool, now: Timestamp) -> Value {
    let record = &member.container.record;
    let state = &member.container.state;
    let command = record.process.args.join(" ");
    let command = if full {
        command
    } else {
        status::ellipsis(&command, 20)
    };
    let labels: Vec<String> = {
        let mut labels: Vec<_> = record.spec.labels.iter().collect();
        labels.sort();
        labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect()
    };
    let ports = status::port_rows(&member.container);
    let publishers: Vec<Value> = ports
        .iter()
        .map(|port| {
            json!({
                "URL": port.host.map(|(ip, _)| ip.to_string()).unwrap_or_default(),
                "TargetPort": port.container_port,
                "PublishedPort": port.host.map_or(0, |(_, port)| port),
                "Protocol": port.protocol.as_str(),
            })
        })
        .collect();
    let volumes = record
        .mounts
        .iter()
        .filter(|mount| matches!(mount.source, Source::Volume { .. }))
        .count();
    json!({
        "Command": status::quoted(&command),
        "CreatedAt": record.created.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
        "ExitCode": state.exit_code,
        "Health": state.health.as_ref().map_or("", |health| health.status.as_str()),
        "ID": if full { record.id.as_str() } else { record.id.short() },
        "Image": record.spec.image,
        "Labels": labels.join(","),
        "LocalVolumes": volumes.to_string(),
        "Mounts": mounts(member, full),
        "Name": member.name(),
        "Names": member.name(),
        "Networks": networks(member),
        "Ports": status::ports(&ports),
        "Project": project,
        "Publishers": publishers,
        "RunningFor": format!("{} ago", age::between(record.created, now)),
        "Service": member.service,
        "Size": "0B",
        "State": state.status.as_str(),
        "Status": status::text(state, now),
    })
}

fn mounts(member: &Member, full: bool) -> String {
    let name = |mount: &ketch_runtime::container::record::Mount| {
        let text = match &mount.source {
            Source::Bind { path, .. } => path.display().to_string(),
            Source::Volume { name, .. } => name.clone(),
            Source::Tmpfs { .. } | Source::File { .. } => return None,
        };
        Some(if full {
            text
        } else {
            status::ellipsis(&text, 15)
        })
    };
    let names: Vec<String> = member
        .container
        .record
        .mounts
        .iter()
        .filter_map(name)
        .collect();
    names.join(",")
}

fn networks(member: &Member) -> String {
    match &member.container.record.spec.network {
        NetworkMode::None => "none".into(),
        NetworkMode::Host => "host".into(),
        NetworkMode::Container(_) => String::new(),
        NetworkMode::Networks(endpoints) => {
            let names: Vec<&str> = endpoints.iter().map(|end| end.network.as_str()).collect();
            names.join(",")
        }
    }
}
