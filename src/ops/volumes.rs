//! `volumes`: those of a project, or of some services; and how volumes are listed.

use std::collections::BTreeSet;

use ketch_runtime::container::record::Source;
use ketch_runtime::volume::Volume;
use serde_json::json;

use super::filter::labels;
use super::scope::{Scope, members};
use super::{Context, Result, images};
use crate::model::names::label;
use crate::ui::template::Format;

/// Lists the volumes of the project; with services named, those that their containers mount.
///
/// # Errors
/// `no such service: x`; a template that asks for what is not there.
pub fn of_project(
    context: &Context,
    services: &[String],
    format: &Format,
    quiet: bool,
) -> Result<()> {
    let scope = Scope::find(context)?;
    let members = members(&context.engine, &scope.name)?;
    scope.check(&members, services)?;
    let of_services = members.iter().filter(|it| services.contains(&it.service));
    let mounts = of_services.flat_map(|member| &member.container.record.mounts);
    let mounted: BTreeSet<&String> = mounts
        .filter_map(|mount| match &mount.source {
            Source::Volume { name, .. } => Some(name),
            Source::Bind { .. } | Source::Tmpfs { .. } | Source::File { .. } => None,
        })
        .collect();
    let mut volumes = context.engine.volumes()?;
    volumes.retain(|volume| match services.is_empty() {
        true => volume.spec.labels.get(label::PROJECT) == Some(&scope.name),
        false => mounted.contains(&volume.spec.name),
    });
    show(context, &volumes, format, quiet)
}

/// Shows volumes as `docker volume ls` does.
///
/// # Errors
/// A template that asks for what is not there.
pub fn show(context: &Context, volumes: &[Volume], format: &Format, quiet: bool) -> Result<()> {
    if quiet {
        for volume in volumes {
            context.ui.line(&volume.spec.name)?;
        }
        return Ok(());
    }
    let row = |volume: &Volume| {
        json!({
            "Availability": "N/A",
            "Driver": driver(volume),
            "Group": "N/A",
            "Labels": labels(&volume.spec.labels),
            "Links": "N/A",
            "Mountpoint": volume.path.display().to_string(),
            "Name": volume.spec.name,
            "Scope": "local",
            "Size": "N/A",
            "Status": "N/A",
        })
    };
    let rows: Vec<_> = volumes.iter().map(row).collect();
    let (head, columns) = (["DRIVER", "VOLUME NAME"], ["Driver", "Name"]);
    images::formatted(context, format, &head, &columns, &rows)
}

/// The driver's name.
pub fn driver(volume: &Volume) -> &str {
    volume.spec.driver.as_deref().unwrap_or("local")
}
