//! `config`.

use std::path::PathBuf;

use crate::ops::{self, Context, Error, Result};
use ops::config::{Format, Images, What};

/// Parse, resolve and render compose file in canonical format
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(value_name = "SERVICE")]
    selected: Vec<String>,
    /// How to tell what is wrong. Values: [text | json]; json goes to stdout, and nothing else does
    #[arg(long, value_name = "string")]
    diagnostics: Option<String>,
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
    /// Print every value with the place it came from, and what it replaced.
    #[arg(long)]
    origins: bool,
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
    /// Print a JSON Schema of compose files, for editors.
    #[arg(long)]
    schema: bool,
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
        if self.schema {
            return ops::config::schema(context);
        }
        let what = self.what();
        let format = match self.format.as_deref() {
            None | Some("") => Format::Unsaid,
            Some("yaml") => Format::Yaml,
            Some("json") => Format::Json,
            Some(other) if what == What::Variables => {
                return Err(Error::Failed(format!(
                    "format value {other:?} could not be parsed: parsing failed"
                )));
            }
            Some(other) => return Err(Error::Failed(format!("unsupported format {other:?}"))),
        };
        let diagnostics_as_json = match self.diagnostics.as_deref() {
            None | Some("" | "text") => false,
            Some("json") => true,
            Some(other) => {
                return Err(Error::Failed(format!("unsupported diagnostics {other:?}")));
            }
        };
        let options = ops::config::Options {
            services: self.selected,
            what,
            format,
            output: self.output,
            quiet: self.quiet,
            diagnostics_as_json,
            no_consistency: self.no_consistency,
            no_env_resolution: self.no_env_resolution,
            no_interpolate: self.no_interpolate,
            no_normalize: self.no_normalize,
            no_path_resolution: self.no_path_resolution,
        };
        ops::config::run(context, &options)
    }

    /// Of several lists that are asked for, the first is printed, in Compose's order.
    fn what(&self) -> What {
        let images = match (self.lock_image_digests, self.resolve_image_digests) {
            (true, _) => Images::Locked,
            (false, true) => Images::Pinned,
            (false, false) => Images::AsWritten,
        };
        match self.hash.as_deref().unwrap_or_default() {
            _ if self.services => What::Services,
            _ if self.volumes => What::Volumes,
            _ if self.networks => What::Networks,
            _ if self.models => What::Models,
            "" if self.profiles => What::Profiles,
            "" if self.images => What::Images,
            "" if self.variables => What::Variables,
            "" if self.environment => What::Environment,
            "" if self.origins => What::Origins,
            "" => What::Project(images),
            services => What::Hashes(services.to_owned()),
        }
    }
}
