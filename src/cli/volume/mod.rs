//! `ketch volume …`.

use std::collections::BTreeSet;

use clap::Subcommand;
use ketch_runtime::error::ErrorKind;
use ketch_runtime::spec::VolumeSpec;
use ketch_runtime::volume::Volume;
use serde_json::json;

use super::shapes;
use crate::ops::filter::{Filters, pairs};
use crate::ops::{Context, Error, Result, scope, store, volumes};
use crate::ui::template::Format;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Create a volume
    Create {
        /// Specify volume driver name
        #[arg(
            short,
            long,
            value_name = "string",
            default_value = "local",
            hide_default_value = true
        )]
        driver: String,
        /// Set metadata for a volume
        #[arg(long = "label", value_name = "list")]
        labels: Vec<String>,
        /// Set driver specific options
        #[arg(short, long = "opt", value_name = "map")]
        options: Vec<String>,
        /// Old name of the argument
        #[arg(long, hide = true)]
        name: Option<String>,
        #[arg(value_name = "VOLUME")]
        volume: Option<String>,
    },
    /// Remove unused local volumes
    Prune {
        /// Remove all unused volumes, not just anonymous ones
        #[arg(short, long)]
        all: bool,
        #[command(flatten)]
        prune: shapes::Pruning,
    },
    /// List volumes
    #[command(visible_alias = "list")]
    Ls {
        #[command(flatten)]
        filters: shapes::Filtering,
        #[command(flatten)]
        format: shapes::Shape,
        /// Only display volume names
        #[arg(short, long)]
        quiet: bool,
    },
    /// Display detailed information on one or more volumes
    Inspect(super::container::Inspect),
    /// Remove one or more volumes
    #[command(visible_alias = "remove")]
    Rm {
        /// Force the removal of one or more volumes
        #[arg(short, long)]
        force: bool,
        #[arg(value_name = "VOLUME", required = true)]
        volumes: Vec<String>,
    },
}

impl Verb {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Create {
                driver,
                labels,
                options,
                name,
                volume,
            } => {
                let spec = VolumeSpec {
                    name: volume.or(name).unwrap_or_default(),
                    driver: Some(driver),
                    options: pairs(&options),
                    labels: pairs(&labels),
                };
                let made = context.engine.create_volume(&spec)?;
                Ok(context.ui.line(made.spec.name)?)
            }
            Self::Prune { all, prune } => {
                store::prune_volumes(context, all, &prune.filters, prune.force)
            }
            Self::Ls {
                filters,
                format,
                quiet,
            } => list(context, &filters.filters, &format.parse()?, quiet),
            Self::Inspect(args) => args.run(context, &[&find]),
            Self::Rm { force, volumes } => {
                let mut failed = false;
                for name in &volumes {
                    match context.engine.remove_volume(name, force) {
                        Ok(()) => context.ui.line(name)?,
                        Err(error) => {
                            context.ui.error(error);
                            failed = true;
                        }
                    }
                }
                if failed { Err(Error::Reported) } else { Ok(()) }
            }
        }
    }
}

fn list(context: &Context, filters: &[String], format: &Format, quiet: bool) -> Result<()> {
    let filters = Filters::parse(filters, &["dangling", "driver", "label", "label!", "name"])?;
    let dangling = filters.flag("dangling")?;
    let used = match dangling {
        Some(_) => scope::volumes_in_use(&context.engine)?,
        None => BTreeSet::new(),
    };
    let mut volumes = context.engine.volumes()?;
    volumes.retain(|volume| {
        let name = &volume.spec.name;
        dangling.is_none_or(|wanted| wanted != used.contains(name))
            && filters.labels(|key| volume.spec.labels.get(key).map(String::as_str))
            && filters.any("driver", |wanted| wanted == volumes::driver(volume))
            && filters.any("name", |wanted| name.contains(wanted))
    });
    volumes::show(context, &volumes, format, quiet)
}

/// A volume by its name.
pub(super) fn find(context: &Context, name: &str) -> Result<Option<serde_json::Value>> {
    match context.engine.volume(name) {
        Ok(found) => Ok(Some(details(&found))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn details(volume: &Volume) -> serde_json::Value {
    json!({
        "CreatedAt": volume.created.to_string(),
        "Driver": volumes::driver(volume),
        "Labels": volume.spec.labels,
        "Mountpoint": volume.path.display().to_string(),
        "Name": volume.spec.name,
        "Options": volume.spec.options,
        "Scope": "local",
    })
}
