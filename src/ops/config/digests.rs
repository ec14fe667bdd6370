//! `config --resolve-image-digests` and `--lock-image-digests`: images pinned to what they are now.
//!
//! Only a registry can say which digest a tag stands for: each is asked once. What is pinned already
//! stays as it is written.

use std::collections::BTreeMap;

use ketch_runtime::image::reference::Reference;
use ketch_runtime::registry::Registries;

use super::super::{Context, Error, Result};
use super::Images;
use crate::diag::{Diagnostic, Diagnostics, Span};
use crate::loader::{Loaded, Model};
use crate::yaml::{Map, Node};

/// Pins every image of the enabled services.
pub(super) fn pin(context: &Context, loaded: &mut Loaded) -> Result<()> {
    let mut pins = Pins::new(context);
    for service in loaded.project.services.values_mut() {
        let Some(image) = &mut service.image else {
            continue;
        };
        if let Some(pinned) = pins.pinned(&service.name, &image.value, image.span)? {
            let node = Node::string(pinned.clone(), image.span);
            image.value = pinned;
            if let Some(canonical) = service.canonical.as_map_mut() {
                canonical.insert("image", image.span, node);
            }
        }
    }
    pins.told(&loaded.sources)
}

/// The same for a tree; what is locked is cut down to its images.
pub(super) fn pin_model(context: &Context, model: &mut Model, images: Images) -> Result<()> {
    let mut pins = Pins::new(context);
    let services = model
        .root
        .as_map_mut()
        .and_then(|it| it.get_mut("services"));
    for entry in services
        .and_then(Node::as_map_mut)
        .into_iter()
        .flat_map(Map::iter_mut)
    {
        let name = entry.key.as_str().to_owned();
        let image = entry.value.as_map_mut().and_then(|it| it.get_mut("image"));
        if let Some(image) = image
            && let Some(text) = image.as_str()
            && let Some(pinned) = pins.pinned(&name, text, image.span)?
        {
            *image = Node::string(pinned, image.span);
        }
    }
    pins.told(&model.sources)?;
    if images == Images::Locked {
        model.root = only_images(&model.root);
    }
    Ok(())
}

/// What registries said so far.
struct Pins<'a> {
    context: &'a Context,
    registries: Option<Registries>,
    known: BTreeMap<String, String>,
    problems: Diagnostics,
}

impl<'a> Pins<'a> {
    fn new(context: &'a Context) -> Self {
        Self {
            context,
            registries: None,
            known: BTreeMap::new(),
            problems: Diagnostics::default(),
        }
    }

    /// The pinned name; `None` when it is pinned already, or was told not to be known.
    fn pinned(&mut self, service: &str, image: &str, span: Span) -> Result<Option<String>> {
        if image.contains("@sha256:") {
            return Ok(None);
        }
        if let Some(known) = self.known.get(image) {
            return Ok(Some(known.clone()));
        }
        match self.ask(image) {
            Ok(pinned) => {
                self.known.insert(image.to_owned(), pinned.clone());
                Ok(Some(pinned))
            }
            Err(Error::Engine(error)) => {
                let message = format!("service {service:?}: image {image}: {error}");
                self.problems.push(Diagnostic::error(span, message));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn ask(&mut self, image: &str) -> Result<String> {
        let reference = Reference::parse(image)?.or_latest();
        if self.registries.is_none() {
            self.registries = Some(self.context.registries()?);
        }
        let registries = self.registries.as_ref().expect("it has just been made");
        let digest = registries.resolve(&reference)?;
        Ok(format!("{reference}@{digest}"))
    }

    fn told(self, sources: &crate::diag::Sources) -> Result<()> {
        if self.problems.is_empty() {
            return Ok(());
        }
        Err(Error::invalid(self.problems, sources))
    }
}

/// Of a project, what an override file needs to pin its images.
pub(super) fn only_images(root: &Node) -> Node {
    let span = root.span;
    let mut pinned = Map::new();
    for entry in services(root).into_iter().flat_map(Map::iter) {
        let mut service = Map::new();
        if let Some(image) = entry.value.as_map().and_then(|it| it.entry("image")) {
            service.insert("image", image.key_span, image.value.clone());
        }
        pinned.insert(entry.key.clone(), entry.key_span, Node::map(service, span));
    }
    let mut root = Map::new();
    root.insert("services", span, Node::map(pinned, span));
    Node::map(root, span)
}

fn services(root: &Node) -> Option<&Map> {
    root.as_map()?.get("services")?.as_map()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::FileId;
    use crate::yaml::{parse, write};

    #[test]
    fn a_lock_holds_images_alone() {
        let text = "name: p\nservices: {a: {image: x@sha256:1, tty: true}, b: {build: .}}";
        let root = parse(text, FileId(0), &mut Diagnostics::default())
            .remove(0)
            .root;
        assert_eq!(
            write::to_yaml(&only_images(&root)),
            "services:\n  a:\n    image: x@sha256:1\n  b: {}\n"
        );
    }
}
