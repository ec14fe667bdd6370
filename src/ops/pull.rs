//! `pull`: the images of services, several at once; and what `up` pulls before it begins.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use indexmap::IndexMap;
use ketch_runtime::error::ErrorKind;

use super::{Context, Error, Result, images, registry};
use crate::loader;
use crate::lowering;
use crate::model::{Project, PullPolicy, Service};
use crate::ui::progress::Progress;

/// What to pull.
#[derive(Debug)]
pub struct Options {
    pub services: Vec<String>,
    pub ignore_buildable: bool,
    pub ignore_failures: bool,
    pub include_dependencies: bool,
    /// `missing` or `always`.
    pub policy: Option<String>,
    pub quiet: bool,
}

/// One image to pull, and who wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub reference: String,
    pub platform: Option<String>,
    /// The first service that wants it.
    pub service: String,
    pub is_buildable: bool,
}

impl Wanted {
    /// The image of a service.
    pub fn of(project: &Project, service: &Service) -> Self {
        let default = || project.environment.get("DOCKER_DEFAULT_PLATFORM").cloned();
        Self {
            reference: lowering::image_name(project, service),
            platform: service
                .platform
                .clone()
                .or_else(default)
                .filter(|text| !text.is_empty()),
            service: service.name.clone(),
            is_buildable: service.build.is_some(),
        }
    }
}

/// Pulls what the services' policies say.
///
/// # Errors
/// Images that can't be had; each was shown.
pub fn run(context: &Context, options: &Options) -> Result<()> {
    if !matches!(options.policy.as_deref(), None | Some("missing" | "always")) {
        return Err(Error::Failed("--policy must be missing or always".into()));
    }
    let loaded = context.load_with(&loader::Options {
        services: options.services.clone(),
        no_dependencies: !options.include_dependencies,
        ..context.project.clone()
    })?;
    let project = &loaded.project;
    let progress = if options.quiet {
        context.ui.quiet_progress()
    } else {
        context.ui.progress("Pulling")
    };
    let mut wanted: IndexMap<String, Wanted> = IndexMap::new();
    for service in project.services.values() {
        if service.provider.is_some() {
            continue;
        }
        let want = Wanted::of(project, service);
        match skipped(context, options, service, &want.reference)? {
            Some(reason) => {
                let id = match service.image {
                    Some(_) => format!("Image {}", want.reference),
                    None => service.name.clone(),
                };
                progress.done(&id, &format!("Skipped - {reason}"));
            }
            None => {
                wanted.entry(want.reference.clone()).or_insert(want);
            }
        }
    }
    let wanted: Vec<Wanted> = wanted.into_values().collect();
    let failures = all(context, &wanted, &progress)?;
    progress.finish();
    report(context, &failures, options.ignore_failures)
}

/// Why a service's image is not pulled.
fn skipped(
    context: &Context,
    options: &Options,
    service: &Service,
    reference: &str,
) -> Result<Option<&'static str>> {
    if service.image.is_none() {
        return Ok(Some("No image to be pulled"));
    }
    if options.ignore_buildable && service.build.is_some() {
        return Ok(Some("Image can be built"));
    }
    let policy = match options.policy.as_deref() {
        Some("always") => PullPolicy::Always,
        Some(_) => PullPolicy::Missing,
        None => service.pull_policy,
    };
    Ok(match policy {
        PullPolicy::Never | PullPolicy::Build => Some("Pull policy says so"),
        PullPolicy::Missing if images::exists(&context.engine, reference)? => {
            Some("Image is already present locally")
        }
        PullPolicy::Every(age) if !images::is_older(&context.engine, reference, age)? => {
            Some("Image was checked a short time ago")
        }
        _ => None,
    })
}

/// Compose's way with failures: what can be built is only told.
fn report(context: &Context, failures: &[Failure], ignored: bool) -> Result<()> {
    let buildable: Vec<&str> = failures
        .iter()
        .filter(|failure| failure.wanted.is_buildable)
        .map(|failure| failure.wanted.service.as_str())
        .collect();
    if !buildable.is_empty() {
        context.ui.warn(format_args!(
            "Some service image(s) must be built from source by running:\n    ketch build {}",
            buildable.join(" ")
        ));
    }
    if failures.len() == buildable.len() || ignored {
        return Ok(());
    }
    for failure in failures.iter().filter(|it| !it.wanted.is_buildable) {
        context.ui.error(format_args!(
            "service {:?}: {}",
            failure.wanted.service, failure.error
        ));
    }
    Err(Error::Reported)
}

/// An image that could not be had.
#[derive(Debug)]
pub struct Failure {
    pub wanted: Wanted,
    pub error: ketch_runtime::error::Error,
}

/// Pulls all of these, several at once; what failed was shown, and is given back.
///
/// # Errors
/// When the user gives up.
pub fn all(context: &Context, wanted: &[Wanted], progress: &Progress) -> Result<Vec<Failure>> {
    if context.dry_run {
        for want in wanted {
            progress.done(format!("Image {}", want.reference), "Pulled");
        }
        return Ok(Vec::new());
    }
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let registries = context.registries()?;
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    let warnings = Mutex::new(Vec::new());
    let work = || {
        while let Some(want) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
            let platform = want.platform.as_deref();
            match registry::pull_shown(context, &registries, &want.reference, platform, progress) {
                Ok(pulled) => warnings
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend(pulled.warnings),
                Err(error) => {
                    let id = format!("Image {}", want.reference);
                    if error.kind() == ErrorKind::Cancelled {
                        progress.warning(&id, "Interrupted");
                    } else if want.is_buildable {
                        progress.warning(&id, "Not pulled");
                    } else {
                        progress.error(&id, &error);
                    }
                    let failure = Failure {
                        wanted: want.clone(),
                        error,
                    };
                    failures
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(failure);
                }
            }
        }
    };
    let most = context.parallel.unwrap_or(usize::MAX).min(wanted.len());
    std::thread::scope(|scope| {
        for _ in 0..most {
            scope.spawn(work);
        }
    });
    let mut warnings = warnings
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    warnings.extend(registries.warnings());
    for warning in warnings {
        progress.above(&mut || context.ui.warn(&warning));
    }
    let failures = failures
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let gave_up = |failure: &Failure| failure.error.kind() == ErrorKind::Cancelled;
    if failures.iter().any(gave_up) {
        return Err(Error::Interrupted);
    }
    Ok(failures)
}
