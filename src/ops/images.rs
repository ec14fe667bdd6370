//! Images: `images`, and what `up` needs before anything is made.

use std::time::Duration;

use indexmap::{IndexMap, IndexSet};
use ketch_runtime::engine::Engine;
use ketch_runtime::error::ErrorKind;
use ketch_runtime::image::Image;
use serde_json::json;

use super::filter::Filters;
use super::pull::{self, Wanted};
use super::scope::Scope;
use super::{Context, Error, Result, build};
use crate::diag::{Diagnostic, Diagnostics};
use crate::loader::Loaded;
use crate::lowering;
use crate::model::{Project, PullPolicy, Service};
use crate::ui::table::{self, Layout};
use crate::ui::template::{self, Format};
use crate::ui::{age, status};

/// What the command line says about images.
#[derive(Debug, Clone, Copy, Default)]
pub struct Policy {
    pub build: bool,
    pub no_build: bool,
    pub pull: Pull,
    /// No output of builds.
    pub quiet: bool,
    /// No progress of pulls.
    pub quiet_pull: bool,
}

/// `--pull`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pull {
    /// As each service says.
    #[default]
    Policy,
    Always,
    Missing,
    Never,
    Build,
}

impl Pull {
    /// Reads the value of `--pull`.
    ///
    /// # Errors
    /// When it is no policy.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "policy" | "" => Ok(Self::Policy),
            "always" => Ok(Self::Always),
            "missing" | "if_not_present" => Ok(Self::Missing),
            "never" => Ok(Self::Never),
            "build" => Ok(Self::Build),
            _ => Err(Error::Failed(format!(
                "invalid --pull option {text:?}. Should be one of always, missing, never, build"
            ))),
        }
    }
}

/// What must be done for a service's image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Nothing,
    Build,
    /// It is not here, and may not be fetched.
    Missing,
    Pull,
}

/// What must happen to images before anything else can.
#[derive(Debug, Default)]
pub struct Needs {
    /// Services whose image is to be built.
    pub to_build: Vec<String>,
    /// Images to fetch first, each once.
    pub to_pull: Vec<Wanted>,
    /// Images that can't be had, each at its place.
    pub problems: Diagnostics,
}

/// Looks which images are here, and which can be had.
///
/// # Errors
/// When the store can't be read.
pub fn needs(context: &Context, project: &Project, policy: Policy) -> Result<Needs> {
    let mut needs = Needs::default();
    for service in project.services.values() {
        if service.provider.is_some() {
            continue;
        }
        let reference = lowering::image_name(project, service);
        let here = exists(&context.engine, &reference)?;
        let age = || is_older(&context.engine, &reference, refreshed(service));
        let (what, hint) = match need(service, policy, here, age)? {
            Need::Nothing => continue,
            Need::Pull => {
                let wanted = Wanted::of(project, service);
                if !needs.to_pull.iter().any(|it| it.reference == reference) {
                    needs.to_pull.push(wanted);
                }
                continue;
            }
            Need::Build => {
                lowering::refused::build(service, &mut needs.problems);
                needs.to_build.push(service.name.clone());
                continue;
            }
            Need::Missing if service.build.is_some() => {
                ("is not here, and it may not be built", "build it first")
            }
            Need::Missing => (
                "is not here, and it may not be pulled",
                "pull it first, or load it with `ketch image load`",
            ),
        };
        let image = service.image.as_ref();
        let span = image.map_or(service.span, |image| image.span);
        let message = format!("service {:?}: image {reference} {what}", service.name);
        let problem = Diagnostic::error(span, message).hint(hint);
        needs.problems.push(problem);
    }
    Ok(needs)
}

/// Builds what is to be built; with `--dry-run` only says so.
///
/// # Errors
/// A failed build.
pub fn build(context: &Context, project: &Project, needs: &Needs, policy: Policy) -> Result<()> {
    if context.dry_run {
        for service in &needs.to_build {
            context
                .ui
                .line(format_args!("image for {service}: build"))?;
        }
        return Ok(());
    }
    let extra = build::Extra {
        quiet: policy.quiet,
        ..build::Extra::default()
    };
    build::services(context, project, &needs.to_build, &extra)
}

/// Fetches what is to be fetched; what can't be had is told at its place.
///
/// # Errors
/// Images that can't be had.
pub fn pull(context: &Context, loaded: &Loaded, needs: &Needs, quiet: bool) -> Result<()> {
    if needs.to_pull.is_empty() {
        return Ok(());
    }
    let progress = if quiet {
        context.ui.quiet_progress()
    } else {
        context.ui.progress("Pulling")
    };
    let failures = pull::all(context, &needs.to_pull, &progress)?;
    progress.finish();
    let mut problems = Diagnostics::default();
    for failure in failures {
        let name = &failure.wanted.service;
        let message = format!(
            "service {name:?}: image {}: {}",
            failure.wanted.reference, failure.error
        );
        let Some(service) = loaded.project.services.get(name) else {
            continue;
        };
        let span = service.image.as_ref().map_or(service.span, |it| it.span);
        problems.push(Diagnostic::error(span, message));
    }
    if problems.has_errors() {
        return Err(Error::invalid(problems, &loaded.sources));
    }
    Ok(())
}

/// `is_old` says whether the registry was asked long ago; only asked where the policy has an age.
fn need(
    service: &Service,
    policy: Policy,
    here: bool,
    is_old: impl FnOnce() -> Result<bool>,
) -> Result<Need> {
    let pull = match (policy.pull, service.pull_policy) {
        (Pull::Policy, policy) => policy,
        (Pull::Always, _) => PullPolicy::Always,
        (Pull::Missing, _) => PullPolicy::Missing,
        (Pull::Never, _) => PullPolicy::Never,
        (Pull::Build, _) => PullPolicy::Build,
    };
    let buildable = service.build.is_some();
    let may_build = buildable && !policy.no_build;
    Ok(match pull {
        _ if may_build && (policy.build || pull == PullPolicy::Build) => Need::Build,
        // A service with only a build has nothing to pull.
        PullPolicy::Always if service.image.is_some() && !buildable => Need::Pull,
        PullPolicy::Every(_) if here && !buildable && is_old()? => Need::Pull,
        _ if here => Need::Nothing,
        PullPolicy::Never => Need::Missing,
        _ if may_build => Need::Build,
        _ if service.image.is_some() => Need::Pull,
        _ => Need::Missing,
    })
}

/// `pull_policy: every_…`.
fn refreshed(service: &Service) -> Duration {
    match service.pull_policy {
        PullPolicy::Every(age) => age,
        _ => Duration::ZERO,
    }
}

/// Whether the registry of an image was last asked longer ago than that.
///
/// # Errors
/// When the store can't be read.
pub fn is_older(engine: &Engine, reference: &str, age: Duration) -> Result<bool> {
    let image = match engine.image(reference) {
        Ok(image) => image,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error.into()),
    };
    let now = jiff::Timestamp::now();
    Ok(image.last_tagged.is_none_or(|then| {
        let since = Duration::try_from(now.duration_since(then)).unwrap_or(Duration::ZERO);
        since > age
    }))
}

/// The image id of each service, as far as the images are here.
///
/// # Errors
/// When the store can't be read.
pub fn ids(engine: &Engine, project: &Project) -> Result<IndexMap<String, String>> {
    let mut ids = IndexMap::new();
    for service in project.services.values() {
        match engine.image(&lowering::image_name(project, service)) {
            Ok(image) => {
                ids.insert(service.name.clone(), image.id.as_str().to_owned());
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(ids)
}

/// Whether the store has it.
///
/// # Errors
/// When the store can't be read.
pub fn exists(engine: &Engine, reference: &str) -> Result<bool> {
    match engine.image(reference) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// How `images` lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    Table,
    Json,
    Ids,
}

/// `images`: the images of the created containers.
///
/// # Errors
/// `no such service: x`.
pub fn list(context: &Context, services: &[String], show: Show) -> Result<()> {
    let scope = Scope::find(context)?;
    let members = scope.containers(&context.engine, services)?;
    let all = context.engine.images()?;
    let rows: Vec<Row> = members
        .iter()
        .map(|member| {
            let record = &member.container.record;
            let image = all.iter().find(|image| image.id == record.image_id);
            Row::new(
                member.name(),
                &record.spec.image,
                record.image_id.as_str(),
                image,
            )
        })
        .collect();
    match show {
        Show::Ids => {
            let ids: IndexSet<&str> = rows
                .iter()
                .map(|row| row.id.trim_start_matches("sha256:"))
                .collect();
            for id in ids {
                context.ui.line(id)?;
            }
        }
        Show::Json => {
            let array: Vec<_> = rows.iter().map(Row::json).collect();
            context.ui.line(serde_json::Value::Array(array))?;
        }
        Show::Table => {
            let head = [
                "CONTAINER",
                "REPOSITORY",
                "TAG",
                "PLATFORM",
                "IMAGE ID",
                "SIZE",
                "CREATED",
            ];
            let cells: Vec<Vec<String>> = rows.iter().map(Row::cells).collect();
            context
                .ui
                .data(table::render(Layout::Compose, &head, &cells).as_bytes())?;
        }
    }
    Ok(())
}

struct Row {
    container: String,
    repository: String,
    tag: String,
    platform: String,
    id: String,
    size_bytes: u64,
    created: Option<jiff::Timestamp>,
}

impl Row {
    fn new(container: &str, reference: &str, id: &str, image: Option<&Image>) -> Self {
        // The name may belong to another image by now.
        let named = image.is_none_or(|image| !image.references.is_empty());
        let (repository, tag) = if named {
            split(reference)
        } else {
            ("<none>", "<none>")
        };
        Self {
            container: container.to_owned(),
            repository: repository.to_owned(),
            tag: tag.to_owned(),
            platform: image.map(platform).unwrap_or_default(),
            id: id.to_owned(),
            size_bytes: image.map_or(0, |image| image.size_bytes),
            created: image.and_then(|image| image.created),
        }
    }

    fn cells(&self) -> Vec<String> {
        let id = self.id.trim_start_matches("sha256:");
        let now = jiff::Timestamp::now();
        vec![
            self.container.clone(),
            self.repository.clone(),
            self.tag.clone(),
            self.platform.clone(),
            id.get(..12).unwrap_or(id).to_owned(),
            status::size(self.size_bytes),
            self.created.map_or_else(
                || "N/A".into(),
                |then| format!("{} ago", age::between(then, now)),
            ),
        ]
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "ID": self.id,
            "ContainerName": self.container,
            "Repository": self.repository,
            "Tag": self.tag,
            "Platform": self.platform,
            "Size": self.size_bytes,
            "Created": self.created.map(|time| time.to_string()),
            "LastTagTime": self.created.map(|time| time.to_string()),
        })
    }
}

/// `linux/amd64`.
pub fn platform(image: &Image) -> String {
    let config = &image.config;
    match &config.variant {
        Some(variant) => format!("{}/{}/{variant}", config.os, config.architecture),
        None => format!("{}/{}", config.os, config.architecture),
    }
}

/// Repository and tag of a reference; a colon before a slash belongs to a port.
pub fn split(reference: &str) -> (&str, &str) {
    let name = reference.split('@').next().unwrap_or(reference);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ if name != reference => (name, "<none>"),
        _ => (name, "latest"),
    }
}

/// How `image ls` lists.
#[derive(Debug)]
pub struct Listing {
    pub digests: bool,
    pub filters: Vec<String>,
    pub format: Format,
    pub quiet: bool,
    pub full: bool,
    /// Only this repository, or this name.
    pub repository: Option<String>,
}

/// `image ls`: every image of the store, a row for each of its names.
///
/// # Errors
/// A filter that is none; a template that asks for what is not there.
pub fn stored(context: &Context, listing: &Listing) -> Result<()> {
    let keys = [
        "dangling",
        "label",
        "label!",
        "before",
        "since",
        "until",
        "reference",
    ];
    let filters = Filters::parse(&listing.filters, &keys)?;
    let wanted = filters.images(&context.engine)?;
    let mut rows = Vec::new();
    let mut ids = IndexSet::new();
    for image in context.engine.images()?.iter().filter(|it| wanted.fits(it)) {
        let mut names: Vec<(&str, &str, &str)> = image
            .references
            .iter()
            .map(|name| (split(name), digest_in(image, split(name).0)))
            .map(|((repository, tag), digest)| (repository, tag, digest))
            .collect();
        if names.is_empty() {
            names = image
                .repo_digests
                .iter()
                .filter_map(|name| name.split_once('@'))
                .map(|(repository, digest)| (repository, "<none>", digest))
                .collect();
        }
        if names.is_empty() {
            names.push(("<none>", "<none>", "<none>"));
        }
        for (repository, tag, digest) in names {
            let is_asked_for = listing.repository.as_ref().is_none_or(|asked| {
                *asked == repository || *asked == format!("{repository}:{tag}")
            });
            if is_asked_for {
                let id = if listing.full {
                    image.id.as_str()
                } else {
                    image.id.short()
                };
                ids.insert(id.to_owned());
                rows.push(stored_row(image, repository, tag, digest, id));
            }
        }
    }
    if listing.quiet {
        for id in &ids {
            context.ui.line(id)?;
        }
        return Ok(());
    }
    let columns: &[&str] = if listing.digests {
        &["Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"]
    } else {
        &["Repository", "Tag", "ID", "CreatedSince", "Size"]
    };
    let head: &[&str] = if listing.digests {
        &["REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE"]
    } else {
        &["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]
    };
    formatted(context, &listing.format, head, columns, &rows)
}

fn digest_in<'a>(image: &'a Image, repository: &str) -> &'a str {
    let mut digests = image
        .repo_digests
        .iter()
        .filter_map(|it| it.split_once('@'));
    digests
        .find(|(name, _)| *name == repository)
        .map_or("<none>", |(_, digest)| digest)
}

fn stored_row(
    image: &Image,
    repository: &str,
    tag: &str,
    digest: &str,
    id: &str,
) -> serde_json::Value {
    let now = jiff::Timestamp::now();
    let since = image.created.map_or_else(
        || "N/A".into(),
        |then| format!("{} ago", age::between(then, now)),
    );
    let created = image.created.map_or_else(
        || "N/A".into(),
        |then| then.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
    );
    json!({
        "Containers": "N/A",
        "CreatedAt": created,
        "CreatedSince": since,
        "Digest": digest,
        "ID": id,
        "Repository": repository,
        "SharedSize": "N/A",
        "Size": status::size(image.size_bytes),
        "Tag": tag,
        "UniqueSize": "N/A",
        "VirtualSize": status::size(image.size_bytes),
    })
}

/// Rows as `--format` wants them.
///
/// # Errors
/// A template that asks for what is not there.
pub(crate) fn formatted(
    context: &Context,
    format: &Format,
    head: &[&str],
    columns: &[&str],
    rows: &[serde_json::Value],
) -> Result<()> {
    match format {
        Format::Table => {
            let cells = |row: &serde_json::Value| {
                let cell = |name: &&str| row[*name].as_str().unwrap_or_default().to_owned();
                columns.iter().map(cell).collect()
            };
            let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
            let text = table::render(Layout::Docker, head, &cells);
            Ok(context.ui.data(text.as_bytes())?)
        }
        Format::Json => {
            for row in rows {
                context.ui.line(template::json(row))?;
            }
            Ok(())
        }
        Format::Text(template) | Format::TableOf(template) => {
            let titles: Vec<_> = columns.iter().copied().zip(head.iter().copied()).collect();
            let titles = matches!(format, Format::TableOf(_)).then_some(titles.as_slice());
            let text = template::render(template, titles, rows).map_err(Error::Failed)?;
            Ok(context.ui.data(text.as_bytes())?)
        }
    }
}

/// How `image history` shows.
#[derive(Debug)]
pub struct History {
    pub format: Format,
    pub human: bool,
    pub full: bool,
    pub quiet: bool,
}

/// `image history`: the steps that made an image, the last one first.
///
/// # Errors
/// An image that is not there; a template that asks for what is not there.
pub fn history(context: &Context, name: &str, show: &History) -> Result<()> {
    let image = context.engine.image(name)?;
    let sizes = context.engine.layer_sizes(&image)?;
    let id = if show.full {
        image.id.as_str()
    } else {
        image.id.short()
    };
    let now = jiff::Timestamp::now();
    let mut sizes = sizes.into_iter();
    let mut rows = Vec::new();
    for step in &image.config.history {
        let size = if step.empty_layer {
            0
        } else {
            sizes.next().unwrap_or(0)
        };
        let by = step
            .created_by
            .clone()
            .unwrap_or_default()
            .replace('\t', " ");
        let created = step
            .created
            .map_or_else(|| "N/A".into(), |then| then.to_string());
        let since = match step.created {
            Some(then) if show.human => format!("{} ago", age::between(then, now)),
            _ => created.clone(),
        };
        rows.push(json!({
            "Comment": step.comment.clone().unwrap_or_default(),
            "CreatedAt": created,
            "CreatedBy": if show.full { by } else { status::ellipsis(&by, 45) },
            "CreatedSince": since,
            "ID": "<missing>",
            "Size": if show.human { status::size(size) } else { size.to_string() },
        }));
    }
    rows.reverse();
    if let Some(first) = rows.first_mut() {
        first["ID"] = id.into();
    }
    if show.quiet {
        for row in &rows {
            context.ui.line(row["ID"].as_str().unwrap_or_default())?;
        }
        return Ok(());
    }
    let head = ["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"];
    let columns = ["ID", "CreatedSince", "CreatedBy", "Size", "Comment"];
    formatted(context, &show.format, &head, &columns, &rows)
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn a_reference_falls_into_repository_and_tag() {
        assert_eq!(split("postgres:17"), ("postgres", "17"));
        assert_eq!(
            split("localhost:5000/app"),
            ("localhost:5000/app", "latest")
        );
        assert_eq!(split("app@sha256:abc"), ("app", "<none>"));
    }

    #[test]
    fn an_image_is_built_only_when_it_must_and_may() {
        let project = testing::project(
            "services:\n  a: {build: .}\n  b: {image: b}\n  c: {image: c, pull_policy: always}\n",
        );
        let need = |service: &str, policy, here| {
            need(&project.services[service], policy, here, || Ok(true)).unwrap()
        };
        let usual = Policy::default();
        let build = Policy {
            build: true,
            ..usual
        };
        let no_build = Policy {
            no_build: true,
            ..usual
        };
        assert_eq!(need("a", usual, false), Need::Build);
        assert_eq!(need("a", usual, true), Need::Nothing);
        assert_eq!(need("a", build, true), Need::Build);
        assert_eq!(need("a", no_build, false), Need::Missing);
        assert_eq!(need("b", usual, false), Need::Pull);
        assert_eq!(need("b", build, true), Need::Nothing);
        assert_eq!(need("c", usual, true), Need::Pull);
        let never = Policy {
            pull: Pull::Never,
            ..usual
        };
        assert_eq!(need("c", never, true), Need::Nothing);
        assert_eq!(need("c", never, false), Need::Missing);
    }

    #[test]
    fn a_pull_policy_is_one_of_five() {
        assert_eq!(Pull::parse("policy").ok(), Some(Pull::Policy));
        assert_eq!(Pull::parse("if_not_present").ok(), Some(Pull::Missing));
        assert!(Pull::parse("sometimes").is_err());
    }
}
