//! `extends`: a service begun by another, of this file or of one that the caller loads.
//!
//! The base is inherited whole, its own `extends` first; then the local service is merged
//! over it, after its `!reset` and `!override` tags. Places stay those of the files where
//! each value was written. Of a base file, only the services that are asked for count.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{merge, tags};
use crate::diag::{Diagnostic, Diagnostics, Span, did_you_mean};
use crate::yaml::{Document, Entry, Map, Node, Path, Reader, Tagged};

/// One file that services are taken from.
#[derive(Debug, Clone)]
pub struct BaseFile {
    /// Which file it is: an absolute path.
    pub name: String,
    /// The same for people.
    pub shown: String,
    /// Interpolated; later ones override earlier ones.
    pub documents: Vec<Document>,
    /// Whether the services are checked and in their long form already.
    pub prepared: bool,
}

/// Where base services come from.
pub trait Bases {
    /// The file of an `extends`: what it is called there, the file that says so, where.
    /// `None` after telling why it can't be had.
    fn file(&mut self, path: &str, asking: &BaseFile, span: Span) -> Option<Rc<BaseFile>>;

    /// A base as it is before a service is merged over it, if anyone wants to know.
    fn before(&self, base: &Node) -> Option<Node>;

    /// Takes note of what a service made of its base: the base's name, and how it was before.
    fn extended(&mut self, name: &str, base: (&str, Option<&Node>), after: &Node);

    /// Whether a service of the document itself is without mistakes.
    fn is_sound(&self, name: &str) -> bool;

    /// Which other file has a service of this name, for people.
    fn elsewhere(&self, name: &str) -> Option<String>;

    /// A service as it stands in a base file: checked, in its long form, with paths made
    /// absolute against the file's directory. With it, whether it is without mistakes.
    fn prepare(&mut self, file: &BaseFile, name: &str, service: Node) -> (Node, bool);
}

/// What became of a document.
#[derive(Debug)]
pub struct Resolved {
    pub root: Node,
    /// Services of which something is missing, which was told.
    pub broken: Vec<String>,
    /// The services that extend others.
    pub extended: Vec<Extended>,
}

/// A service that extends another.
#[derive(Debug, Clone)]
pub struct Extended {
    pub name: String,
    /// What its own file says about it.
    pub own: Span,
    /// The value of its `extends`.
    pub at: Span,
}

/// Replaces each service of the document that extends another by what comes out.
pub fn resolve(
    document: BaseFile,
    bases: &mut dyn Bases,
    diagnostics: &mut Diagnostics,
) -> Resolved {
    let main = Rc::new(document);
    let mut resolver = Resolver {
        bases,
        diagnostics,
        done: BTreeMap::new(),
        files: BTreeMap::new(),
        copied: 0,
    };
    let mut broken = Vec::new();
    let mut extended = Vec::new();
    let mut resolved = Vec::new();
    for entry in main.services() {
        let Some(extends) = extends(&entry.value) else {
            continue;
        };
        extended.push(Extended {
            name: entry.key.as_str().to_owned(),
            own: entry.value.span,
            at: extends.span,
        });
        let service = resolver.service(&main, &entry.key, &mut Vec::new());
        if service.as_ref().is_none_or(|service| !service.sound) {
            broken.push(entry.key.as_str().to_owned());
        }
        resolved.extend(service.map(|service| (entry.key.clone(), service.node)));
    }
    drop(resolver);
    // Nobody else holds them any more: nothing is copied here.
    let mut documents = Rc::unwrap_or_clone(main).documents;
    let mut root = match documents.pop() {
        Some(document) => document.root,
        None => Node::map(Map::new(), Span::new(crate::diag::FileId(0), 0, 0)),
    };
    let mut place = root
        .as_map_mut()
        .and_then(|map| map.get_mut("services"))
        .and_then(Node::as_map_mut);
    for (name, service) in resolved {
        if let Some(place) = place.as_mut().and_then(|map| map.get_mut(&name)) {
            *place = Rc::unwrap_or_clone(service);
        }
    }
    Resolved {
        root,
        broken,
        extended,
    }
}

impl BaseFile {
    fn services(&self) -> impl Iterator<Item = &Entry> {
        let maps = self.documents.iter().filter_map(|it| services(&it.root));
        maps.flatten()
    }

    fn has(&self, name: &str) -> bool {
        let mut maps = self.documents.iter().filter_map(|it| services(&it.root));
        maps.any(|map| map.contains(name))
    }

    fn tags(&self) -> impl Iterator<Item = &Tagged> {
        self.documents.iter().flat_map(|document| &document.tags)
    }
}

/// A step of a chain of `extends`, for the picture of a circle.
struct Link {
    file: String,
    service: String,
    span: Span,
}

/// A finished service.
#[derive(Clone)]
struct Done {
    node: Rc<Node>,
    /// Nothing of it was taken out for a mistake.
    sound: bool,
}

struct Resolver<'a> {
    bases: &'a mut dyn Bases,
    diagnostics: &'a mut Diagnostics,
    /// By file and name; `None` when an error was told.
    done: BTreeMap<(String, String), Option<Done>>,
    /// By the name that was asked for and the file that asked.
    files: BTreeMap<(String, String), Option<Rc<BaseFile>>>,
    /// Values of bases so far.
    copied: usize,
}

/// Services in a row, each the base of the next.
const MOST_LINKS: usize = 100;
/// Values that services inherit, all together.
const MOST_COPIED: usize = 4_000_000;

impl Resolver<'_> {
    fn service(&mut self, file: &Rc<BaseFile>, name: &str, chain: &mut Vec<Link>) -> Option<Done> {
        let key = (file.name.clone(), name.to_owned());
        if let Some(done) = self.done.get(&key) {
            return done.clone();
        }
        let service = self.extended(file, name, chain);
        self.done.insert(key, service.clone());
        service
    }

    fn extended(&mut self, file: &Rc<BaseFile>, name: &str, chain: &mut Vec<Link>) -> Option<Done> {
        let (mut local, sound) = self.local(file, name)?;
        let Some(extends) = extends(&local) else {
            return Some(Done {
                node: Rc::new(local),
                sound,
            });
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
        if !base_file.has(&target.service) {
            self.missing(name, file, &base_file, &target);
            return None;
        }
        if chain.len() >= MOST_LINKS {
            let message = format!("more than {MOST_LINKS} services extend each other in a row");
            self.diagnostics.push(Diagnostic::error(span, message));
            return None;
        }
        chain.push(Link {
            file: file.name.clone(),
            service: name.to_owned(),
            span,
        });
        let base = self.service(&base_file, &target.service, chain);
        chain.pop();
        let base = base?;
        let sound = sound && base.sound;
        self.copied += base.node.size();
        if self.copied > MOST_COPIED {
            let message = format!("services inherit more than {MOST_COPIED} values in all");
            self.diagnostics.push(Diagnostic::error(span, message));
            return None;
        }
        let mut base = Rc::unwrap_or_clone(base.node);
        let before = self.bases.before(&base);
        tags::apply_below(
            file.tags(),
            &["services", name],
            &mut base,
            self.diagnostics,
        );
        if let Some(map) = local.as_map_mut() {
            map.remove("extends");
        }
        let top = Path::ROOT.key("services");
        let node = merge::merge_at(top.key(name), base, local, self.diagnostics);
        self.bases
            .extended(name, (&target.service, before.as_ref()), &node);
        Some(Done {
            node: Rc::new(node),
            sound,
        })
    }

    /// The service as its own file has it.
    fn local(&mut self, file: &BaseFile, name: &str) -> Option<(Node, bool)> {
        let mut whole: Option<(Node, bool)> = None;
        for document in &file.documents {
            let Some(service) = services(&document.root).and_then(|map| map.get(name)) else {
                continue;
            };
            let (service, sound) = match file.prepared {
                true => (service.clone(), self.bases.is_sound(name)),
                false => self.bases.prepare(file, name, service.clone()),
            };
            whole = Some(match whole {
                None => (service, sound),
                Some((mut earlier, before)) => {
                    let path = ["services", name];
                    tags::apply_below(&document.tags, &path, &mut earlier, self.diagnostics);
                    let top = Path::ROOT.key("services");
                    let node = merge::merge_at(top.key(name), earlier, service, self.diagnostics);
                    (node, sound && before)
                }
            });
        }
        whole
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
        let file = self.bases.file(path, from, span);
        self.files.insert(key, file.clone());
        file
    }

    fn missing(&mut self, name: &str, file: &BaseFile, base: &BaseFile, target: &Target) {
        let mut message = format!(
            "cannot extend service {name:?} in {}: service {:?} not found",
            file.shown, target.service
        );
        if target.file.is_some() {
            message = format!("{message} in {}", base.shown);
        }
        let mut diagnostic = Diagnostic::error(target.span, message);
        let names = base.services().map(|entry| entry.key.as_str());
        let names = names.filter(|other| target.file.is_some() || *other != name);
        let service = &target.service;
        if let Some(meant) = did_you_mean(service, names) {
            diagnostic = diagnostic.hint(format!("did you mean `{meant}`?"));
        } else if let Some(file) = self.bases.elsewhere(service)
            && target.file.is_none()
        {
            diagnostic = diagnostic.hint(format!(
                "a service of another file is extended with `extends: {{service: {service}, file: {file}}}`"
            ));
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

fn extends(service: &Node) -> Option<&Node> {
    let extends = service.as_map()?.get("extends")?;
    (!extends.is_null()).then_some(extends)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::FileId;
    use crate::yaml::{parse, write};

    fn file(name: &str, text: &str) -> BaseFile {
        BaseFile {
            name: name.to_owned(),
            shown: name.to_owned(),
            documents: parse(text, FileId(0), &mut Diagnostics::default()),
            prepared: name == "main",
        }
    }

    /// One other file; a service with a mark is broken.
    struct Other {
        text: &'static str,
        told: Vec<String>,
    }

    impl Bases for Other {
        fn file(&mut self, path: &str, _: &BaseFile, _: Span) -> Option<Rc<BaseFile>> {
            if path == "other" {
                return Some(Rc::new(file("other", self.text)));
            }
            self.told
                .push(format!("open {path}: no such file or directory"));
            None
        }

        fn before(&self, _: &Node) -> Option<Node> {
            None
        }

        fn extended(&mut self, _: &str, _: (&str, Option<&Node>), _: &Node) {}

        fn is_sound(&self, _: &str) -> bool {
            true
        }

        fn elsewhere(&self, _: &str) -> Option<String> {
            None
        }

        fn prepare(&mut self, _: &BaseFile, _: &str, service: Node) -> (Node, bool) {
            let sound = service
                .as_map()
                .is_some_and(|map| !map.contains("x-broken"));
            (service, sound)
        }
    }

    fn resolved(main: &str, other: &'static str) -> String {
        let mut diagnostics = Diagnostics::default();
        let mut bases = Other {
            text: other,
            told: Vec::new(),
        };
        let done = resolve(file("main", main), &mut bases, &mut diagnostics);
        if let Some(told) = bases.told.pop() {
            return told;
        }
        if let Some(diagnostic) = diagnostics.iter().next() {
            return diagnostic.message.clone();
        }
        let service = services(&done.root).and_then(|services| services.get("a"));
        let mut shown = write::to_json(service.unwrap()).to_string();
        if !done.broken.is_empty() {
            shown.push_str(" broken");
        }
        shown
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
                "services: {a: {extends: {service: w, file: other}}}",
                r#"{"image":"w","tty":true,"x-broken":1} broken"#,
            ),
            (
                "services: {a: {extends: {service: v, file: other}}}",
                r#"{"image":"v2","tty":true}"#,
            ),
            (
                "services: {a: {extends: {service: zz, file: other}}}",
                "cannot extend service \"a\" in main: service \"zz\" not found in other",
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
        let other = "services: {z: {extends: y, command: [x]}, y: {image: z, ports: [1]}, w: {image: w, tty: true, x-broken: 1}, v: {image: v, tty: true, init: true}}\n\
                     ---\nservices: {v: {image: v2, init: !reset null}}";
        for (main, expected) in rows {
            assert_eq!(resolved(main, other), expected, "{main}");
        }
    }

    #[test]
    fn inheriting_has_an_end() {
        let mut text = "services: {a: {extends: s150}, s0: {image: x}".to_owned();
        for number in 1..=150 {
            text.push_str(&format!(", s{number}: {{extends: s{}}}", number - 1));
        }
        let told = resolved(&(text + "}"), "");
        assert_eq!(told, "more than 100 services extend each other in a row");
        let items = "x, ".repeat(20_000);
        let mut text = format!("services: {{s0: {{x-a: [{items}]}}");
        for number in 1..=250 {
            text.push_str(&format!(", s{number}: {{extends: s0}}"));
        }
        let told = resolved(&(text + ", a: {extends: s0}}"), "");
        assert_eq!(told, "services inherit more than 4000000 values in all");
    }
}
