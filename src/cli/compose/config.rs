//! `config`.

use std::path::PathBuf;

use crate::ops::{self, Context, Error, Result};
use ops::config::What;

use super::not_yet;

/// Parse, resolve and render compose file in canonical format
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(value_name = "SERVICE")]
    selected: Vec<String>,
    /// Print environment used for interpolation.
    #[arg(long)]
    environment: bool,
    /// Format the output. Values: [yaml | json]
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Print the service config hash, one per line.
    #[arg(long, value_name = "string")]
    hash: Option<String>,
    /// Print the image names, one per line.
    #[arg(long)]
    images: bool,
    /// Produces an override file with image digests
    #[arg(long)]
    lock_image_digests: bool,
    /// Print the model names, one per line.
    #[arg(long)]
    models: bool,
    /// Print the network names, one per line.
    #[arg(long)]
    networks: bool,
    /// Don't check model consistency - warning: may produce invalid Compose output
    #[arg(long)]
    no_consistency: bool,
    /// Don't resolve service env files
    #[arg(long)]
    no_env_resolution: bool,
    /// Don't interpolate environment variables
    #[arg(long)]
    no_interpolate: bool,
    /// Don't normalize compose model
    #[arg(long)]
    no_normalize: bool,
    /// Don't resolve file paths
    #[arg(long)]
    no_path_resolution: bool,
    /// Save to file (default to stdout)
    #[arg(short, long, value_name = "string")]
    output: Option<PathBuf>,
    /// Print the profile names, one per line.
    #[arg(long)]
    profiles: bool,
    /// Only validate the configuration, don't print anything
    #[arg(short, long)]
    quiet: bool,
    /// Pin image tags to digests
    #[arg(long)]
    resolve_image_digests: bool,
    /// Print the service names, one per line.
    #[arg(long)]
    services: bool,
    /// Print model variables and default values.
    #[arg(long)]
    variables: bool,
    /// Print the volume names, one per line.
    #[arg(long)]
    volumes: bool,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        not_yet(self.lock_image_digests, "--lock-image-digests")?;
        not_yet(self.models, "--models")?;
        not_yet(self.resolve_image_digests, "--resolve-image-digests")?;
        not_yet(self.variables, "--variables")?;
        let json = match self.format.as_deref() {
            Some("json") => true,
            None | Some("yaml" | "") => false,
            Some(other) => return Err(Error::Failed(format!("unsupported format {other:?}"))),
        };
        let what = match () {
            () if self.services => What::Services,
            () if self.volumes => What::Volumes,
            () if self.networks => What::Networks,
            () if self.profiles => What::Profiles,
            () if self.images => What::Images,
            () if self.environment => What::Environment,
            () if self.quiet => What::Nothing,
            () if json => What::Json,
            () => match self.hash {
                Some(services) => What::Hashes(services),
                None => What::Yaml,
            },
        };
        let options = ops::config::Options {
            services: self.selected,
            what,
            output: self.output,
            no_consistency: self.no_consistency,
            no_env_resolution: self.no_env_resolution,
            no_interpolate: self.no_interpolate,
            no_normalize: self.no_normalize,
            no_path_resolution: self.no_path_resolution,
        };
        ops::config::run(context, &options)
    }
}
