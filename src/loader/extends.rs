//! `extends`: a service begun by another, of this file or of one that a callback loads.
//!
//! The base is inherited whole, its own `extends` first; then the local service is merged
//! over it, after its `!reset` and `!override` tags. Places stay those of the files where
//! each value was written.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{merge, tags};
use crate::diag::{Diagnostic, Diagnostics, Span, did_you_mean};
use crate::yaml::{Map, Node, Path, Reader, Tagged};

/// One file that services are taken from.
#[derive(Debug, Clone)]
pub struct BaseFile {
    /// Which file it is: an absolute path.
    pub name: String,
    /// Interpolated and canonical, with its paths made absolute against its own directory.
    pub root: Node,
    pub tags: Vec<Tagged>,
}

/// Loads the file of an `extends`: what it is called there, the file that says so, where.
/// `None` after telling why it can't.
pub type Load<'a> = dyn FnMut(&str, &BaseFile, Span, &mut Diagnostics) -> Option<Rc<BaseFile>> + 'a;

/// Replaces each service that extends another by what comes out. `document` is the main file.
pub fn resolve(document: BaseFile, load: &mut Load<'_>, diagnostics: &mut Diagnostics) -> BaseFile {
    let main = Rc::new(document);
    let mut resolver = Resolver {
        load,
        diagnostics,
        done: BTreeMap::new(),
        files: BTreeMap::new(),
    };
    let names = services(&main.root).into_iter().flatten();
    let extending = names.filter(|entry| extends(&main.root, &entry.key).is_some());
    let resolved: Vec<(String, Rc<Node>)> = extending
        .filter_map(|entry| {
            let service = resolver.service(&main, &entry.key, &mut Vec::new())?;
            Some((entry.key.clone(), service))
        })
        .collect();
    drop(resolver);
    // Nobody else holds them any more: nothing is copied here.
    let mut document = Rc::unwrap_or_clone(main);
    let mut place = document
        .root
        .as_map_mut()
        .and_then(|map| map.get_mut("services"))
        .and_then(Node::as_map_mut);
    for (name, service) in resolved {
        if let Some(place) = place.as_mut().and_then(|map| map.get_mut(&name)) {
            *place = Rc::unwrap_or_clone(service);
        }
    }
    document
}

/// A step of a chain of `extends`, for the picture of a circle.
struct Link {
    file: String,
    service: String,
    span: Span,
}

struct Resolver<'a, 'b> {
    load: &'a mut Load<'b>,
    diagnostics: &'a mut Diagnostics,
    /// Finished services, by file and name; `None` when an error was told.
    done: BTreeMap<(String, String), Option<Rc<Node>>>,
    /// By the name that was asked for and the file that asked.
    files: BTreeMap<(String, String), Option<Rc<BaseFile>>>,
}

impl Resolver<'_, '_> {
    fn service(
        &mut self,
        file: &Rc<BaseFile>,
        name: &str,
        chain: &mut Vec<Link>,
    ) -> Option<Rc<Node>> {
        let key = (file.name.clone(), name.to_owned());
        if let Some(done) = self.done.get(&key) {
            return done.clone();
        }
        let service = self.extended(file, name, chain).map(Rc::new);
        self.done.insert(key, service.clone());
        service
    }

    fn extended(&mut self, file: &Rc<BaseFile>, name: &str, chain: &mut Vec<Link>) -> Option<Node> {
        let mut local = services(&file.root)?.get(name)?.clone();
        let Some(extends) = extends(&file.root, name) else {
            return Some(local);
        };
        let span = extends.span;
        let target = self.target(extends, name)?;
        if let Some(first) = chain
            .iter()
            .position(|link| link.file == file.name && link.service == name)
        {
            self.circle(&chain[first..]);
            return None;
        }
        let base_file = match &target.file {
            None => Rc::clone(file),
            Some((path, span)) => self.file(path, file, *span)?,
        };
        if !services(&base_file.root).is_some_and(|services| services.contains(&target.service)) {
            self.missing(name, file, &base_file, &target);
            return None;
        }
        chain.push(Link {
            file: file.name.clone(),
            service: name.to_owned(),
            span,
        });
        let base = self.service(&base_file, &target.service, chain);
        chain.pop();
        let mut base = Rc::unwrap_or_clone(base?);
        tags::apply_below(&file.tags, &["services", name], &mut base);
        if let Some(map) = local.as_map_mut() {
            map.remove("extends");
        }
        let top = Path::ROOT.key("services");
        Some(merge::merge_at(
            top.key(name),
            base,
            local,
            self.diagnostics,
        ))
    }

    /// What an `extends` says: a name, or `service` and `file`.
    fn target(&mut self, extends: &Node, name: &str) -> Option<Target> {
        let top = Path::ROOT.key("services");
        let service = top.key(name);
        let reader = Reader::new(extends, service.key("extends"));
        if extends.as_str().is_some() {
            let service = reader.string(self.diagnostics)?;
            return Some(Target {
                service,
                span: extends.span,
                file: None,
            });
        }
        if reader.node.as_map().is_none() {
            return reader.wrong("a service's name or a mapping", self.diagnostics);
        }
        reader.only_keys(&["service", "file"], self.diagnostics);
        let Some(service) = reader.get("service") else {
            self.diagnostics
                .push(reader.error("is missing property 'service'"));
            return None;
        };
        let (span, service) = (service.span(), service.string(self.diagnostics)?);
        let file = match reader.get("file") {
            Some(file) => Some((file.string(self.diagnostics)?, file.span())),
            None => None,
        };
        Some(Target {
            service,
            span,
            file,
        })
    }

    fn file(&mut self, path: &str, from: &BaseFile, span: Span) -> Option<Rc<BaseFile>> {
        let key = (path.to_owned(), from.name.clone());
        if let Some(known) = self.files.get(&key) {
            return known.clone();
        }
        let file = (self.load)(path, from, span, self.diagnostics);
        self.files.insert(key, file.clone());
        file
    }

    fn missing(&mut self, name: &str, file: &BaseFile, base: &BaseFile, target: &Target) {
        let message = format!(
            "cannot extend service {name:?} in {}: service {:?} not found",
            file.name, target.service
        );
        let mut diagnostic = Diagnostic::error(target.span, message);
        let names = services(&base.root)
            .into_iter()
            .flatten()
            .map(|entry| entry.key.as_str());
        if let Some(meant) = did_you_mean(&target.service, names.filter(|other| *other != name)) {
            diagnostic = diagnostic.hint(format!("did you mean `{meant}`?"));
        }
        self.diagnostics.push(diagnostic);
    }

    fn circle(&mut self, chain: &[Link]) {
        let names: Vec<&str> = chain
            .iter()
            .chain(chain.first())
            .map(|link| link.service.as_str())
            .collect();
        let message = format!("Circular reference: {}", names.join(" extends "));
        let Some((first, others)) = chain.split_first() else {
            return;
        };
        let diagnostic = others.iter().fold(
            Diagnostic::error(first.span, message),
            |diagnostic, link| diagnostic.label(link.span, "and here"),
        );
        self.diagnostics.push(diagnostic);
    }
}

struct Target {
    service: String,
    span: Span,
    file: Option<(String, Span)>,
}

fn services(root: &Node) -> Option<&Map> {
    root.as_map()?.get("services")?.as_map()
}

fn extends<'a>(root: &'a Node, name: &str) -> Option<&'a Node> {
    services(root)?
        .get(name)?
        .as_map()?
        .get("extends")
        .filter(|extends| !extends.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::FileId;
    use crate::yaml::{parse, write};

    fn file(name: &str, text: &str, diagnostics: &mut Diagnostics) -> BaseFile {
        let document = parse(text, FileId(0), diagnostics).remove(0);
        BaseFile {
            name: name.to_owned(),
            root: document.root,
            tags: document.tags,
        }
    }

    fn resolved(main: &str, other: &str) -> String {
        let mut diagnostics = Diagnostics::default();
        let main = file("main", main, &mut diagnostics);
        let mut load = |path: &str, _: &BaseFile, span: Span, diagnostics: &mut Diagnostics| {
            if path == "other" {
                return Some(Rc::new(file("other", other, diagnostics)));
            }
            diagnostics.push(Diagnostic::error(
                span,
                format!("open {path}: no such file or directory"),
            ));
            None
        };
        let done = resolve(main, &mut load, &mut diagnostics);
        match diagnostics.iter().next() {
            Some(diagnostic) => diagnostic.message.clone(),
            None => write::to_json(
                services(&done.root)
                    .and_then(|services| services.get("a"))
                    .unwrap(),
            )
            .to_string(),
        }
    }

    #[test]
    fn a_service_begins_with_its_base() {
        let rows = [
            (
                "services: {a: {extends: b, tty: true}, b: {image: x, tty: false}}",
                r#"{"image":"x","tty":true}"#,
            ),
            (
                "services: {a: {extends: {service: b}}, b: {extends: c, init: true}, c: {image: x}}",
                r#"{"image":"x","init":true}"#,
            ),
            (
                "services: {a: {extends: {service: z, file: other}, command: [y]}}",
                r#"{"image":"z","ports":[1],"command":["y"]}"#,
            ),
            (
                "services: {a: {extends: {service: z, file: other}, ports: !override [2]}}",
                r#"{"image":"z","command":["x"],"ports":[2]}"#,
            ),
            (
                "services: {a: {extends: {service: z, file: other}, ports: !reset null}}",
                r#"{"image":"z","command":["x"]}"#,
            ),
            (
                "services: {a: {extends: a}}",
                "Circular reference: a extends a",
            ),
            (
                "services: {a: {extends: b}, b: {extends: c}, c: {extends: b}}",
                "Circular reference: b extends c extends b",
            ),
            (
                "services: {a: {extends: bd}, db: {image: x}}",
                "cannot extend service \"a\" in main: service \"bd\" not found",
            ),
            (
                "services: {a: {extends: {service: b, file: gone}}}",
                "open gone: no such file or directory",
            ),
            (
                "services: {a: {extends: {file: other}}}",
                "services.a.extends is missing property 'service'",
            ),
            (
                "services: {a: {extends: [b]}}",
                "services.a.extends must be a service's name or a mapping, not a list",
            ),
        ];
        let other = "services: {z: {extends: y, command: [x]}, y: {image: z, ports: [1]}}";
        for (main, expected) in rows {
            assert_eq!(resolved(main, other), expected, "{main}");
        }
    }
}
