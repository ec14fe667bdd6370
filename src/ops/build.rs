//! `build`: the images of services that have a `build`.

use std::collections::VecDeque;
use std::path::PathBuf;

use indexmap::IndexMap;
use ketch_runtime::builder::{self, BuildError, BuildEvent, BuildRequest, DockerfileSource, Place};
use ketch_runtime::content::digest::Digest;
use ketch_runtime::error::ErrorKind;

use super::{Context, Error, Result, push, registry};
use crate::diag::{Diagnostic, Diagnostics, Severity, Sources, Span};
use crate::graph::ServiceGraph;
use crate::loader;
use crate::lowering::build::{self as lowered, Dockerfile, lower_build};
use crate::lowering::refused;
use crate::model::Project;
use crate::ui::progress::Progress;

/// What to build.
#[derive(Debug)]
pub struct Options {
    pub services: Vec<String>,
    /// `--build-arg`, verbatim.
    pub args: Vec<String>,
    pub no_cache: bool,
    /// Fresh copies of the images that builds begin with.
    pub pull: bool,
    /// Push what was built.
    pub push: bool,
    pub quiet: bool,
    pub with_dependencies: bool,
}

/// What a build is told beside what the file says.
#[derive(Debug, Clone, Default)]
pub struct Extra {
    /// Absent values take the caller's.
    pub args: IndexMap<String, Option<String>>,
    pub no_cache: bool,
    /// Fresh copies of the images that builds begin with.
    pub pull: bool,
    pub quiet: bool,
}

/// The last lines of a step, shown when it fails and nobody saw them go by.
const KEPT_LINES: usize = 40;

/// Builds; services without a `build` are passed over.
///
/// # Errors
/// `no such service: x`; a failed build.
pub fn run(context: &Context, options: Options) -> Result<()> {
    let loaded = context.load_with(&loader::Options {
        services: options.services,
        no_dependencies: !options.with_dependencies,
        ..context.project.clone()
    })?;
    let project = loaded.project;
    let graph =
        ServiceGraph::new(&project).map_err(|cycle| Error::diagnostic(cycle, &loaded.sources))?;
    let has_build = |name: &&str| {
        project
            .services
            .get(*name)
            .is_some_and(|one| one.build.is_some())
    };
    let buildable: Vec<String> = graph.order().filter(has_build).map(str::to_owned).collect();
    if buildable.is_empty() {
        context.ui.warn("No services to build");
        return Ok(());
    }
    let mut problems = Diagnostics::default();
    for name in &buildable {
        refused::build(&project.services[name], &mut problems);
    }
    if problems.has_errors() {
        return Err(Error::invalid(problems, &loaded.sources));
    }
    let args = options
        .args
        .into_iter()
        .map(|arg| match arg.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (arg, None),
        });
    let extra = Extra {
        args: args.collect(),
        no_cache: options.no_cache,
        pull: options.pull,
        quiet: options.quiet,
    };
    services(context, &project, &buildable, &extra)?;
    if options.push {
        push::run(
            context,
            push::Options {
                services: buildable,
                ignore_failures: false,
                include_dependencies: false,
                quiet: options.quiet,
            },
        )?;
    }
    Ok(())
}

/// What `docker build` was told.
#[derive(Debug, Default)]
pub struct Single {
    /// The context.
    pub path: PathBuf,
    pub file: Option<PathBuf>,
    /// `K=V`; without a value, the caller's.
    pub args: Vec<String>,
    pub labels: Vec<String>,
    pub tags: Vec<String>,
    pub target: Option<String>,
    pub network: Option<String>,
    pub no_cache: bool,
    pub pull: bool,
    /// Print the image's id and nothing else.
    pub quiet: bool,
}

/// Builds one image that belongs to no project.
///
/// # Errors
/// A failed build, with its place.
pub fn single(context: &Context, options: Single) -> Result<()> {
    let absolute = |path: &PathBuf| {
        std::path::absolute(path)
            .map_err(|error| Error::Failed(format!("{}: {error}", path.display())))
    };
    let directory = absolute(&options.path)?;
    let file = match &options.file {
        Some(file) => absolute(file)?,
        None => directory.join("Dockerfile"),
    };
    let args = options
        .args
        .iter()
        .filter_map(|arg| match arg.split_once('=') {
            Some((name, value)) => Some((name.to_owned(), value.to_owned())),
            None => Some((arg.clone(), context.project.environment.get(arg)?.clone())),
        });
    let request = lowered::BuildRequest {
        service: "build".into(),
        context: directory,
        dockerfile: Dockerfile::File(file),
        args: args.collect(),
        target: options.target,
        labels: super::filter::pairs(&options.labels),
        tags: options.tags.clone(),
        no_cache: options.no_cache,
        pull: options.pull,
        network: options.network.filter(|network| network != "default"),
        platforms: Vec::new(),
        extra_hosts: Vec::new(),
        shm_size_bytes: None,
    };
    let progress = if options.quiet {
        context.ui.quiet_progress()
    } else {
        context.ui.progress("Building")
    };
    let id = one(context, request, &progress)?;
    progress.finish();
    match id {
        Some(id) if options.quiet => Ok(context.ui.line(id)?),
        _ => Ok(()),
    }
}

/// Builds the images of these services, one after the other: one may be the base of the next.
///
/// # Errors
/// A failed build, with its service.
pub fn services(
    context: &Context,
    project: &Project,
    services: &[String],
    extra: &Extra,
) -> Result<()> {
    let options = lowered::BuildOptions {
        no_cache: extra.no_cache,
        pull: extra.pull,
        args: extra.args.clone(),
    };
    let wanted = services
        .iter()
        .filter_map(|name| project.services.get(name));
    let requests: Vec<lowered::BuildRequest> = wanted
        .filter_map(|service| lower_build(project, service, &options))
        .collect();
    for request in &requests {
        refuse_what_is_missing(request)?;
    }
    let progress = if extra.quiet {
        context.ui.quiet_progress()
    } else {
        context.ui.progress("Building")
    };
    let result = requests
        .into_iter()
        .try_for_each(|request| one(context, request, &progress).map(drop));
    progress.finish();
    result
}

/// What the file asks of a build and this builder can't do: said, never ignored.
fn refuse_what_is_missing(request: &lowered::BuildRequest) -> Result<()> {
    let here = match std::env::consts::ARCH {
        "x86_64" => "linux/amd64",
        "aarch64" => "linux/arm64",
        other => other,
    };
    let refuse = |what: String| {
        Err(Error::Failed(format!(
            "service {:?}: {what}",
            request.service
        )))
    };
    if let Some(platform) = request.platforms.iter().find(|platform| *platform != here) {
        return refuse(format!(
            "ketch can't build for platform {platform} on {here} yet"
        ));
    }
    Ok(())
}

/// The image's id, unless nothing was to be done.
fn one(
    context: &Context,
    request: lowered::BuildRequest,
    progress: &Progress,
) -> Result<Option<Digest>> {
    let service = request.service.clone();
    let id = format!("Image {}", request.tags.first().map_or("", String::as_str));
    progress.working(&id, "Building");
    if context.dry_run {
        progress.done(&id, "Built");
        return Ok(None);
    }
    let mut steps: IndexMap<usize, Step> = IndexMap::new();
    let mut tell = |event| show(event, &mut steps, progress, &id);
    let fresh = request.pull;
    let fetch = |name: &str| registry::image_or_pull(context, name, fresh, progress);
    match builder::build(
        &context.engine,
        &into_runtime(request),
        &fetch,
        &mut tell,
        &context.cancel,
    ) {
        Ok(image) => {
            progress.done(&id, "Built");
            Ok(Some(image))
        }
        Err(_) if context.cancel.is_cancelled() => Err(Error::Interrupted),
        Err(failure) => {
            progress.error(&id, &failure.error);
            progress.finish();
            let last = steps.values().find(|step| step.failed);
            if let Some(step) = last.filter(|_| !progress.shows_output()) {
                context.ui.talk(format_args!("------\n > {}:", step.name));
                for line in &step.lines {
                    context.ui.talk(line);
                }
                context.ui.talk("------");
            }
            Err(explain(&service, failure))
        }
    }
}

struct Step {
    name: String,
    lines: VecDeque<String>,
    failed: bool,
}

fn show(event: BuildEvent, steps: &mut IndexMap<usize, Step>, progress: &Progress, id: &str) {
    match event {
        BuildEvent::Started { step, name } => {
            progress.output(id, &format!("#{step} {name}"));
            let lines = VecDeque::new();
            steps.insert(
                step,
                Step {
                    name,
                    lines,
                    failed: false,
                },
            );
        }
        BuildEvent::Output { step, line } => {
            progress.output(id, &format!("#{step} {line}"));
            if let Some(step) = steps.get_mut(&step) {
                step.lines.push_back(line);
                if step.lines.len() > KEPT_LINES {
                    step.lines.pop_front();
                }
            }
        }
        BuildEvent::Cached { step } => progress.output(id, &format!("#{step} CACHED")),
        BuildEvent::Finished { step } => progress.output(id, &format!("#{step} DONE")),
        BuildEvent::Failed { step } => {
            progress.output(id, &format!("#{step} ERROR"));
            if let Some(step) = steps.get_mut(&step) {
                step.failed = true;
            }
        }
    }
}

fn into_runtime(request: lowered::BuildRequest) -> BuildRequest {
    BuildRequest {
        context: request.context,
        dockerfile: match request.dockerfile {
            Dockerfile::File(path) => DockerfileSource::Path(path),
            Dockerfile::Inline(text) => DockerfileSource::Inline(text),
        },
        arguments: request.args.into_iter().collect(),
        target: request.target,
        tags: request.tags,
        labels: request.labels,
        no_cache: request.no_cache,
        network: request.network,
        extra_hosts: request
            .extra_hosts
            .into_iter()
            .map(|host| (host.name, host.address))
            .collect(),
        shm_size_bytes: request.shm_size_bytes,
    }
}

/// A picture of the Dockerfile's lines when they are to blame.
fn explain(service: &str, failure: BuildError) -> Error {
    if failure.error.kind() == ErrorKind::Cancelled {
        return Error::Interrupted;
    }
    let message = format!("service {service:?}: build failed: {}", failure.error);
    let Some(place) = failure.place else {
        return Error::Failed(message);
    };
    let mut sources = Sources::default();
    let span = span(&place, &mut sources);
    let mut diagnostics = Diagnostics::default();
    diagnostics.push(Diagnostic::new(Severity::Error, message).label(span, ""));
    Error::invalid(diagnostics, &sources)
}

fn span(place: &Place, sources: &mut Sources) -> Span {
    let file = sources.add(place.name.as_str(), place.text.as_str().into());
    let line = |number: u32| usize::try_from(number.max(1) - 1).unwrap_or(0);
    let (start, end) = stretch(
        &place.text,
        line(*place.lines.start()),
        line(*place.lines.end()),
    );
    let offset = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    Span::new(file, offset(start), offset(end))
}

/// Where these lines (from 0, the last one included) begin and end, without the last line's end.
fn stretch(text: &str, first: usize, last: usize) -> (usize, usize) {
    let mut start = 0;
    let mut end = 0;
    let mut offset = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if number == first {
            start = offset;
        }
        offset += line.len();
        if number <= last {
            end = offset - (line.len() - line.trim_end().len());
        }
    }
    (start, end.max(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_dockerfile_become_a_stretch_of_it() {
        let text = "FROM a\nRUN b \\\n  c\nCMD d\n";
        let (start, end) = stretch(text, 1, 2);
        assert_eq!(&text[start..end], "RUN b \\\n  c");
        let (start, end) = stretch(text, 9, 9);
        assert!(start <= end && end <= text.len());
    }
}
