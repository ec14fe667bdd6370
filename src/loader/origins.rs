//! Where each value came from: what it replaced on the way, and which variables are in it.
//!
//! Nodes carry the places where they were written through every phase; what they do not carry
//! is what stood there before. So each merge is looked at from outside: a value of the earlier
//! tree that is not in the merged one was replaced by what stands at its place now. Nothing is
//! kept unless it was asked for ([`super::Options::origins`]).

use std::collections::{BTreeMap, BTreeSet};

use super::secrets;
use crate::diag::{FileId, Sources, Span};
use crate::yaml::{Kind, Node, Path, write};

/// What is known of the values of a project.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    wanted: bool,
    /// By the path and the place of what replaced it.
    replaced: BTreeMap<(String, Span), Past>,
    /// The services that a service extends.
    bases: BTreeMap<String, BTreeSet<String>>,
    /// Where a file gives the project its name.
    name: Option<Span>,
    /// Every path that a file spells out.
    written: BTreeSet<String>,
    /// Every value of each variable, the one that counts first.
    variables: BTreeMap<String, Vec<Source>>,
    /// Files that services read variables or labels from.
    of_services: BTreeSet<FileId>,
}

/// A value that was replaced.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    pub span: Span,
    /// In one line.
    pub value: String,
}

/// One value of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// `shell`, `--env-file`, `.env`, `include`.
    pub kind: &'static str,
    /// Absent for the shell's.
    pub span: Option<Span>,
    pub value: String,
}

impl Origins {
    pub(super) fn new(wanted: bool) -> Self {
        Self {
            wanted,
            ..Self::default()
        }
    }

    /// A tree as it is before something is merged over it.
    pub(super) fn before(&self, earlier: &Node) -> Option<Node> {
        self.wanted.then(|| earlier.clone())
    }

    /// Compares it with what came out.
    pub(super) fn merged(&mut self, before: Option<&Node>, after: &Node) {
        if let Some(before) = before {
            self.compare(Path::ROOT, before, after);
        }
    }

    /// The same for a service that extends another.
    pub(super) fn extended(
        &mut self,
        service: &str,
        base: &str,
        before: Option<&Node>,
        after: &Node,
    ) {
        if let Some(before) = before {
            self.compare(Path::ROOT.key("services").key(service), before, after);
            let bases = self.bases.entry(service.to_owned()).or_default();
            bases.insert(base.to_owned());
        }
    }

    /// A variable of a service that a later file, or the service itself, sets anew; older than
    /// all that the value is known to have replaced.
    pub(super) fn variable_replaced(&mut self, service: &str, name: &str, by: Span, past: Past) {
        if self.wanted {
            let path = format!("services.{service}.environment.{name}");
            let oldest = self.past(&path, by).last().map_or(by, |oldest| oldest.span);
            self.replaced.insert((path, oldest), past);
        }
    }

    /// A file that a service reads variables from.
    pub(super) fn read_by_service(&mut self, file: FileId) {
        self.of_services.insert(file);
    }

    /// All that files spell out is in this tree; what comes later is implied.
    pub(super) fn spelled_out(&mut self, root: &Node) {
        if self.wanted {
            let name = root.as_map().and_then(|root| root.get("name"));
            self.name = name.map(|name| name.span);
            self.spell(Path::ROOT, root);
        }
    }

    /// A value of a variable, behind those that are known.
    pub(super) fn variable(&mut self, name: &str, source: Source) {
        if self.wanted {
            let sources = self.variables.entry(name.to_owned()).or_default();
            sources.push(source);
        }
    }

    fn spell(&mut self, path: Path<'_>, node: &Node) {
        if path.depth() > 0 {
            self.written.insert(path.to_string());
        }
        match &node.kind {
            Kind::Map(map) => {
                for entry in map.iter() {
                    self.spell(path.key(&entry.key), &entry.value);
                }
            }
            Kind::List(_) | Kind::Null | Kind::Scalar(_) => {}
        }
    }

    fn compare(&mut self, path: Path<'_>, before: &Node, after: &Node) {
        match (&before.kind, &after.kind) {
            (Kind::Map(left), Kind::Map(right)) => {
                for entry in left.iter() {
                    if let Some(value) = right.get(&entry.key) {
                        self.compare(path.key(&entry.key), &entry.value, value);
                    }
                }
            }
            (Kind::List(left), Kind::List(right)) => {
                self.compare_lists(path, left, right, before, after);
            }
            (Kind::Null, _) => {}
            _ if before.span != after.span => self.replace(path, before, after.span),
            _ => {}
        }
    }

    fn compare_lists(
        &mut self,
        path: Path<'_>,
        left: &[Node],
        right: &[Node],
        before: &Node,
        after: &Node,
    ) {
        let kept: BTreeSet<Span> = right.iter().map(|item| item.span).collect();
        // A list of words that is gone was replaced as one, like a command.
        let is_gone = |item: &Node| item.as_str().is_some() && !kept.contains(&item.span);
        if !left.is_empty() && left.iter().all(is_gone) {
            self.replace(path, before, after.span);
            return;
        }
        for (index, item) in left.iter().enumerate() {
            // An item that has the same key stands in the place of the earlier.
            if let Some(now) = right.get(index).filter(|_| !kept.contains(&item.span)) {
                self.replace(path.index(index), item, now.span);
            }
        }
    }

    fn replace(&mut self, path: Path<'_>, before: &Node, by: Span) {
        let past = Past {
            span: before.span,
            value: in_one_line(before),
        };
        self.replaced.insert((path.to_string(), by), past);
    }

    /// What the value at this path and place replaced, the latest first.
    pub fn past(&self, path: &str, span: Span) -> Vec<&Past> {
        let mut past = Vec::new();
        let (mut path, mut span) = (path.to_owned(), span);
        while let Some((found, replaced)) = self.replaced_by(&path, span, &mut BTreeSet::new()) {
            if past.contains(&replaced) {
                break;
            }
            past.push(replaced);
            (path, span) = (found, replaced.span);
        }
        past
    }

    /// Here, or where the base of the service stands that the value was inherited from.
    fn replaced_by(
        &self,
        path: &str,
        span: Span,
        seen: &mut BTreeSet<String>,
    ) -> Option<(String, &Past)> {
        if !seen.insert(path.to_owned()) {
            return None;
        }
        if let Some(past) = self.replaced.get(&(path.to_owned(), span)) {
            return Some((path.to_owned(), past));
        }
        let rest = path.strip_prefix("services.")?;
        let (service, below) = rest.split_once('.')?;
        let mut bases = self.bases.get(service)?.iter();
        bases.find_map(|base| self.replaced_by(&format!("services.{base}.{below}"), span, seen))
    }

    /// Where a file gives the project its name.
    pub fn name(&self) -> Option<Span> {
        self.name
    }

    /// Whether a file spells out the value at this path, if only as part of a short form.
    pub fn is_written(&self, path: &str, span: Span) -> bool {
        let whole = path.split('[').next().unwrap_or(path);
        self.written.contains(whole) || self.is_of_service(span)
    }

    /// Whether it stands in a file that a service reads variables from.
    pub fn is_of_service(&self, span: Span) -> bool {
        self.of_services.contains(&span.file)
    }

    /// The variables in a value as it was written; a variable of an environment that is named
    /// without a value is one itself.
    pub fn variables_in<'a>(
        &self,
        path: &'a str,
        span: Span,
        sources: &'a Sources,
    ) -> Vec<&'a str> {
        let text = &sources.get(span.file).text;
        let written = text.get(span.start as usize..span.end as usize);
        let written = written.unwrap_or_default();
        let in_environment = path.contains(".environment.") || path.contains(".build.args.");
        let key = path.rsplit('.').next().unwrap_or(path);
        if in_environment
            && (written.is_empty() || matches!(written, "~" | "null") || written == key)
        {
            return vec![key];
        }
        if self.is_of_service(span) {
            return Vec::new();
        }
        secrets::names(written)
    }

    /// Every value of a variable, the one that counts first.
    pub fn sources(&self, variable: &str) -> &[Source] {
        self.variables.get(variable).map_or(&[], Vec::as_slice)
    }
}

/// A value in one line, as JSON has it; a string without what JSON puts around it.
pub fn in_one_line(node: &Node) -> String {
    match node.as_str() {
        Some(text) if !text.contains(['\n', '\r']) => text.to_owned(),
        _ => write::to_json(node).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Diagnostics;
    use crate::loader::merge;
    use crate::yaml::parse;

    #[test]
    fn a_merge_is_seen_from_outside() {
        let mut diagnostics = Diagnostics::default();
        let mut read =
            |text: &str, file: u32| parse(text, FileId(file), &mut diagnostics).remove(0).root;
        let texts = [
            "services: {a: {image: x, command: [one], cap_add: [A], volumes: [{target: /t, source: o}]}}",
            "services: {a: {image: y, command: [two], cap_add: [B], volumes: [{target: /t, source: n}]}}",
            "services: {a: {image: z}}",
        ];
        let [first, second, third] = [0, 1, 2].map(|file: u32| read(texts[file as usize], file));
        let mut origins = Origins::new(true);
        let before = origins.before(&first);
        let merged = merge::merge(first, second, &mut Diagnostics::default());
        origins.merged(before.as_ref(), &merged);
        let before = origins.before(&merged);
        let merged = merge::merge(merged, third, &mut Diagnostics::default());
        origins.merged(before.as_ref(), &merged);
        let service = merged.as_map().unwrap().get("services").unwrap();
        let service = service
            .as_map()
            .unwrap()
            .get("a")
            .unwrap()
            .as_map()
            .unwrap();
        let past = |path: &str, node: &Node| {
            let past = origins.past(path, node.span);
            let past = past
                .iter()
                .map(|it| format!("{}@{}", it.value, it.span.file.0));
            past.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            past("services.a.image", service.get("image").unwrap()),
            "y@1 x@0"
        );
        assert_eq!(
            past("services.a.command", service.get("command").unwrap()),
            "[\"one\"]@0"
        );
        let volumes = service.get("volumes").unwrap().as_list().unwrap();
        assert_eq!(
            past("services.a.volumes[0]", &volumes[0]),
            "{\"target\":\"/t\",\"source\":\"o\"}@0"
        );
        assert_eq!(
            past("services.a.cap_add", service.get("cap_add").unwrap()),
            ""
        );
        let mut unasked = Origins::new(false);
        assert!(unasked.before(&merged).is_none());
        unasked.spelled_out(&merged);
        assert!(!unasked.is_written("services.a.image", merged.span));
    }
}
