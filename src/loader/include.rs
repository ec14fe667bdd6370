//! `include`: what it says, who includes whom, and copying the included model in.
//!
//! Loading the files is the caller's: it runs all phases again for each item, with the
//! directory and environment that the item asks for.

use crate::diag::{Diagnostic, Diagnostics, Span, Spanned};
use crate::yaml::{Kind, Map, Node, Path, Reader, Resolved, Tagged};

use super::{merge, tags};

/// One item of `include`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    pub span: Span,
    /// The first is the main file, the rest override it.
    pub paths: Vec<Spanned<String>>,
    pub project_directory: Option<Spanned<String>>,
    /// Absent: `.env` of the directory, if it is there.
    pub env_files: Option<Vec<Spanned<String>>>,
}

/// Takes `include` out of a document.
pub fn take(root: &mut Node, diagnostics: &mut Diagnostics) -> Vec<Include> {
    let Some(entry) = root.as_map_mut().and_then(|map| map.remove("include")) else {
        return Vec::new();
    };
    let reader = Reader::new(&entry.value, Path::ROOT.key("include"));
    let items = reader.items(diagnostics);
    items
        .iter()
        .filter_map(|item| read(item, diagnostics))
        .collect()
}

fn read(item: &Reader<'_>, diagnostics: &mut Diagnostics) -> Option<Include> {
    let span = item.span();
    let text =
        matches!(&item.node.kind, Kind::Scalar(scalar) if scalar.resolved == Resolved::String);
    if text {
        let paths = vec![item.spanned(diagnostics)?];
        return Some(Include {
            span,
            paths,
            project_directory: None,
            env_files: None,
        });
    }
    if item.node.as_map().is_none() {
        return item.wrong("a string or a mapping", diagnostics);
    }
    item.only_keys(&["path", "project_directory", "env_file"], diagnostics);
    let paths = item
        .get("path")
        .map(|paths| paths.string_or_list(diagnostics))
        .unwrap_or_default();
    if paths.is_empty() {
        diagnostics.push(item.error("is missing property 'path'"));
        return None;
    }
    let project_directory = item
        .get("project_directory")
        .and_then(|directory| directory.spanned(diagnostics));
    let env_files = item
        .get("env_file")
        .map(|files| files.string_or_list(diagnostics));
    Some(Include {
        span,
        paths,
        project_directory,
        env_files,
    })
}

/// Whether a file may be included by the chain of those that are being loaded, each with the
/// place that asks for the next. The last is the one that asks now.
pub fn refuse_cycle(chain: &[(String, Span)], path: &str, diagnostics: &mut Diagnostics) -> bool {
    let Some(first) = chain.iter().position(|(file, _)| file == path) else {
        return false;
    };
    let (circle, names) = (
        &chain[first..],
        chain[first..].iter().map(|(file, _)| file.as_str()),
    );
    let names: Vec<&str> = names.chain([path]).collect();
    let message = format!("include cycle detected: {}", names.join(" includes "));
    let mut diagnostic = Diagnostic::new(crate::diag::Severity::Error, message);
    for (number, (_, span)) in circle.iter().rev().enumerate() {
        diagnostic = diagnostic.label(*span, if number == 0 { "" } else { "and here" });
    }
    diagnostics.push(diagnostic);
    true
}

/// The including document with an included model copied in; what both name is merged, the
/// including one being the override, with its `!reset` and `!override` tags. What was
/// included twice and is the same is taken once.
pub fn merge_in(
    document: Node,
    tags: &[Tagged],
    mut included: Node,
    diagnostics: &mut Diagnostics,
) -> Node {
    const RESOURCES: [&str; 6] = [
        "services", "volumes", "networks", "secrets", "configs", "models",
    ];
    tags::apply(tags, &mut included, diagnostics);
    let span = included.span;
    let Kind::Map(map) = included.kind else {
        return document;
    };
    let mut resources = Map::new();
    for mut entry in map {
        if !RESOURCES.contains(&entry.key.as_str()) {
            continue;
        }
        let known = document.as_map().and_then(|map| map.get(&entry.key));
        if let (Some(known), Kind::Map(named)) =
            (known.and_then(Node::as_map), &mut entry.value.kind)
        {
            let same = |name: &str, value: &Node| {
                known.get(name).is_some_and(|known| known.same_value(value))
            };
            let all = std::mem::take(named).into_iter();
            *named = all.filter(|it| !same(&it.key, &it.value)).collect();
        }
        resources.insert(entry.key, entry.key_span, entry.value);
    }
    merge::merge(Node::map(resources, span), document, diagnostics)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::FileId;
    use crate::yaml::{parse, write};

    fn root(text: &str) -> Node {
        parse(text, FileId(0), &mut Diagnostics::default())
            .remove(0)
            .root
    }

    fn taken(text: &str) -> String {
        let mut diagnostics = Diagnostics::default();
        let mut root = root(text);
        let items = take(&mut root, &mut diagnostics);
        if let Some(diagnostic) = diagnostics.iter().next() {
            return diagnostic.message.clone();
        }
        assert!(!root.as_map().unwrap().contains("include"));
        let texts = |list: &[Spanned<String>]| {
            list.iter()
                .map(|one| one.value.clone())
                .collect::<Vec<_>>()
                .join("+")
        };
        let item = |item: &Include| {
            let directory = item
                .project_directory
                .as_ref()
                .map_or("-", |directory| directory.value.as_str());
            format!(
                "{} {directory} {}",
                texts(&item.paths),
                item.env_files.as_deref().map_or("-".to_owned(), texts)
            )
        };
        items.iter().map(item).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn items_are_paths_or_mappings() {
        let rows = [
            (
                "include: [a.yaml, {path: [b, c], project_directory: d, env_file: e}]",
                "a.yaml - -|b+c d e",
            ),
            ("include: [{path: b, env_file: []}]", "b - "),
            ("include: a.yaml", "include must be a list, not a string"),
            (
                "include: [{env_file: x}]",
                "include[0] is missing property 'path'",
            ),
            (
                "include: [{path: x, paht: y}]",
                "include[0]: additional properties 'paht' not allowed",
            ),
            ("a: 1", ""),
        ];
        for (text, expected) in rows {
            assert_eq!(taken(text), expected, "{text}");
        }
    }

    #[test]
    fn the_including_file_overrides() {
        let mut diagnostics = Diagnostics::default();
        let included = root("name: n\nservices: {a: {image: x, tty: true}}\nvolumes: {v: }");
        let merged = merge_in(
            root("services: {a: {image: y}}"),
            &[],
            included,
            &mut diagnostics,
        );
        assert_eq!(
            write::to_json(&merged).to_string(),
            r#"{"services":{"a":{"image":"y","tty":true}},"volumes":{"v":null}}"#
        );
    }

    #[test]
    fn a_circle_is_refused() {
        let span = Span::new(FileId(0), 0, 0);
        let chain = [("a".to_owned(), span), ("b".to_owned(), span)];
        let mut diagnostics = Diagnostics::default();
        assert!(!refuse_cycle(&chain, "c", &mut diagnostics));
        assert!(refuse_cycle(&chain, "a", &mut diagnostics));
        let message = diagnostics
            .iter()
            .next()
            .map(|diagnostic| diagnostic.message.clone());
        assert_eq!(
            message.as_deref(),
            Some("include cycle detected: a includes b includes a")
        );
    }
}
