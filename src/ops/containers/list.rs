//! `docker ps`: containers of the whole host.

use jiff::Timestamp;
use ketch_runtime::container::Container;
use ketch_runtime::container::record::Source;
use ketch_runtime::engine::containers::ContainerFilter;
use ketch_runtime::spec::NetworkMode;
use serde_json::{Value, json};

use super::super::filter::{Filters, labels};
use super::super::{Context, Result, images};
use crate::ui::template::Format;
use crate::ui::{age, status};

/// What to list, and how.
#[derive(Debug)]
pub struct Listing {
    /// Those that do not run too.
    pub all: bool,
    pub filters: Vec<String>,
    pub format: Format,
    /// The last so many, in whatever state.
    pub last: Option<usize>,
    pub full: bool,
    pub quiet: bool,
    pub size: bool,
}

const KEYS: [&str; 12] = [
    "ancestor", "before", "exited", "health", "id", "label", "label!", "name", "network", "since",
    "status", "volume",
];

/// Lists them, the newest first.
///
/// # Errors
/// A filter that is none; a template that asks for what is not there.
pub fn run(context: &Context, listing: &Listing) -> Result<()> {
    let filters = Filters::parse(&listing.filters, &KEYS)?;
    let mut containers = context.engine.containers(&ContainerFilter::default())?;
    containers.sort_by_key(|container| std::cmp::Reverse(container.record.created));
    let moments = |key: &str| -> Result<Vec<Timestamp>> {
        let named = filters.values(key);
        named
            .map(|name| Ok(context.engine.container(name)?.record.created))
            .collect()
    };
    let (before, since) = (moments("before")?, moments("since")?);
    let by_state =
        filters.values("status").next().is_some() || filters.values("exited").next().is_some();
    containers.retain(|container| {
        let created = container.record.created;
        (listing.all || by_state || listing.last.is_some() || container.state.status.is_active())
            && before.iter().all(|then| created < *then)
            && since.iter().all(|then| created > *then)
            && fits(container, &filters)
    });
    if let Some(last) = listing.last {
        containers.truncate(last);
    }
    if listing.quiet {
        for container in &containers {
            context.ui.line(shown_id(container, listing.full))?;
        }
        return Ok(());
    }
    let mut rows = Vec::new();
    for container in &containers {
        let size = match listing.size {
            true => status::size(context.engine.container_size(container)?),
            false => "0B".into(),
        };
        rows.push(row(container, listing.full, &size));
    }
    let mut head = vec![
        "CONTAINER ID",
        "IMAGE",
        "COMMAND",
        "CREATED",
        "STATUS",
        "PORTS",
        "NAMES",
    ];
    let mut columns = vec![
        "ID",
        "Image",
        "Command",
        "RunningFor",
        "Status",
        "Ports",
        "Names",
    ];
    if listing.size {
        head.push("SIZE");
        columns.push("Size");
    }
    images::formatted(context, &listing.format, &head, &columns, &rows)
}

fn fits(container: &Container, filters: &Filters) -> bool {
    let record = &container.record;
    let state = &container.state;
    let health = state
        .health
        .as_ref()
        .map_or("none", |it| it.status.as_str());
    filters.labels(|key| record.spec.labels.get(key).map(String::as_str))
        && filters.any("status", |wanted| wanted == state.status.as_str())
        && filters.any("exited", |wanted| {
            !state.status.is_active() && wanted == state.exit_code.to_string()
        })
        && filters.any("health", |wanted| wanted == health)
        && filters.any("id", |wanted| record.id.as_str().starts_with(wanted))
        && filters.any("name", |wanted| {
            record
                .name
                .contains(wanted.trim_start_matches(['^', '/']).trim_end_matches('$'))
        })
        && filters.any("ancestor", |wanted| {
            record.spec.image == wanted
                || images::split(&record.spec.image).0 == wanted
                || record.image_id.as_str() == wanted
                || record.image_id.hex().starts_with(wanted)
        })
        && filters.any("network", |wanted| {
            networks(container).iter().any(|network| network == wanted)
        })
        && filters.any("volume", |wanted| {
            record.mounts.iter().any(|mount| {
                mount.target == wanted
                    || matches!(&mount.source, Source::Volume { name, .. } if name == wanted)
            })
        })
}

fn shown_id(container: &Container, full: bool) -> &str {
    match full {
        true => container.record.id.as_str(),
        false => container.record.id.short(),
    }
}

fn networks(container: &Container) -> Vec<String> {
    match &container.record.spec.network {
        NetworkMode::None => vec!["none".into()],
        NetworkMode::Host => vec!["host".into()],
        NetworkMode::Container(_) => Vec::new(),
        NetworkMode::Networks(endpoints) => {
            endpoints.iter().map(|end| end.network.clone()).collect()
        }
    }
}

fn row(container: &Container, full: bool, size: &str) -> Value {
    let record = &container.record;
    let now = Timestamp::now();
    let command = record.process.args.join(" ");
    let command = if full {
        command
    } else {
        status::ellipsis(&command, 20)
    };
    let mounts: Vec<String> = record
        .mounts
        .iter()
        .filter_map(|mount| match &mount.source {
            Source::Bind { path, .. } => Some(path.display().to_string()),
            Source::Volume { name, .. } => Some(name.clone()),
            Source::Tmpfs { .. } | Source::File { .. } => None,
        })
        .collect();
    let volumes = record
        .mounts
        .iter()
        .filter(|mount| matches!(mount.source, Source::Volume { .. }));
    json!({
        "Command": status::quoted(&command),
        "CreatedAt": record.created.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
        "ID": shown_id(container, full),
        "Image": record.spec.image,
        "Labels": labels(&record.spec.labels),
        "LocalVolumes": volumes.count().to_string(),
        "Mounts": mounts.join(","),
        "Names": record.name,
        "Networks": networks(container).join(","),
        "Ports": status::ports(&status::port_rows(container)),
        "RunningFor": format!("{} ago", age::between(record.created, now)),
        "Size": size,
        "State": container.state.status.as_str(),
        "Status": status::text(&container.state, now),
    })
}
