//! `up`.

use crate::ops::{self, Context, Error, Result};
use ops::up::{Attach, Options, Recreate};

use super::{exclusive, not_yet, scales};

/// Create and start containers
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Stops all containers if any container was stopped. Incompatible with -d
    #[arg(long)]
    abort_on_container_exit: bool,
    /// Stops all containers if any container exited with failure. Incompatible with -d
    #[arg(long)]
    abort_on_container_failure: bool,
    /// Recreate dependent containers. Incompatible with --no-recreate.
    #[arg(long)]
    always_recreate_deps: bool,
    /// Restrict attaching to the specified services. Incompatible with --attach-dependencies.
    #[arg(long, value_name = "stringArray")]
    attach: Vec<String>,
    /// Automatically attach to log output of dependent services
    #[arg(long)]
    attach_dependencies: bool,
    /// Build images before starting containers
    #[arg(long)]
    build: bool,
    /// Detached mode: Run containers in the background
    #[arg(short, long)]
    detach: bool,
    /// Return the exit code of the selected service container. Implies --abort-on-container-exit
    #[arg(long, value_name = "string")]
    exit_code_from: Option<String>,
    /// Recreate containers even if their configuration and image haven't changed
    #[arg(long)]
    force_recreate: bool,
    /// Enable interactive shortcuts when running attached
    #[arg(long, value_name = "bool", num_args = 0..=1, require_equals = true, default_missing_value = "true", env = "COMPOSE_MENU", hide_possible_values = true, hide_env = true)]
    menu: Option<bool>,
    /// Do not attach (stream logs) to the specified services
    #[arg(long, value_name = "stringArray")]
    no_attach: Vec<String>,
    /// Don't build an image, even if it's policy
    #[arg(long)]
    no_build: bool,
    /// Produce monochrome output
    #[arg(long)]
    no_color: bool,
    /// Don't start linked services
    #[arg(long)]
    no_deps: bool,
    /// Don't print prefix in logs
    #[arg(long)]
    no_log_prefix: bool,
    /// If containers already exist, don't recreate them. Incompatible with --force-recreate.
    #[arg(long)]
    no_recreate: bool,
    /// Don't start the services after creating them
    #[arg(long)]
    no_start: bool,
    /// Pull image before running ("always"|"missing"|"never"|"build")
    #[arg(long, value_name = "string", default_value = "policy")]
    pull: String,
    /// Suppress the build output
    #[arg(long)]
    quiet_build: bool,
    /// Pull without printing progress information
    #[arg(long)]
    quiet_pull: bool,
    /// Remove containers for services not defined in the Compose file
    #[arg(long)]
    remove_orphans: bool,
    /// Recreate anonymous volumes instead of retrieving data from the previous containers
    #[arg(short = 'V', long)]
    renew_anon_volumes: bool,
    /// Scale SERVICE to NUM instances. Overrides the scale setting in the Compose file if present.
    #[arg(long, value_name = "SERVICE=NUM")]
    scale: Vec<String>,
    /// Use this timeout in seconds for container shutdown when attached or when containers are already running
    #[arg(short, long, value_name = "int", allow_negative_numbers = true)]
    timeout: Option<i64>,
    /// Show timestamps
    #[arg(long)]
    timestamps: bool,
    /// Wait for services to be running|healthy. Implies detached mode.
    #[arg(long)]
    wait: bool,
    /// Maximum duration in seconds to wait for the project to be running|healthy
    #[arg(long, value_name = "int", allow_negative_numbers = true)]
    wait_timeout: Option<i64>,
    /// Watch source code and rebuild/refresh containers when files are updated.
    #[arg(short, long)]
    watch: bool,
    /// Assume "yes" as answer to all prompts and run non-interactively
    #[arg(short, long, alias = "y")]
    yes: bool,
}

impl Args {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        self.check()?;
        ops::up::run(context, &self.options()?)
    }

    fn check(&self) -> Result<()> {
        let cascades = self.abort_on_container_exit
            || self.abort_on_container_failure
            || self.exit_code_from.is_some();
        let attaches = !self.attach.is_empty() || self.attach_dependencies;
        if self.detach && (cascades || attaches || self.watch) {
            return Err(Error::Failed(
                "--detach cannot be combined with --abort-on-container-exit, --abort-on-container-failure, \
                 --exit-code-from, --attach, --attach-dependencies or --watch"
                    .into(),
            ));
        }
        if self.wait && (cascades || attaches) {
            return Err(Error::Failed(
                "--wait cannot be combined with --abort-on-container-exit, --abort-on-container-failure, \
                 --exit-code-from, --attach or --attach-dependencies"
                    .into(),
            ));
        }
        exclusive(self.watch && self.no_build, "--watch", "--no-build")?;
        not_yet(self.menu == Some(true), "--menu")?;
        exclusive(self.build && self.no_build, "--build", "--no-build")?;
        exclusive(
            self.force_recreate && self.no_recreate,
            "--force-recreate",
            "--no-recreate",
        )?;
        exclusive(
            self.no_recreate && (self.renew_anon_volumes || self.always_recreate_deps),
            "--no-recreate",
            "--renew-anon-volumes or --always-recreate-deps",
        )?;
        exclusive(
            !self.attach.is_empty() && self.attach_dependencies,
            "--attach",
            "--attach-dependencies",
        )?;
        exclusive(
            self.abort_on_container_failure
                && (self.abort_on_container_exit || self.exit_code_from.is_some()),
            "--abort-on-container-failure",
            "--abort-on-container-exit",
        )
    }

    fn options(self) -> Result<Options> {
        Ok(Options {
            recreate: match () {
                () if self.force_recreate || self.renew_anon_volumes => Recreate::Always,
                () if self.no_recreate => Recreate::Never,
                () => Recreate::Diverged,
            },
            recreate_dependencies: self.always_recreate_deps,
            renew_volumes: self.renew_anon_volumes,
            no_deps: self.no_deps,
            images: ops::images::Policy {
                build: self.build,
                no_build: self.no_build,
                pull: ops::images::Pull::parse(&self.pull)?,
                quiet: self.quiet_build,
                quiet_pull: self.quiet_pull,
            },
            remove_orphans: self.remove_orphans,
            scale: scales(&self.scale)?,
            timeout: self.timeout,
            start: !self.no_start,
            wait: self.wait,
            wait_timeout: super::wait_timeout(self.wait_timeout),
            yes: self.yes,
            attach: (!self.detach && !self.wait && !self.no_start).then_some(Attach {
                only: self.attach,
                not: self.no_attach,
                dependencies: self.attach_dependencies,
                style: crate::ui::logs::Style {
                    no_colour: self.no_color,
                    no_prefix: self.no_log_prefix,
                    timestamps: self.timestamps,
                    split_streams: true,
                },
                abort: match () {
                    () if self.abort_on_container_exit || self.exit_code_from.is_some() => {
                        ops::up::Abort::OnExit
                    }
                    () if self.abort_on_container_failure => ops::up::Abort::OnFailure,
                    () => ops::up::Abort::Never,
                },
                exit_code_from: self.exit_code_from,
                watch: self.watch.then(|| ops::watch::Options {
                    services: self.services.clone(),
                    quiet: self.quiet_build,
                    ..ops::watch::Options::default()
                }),
            }),
            services: self.services,
        })
    }
}
