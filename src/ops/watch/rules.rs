//! Pure but for `.dockerignore`: what is watched for which service, by the file or derived.

use std::path::{Path, PathBuf};

use super::super::{Context, Error, Result};
use super::watched::Watched;
use crate::loader::Loaded;
use crate::model::{Build, MountType, Project, Service, WatchAction, WatchRule};
use crate::watcher::filter::Filter;

/// The rules of the file for these services (empty: all).
///
/// # Errors
/// A rule that can't be carried out; a pattern that is none.
pub(super) fn by_file(
    context: &Context,
    loaded: &Loaded,
    services: &[String],
) -> Result<Vec<Watched>> {
    let mut watched = Vec::new();
    for service in selected(&loaded.project, services) {
        for rule in &service.watch {
            if rule.action == WatchAction::Rebuild && service.build.is_none() {
                return Err(Error::Failed(format!(
                    "can't watch service {:?} with action rebuild without a build context",
                    service.name
                )));
            }
            if rule.action.syncs() && is_bound(service, &rule.path) {
                context.ui.warn(format_args!(
                    "path '{}' also declared by a bind mount volume, this path won't be monitored!",
                    rule.path.display()
                ));
                continue;
            }
            watched.push(watch(service, rule.clone(), &[])?);
        }
    }
    Ok(watched)
}

/// Rules for services whose file has none: a bound directory of sources restarts, a build
/// context rebuilds.
///
/// # Errors
/// A `.dockerignore` that can't be read.
pub(super) fn derived(project: &Project, services: &[String]) -> Result<Vec<Watched>> {
    let mut watched = Vec::new();
    for service in selected(project, services) {
        let bound = bound_sources(project, service);
        if !reloads_by_itself(service) {
            for path in &bound {
                let rule = derive(service, path, WatchAction::Restart);
                watched.push(watch(service, rule, &[])?);
            }
        }
        if let Some(build) = &service.build
            && build.context.is_dir()
        {
            let rule = derive(service, &build.context, WatchAction::Rebuild);
            watched.push(watch(service, rule, &bound)?);
        }
    }
    Ok(watched)
}

/// `restart when ./src changes`.
pub(super) fn told(watched: &Watched, project: &Project) -> String {
    let path = watched.tree.root();
    let shown = match path.strip_prefix(&project.working_dir) {
        Ok(path) if path.as_os_str().is_empty() => ".".to_owned(),
        Ok(path) => format!("./{}", path.display()),
        Err(_) => path.display().to_string(),
    };
    let action = match watched.rule.action {
        WatchAction::Rebuild => "rebuild",
        _ => "restart",
    };
    format!("{action} {:?} when {shown} changes", watched.service)
}

fn selected<'a>(project: &'a Project, names: &'a [String]) -> impl Iterator<Item = &'a Service> {
    project
        .services
        .values()
        .filter(move |service| names.is_empty() || names.contains(&service.name))
}

fn derive(service: &Service, path: &Path, action: WatchAction) -> WatchRule {
    WatchRule {
        span: service.span,
        path: path.to_owned(),
        action,
        target: String::new(),
        // What tools write beside the sources when they run.
        ignore: [
            "**/node_modules",
            "**/__pycache__",
            "**/*.pyc",
            "**/*.log",
            "**/target",
        ]
        .map(str::to_owned)
        .to_vec(),
        include: Vec::new(),
        initial_sync: false,
        exec: None,
    }
}

fn watch(service: &Service, mut rule: WatchRule, without: &[PathBuf]) -> Result<Watched> {
    // Events come with the path as it is, not as somebody linked to it.
    rule.path = rule.path.canonicalize().unwrap_or(rule.path);
    let wrong = |why: String| {
        let at = format!(
            "services.{}.develop.watch: {}",
            service.name,
            rule.path.display()
        );
        Error::Failed(format!("{at}: {why}"))
    };
    let mut filter = Filter::new(&rule.path, &rule.ignore, &rule.include).map_err(wrong)?;
    if let Some((directory, text)) = service.build.as_ref().and_then(dockerignore) {
        filter = filter.and_file(&directory, &text).map_err(wrong)?;
    }
    for path in without {
        filter = filter.without(path);
    }
    Ok(Watched::new(&service.name, rule, filter))
}

/// That of the Dockerfile, else that of the context.
fn dockerignore(build: &Build) -> Option<(PathBuf, String)> {
    let context = build.context.canonicalize().ok()?;
    let dockerfile = build.dockerfile.as_deref().unwrap_or("Dockerfile");
    let own = context.join(format!("{dockerfile}.dockerignore"));
    let text = std::fs::read_to_string(own)
        .or_else(|_| std::fs::read_to_string(context.join(".dockerignore")))
        .ok()?;
    Some((context, text))
}

fn is_bound(service: &Service, path: &Path) -> bool {
    service.volumes.iter().any(|mount| {
        let source = mount
            .source
            .as_deref()
            .filter(|_| mount.kind == MountType::Bind);
        source.is_some_and(|source| path.starts_with(source))
    })
}

/// Directories of the project that the container sees as they are.
fn bound_sources(project: &Project, service: &Service) -> Vec<PathBuf> {
    let bound = service
        .volumes
        .iter()
        .filter(|it| it.kind == MountType::Bind);
    bound
        .filter_map(|mount| mount.source.as_deref())
        .map(PathBuf::from)
        .filter(|path| path.starts_with(&project.working_dir) && path.is_dir())
        .map(|path| path.canonicalize().unwrap_or(path))
        .collect()
}

/// Programs and flags that are known to look at their sources themselves.
fn reloads_by_itself(service: &Service) -> bool {
    const WORDS: [&str; 12] = [
        "--reload",
        "--watch",
        "--debug",
        "nodemon",
        "watchexec",
        "watchfiles",
        "air",
        "vite",
        "webpack-dev-server",
        "runserver",
        "entr",
        "reflex",
    ];
    let words = [&service.entrypoint, &service.command];
    let words = words.into_iter().flatten().flatten();
    let words = words.flat_map(|word| word.split([' ', '/']));
    words.into_iter().any(|word| WORDS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::super::super::testing;
    use super::*;

    fn told_for(file: &str) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("web/src")).unwrap();
        let mut project = testing::project(&file.replace("ROOT", &root.to_string_lossy()));
        project.working_dir = root;
        let watched = derived(&project, &[]).unwrap();
        watched.iter().map(|it| told(it, &project)).collect()
    }

    #[test]
    fn sources_that_are_bound_restart_and_contexts_rebuild() {
        let file = "services:\n  web:\n    build: ROOT/web\n    volumes: ['ROOT/web/src:/app']\n";
        assert_eq!(
            told_for(file),
            [
                "restart \"web\" when ./web/src changes",
                "rebuild \"web\" when ./web changes"
            ]
        );
        let reloads = format!("{file}    command: flask run --debug\n");
        assert_eq!(told_for(&reloads), ["rebuild \"web\" when ./web changes"]);
        let nothing = "services:\n  db:\n    image: a\n    volumes: ['data:/x', '/etc:/e']\nvolumes: {data: }\n";
        assert_eq!(told_for(nothing), [""; 0]);
    }
}
