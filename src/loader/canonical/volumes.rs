//! `volumes`: `[SOURCE:]TARGET[:OPTIONS]`.

use crate::diag::{Diagnostic, Diagnostics, Span};
use crate::yaml::{Kind, Map, Node, Path};

/// Every entry in its long form.
pub(super) fn list(node: Node, path: Path<'_>, diagnostics: &mut Diagnostics) -> Node {
    let span = node.span;
    let Kind::List(items) = node.kind else {
        return node;
    };
    let mut volumes = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let path = path.index(index);
        if item.as_map().is_some() {
            volumes.push(long(item, path, diagnostics));
            continue;
        }
        let Some(text) = item.as_str() else { continue };
        if text.contains("${") {
            volumes.push(item);
            continue;
        }
        match short(text, item.span) {
            Ok(node) => volumes.push(node),
            Err(reason) => {
                let message = format!("{path}: invalid spec: {text}: {reason}");
                let hint =
                    "volumes are written like `/target`, `name:/target`, `./directory:/target:ro`";
                diagnostics.push(Diagnostic::error(item.span, message).hint(hint));
            }
        }
    }
    Node::list(volumes, span)
}

fn short(text: &str, span: Span) -> Result<Node, String> {
    if text.is_empty() {
        return Err("empty section between colons".into());
    }
    let parts = sections(text);
    if parts.iter().any(String::is_empty) {
        return Err("empty section between colons".into());
    }
    let (source, target, options) = match &parts[..] {
        [target] => (None, target, ""),
        // A lone drive letter in front: a target on Windows.
        [source, target] => (Some(source), target, ""),
        [source, target, options] => (Some(source), target, options.as_str()),
        _ => return Err("too many colons".into()),
    };
    let string = |text: &str| Node::string(text, span);
    let bind = source.is_some_and(|source| is_path(source));
    let mut map = Map::new();
    let mut put = |key: &str, node: Node| map.insert(key, span, node);
    put("type", string(if bind { "bind" } else { "volume" }));
    if let Some(source) = source {
        put("source", string(source));
    }
    put("target", string(&clean(target)));
    let mut details = Map::new();
    if bind {
        details.insert("create_host_path", span, Node::bool(true, span));
    }
    for option in options.split(',') {
        match option {
            "ro" => put("read_only", Node::bool(true, span)),
            "nocopy" if !bind => details.insert("nocopy", span, Node::bool(true, span)),
            "z" | "Z" if bind => details.insert("selinux", span, string(option)),
            "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" if bind => {
                details.insert("propagation", span, string(option));
            }
            // Compose ignores what it does not know.
            _ => {}
        }
    }
    put(
        if bind { "bind" } else { "volume" },
        Node::map(details, span),
    );
    Ok(Node::map(map, span))
}

/// The parts between colons; a colon behind a lone letter belongs to a drive.
fn sections(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut current = String::new();
    for character in text.chars() {
        let drive = current.chars().count() == 1
            && current.chars().all(|letter| letter.is_ascii_alphabetic());
        if character == ':' && !drive {
            parts.push(std::mem::take(&mut current));
        } else {
            current.push(character);
        }
    }
    parts.push(current);
    parts
}

fn is_path(source: &str) -> bool {
    let mut letters = source.chars();
    let drive = letters
        .next()
        .is_some_and(|letter| letter.is_ascii_alphabetic())
        && letters.next() == Some(':');
    source.starts_with(['.', '/', '~', '\\']) || drive
}

/// `/x/../y/` is `/y`.
pub(super) fn clean(path: &str) -> String {
    if !path.starts_with('/') {
        return path.to_owned();
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn long(mut item: Node, path: Path<'_>, diagnostics: &mut Diagnostics) -> Node {
    let span = item.span;
    let Some(map) = item.as_map_mut() else {
        return item;
    };
    let text = |map: &Map, key: &str| map.get(key).and_then(Node::as_str).map(ToOwned::to_owned);
    let kind = text(map, "type").unwrap_or_default();
    if kind == "bind" && text(map, "source").is_none_or(|source| source.is_empty()) {
        let message = format!(
            "{path}: invalid mount config for type \"bind\": field Source must not be empty"
        );
        diagnostics.push(Diagnostic::error(span, message).hint("say with `source:` what to mount"));
    }
    for other in ["bind", "volume", "tmpfs", "image"] {
        if other != kind
            && let Some(entry) = map.remove(other)
        {
            let message =
                format!("{path}: mount of type `{kind}` should not define `{other}` option");
            diagnostics.push(Diagnostic::warning(entry.key_span, message));
        }
    }
    if let Some(target) = map.get_mut("target")
        && let Some(text) = target.as_str()
    {
        *target = Node::string(clean(text), target.span);
    }
    if let Some(bind) = map.get_mut("bind").and_then(Node::as_map_mut)
        && !bind.contains("create_host_path")
    {
        bind.insert("create_host_path", span, Node::bool(true, span));
    }
    if let Some(volume) = map.get_mut("volume") {
        let path = path.key("volume");
        super::within(volume, "labels", path, super::lists::labels, diagnostics);
    }
    item
}
