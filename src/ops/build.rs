//! `build`: the images of services that have a `build`.

use super::{Context, Error, Result};
use crate::loader;
use crate::model::Project;

/// What to build.
#[derive(Debug)]
pub struct Options {
    pub services: Vec<String>,
    /// `--build-arg`, verbatim.
    pub args: Vec<String>,
    pub no_cache: bool,
    pub quiet: bool,
    pub with_dependencies: bool,
}

/// What a build is told beside what the file says.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Name and value.
    pub args: Vec<(String, String)>,
    pub no_cache: bool,
    pub quiet: bool,
}

/// Builds; services without a `build` are passed over.
///
/// # Errors
/// `no such service: x`; a failed build.
pub fn run(context: &Context, options: Options) -> Result<()> {
    let project = context.load_with(&loader::Options {
        services: options.services,
        no_dependencies: !options.with_dependencies,
        ..context.project.clone()
    })?;
    let buildable: Vec<String> = project
        .services
        .values()
        .filter(|service| service.build.is_some())
        .map(|service| service.name.clone())
        .collect();
    if buildable.is_empty() {
        context.ui.warn("No services to build");
        return Ok(());
    }
    // A name without a value takes the caller's; an unset one is left out.
    let args = options
        .args
        .into_iter()
        .filter_map(|arg| match arg.split_once('=') {
            Some((name, value)) => Some((name.to_owned(), value.to_owned())),
            None => project
                .environment
                .get(&arg)
                .map(|value| (arg, value.clone())),
        });
    let request = Request {
        args: args.collect(),
        no_cache: options.no_cache,
        quiet: options.quiet,
    };
    services(context, &project, &buildable, &request)
}

/// Builds the images of these services.
///
/// # Errors
/// A failed build, with its service.
pub fn services(
    _context: &Context,
    _project: &Project,
    services: &[String],
    _request: &Request,
) -> Result<()> {
    Err(Error::Failed(format!(
        "service {:?}: the builder is not part of this ketch yet",
        services.first().map_or("", String::as_str)
    )))
}
