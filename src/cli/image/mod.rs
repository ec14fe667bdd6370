//! `ketch image …`: the store of images.

use std::fs::File;
use std::io::{Read, stdin};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use ketch_runtime::engine::images::{ImportOptions, RemovedImage};
use serde_json::json;

use crate::ops::{Context, Error, Result, images, registry};
use crate::ui::table::{self, Layout};
use crate::ui::{age, status};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Download an image from a registry
    Pull {
        #[arg(value_name = "NAME[:TAG|@DIGEST]")]
        name: String,
        /// Set platform if server is multi-platform capable
        #[arg(
            long,
            value_name = "string",
            env = "DOCKER_DEFAULT_PLATFORM",
            hide_env = true
        )]
        platform: Option<String>,
        /// Suppress verbose output
        #[arg(short, long)]
        quiet: bool,
    },
    /// Upload an image to a registry
    Push {
        #[arg(value_name = "NAME[:TAG]")]
        name: String,
        /// Suppress verbose output
        #[arg(short, long)]
        quiet: bool,
    },
    /// Load an image from a tar archive or STDIN
    Load {
        /// Read from tar archive file, instead of STDIN
        #[arg(short, long, value_name = "string")]
        input: Option<PathBuf>,
        /// Suppress the load output
        #[arg(short, long)]
        quiet: bool,
        /// The archive, instead of --input
        #[arg(value_name = "FILE", conflicts_with = "input")]
        file: Option<PathBuf>,
    },
    /// Import the contents from a tarball to create a filesystem image
    Import {
        /// A tar archive, or - for STDIN
        #[arg(value_name = "FILE|-")]
        file: PathBuf,
        #[arg(value_name = "REPOSITORY[:TAG]")]
        reference: Option<String>,
        /// Apply Dockerfile instruction to the created image
        #[arg(short, long = "change", value_name = "list")]
        changes: Vec<String>,
        /// Set commit message for imported image
        #[arg(short, long, value_name = "string")]
        message: Option<String>,
    },
    /// List images
    #[command(visible_alias = "list")]
    Ls {
        /// Only show image IDs
        #[arg(short, long)]
        quiet: bool,
        /// Don't truncate output
        #[arg(long)]
        no_trunc: bool,
    },
    /// Remove one or more images
    #[command(visible_alias = "remove")]
    Rm {
        /// Force removal of the image
        #[arg(short, long)]
        force: bool,
        #[arg(value_name = "IMAGE", required = true)]
        images: Vec<String>,
    },
    /// Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE
    Tag {
        #[arg(value_name = "SOURCE_IMAGE[:TAG]")]
        source: String,
        #[arg(value_name = "TARGET_IMAGE[:TAG]")]
        target: String,
    },
    /// Display detailed information on one or more images
    Inspect {
        #[arg(value_name = "IMAGE", required = true)]
        images: Vec<String>,
    },
}

impl Verb {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Pull {
                name,
                platform,
                quiet,
            } => registry::pull(
                context,
                &name,
                platform.as_deref().filter(|text| !text.is_empty()),
                quiet,
            ),
            Self::Push { name, quiet } => registry::push(context, &name, quiet),
            Self::Load { input, quiet, file } => load(context, input.or(file).as_deref(), quiet),
            Self::Import {
                file,
                reference,
                changes,
                message,
            } => {
                let options = ImportOptions {
                    reference,
                    message,
                    changes,
                };
                let id = context.engine.import_image(open(Some(&file))?, &options)?;
                Ok(context.ui.line(id)?)
            }
            Self::Ls { quiet, no_trunc } => list(context, quiet, no_trunc),
            Self::Rm { force, images } => remove(context, &images, force),
            Self::Tag { source, target } => Ok(context.engine.tag_image(&source, &target)?),
            Self::Inspect { images } => inspect(context, &images),
        }
    }
}

fn open(path: Option<&Path>) -> Result<Box<dyn Read + Send>> {
    match path {
        Some(path) if path.as_os_str() != "-" => match File::open(path) {
            Ok(file) => Ok(Box::new(file)),
            Err(error) => Err(Error::Failed(format!("open {}: {error}", path.display()))),
        },
        _ => Ok(Box::new(stdin())),
    }
}

fn load(context: &Context, path: Option<&Path>, quiet: bool) -> Result<()> {
    for loaded in context.engine.load_images(open(path)?)? {
        if !quiet {
            let kind = if loaded.starts_with("sha256:") {
                "Loaded image ID"
            } else {
                "Loaded image"
            };
            context.ui.line(format_args!("{kind}: {loaded}"))?;
        }
    }
    Ok(())
}

fn list(context: &Context, quiet: bool, full: bool) -> Result<()> {
    let now = jiff::Timestamp::now();
    let mut rows = Vec::new();
    for image in context.engine.images()? {
        let id = if full {
            image.id.as_str()
        } else {
            image.id.short()
        };
        if quiet {
            context.ui.line(id)?;
            continue;
        }
        let names: Vec<(&str, &str)> = match image.references.as_slice() {
            [] => vec![("<none>", "<none>")],
            many => many.iter().map(|name| images::split(name)).collect(),
        };
        for (repository, tag) in names {
            rows.push(vec![
                repository.to_owned(),
                tag.to_owned(),
                id.to_owned(),
                image.created.map_or_else(
                    || "N/A".into(),
                    |then| format!("{} ago", age::between(then, now)),
                ),
                status::size(image.size_bytes),
            ]);
        }
    }
    if !quiet {
        let head = ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"];
        context
            .ui
            .data(table::render(Layout::Docker, &head, &rows).as_bytes())?;
    }
    Ok(())
}

/// Goes on after a failure and fails at the end.
fn remove(context: &Context, names: &[String], force: bool) -> Result<()> {
    let mut failed = false;
    for name in names {
        match context.engine.remove_image(name, force) {
            Ok(done) => {
                for removed in done {
                    match removed {
                        RemovedImage::Untagged(name) => {
                            context.ui.line(format_args!("Untagged: {name}"))?;
                        }
                        RemovedImage::Deleted(id) => {
                            context.ui.line(format_args!("Deleted: {id}"))?;
                        }
                    }
                }
            }
            Err(error) => {
                context.ui.error(error);
                failed = true;
            }
        }
    }
    if failed { Err(Error::Reported) } else { Ok(()) }
}

fn inspect(context: &Context, names: &[String]) -> Result<()> {
    let mut found = Vec::new();
    for name in names {
        let image = context.engine.image(name)?;
        let layers: Vec<&str> = image
            .config
            .rootfs
            .diff_ids
            .iter()
            .map(|id| id.as_str())
            .collect();
        found.push(json!({
            "Id": image.id.as_str(),
            "RepoTags": image.references,
            "RepoDigests": image.repo_digests,
            "Created": image.created.map(|time| time.to_string()),
            "Architecture": image.config.architecture,
            "Variant": image.config.variant,
            "Os": image.config.os,
            "Size": image.size_bytes,
            "Config": image.config.config,
            "RootFS": {"Type": "layers", "Layers": layers},
            "Metadata": {"LastTagTime": image.last_tagged.map(|time| time.to_string())},
        }));
    }
    let text =
        serde_json::to_string_pretty(&found).map_err(|error| Error::Failed(error.to_string()))?;
    Ok(context.ui.line(text)?)
}
