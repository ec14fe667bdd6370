//! From files to one tree: each document is read, interpolated, checked, brought to its
//! long form, completed by what it includes and extends, and merged over those before.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use indexmap::IndexMap;

use super::schema::Stage;
use super::session::Session;
use super::{canonical, extends, include, interpolate, merge, paths, schema, tags};
use crate::diag::{Diagnostic, Diagnostics, Span};
use crate::yaml::{Document, Map, Node, parse};

/// A file's documents, as written.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) path: PathBuf,
    pub(super) documents: Vec<Document>,
}

/// What a set of files is loaded against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// What relative paths are relative to.
    pub(super) directory: &'a Path,
    pub(super) environment: &'a IndexMap<String, String>,
}

/// Reads the files.
pub(super) fn read(
    session: &mut Session<'_>,
    files: &[PathBuf],
    asked_at: Option<Span>,
) -> Vec<Text> {
    let mut texts = Vec::new();
    for path in files {
        if let Some((file, text)) = session.read(path, asked_at) {
            let documents = parse(&text, file, &mut session.diagnostics);
            texts.push(Text {
                path: path.clone(),
                documents,
            });
        }
    }
    texts
}

/// The `name:` of the last document that has one.
pub(super) fn name(texts: &[Text], environment: &IndexMap<String, String>) -> Option<String> {
    let documents = texts.iter().flat_map(|text| &text.documents);
    let name = documents
        .filter_map(|document| document.root.as_map()?.get("name"))
        .rfind(|name| name.as_str().is_some_and(|name| !name.is_empty()))?;
    let mut name = name.clone();
    interpolate::interpolate(
        &mut name,
        &|variable| environment.get(variable).cloned(),
        &mut Diagnostics::default(),
    );
    name.as_str().map(ToOwned::to_owned)
}

/// All documents merged; `chain` is the files that are being included, with who asks.
pub(super) fn merged(
    session: &mut Session<'_>,
    texts: Vec<Text>,
    place: Place<'_>,
    chain: &mut Vec<(String, Span)>,
) -> Option<Node> {
    let mut model: Option<Node> = None;
    for text in texts {
        let path = text.path;
        for document in text.documents {
            if document.root.is_null() {
                continue;
            }
            let mut root = prepared(session, document.root, place);
            for item in include::take(&mut root, &mut session.diagnostics) {
                if let Some(included) = included(session, &item, &path, place, chain) {
                    root = include::merge_in(root, included, &mut session.diagnostics);
                }
            }
            let mut root = extended(session, &path, root, &document.tags, place);
            model = Some(match model {
                None => {
                    merge::enforce_unique(&mut root, &mut session.diagnostics);
                    root
                }
                Some(mut earlier) => {
                    tags::apply(&document.tags, &mut earlier);
                    merge::merge(earlier, root, &mut session.diagnostics)
                }
            });
        }
    }
    model
}

/// One document: interpolated, checked, in its long form, with absolute paths.
fn prepared(session: &mut Session<'_>, mut root: Node, place: Place<'_>) -> Node {
    let options = session.options;
    let mut stage = Stage::Uninterpolated;
    if !options.no_interpolate {
        stage = Stage::Document;
        let lookup = |name: &str| place.environment.get(name).cloned();
        interpolate::interpolate(&mut root, &lookup, &mut session.diagnostics);
    }
    drop_version(session, &mut root);
    schema::check(
        &mut root,
        stage,
        &mut session.broken,
        &mut session.diagnostics,
    );
    match stage {
        Stage::Uninterpolated => canonical::around_variables(&mut root),
        _ => canonical::canonical(&mut root, &mut session.diagnostics),
    }
    if !options.no_path_resolution {
        let home = place.environment.get("HOME").map(String::as_str);
        paths::resolve(&mut root, place.directory, home);
    }
    root
}

fn drop_version(session: &mut Session<'_>, root: &mut Node) {
    if let Some(entry) = root.as_map_mut().and_then(|map| map.remove("version")) {
        let message = "the attribute `version` is obsolete, it will be ignored, please remove it to avoid potential confusion";
        session
            .diagnostics
            .push(Diagnostic::warning(entry.key_span, message));
    }
}

/// The model that an item of `include` asks for.
fn included(
    session: &mut Session<'_>,
    item: &include::Include,
    asking: &Path,
    place: Place<'_>,
    chain: &mut Vec<(String, Span)>,
) -> Option<Node> {
    let home = place.environment.get("HOME").map(String::as_str);
    let full = |path: &str| PathBuf::from(paths::absolute(place.directory, path, home));
    chain.push((session.shown(asking), item.span));
    let mut files = Vec::new();
    for path in &item.paths {
        let file = full(&path.value);
        let shown = session.shown(&file);
        if !include::refuse_cycle(chain, &shown, &mut session.diagnostics) {
            files.push(file);
        }
    }
    let directory = match &item.project_directory {
        Some(directory) => full(&directory.value),
        None => files
            .first()
            .and_then(|file| file.parent())
            .map_or_else(|| place.directory.to_owned(), Path::to_owned),
    };
    let mut environment = place.environment.clone();
    match &item.env_files {
        Some(env_files) => {
            for file in env_files {
                session.read_env_file(&full(&file.value), true, &mut environment);
            }
        }
        None => session.read_env_file(&directory.join(".env"), false, &mut environment),
    }
    let texts = read(session, &files, Some(item.span));
    let inner = Place {
        directory: &directory,
        environment: &environment,
    };
    let model = merged(session, texts, inner, chain);
    chain.pop();
    model
}

/// A document with its `extends` resolved.
fn extended(
    session: &mut Session<'_>,
    path: &Path,
    root: Node,
    tags: &[crate::yaml::Tagged],
    place: Place<'_>,
) -> Node {
    let main = path.to_string_lossy().into_owned();
    let document = extends::BaseFile {
        name: main.clone(),
        root,
        tags: tags.to_vec(),
    };
    // The callback tells into the session while the resolver tells into its own list.
    let mut told = Diagnostics::default();
    let mut load = |file: &str, asking: &extends::BaseFile, span: Span, _: &mut Diagnostics| {
        let directory = if asking.name == main {
            place.directory.to_owned()
        } else {
            Path::new(&asking.name)
                .parent()
                .unwrap_or(place.directory)
                .to_owned()
        };
        base_file(session, file, &directory, span, place)
    };
    let resolved = extends::resolve(document, &mut load, &mut told);
    session.diagnostics.extend(told);
    resolved.root
}

fn base_file(
    session: &mut Session<'_>,
    file: &str,
    directory: &Path,
    span: Span,
    place: Place<'_>,
) -> Option<Rc<extends::BaseFile>> {
    let home = place.environment.get("HOME").map(String::as_str);
    let path = PathBuf::from(paths::absolute(directory, file, home));
    let text = read(session, std::slice::from_ref(&path), Some(span)).pop()?;
    let inner = Place {
        directory: path.parent().unwrap_or(directory),
        environment: place.environment,
    };
    let mut model: Option<Node> = None;
    let mut all_tags = Vec::new();
    for document in text.documents {
        let mut root = prepared(session, document.root, inner);
        root.as_map_mut()
            .and_then(|map: &mut Map| map.remove("include"));
        all_tags.extend(document.tags.clone());
        model = Some(match model {
            None => root,
            Some(mut earlier) => {
                tags::apply(&document.tags, &mut earlier);
                merge::merge(earlier, root, &mut session.diagnostics)
            }
        });
    }
    Some(Rc::new(extends::BaseFile {
        name: path.to_string_lossy().into_owned(),
        root: model?,
        tags: all_tags,
    }))
}
