//! `explain`: where something comes from.

use ketch_runtime::error::ErrorKind;

use super::{Context, Error, Result};
use crate::explain::env::{self, Environment};
use crate::loader;
use crate::lowering;

/// Tells where a service's variables come from, or one of them.
///
/// # Errors
/// Everything that is wrong with the files; a service or a variable that there isn't.
pub fn env(context: &Context, service: &str, variable: Option<&str>) -> Result<()> {
    let loaded = context.load_with(&loader::Options {
        services: vec![service.to_owned()],
        origins: true,
        ..context.project.clone()
    })?;
    let Some(found) = loaded.project.services.get(service) else {
        return Err(Error::Failed(format!("no such service: {service}")));
    };
    let image = lowering::image_name(&loaded.project, found);
    let variables = variables_of(context, &image)?;
    let environment = Environment {
        service: found,
        origins: &loaded.origins,
        sources: &loaded.sources,
        image: variables.as_deref().map(|them| (image.as_str(), them)),
    };
    let names = match variable {
        Some(name) => vec![name.to_owned()],
        None => env::names(environment),
    };
    for name in names {
        let Some(story) = env::variable(environment, &name) else {
            let message = format!("service {service:?} has no variable {name:?}");
            return Err(Error::Failed(message));
        };
        context.ui.data(story.as_bytes())?;
    }
    Ok(())
}

/// What the image sets; `None`, which is said, when it is not here.
fn variables_of(context: &Context, image: &str) -> Result<Option<Vec<String>>> {
    match context.engine.image(image) {
        Ok(image) => Ok(Some(image.config.config.env.unwrap_or_default())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let message =
                format!("image {image} is not here: the variables that it sets are not known");
            context.ui.talk(message);
            Ok(None)
        }
        Err(error) => Err(Error::Engine(error)),
    }
}
