//! `ketch image …`: the store of images.

use std::fs::File;
use std::io::{IsTerminal as _, Read, stdin, stdout};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use ketch_runtime::engine::images::{ImportOptions, RemovedImage};
use ketch_runtime::error::ErrorKind;
use serde_json::{Value, json};

use super::shapes;
use crate::ops::{Context, Error, Result, images, registry, store};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    Pull(Pull),
    Push(Push),
    Load(Load),
    Import(Import),
    Save(Save),
    #[command(visible_alias = "list")]
    Ls(Ls),
    History(History),
    Prune(Prune),
    #[command(visible_alias = "remove")]
    Rm(Rm),
    Tag(Tag),
    /// Display detailed information on one or more images
    Inspect(super::container::Inspect),
}

/// Download an image from a registry
#[derive(Debug, Args)]
pub(super) struct Pull {
    /// Download all tagged images in the repository
    #[arg(short, long)]
    all_tags: bool,
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
}

/// Upload an image to a registry
#[derive(Debug, Args)]
pub(super) struct Push {
    #[arg(value_name = "NAME[:TAG]")]
    name: String,
    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,
}

/// Load an image from a tar archive or STDIN
#[derive(Debug, Args)]
pub(super) struct Load {
    /// Read from tar archive file, instead of STDIN
    #[arg(short, long, value_name = "string")]
    input: Option<PathBuf>,
    /// Suppress the load output
    #[arg(short, long)]
    quiet: bool,
    /// The archive, instead of --input
    #[arg(value_name = "FILE", conflicts_with = "input")]
    file: Option<PathBuf>,
}

/// Import the contents from a tarball to create a filesystem image
#[derive(Debug, Args)]
pub(super) struct Import {
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
}

/// Save one or more images to a tar archive (streamed to STDOUT by default)
#[derive(Debug, Args)]
pub(super) struct Save {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string")]
    output: Option<PathBuf>,
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

/// List images
#[derive(Debug, Args)]
pub(super) struct Ls {
    /// Show all images (default hides intermediate images)
    #[arg(short, long)]
    all: bool,
    /// Show digests
    #[arg(long)]
    digests: bool,
    #[command(flatten)]
    filters: shapes::Filtering,
    #[command(flatten)]
    format: shapes::Shape,
    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    #[arg(value_name = "REPOSITORY[:TAG]")]
    repository: Option<String>,
}

/// Show the history of an image
#[derive(Debug, Args)]
pub(super) struct History {
    #[command(flatten)]
    format: shapes::Shape,
    /// Print sizes and dates in human readable format
    #[arg(short = 'H', long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true, hide_default_value = true, value_name = "bool")]
    human: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,
    #[arg(value_name = "IMAGE")]
    image: String,
}

/// Remove unused images
#[derive(Debug, Args)]
pub(super) struct Prune {
    /// Remove all unused images, not just dangling ones
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    prune: shapes::Pruning,
}

/// Remove one or more images
#[derive(Debug, Args)]
pub(super) struct Rm {
    /// Force removal of the image
    #[arg(short, long)]
    force: bool,
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

/// Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE
#[derive(Debug, Args)]
pub(super) struct Tag {
    #[arg(value_name = "SOURCE_IMAGE[:TAG]")]
    source: String,
    #[arg(value_name = "TARGET_IMAGE[:TAG]")]
    target: String,
}

impl Verb {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Pull(args) => {
                let platform = args.platform.as_deref().filter(|text| !text.is_empty());
                match args.all_tags {
                    true => registry::pull_all(context, &args.name, platform, args.quiet),
                    false => registry::pull(context, &args.name, platform, args.quiet),
                }
            }
            Self::Push(Push { name, quiet }) => registry::push(context, &name, quiet),
            Self::Load(Load { input, quiet, file }) => {
                load(context, input.or(file).as_deref(), quiet)
            }
            Self::Import(Import {
                file,
                reference,
                changes,
                message,
            }) => {
                let options = ImportOptions {
                    reference,
                    message,
                    changes,
                };
                let id = context.engine.import_image(open(Some(&file))?, &options)?;
                Ok(context.ui.line(id)?)
            }
            Self::Save(Save { output, images }) => save(context, output.as_deref(), &images),
            Self::Ls(Ls {
                all: _,
                digests,
                filters,
                format,
                quiet,
                no_trunc,
                repository,
            }) => images::stored(
                context,
                &images::Listing {
                    digests,
                    filters: filters.filters,
                    format: format.parse()?,
                    quiet,
                    full: no_trunc,
                    repository,
                },
            ),
            Self::History(History {
                format,
                human,
                no_trunc,
                quiet,
                image,
            }) => {
                let show = images::History {
                    format: format.parse()?,
                    human,
                    full: no_trunc,
                    quiet,
                };
                images::history(context, &image, &show)
            }
            Self::Prune(Prune { all, prune }) => {
                store::prune_images(context, all, &prune.filters, prune.force)
            }
            Self::Rm(Rm { force, images }) => remove(context, &images, force),
            Self::Tag(Tag { source, target }) => Ok(context.engine.tag_image(&source, &target)?),
            Self::Inspect(args) => args.run(context, &[&find]),
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

fn save(context: &Context, output: Option<&Path>, names: &[String]) -> Result<()> {
    let Some(path) = output else {
        if stdout().is_terminal() {
            let message = "cowardly refusing to save to a terminal. Use the -o flag or redirect";
            return Err(Error::Failed(message.into()));
        }
        return Ok(context.engine.save_images(names, stdout().lock())?);
    };
    // Beside and renamed: what is there under that name is either whole or as it was.
    let aside = path.with_extension(format!("ketch-{}", std::process::id()));
    let failed = |error: std::io::Error| Error::Failed(format!("{}: {error}", path.display()));
    let file = File::create_new(&aside).map_err(failed)?;
    let written = context
        .engine
        .save_images(names, std::io::BufWriter::with_capacity(1 << 17, file))
        .map_err(Error::from)
        .and_then(|()| std::fs::rename(&aside, path).map_err(failed));
    if written.is_err() {
        let _not_there = std::fs::remove_file(&aside);
    }
    written
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
                        RemovedImage::Deleted { digest, .. } => {
                            context.ui.line(format_args!("Deleted: {digest}"))?;
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

/// An image by its name, id or the beginning of it.
pub(super) fn find(context: &Context, name: &str) -> Result<Option<Value>> {
    let image = match context.engine.image(name) {
        Ok(image) => image,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let layers: Vec<&str> = image
        .config
        .rootfs
        .diff_ids
        .iter()
        .map(|id| id.as_str())
        .collect();
    let last = image.config.history.last();
    Ok(Some(json!({
        "Id": image.id.as_str(),
        "RepoTags": image.references,
        "RepoDigests": image.repo_digests,
        "Parent": "",
        "Comment": last.and_then(|step| step.comment.clone()).unwrap_or_default(),
        "Created": image.created.map(|time| time.to_string()),
        "Author": image.config.author.clone().unwrap_or_default(),
        "Architecture": image.config.architecture,
        "Variant": image.config.variant,
        "Os": image.config.os,
        "Size": image.size_bytes,
        "Config": image.config.config,
        "RootFS": {"Type": "layers", "Layers": layers},
        "Metadata": {"LastTagTime": image.last_tagged.map(|time| time.to_string())},
    })))
}
