//! The store as a whole: how much is used, what is not needed, whether it is damaged.

use std::fmt::Write as _;

use ketch_runtime::engine::disk::DiskUsage;
use ketch_runtime::engine::images::RemovedImage;
use ketch_runtime::image::Image;
use ketch_runtime::image::check::Part;
use serde_json::json;

use super::filter::Filters;
use super::{Context, Error, Result};
use crate::ui::table::{self, Layout};
use crate::ui::template::{self, Format};
use crate::ui::{age, status};

/// The keys that prunes know.
pub const PRUNE_KEYS: &[&str] = &["until", "label", "label!"];

/// `image prune`.
///
/// # Errors
/// A filter that is none; a store that can't be written.
pub fn prune_images(context: &Context, all: bool, filters: &[String], yes: bool) -> Result<()> {
    let filters = Filters::parse(filters, &[PRUNE_KEYS, &["dangling"]].concat())?;
    let all = all || filters.flag("dangling")? == Some(false);
    let warning = match all {
        true => {
            "WARNING! This will remove all images without at least one container associated to them."
        }
        false => "WARNING! This will remove all dangling images.",
    };
    if !agreed(context, warning, yes) {
        return Ok(());
    }
    let (removed, bytes) = images(context, all, &filters)?;
    tell_images(context, &removed)?;
    total(context, bytes)
}

fn agreed(context: &Context, warning: &str, yes: bool) -> bool {
    if yes {
        return true;
    }
    context.ui.talk(warning);
    context
        .ui
        .confirm("Are you sure you want to continue?", &context.cancel)
}

fn total(context: &Context, bytes: u64) -> Result<()> {
    let line = format!("Total reclaimed space: {}", status::size(bytes));
    Ok(context.ui.line(line)?)
}

fn images(context: &Context, all: bool, filters: &Filters) -> Result<(Vec<RemovedImage>, u64)> {
    let mut wanted = filters.images(&context.engine)?;
    wanted.dangling = None;
    let goes = |image: &Image| {
        let is_dangling = image.references.is_empty() && image.repo_digests.is_empty();
        (all || is_dangling) && wanted.fits(image)
    };
    Ok(context.engine.prune_images(&goes)?)
}

fn tell_images(context: &Context, removed: &[RemovedImage]) -> Result<()> {
    if removed.is_empty() {
        return Ok(());
    }
    context.ui.line("Deleted Images:")?;
    for step in removed {
        match step {
            RemovedImage::Untagged(name) => context.ui.line(format_args!("untagged: {name}"))?,
            RemovedImage::Deleted { digest, .. } => {
                context.ui.line(format_args!("deleted: {digest}"))?;
            }
        }
    }
    Ok(context.ui.line("")?)
}

/// `container prune`.
///
/// # Errors
/// A filter that is none; a store that can't be written.
pub fn prune_containers(context: &Context, filters: &[String], yes: bool) -> Result<()> {
    let filters = Filters::parse(filters, PRUNE_KEYS)?;
    if !agreed(
        context,
        "WARNING! This will remove all stopped containers.",
        yes,
    ) {
        return Ok(());
    }
    let (removed, bytes) = containers(context, &filters)?;
    list(context, "Deleted Containers:", &removed)?;
    total(context, bytes)
}

/// `volume prune`.
///
/// # Errors
/// A filter that is none; a store that can't be written.
pub fn prune_volumes(context: &Context, all: bool, filters: &[String], yes: bool) -> Result<()> {
    let filters = Filters::parse(filters, &["label", "label!", "all"])?;
    let all = all || filters.flag("all")? == Some(true);
    let warning = match all {
        true => "WARNING! This will remove all local volumes not used by at least one container.",
        false => {
            "WARNING! This will remove anonymous local volumes not used by at least one container."
        }
    };
    if !agreed(context, warning, yes) {
        return Ok(());
    }
    let (removed, bytes) = volumes(context, all, &filters)?;
    list(context, "Deleted Volumes:", &removed)?;
    total(context, bytes)
}

fn volumes(context: &Context, all: bool, filters: &Filters) -> Result<(Vec<String>, u64)> {
    let mut removed = Vec::new();
    let mut bytes = 0;
    for usage in context.engine.disk_usage()?.volumes {
        let spec = &usage.volume.spec;
        let fits = filters.labels(|key| spec.labels.get(key).map(String::as_str));
        if usage.links > 0 || !fits || !(all || usage.volume.anonymous) {
            continue;
        }
        // One that a container has taken meanwhile stays.
        if context.engine.remove_volume(&spec.name, false).is_ok() {
            removed.push(spec.name.clone());
            bytes += usage.bytes;
        }
    }
    Ok((removed, bytes))
}

/// `network prune`.
///
/// # Errors
/// A filter that is none; a store that can't be written.
pub fn prune_networks(context: &Context, filters: &[String], yes: bool) -> Result<()> {
    let filters = Filters::parse(filters, PRUNE_KEYS)?;
    let warning =
        "WARNING! This will remove all custom networks not used by at least one container.";
    if !agreed(context, warning, yes) {
        return Ok(());
    }
    list(context, "Deleted Networks:", &networks(context, &filters)?)
}

fn networks(context: &Context, filters: &Filters) -> Result<Vec<String>> {
    let used = super::scope::networks_in_use(&context.engine)?;
    let until = filters.until(jiff::Timestamp::now())?;
    let mut removed = Vec::new();
    for network in context.engine.networks()? {
        let name = &network.spec.name;
        let fits = filters.labels(|key| network.spec.labels.get(key).map(String::as_str))
            && until.is_none_or(|until| network.created < until);
        if !fits || used.contains(name) || used.contains(network.id.as_str()) {
            continue;
        }
        if context.engine.remove_network(name).is_ok() {
            removed.push(name.clone());
        }
    }
    Ok(removed)
}

fn list(context: &Context, title: &str, names: &[String]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    context.ui.line(title)?;
    for name in names {
        context.ui.line(name)?;
    }
    Ok(context.ui.line("")?)
}

/// What `system prune` was told.
#[derive(Debug, Default)]
pub struct Prune {
    pub all: bool,
    pub volumes: bool,
    pub filters: Vec<String>,
    pub yes: bool,
}

/// `system prune`: stopped containers, unused networks, images and steps of builds.
///
/// # Errors
/// A filter that is none; a store that can't be written.
pub fn prune(context: &Context, options: &Prune) -> Result<()> {
    let filters = Filters::parse(&options.filters, PRUNE_KEYS)?;
    if options.volumes && filters.values("until").next().is_some() {
        let message = "ERROR: The \"until\" filter is not supported with \"--volumes\"";
        return Err(Error::Failed(message.into()));
    }
    if !agreed(context, &warning(options), options.yes) {
        return Ok(());
    }
    let (containers, mut bytes) = containers(context, &filters)?;
    list(context, "Deleted Containers:", &containers)?;
    list(context, "Deleted Networks:", &networks(context, &filters)?)?;
    if options.volumes {
        let (removed, freed) = volumes(context, false, &filters)?;
        list(context, "Deleted Volumes:", &removed)?;
        bytes += freed;
    }
    if filters.is_empty() {
        context.engine.prune_build_cache(options.all)?;
    }
    let (removed, freed) = images(context, options.all, &filters)?;
    tell_images(context, &removed)?;
    total(context, bytes + freed)
}

fn warning(options: &Prune) -> String {
    let mut text = String::from("WARNING! This will remove:\n");
    let mut line = |what: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  - {what}");
    };
    line("all stopped containers");
    line("all networks not used by at least one container");
    if options.volumes {
        line("all anonymous volumes not used by at least one container");
    }
    line(match options.all {
        true => "all images without at least one container associated to them",
        false => "all dangling images",
    });
    line(match options.all {
        true => "all build cache",
        false => "unused build cache",
    });
    text
}

fn containers(context: &Context, filters: &Filters) -> Result<(Vec<String>, u64)> {
    let until = filters.until(jiff::Timestamp::now())?;
    let mut removed = Vec::new();
    let mut bytes = 0;
    for (container, size) in context.engine.disk_usage()?.containers {
        let record = &container.record;
        let fits = filters.labels(|key| record.spec.labels.get(key).map(String::as_str))
            && until.is_none_or(|until| record.created < until);
        if !fits || container.state.status.is_active() {
            continue;
        }
        let options = ketch_runtime::engine::containers::RemoveOptions {
            force: false,
            volumes: false,
        };
        // One that was started meanwhile stays.
        if context
            .engine
            .remove_container(record.id.as_str(), &options)
            .is_ok()
        {
            removed.push(record.id.to_string());
            bytes += size;
        }
    }
    Ok((removed, bytes))
}

/// `system df`.
///
/// # Errors
/// A store that can't be read; a template that asks for what is not there.
pub fn disk_usage(context: &Context, verbose: bool, format: &Format) -> Result<()> {
    let usage = context.engine.disk_usage()?;
    if verbose {
        return Ok(context.ui.data(at_length(&usage).as_bytes())?);
    }
    let rows = summary(&usage);
    match format {
        Format::Table => {
            let head = ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"];
            let cells = |row: &Row| {
                vec![
                    row.kind.to_owned(),
                    row.total.to_string(),
                    row.active.to_string(),
                    status::size(row.size),
                    row.reclaimable(),
                ]
            };
            let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
            let text = table::render(Layout::Docker, &head, &cells);
            Ok(context.ui.data(text.as_bytes())?)
        }
        Format::Json => {
            for row in &rows {
                context.ui.line(template::json(&row.json()))?;
            }
            Ok(())
        }
        Format::Text(template) | Format::TableOf(template) => {
            let rows: Vec<_> = rows.iter().map(Row::json).collect();
            let titles: Option<template::Titles<'_>> = match format {
                Format::TableOf(_) => Some(&[("TotalCount", "TOTAL")]),
                _ => None,
            };
            let text = template::render(template, titles, &rows).map_err(Error::Failed)?;
            Ok(context.ui.data(text.as_bytes())?)
        }
    }
}

struct Row {
    kind: &'static str,
    total: usize,
    active: usize,
    size: u64,
    free: u64,
    /// Docker shows a percentage where there is something to compare with.
    percent: bool,
}

impl Row {
    fn reclaimable(&self) -> String {
        let shown = status::size(self.free);
        match self.percent && self.size > 0 {
            true => format!("{shown} ({}%)", self.free * 100 / self.size),
            false => shown,
        }
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "Active": self.active.to_string(),
            "Reclaimable": self.reclaimable(),
            "Size": status::size(self.size),
            "TotalCount": self.total.to_string(),
            "Type": self.kind,
        })
    }
}

fn summary(usage: &DiskUsage) -> [Row; 4] {
    let used = usage.images.iter().filter(|it| it.containers > 0);
    let kept: u64 = used.map(|it| it.image.size_bytes - it.shared_bytes).sum();
    let is_active = |status: ketch_runtime::container::state::Status| status.is_active();
    let containers = usage.containers.iter();
    let active = containers
        .clone()
        .filter(|(it, _)| is_active(it.state.status));
    let idle = containers
        .clone()
        .filter(|(it, _)| !is_active(it.state.status));
    [
        Row {
            kind: "Images",
            total: usage.images.len(),
            active: usage.images.iter().filter(|it| it.containers > 0).count(),
            size: usage.layers_bytes,
            free: usage.layers_bytes.saturating_sub(kept),
            percent: true,
        },
        Row {
            kind: "Containers",
            total: usage.containers.len(),
            active: active.count(),
            size: containers.map(|(_, bytes)| bytes).sum(),
            free: idle.map(|(_, bytes)| bytes).sum(),
            percent: true,
        },
        Row {
            kind: "Local Volumes",
            total: usage.volumes.len(),
            active: usage.volumes.iter().filter(|it| it.links > 0).count(),
            size: usage.volumes.iter().map(|it| it.bytes).sum(),
            free: usage
                .volumes
                .iter()
                .filter(|it| it.links == 0)
                .map(|it| it.bytes)
                .sum(),
            percent: true,
        },
        Row {
            kind: "Build Cache",
            total: usage.cache,
            active: 0,
            size: usage.cache_bytes,
            free: usage.cache_bytes,
            percent: false,
        },
    ]
}

/// `system df -v`.
fn at_length(usage: &DiskUsage) -> String {
    let now = jiff::Timestamp::now();
    let mut text = String::from("Images space usage:\n\n");
    let head = [
        "REPOSITORY",
        "TAG",
        "IMAGE ID",
        "CREATED",
        "SIZE",
        "SHARED SIZE",
        "UNIQUE SIZE",
        "CONTAINERS",
    ];
    let mut rows = Vec::new();
    for it in &usage.images {
        let image = &it.image;
        let (repository, tag) = image
            .references
            .first()
            .map_or(("<none>", "<none>"), |name| super::images::split(name));
        rows.push(vec![
            repository.to_owned(),
            tag.to_owned(),
            image.id.short().to_owned(),
            image.created.map_or_else(
                || "N/A".into(),
                |then| format!("{} ago", age::between(then, now)),
            ),
            status::size(image.size_bytes),
            status::size(it.shared_bytes),
            status::size(image.size_bytes - it.shared_bytes),
            it.containers.to_string(),
        ]);
    }
    text.push_str(&table::render(Layout::Docker, &head, &rows));
    text.push_str("\nContainers space usage:\n\n");
    let head = [
        "CONTAINER ID",
        "IMAGE",
        "SIZE",
        "CREATED",
        "STATUS",
        "NAMES",
    ];
    let mut rows = Vec::new();
    for (container, bytes) in &usage.containers {
        let record = &container.record;
        rows.push(vec![
            record.id.short().to_owned(),
            record.spec.image.clone(),
            status::size(*bytes),
            format!("{} ago", age::between(record.created, now)),
            status::text(&container.state, now),
            record.spec.name.clone(),
        ]);
    }
    text.push_str(&table::render(Layout::Docker, &head, &rows));
    text.push_str("\nLocal Volumes space usage:\n\n");
    let rows: Vec<Vec<String>> = usage
        .volumes
        .iter()
        .map(|it| {
            vec![
                it.volume.spec.name.clone(),
                it.links.to_string(),
                status::size(it.bytes),
            ]
        })
        .collect();
    text.push_str(&table::render(
        Layout::Docker,
        &["VOLUME NAME", "LINKS", "SIZE"],
        &rows,
    ));
    let _ = writeln!(
        text,
        "\nBuild cache usage: {}",
        status::size(usage.cache_bytes)
    );
    text
}

/// `system check`: reads all of the store; with `fix` fetches what is damaged again.
///
/// # Errors
/// Damage that is not mended.
pub fn check(context: &Context, fix: bool) -> Result<()> {
    let report = context.engine.check_store()?;
    for damage in &report.damaged {
        let part = match &damage.part {
            Part::Config(id) => format!("configuration {}", id.short()),
            Part::Manifest(digest) => format!("manifest {}", digest.short()),
            Part::Layer(chain_id) => format!("layer {}", chain_id.short()),
        };
        let images = damage.images.join(", ");
        let line = format!("damaged: {part} of {images}: {}", damage.reason);
        context.ui.line(line)?;
    }
    for part in &report.unused {
        let (Part::Config(digest) | Part::Manifest(digest)) = part else {
            let Part::Layer(chain_id) = part else {
                continue;
            };
            let line = format!("unused: layer {}", chain_id.short());
            context.ui.line(line)?;
            continue;
        };
        let line = format!("unused: blob {}", digest.short());
        context.ui.line(line)?;
    }
    let unknown = match report.unknown {
        0 => String::new(),
        count => format!(", of which {count} can't be compared with anything"),
    };
    context.ui.line(format_args!(
        "{} images, {} layers{unknown}: {} damaged, {} unused",
        report.images,
        report.layers,
        report.damaged.len(),
        report.unused.len()
    ))?;
    if !fix || context.dry_run {
        if report.damaged.is_empty() {
            return Ok(());
        }
        context
            .ui
            .talk("hint: `ketch system check --fix` fetches damaged parts again where it can");
        return Err(Error::Reported);
    }
    let registries = context.registries()?;
    let tell = |line: &str| context.ui.talk(line);
    let failed = context.engine.mend_store(&registries, &report, &tell)?;
    for (name, error) in &failed {
        context.ui.error(format_args!("{name}: {error}"));
    }
    if failed.is_empty() {
        return Ok(context.ui.line("mended")?);
    }
    Err(Error::Reported)
}
