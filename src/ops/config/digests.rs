//! `config --resolve-image-digests` and `--lock-image-digests`: images pinned to what they are now.
//!
//! Only a registry can say which digest a tag stands for, and none can be asked yet; an image
//! that came in an archive has no digest that another machine would find. So what is pinned
//! already stays, and anything else is refused at its place.

use super::super::{Error, Result};
use super::Images;
use crate::diag::{Diagnostic, Diagnostics, Span};
use crate::loader::{Loaded, Model};
use crate::yaml::{Map, Node};

/// Checks that every image of the enabled services is pinned.
pub(super) fn pin(loaded: &Loaded) -> Result<()> {
    let mut told = Diagnostics::default();
    for service in loaded.project.services.values() {
        if let Some(image) = &service.image {
            refuse_unpinned(&service.name, &image.value, image.span, &mut told);
        }
    }
    if told.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(told, &loaded.sources))
}

/// The same for a tree; what is locked is cut down to its images.
pub(super) fn pin_model(model: &mut Model, images: Images) -> Result<()> {
    let mut told = Diagnostics::default();
    for entry in services(&model.root).into_iter().flat_map(Map::iter) {
        let image = entry
            .value
            .as_map()
            .and_then(|service| service.get("image"));
        if let Some((image, text)) = image.and_then(|image| Some((image, image.as_str()?))) {
            refuse_unpinned(&entry.key, text, image.span, &mut told);
        }
    }
    if !told.is_empty() {
        return Err(Error::invalid(told, &model.sources));
    }
    if images == Images::Locked {
        model.root = only_images(&model.root);
    }
    Ok(())
}

fn refuse_unpinned(service: &str, image: &str, span: Span, told: &mut Diagnostics) {
    if image.contains("@sha256:") {
        return;
    }
    let message = format!(
        "service {service:?}: the digest of image {image:?} is not known: ketch can't ask registries yet"
    );
    let hint = format!("pin it by hand, as `{image}@sha256:…`");
    told.push(Diagnostic::error(span, message).hint(hint));
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

    #[test]
    fn only_a_pinned_image_is_pinned() {
        let span = Span::new(FileId(0), 0, 0);
        let mut told = Diagnostics::default();
        refuse_unpinned("a", "x:1@sha256:ab", span, &mut told);
        assert!(told.is_empty());
        refuse_unpinned("a", "x:1", span, &mut told);
        assert_eq!(told.len(), 1);
    }
}
