//! `ketch volume …`.

use clap::Subcommand;
use ketch_runtime::volume::Volume;
use serde_json::json;

use crate::ops::{Context, Error, Result};
use crate::ui::table::{self, Layout};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List volumes
    #[command(visible_alias = "list")]
    Ls {
        /// Only display volume names
        #[arg(short, long)]
        quiet: bool,
    },
    /// Display detailed information on one or more volumes
    Inspect {
        #[arg(value_name = "VOLUME", required = true)]
        volumes: Vec<String>,
    },
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
            Self::Ls { quiet } => list(context, quiet),
            Self::Inspect { volumes } => {
                let mut found = Vec::new();
                for name in &volumes {
                    found.push(details(&context.engine.volume(name)?));
                }
                let text = serde_json::to_string_pretty(&found)
                    .map_err(|error| Error::Failed(error.to_string()))?;
                Ok(context.ui.line(text)?)
            }
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

fn list(context: &Context, quiet: bool) -> Result<()> {
    let volumes = context.engine.volumes()?;
    if quiet {
        for volume in &volumes {
            context.ui.line(&volume.spec.name)?;
        }
        return Ok(());
    }
    let row = |volume: &Volume| vec![driver(volume).to_owned(), volume.spec.name.clone()];
    let rows: Vec<Vec<String>> = volumes.iter().map(row).collect();
    let text = table::render(Layout::Docker, &["DRIVER", "VOLUME NAME"], &rows);
    Ok(context.ui.data(text.as_bytes())?)
}

fn driver(volume: &Volume) -> &str {
    volume.spec.driver.as_deref().unwrap_or("local")
}

fn details(volume: &Volume) -> serde_json::Value {
    json!({
        "CreatedAt": volume.created.to_string(),
        "Driver": driver(volume),
        "Labels": volume.spec.labels,
        "Mountpoint": volume.path.display().to_string(),
        "Name": volume.spec.name,
        "Options": volume.spec.options,
        "Scope": "local",
    })
}
