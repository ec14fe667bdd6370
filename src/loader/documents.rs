//! From files to one tree: each document is read, interpolated, checked, brought to its
//! long form, completed by what it includes and extends, and merged over those before.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use indexmap::IndexMap;

use super::extends::BaseFile;
use super::notes::{Asked, How};
use super::schema::Stage;
use super::session::{EnvFile, Session};
use super::{
    canonical, environment, extends, include, interpolate, merge, paths, schema, secrets, tags,
    warnings,
};
use crate::diag::{Diagnostic, Diagnostics, FileId, Span};
use crate::yaml::parse::{self, Parsed};
use crate::yaml::{Document, Entry, Map, Node, Tagged};

/// A file's documents, as written.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) path: PathBuf,
    pub(super) documents: Vec<Document>,
    /// No mistake was found yet.
    sound: bool,
}

/// What a set of files is loaded against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// What relative paths are relative to.
    pub(super) directory: &'a Path,
    pub(super) environment: &'a IndexMap<String, String>,
}

/// Reads the files.
pub(super) fn read(session: &mut Session<'_>, files: &[PathBuf]) -> Vec<Text> {
    let texts = files
        .iter()
        .filter_map(|path| read_one(session, path, None));
    texts.collect()
}

/// The document that the command line adds.
pub(super) fn flags(session: &mut Session<'_>) -> Option<Text> {
    let text = session.options.flags.clone()?;
    let path = Path::new("<flags>");
    let file = session
        .sources
        .add(path.display().to_string(), Arc::clone(&text));
    session.asked.entry(file).or_insert(None);
    Some(parsed(session, path, file, &text))
}

/// Reads a file that another may have asked for.
fn read_one(session: &mut Session<'_>, path: &Path, asked: Option<Asked>) -> Option<Text> {
    let (file, text) = session.read(path, asked.map(|asked| asked.at))?;
    session.asked.entry(file).or_insert(asked);
    Some(parsed(session, path, file, &text))
}

fn parsed(session: &mut Session<'_>, path: &Path, file: FileId, text: &str) -> Text {
    let mut told = Diagnostics::default();
    let Parsed { documents, cut } = parse::parse_as_far_as_possible(text, file, &mut told);
    session.cut |= cut;
    let wrong: Vec<Span> = told.iter().filter_map(place).collect();
    session.diagnostics.extend(told);
    for document in &documents {
        session.broken.extend(services_around(document, &wrong));
    }
    Text {
        path: path.to_owned(),
        documents,
        sound: wrong.is_empty(),
    }
}

fn place(diagnostic: &Diagnostic) -> Option<Span> {
    diagnostic.labels.first().map(|label| label.span)
}

/// The paths of the services that these places lie in.
fn services_around(document: &Document, places: &[Span]) -> Vec<String> {
    if places.is_empty() {
        return Vec::new();
    }
    let services = document.root.as_map().and_then(|map| map.get("services"));
    let services = services.and_then(Node::as_map).into_iter().flatten();
    let around = |entry: &&Entry| {
        let whole = entry.key_span.to(entry.value.span);
        places
            .iter()
            .any(|place| (whole.start..=whole.end).contains(&place.start))
    };
    services
        .filter(around)
        .map(|entry| format!("services.{}", entry.key))
        .collect()
}

/// The `name:` of the last document that has one.
pub(super) fn name(texts: &[Text], environment: &IndexMap<String, String>) -> Option<String> {
    let documents = texts.iter().flat_map(|text| &text.documents);
    let name = documents
        .filter_map(|document| document.root.as_map()?.get("name"))
        .rfind(|name| name.as_str().is_some_and(|name| !name.is_empty()))?;
    let mut name = name.clone();
    // What is wrong with it is told when its document is interpolated.
    let lookup = |variable: &str| environment.get(variable).cloned();
    let _values = interpolate::interpolate(&mut name, &lookup, &mut Diagnostics::default());
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
            let mut root = interpolated(session, document.root, place);
            drop_version(session, &mut root);
            prepare(session, &mut root, place);
            for item in include::take(&mut root, &mut session.diagnostics) {
                if let Some(included) = included(session, &item, &path, place, chain) {
                    let before = session.origins.before(&included);
                    let told = &mut session.diagnostics;
                    root = include::merge_in(root, &document.tags, included, told);
                    session.origins.merged(before.as_ref(), &root);
                }
            }
            let mut root = extended(session, &path, root, &document.tags, place);
            let file = session.shown(&path);
            let services = root.as_map().and_then(|map| map.get("services"));
            for entry in services.and_then(Node::as_map).into_iter().flatten() {
                session
                    .defined
                    .insert(entry.key.as_str().to_owned(), file.clone());
            }
            model = Some(match model {
                None => {
                    merge::enforce_unique(&mut root, &mut session.diagnostics);
                    root
                }
                Some(mut earlier) => {
                    let before = session.origins.before(&earlier);
                    tags::apply(&document.tags, &mut earlier, &mut session.diagnostics);
                    let merged = merge::merge(earlier, root, &mut session.diagnostics);
                    session.origins.merged(before.as_ref(), &merged);
                    merged
                }
            });
        }
    }
    model
}

/// One document with its variables replaced.
fn interpolated(session: &mut Session<'_>, mut root: Node, place: Place<'_>) -> Node {
    if !session.options.no_interpolate {
        let lookup = |name: &str| place.environment.get(name).cloned();
        let told = &mut session.diagnostics;
        let values = interpolate::interpolate(&mut root, &lookup, told);
        session.replaced.extend(values);
        secrets::note(&root, &mut session.sources);
    }
    root
}

/// One document: checked, in its long form, with absolute paths.
fn prepare(session: &mut Session<'_>, root: &mut Node, place: Place<'_>) {
    let options = session.options;
    let stage = match options.no_interpolate {
        true => Stage::Uninterpolated,
        false => Stage::Document,
    };
    schema::check(root, stage, &mut session.broken, &mut session.diagnostics);
    warnings::changed_by_yaml(session, root);
    match stage {
        Stage::Uninterpolated => canonical::around_variables(root),
        _ => canonical::canonical(root, &mut session.diagnostics),
    }
    if !options.no_path_resolution {
        let home = place.environment.get("HOME").map(String::as_str);
        paths::resolve(root, place.directory, home);
    }
}

fn drop_version(session: &mut Session<'_>, root: &mut Node) {
    if let Some(entry) = root.as_map_mut().and_then(|map| map.remove("version")) {
        let message = "the attribute `version` is obsolete, it will be ignored, please remove it to avoid potential confusion";
        session
            .diagnostics
            .push(Diagnostic::warning(entry.key_span, message));
    }
}

/// Files that are included, in all and in each other: a file may include two that include two…
const MOST_INCLUDES: usize = 1000;
const MOST_DEEP: usize = 100;

/// The model that an item of `include` asks for.
fn included(
    session: &mut Session<'_>,
    item: &include::Include,
    asking: &Path,
    place: Place<'_>,
    chain: &mut Vec<(String, Span)>,
) -> Option<Node> {
    session.includes += 1;
    if session.includes > MOST_INCLUDES || chain.len() >= MOST_DEEP {
        let message =
            format!("too many files are included: at most {MOST_INCLUDES}, {MOST_DEEP} in a row");
        session
            .diagnostics
            .push(Diagnostic::error(item.span, message));
        return None;
    }
    let home = place.environment.get("HOME").map(String::as_str);
    let full = |path: &str| PathBuf::from(paths::absolute(place.directory, path, home));
    chain.push((session.shown(asking), item.span));
    let mut files = Vec::new();
    for path in &item.paths {
        if paths::is_remote_file(&path.value) {
            refuse_remote(session, "include", &path.value, path.span);
            continue;
        }
        let file = full(&path.value);
        let shown = session.shown(&file);
        if !include::refuse_cycle(chain, &shown, &mut session.diagnostics) {
            files.push((file, path.span));
        }
    }
    let directory = match &item.project_directory {
        Some(directory) => full(&directory.value),
        None => files
            .first()
            .and_then(|(file, _)| file.parent())
            .map_or_else(|| place.directory.to_owned(), Path::to_owned),
    };
    let env_files: Vec<EnvFile> = match &item.env_files {
        Some(given) => given
            .iter()
            .map(|file| EnvFile::of_project(full(&file.value), true, Some(file.span)))
            .collect(),
        None => vec![EnvFile::of_project(directory.join(".env"), false, None)],
    };
    let mut environment = place.environment.clone();
    session.read_env_files(&env_files, &mut environment);
    let mut texts = Vec::new();
    for (file, at) in files {
        let how = How::Included;
        texts.extend(read_one(session, &file, Some(Asked { at, how })));
    }
    let inner = Place {
        directory: &directory,
        environment: &environment,
    };
    let mut model = merged(session, texts, inner, chain);
    chain.pop();
    if let Some(model) = &mut model
        && !session.options.no_interpolate
    {
        environment::resolve_valueless(model, &environment);
    }
    model
}

fn refuse_remote(session: &mut Session<'_>, key: &str, file: &str, at: Span) {
    let message = format!("{key}: {}", paths::not_fetched(file));
    let diagnostic = Diagnostic::error(at, message);
    session
        .diagnostics
        .push(diagnostic.hint("download it and name the file here"));
}

/// A document with its `extends` resolved.
fn extended(
    session: &mut Session<'_>,
    path: &Path,
    root: Node,
    tags: &[Tagged],
    place: Place<'_>,
) -> Node {
    let document = extends::BaseFile {
        name: path.to_string_lossy().into_owned(),
        shown: session.shown(path),
        documents: vec![Document {
            root,
            tags: tags.to_vec(),
        }],
        prepared: true,
    };
    // The bases tell into the session while the resolver tells into its own list.
    let mut told = Diagnostics::default();
    let mut bases = Bases { session, place };
    let resolved = extends::resolve(document, &mut bases, &mut told);
    session.diagnostics.extend(told);
    let broken = resolved.broken.iter();
    session
        .broken
        .extend(broken.map(|name| format!("services.{name}")));
    let extended = resolved.extended.into_iter();
    session
        .extended
        .extend(extended.map(|it| (it.name.clone(), it)));
    resolved.root
}

/// The files that services are extended from.
struct Bases<'s, 'a> {
    session: &'s mut Session<'a>,
    place: Place<'s>,
}

impl extends::Bases for Bases<'_, '_> {
    fn file(&mut self, file: &str, asking: &BaseFile, at: Span) -> Option<Rc<BaseFile>> {
        if paths::is_remote_file(file) {
            refuse_remote(self.session, "extends.file", file, at);
            return None;
        }
        let directory = match asking.prepared {
            true => self.place.directory,
            false => directory_of(asking, self.place.directory),
        };
        let home = self.place.environment.get("HOME").map(String::as_str);
        let path = PathBuf::from(paths::absolute(directory, file, home));
        let how = How::Extended;
        let text = read_one(self.session, &path, Some(Asked { at, how }))?;
        if !text.sound {
            return None;
        }
        let shown = self.session.shown(&path);
        let documents = text.documents.into_iter().map(|document| Document {
            root: interpolated(self.session, document.root, self.place),
            tags: document.tags,
        });
        Some(Rc::new(BaseFile {
            name: path.to_string_lossy().into_owned(),
            shown,
            documents: documents.collect(),
            prepared: false,
        }))
    }

    fn before(&self, base: &Node) -> Option<Node> {
        self.session.origins.before(base)
    }

    fn extended(&mut self, name: &str, base: (&str, Option<&Node>), after: &Node) {
        let (base, before) = base;
        self.session.origins.extended(name, base, before, after);
    }

    fn is_sound(&self, name: &str) -> bool {
        !self.session.broken.contains(&format!("services.{name}"))
    }

    fn elsewhere(&self, name: &str) -> Option<String> {
        self.session.defined.get(name).cloned()
    }

    fn prepare(&mut self, file: &BaseFile, name: &str, service: Node) -> (Node, bool) {
        let span = service.span;
        let only = |key: &str, value: Node| {
            let mut map = Map::new();
            map.insert(key, span, value);
            Node::map(map, span)
        };
        let mut root = only("services", only(name, service));
        let place = Place {
            directory: directory_of(file, self.place.directory),
            environment: self.place.environment,
        };
        let session = &mut *self.session;
        // What is wrong here is the base's, and says nothing of a service of the same name.
        let before = std::mem::take(&mut session.diagnostics);
        let broken = std::mem::take(&mut session.broken);
        prepare(session, &mut root, place);
        session.broken = broken;
        let told = std::mem::replace(&mut session.diagnostics, before);
        let sound = !told.has_errors();
        session.diagnostics.extend(told);
        let services = root.as_map_mut().and_then(|map| map.get_mut("services"));
        let service = services
            .and_then(Node::as_map_mut)
            .and_then(|map| map.remove(name));
        let nothing = || Node::map(Map::new(), span);
        (service.map_or_else(nothing, |entry| entry.value), sound)
    }
}

/// What the paths of a base file are relative to.
fn directory_of<'b>(file: &'b BaseFile, project: &'b Path) -> &'b Path {
    Path::new(&file.name).parent().unwrap_or(project)
}
