//! `build`.

use crate::ops::{self, Context, Result};

use super::not_yet;

/// Build or rebuild services
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Set build-time variables for services
    #[arg(long, value_name = "stringArray")]
    build_arg: Vec<String>,
    /// Set builder to use
    #[arg(long, value_name = "string")]
    builder: Option<String>,
    /// Check build configuration
    #[arg(long)]
    check: bool,
    /// Set memory limit for the build container. Not supported by BuildKit.
    #[arg(short, long, value_name = "bytes")]
    memory: Option<String>,
    /// Do not use cache when building the image
    #[arg(long)]
    no_cache: bool,
    /// Print equivalent bake file
    #[arg(long)]
    print: bool,
    /// Add a provenance attestation
    #[arg(long, value_name = "string")]
    provenance: Option<String>,
    /// Always attempt to pull a newer version of the image
    #[arg(long)]
    pull: bool,
    /// Push service images
    #[arg(long)]
    push: bool,
    /// Suppress the build output
    #[arg(short, long)]
    quiet: bool,
    /// Add a SBOM attestation
    #[arg(long, value_name = "string")]
    sbom: Option<String>,
    /// Set SSH authentications used when building service images. (use 'default' for using your default SSH Agent)
    #[arg(long, value_name = "string")]
    ssh: Option<String>,
    /// Also build dependencies (transitively)
    #[arg(long)]
    with_dependencies: bool,
    // Compose keeps these for old scripts; they change nothing.
    #[arg(long, hide = true)]
    compress: bool,
    #[arg(long, hide = true)]
    force_rm: bool,
    #[arg(long, hide = true)]
    no_rm: bool,
    #[arg(long, hide = true)]
    parallel: bool,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        not_yet(
            self.builder.as_ref().is_some_and(|name| name != "default"),
            "--builder",
        )?;
        not_yet(self.check, "--check")?;
        not_yet(self.memory.is_some(), "--memory")?;
        not_yet(self.print, "--print")?;
        not_yet(
            self.provenance
                .as_ref()
                .is_some_and(|value| value != "false"),
            "--provenance",
        )?;
        not_yet(
            self.sbom.as_ref().is_some_and(|value| value != "false"),
            "--sbom",
        )?;
        not_yet(self.ssh.is_some(), "--ssh")?;
        let options = ops::build::Options {
            services: self.services,
            args: self.build_arg,
            no_cache: self.no_cache,
            pull: self.pull,
            push: self.push,
            quiet: self.quiet,
            with_dependencies: self.with_dependencies,
        };
        ops::build::run(context, options)
    }
}
