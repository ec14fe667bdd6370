//! `push`: the images of services that are both named and built.

use std::sync::{Mutex, PoisonError};

use ketch_runtime::registry::push::PushState;

use super::{Context, Error, Result, registry};
use crate::loader;
use crate::lowering;
use crate::ui::progress::{Event, Status};

/// What to push.
#[derive(Debug)]
pub struct Options {
    pub services: Vec<String>,
    pub ignore_failures: bool,
    pub include_dependencies: bool,
    pub quiet: bool,
}

/// Pushes one image after the other.
///
/// # Errors
/// What registries refuse.
pub fn run(context: &Context, options: Options) -> Result<()> {
    let loaded = context.load_with(&loader::Options {
        services: options.services,
        no_dependencies: !options.include_dependencies,
        ..context.project.clone()
    })?;
    let project = &loaded.project;
    let progress = if options.quiet {
        context.ui.quiet_progress()
    } else {
        context.ui.progress("Pushing")
    };
    let registries = context.registries()?;
    let mut failures = Vec::new();
    for service in project.services.values() {
        if service.build.is_none() || service.image.is_none() {
            if service.build.is_some() {
                progress.done(&service.name, "Skipped - No image to be pushed");
            }
            continue;
        }
        let name = lowering::image_name(project, service);
        let id = format!("Image {name}");
        progress.working(&id, "Pushing");
        if context.dry_run {
            progress.done(&id, "Pushed");
            continue;
        }
        let shown = Mutex::new(());
        let on = |layer: &str, state: PushState| {
            let _one_at_a_time = shown.lock().unwrap_or_else(PoisonError::into_inner);
            let status = match state {
                PushState::Preparing | PushState::Pushing => Status::Working,
                _ => Status::Done,
            };
            progress.show(&Event::new(layer, registry::push_words(&state), status));
        };
        match context.engine.push_image(&registries, &name, &on) {
            Ok(_) => progress.done(&id, "Pushed"),
            Err(_) if context.cancel.is_cancelled() => return Err(Error::Interrupted),
            Err(error) => {
                progress.error(&id, &error);
                failures.push(format!("service {:?}: {error}", service.name));
            }
        }
    }
    progress.finish();
    for warning in registries.warnings() {
        context.ui.warn(warning);
    }
    if failures.is_empty() || options.ignore_failures {
        return Ok(());
    }
    for failure in failures {
        context.ui.error(failure);
    }
    Err(Error::Reported)
}
