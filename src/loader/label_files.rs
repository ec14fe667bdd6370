//! `label_file`: labels that stand in files; what `labels` says wins.

use indexmap::IndexMap;

use super::dotenv;
use super::files::Unreadable;
use super::session::Session;
use crate::diag::Diagnostic;
use crate::model::{Project, Service};
use crate::yaml::{Map, Node};

/// Reads the label files of every enabled service.
pub(super) fn read(session: &mut Session<'_>, project: &mut Project) {
    for service in project.services.values_mut() {
        if !service.label_files.is_empty() {
            read_of_service(session, service);
        }
        if let Some(map) = service.canonical.as_map_mut() {
            map.remove("label_file");
        }
    }
}

fn read_of_service(session: &mut Session<'_>, service: &mut Service) {
    let mut read = dotenv::Variables::new();
    for label_file in &service.label_files {
        let name = label_file.value.display().to_string();
        let text = match session.files.read(&label_file.value) {
            Ok(text) => text,
            Err(reason) => {
                let message = match reason {
                    Unreadable::Missing => format!("label file {name} not found"),
                    Unreadable::Other(reason) => format!("failed to read {name}: {reason}"),
                };
                let diagnostic = Diagnostic::error(label_file.span, message);
                session.diagnostics.push(diagnostic);
                continue;
            }
        };
        let shown = session.shown(&label_file.value);
        let file = session.sources.add(shown, text.clone());
        session.origins.read_by_service(file);
        // Of variables, only those of the files themselves are known.
        let nothing = |_: &str| None;
        let place = (file, name.as_str());
        dotenv::parse(&text, place, &nothing, &mut read, &mut session.diagnostics);
    }
    let mut labels = IndexMap::new();
    let mut canonical = Map::new();
    for (name, value) in read {
        canonical.insert(&name, value.span, Node::string(&value.value, value.span));
        labels.insert(name, value.value);
    }
    labels.extend(std::mem::take(&mut service.labels));
    service.labels = labels;
    let Some(map) = service.canonical.as_map_mut() else {
        return;
    };
    for entry in map
        .get("labels")
        .and_then(Node::as_map)
        .into_iter()
        .flatten()
    {
        canonical.insert(entry.key.clone(), entry.key_span, entry.value.clone());
    }
    map.insert("labels", service.span, Node::map(canonical, service.span));
}
