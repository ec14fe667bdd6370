//! `pull`: registries come later; until then it says which images are here and which are not.

use super::{Context, Error, Result, images};
use crate::loader;
use crate::lowering;

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

/// Looks for each image; refuses where a registry would be needed.
///
/// # Errors
/// Images that are not here.
pub fn run(context: &Context, options: Options) -> Result<()> {
    if !matches!(options.policy.as_deref(), None | Some("missing" | "always")) {
        return Err(Error::Failed("--policy must be missing or always".into()));
    }
    let always = options.policy.as_deref() == Some("always");
    let loaded = context.load_with(&loader::Options {
        services: options.services,
        no_dependencies: !options.include_dependencies,
        ..context.project.clone()
    })?;
    let project = loaded.project;
    let progress = context.ui.progress("Pulling");
    let mut failed = false;
    for service in project.services.values() {
        let id = lowering::image_name(&project, service);
        let id_shown = format!("Image {id}");
        if service.build.is_some() && (options.ignore_buildable || service.image.is_none()) {
            progress.done(&service.name, "Skipped - No image to be pulled");
        } else if !always && images::exists(&context.engine, &id)? {
            progress.done(&id_shown, "Skipped - Image is already present locally");
        } else if options.ignore_failures {
            progress.warning(&id_shown, "Skipped - ketch can't pull from registries yet");
        } else {
            failed = true;
            progress.error(
                &id_shown,
                "ketch can't pull from registries yet: load it with `ketch image load` or `ketch image import`",
            );
        }
    }
    progress.finish();
    if failed { Err(Error::Reported) } else { Ok(()) }
}
