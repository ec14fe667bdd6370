//! A service's variables: its env files, its `environment`, and the caller's for those
//! without a value.

use indexmap::IndexMap;

use super::dotenv;
use super::origins::Past;
use super::session::{EnvFile, Session};
use crate::diag::{Span, Spanned};
use crate::model::{Project, Service};
use crate::yaml::{Kind, Map, Node};

/// Gives value-less entries of `environment` and `build.args` the caller's values.
pub(super) fn resolve_valueless(root: &mut Node, environment: &IndexMap<String, String>) {
    let services = root
        .as_map_mut()
        .and_then(|root| root.get_mut("services"))
        .and_then(Node::as_map_mut);
    for service in services.into_iter().flat_map(Map::iter_mut) {
        let Some(service) = service.value.as_map_mut() else {
            continue;
        };
        fill(service.get_mut("environment"), environment);
        let args = service
            .get_mut("build")
            .and_then(Node::as_map_mut)
            .and_then(|build| build.get_mut("args"));
        fill(args, environment);
        drop_unset_args(service);
    }
}

/// An argument that nobody gives a value is the Dockerfile's business.
fn drop_unset_args(service: &mut Map) {
    let args = service
        .get_mut("build")
        .and_then(Node::as_map_mut)
        .and_then(|build| build.get_mut("args"))
        .and_then(Node::as_map_mut);
    if let Some(args) = args {
        let all = std::mem::take(args).into_iter();
        *args = all.filter(|entry| !entry.value.is_null()).collect();
    }
}

fn fill(node: Option<&mut Node>, environment: &IndexMap<String, String>) {
    for entry in node
        .and_then(Node::as_map_mut)
        .into_iter()
        .flat_map(Map::iter_mut)
    {
        if entry.value.is_null()
            && let Some(value) = environment.get(entry.key.as_str())
        {
            entry.value = Node::string(value, entry.value.span);
        }
    }
}

/// Reads the env files of every enabled service; what `environment` says wins.
pub(super) fn read_env_files(session: &mut Session<'_>, project: &mut Project) {
    let environment = project.environment.clone();
    for service in project.services.values_mut() {
        if !service.env_files.is_empty() {
            read_of_service(session, service, &environment);
        }
        if let Kind::Map(map) = &mut service.canonical.kind {
            map.remove("env_file");
        }
    }
}

fn read_of_service(
    session: &mut Session<'_>,
    service: &mut Service,
    environment: &IndexMap<String, String>,
) {
    let mut variables = dotenv::Variables::new();
    let own = service.environment.clone();
    let lookup = |name: &str| {
        let value = environment.get(name).cloned();
        value.or_else(|| own.get(name).cloned().flatten())
    };
    for (index, env_file) in service.env_files.iter().enumerate() {
        let wanted = EnvFile {
            path: env_file.path.clone(),
            required: env_file.required,
            of_service: true,
            asked_at: Some(place(&service.canonical, index).unwrap_or(service.span)),
        };
        let Some((file, text)) = session.read_env_text(&wanted) else {
            continue;
        };
        session.origins.read_by_service(file);
        let earlier = session.options.origins.then(|| variables.clone());
        let name = env_file.path.display().to_string();
        let parse = if env_file.format.as_deref() == Some("raw") {
            dotenv::parse_raw
        } else {
            dotenv::parse
        };
        parse(
            &text,
            (file, &name),
            &lookup,
            &mut variables,
            &mut session.diagnostics,
        );
        for (name, before) in earlier.iter().flatten() {
            if let Some(now) = variables.get(name).filter(|now| now.span != before.span) {
                note_replaced(session, &service.name, name, now.span, before);
            }
        }
    }
    let own_map = service
        .canonical
        .as_map()
        .and_then(|map| map.get("environment"));
    for entry in own_map.and_then(Node::as_map).into_iter().flatten() {
        if let Some(before) = variables.get(entry.key.as_str()) {
            note_replaced(session, &service.name, &entry.key, entry.value.span, before);
        }
    }
    let mut merged = IndexMap::new();
    let mut canonical = Map::new();
    for (name, value) in variables {
        canonical.insert(&name, value.span, Node::string(&value.value, value.span));
        merged.insert(name, Some(value.value));
    }
    merged.extend(own);
    let Kind::Map(map) = &mut service.canonical.kind else {
        return;
    };
    if let Some(own) = map.get("environment").and_then(Node::as_map) {
        for entry in own.iter() {
            canonical.insert(entry.key.clone(), entry.key_span, entry.value.clone());
        }
    }
    map.insert(
        "environment",
        service.span,
        Node::map(canonical, service.span),
    );
    service.environment = merged;
}

fn note_replaced(
    session: &mut Session<'_>,
    service: &str,
    name: &str,
    by: Span,
    before: &Spanned<String>,
) {
    let past = Past {
        span: before.span,
        value: before.value.clone(),
    };
    session.origins.variable_replaced(service, name, by, past);
}

/// Where the path of an env file was written.
fn place(service: &Node, index: usize) -> Option<Span> {
    let files = service.as_map()?.get("env_file")?.as_list()?;
    let path = files.get(index)?.as_map()?.get("path")?;
    Some(path.span)
}
