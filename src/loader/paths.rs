//! Relative paths become absolute, against the directory that they are relative to.

use std::path::{Component, Path, PathBuf};

use crate::yaml::{Kind, Map, Node};

/// Where paths stand.
const PATHS: &[&str] = &[
    "services.*.build.context",
    "services.*.build.additional_contexts.*",
    "services.*.build.ssh.*",
    "services.*.env_file.[].path",
    "services.*.label_file.[]",
    "services.*.volumes.[]",
    "services.*.develop.watch.[].path",
    "secrets.*.file",
    "configs.*.file",
    "volumes.*.driver_opts",
];

/// Makes the paths of a document absolute. `home` stands for `~`.
pub(super) fn resolve(root: &mut Node, directory: &Path, home: Option<&str>) {
    for pattern in PATHS {
        let steps: Vec<&str> = pattern.split('.').collect();
        at(root, &steps, &|node| one(node, directory, home));
    }
}

fn at(node: &mut Node, steps: &[&str], change: &dyn Fn(&mut Node)) {
    let Some((step, rest)) = steps.split_first() else {
        change(node);
        return;
    };
    match &mut node.kind {
        Kind::List(items) if *step == "[]" => {
            items.iter_mut().for_each(|item| at(item, rest, change));
        }
        Kind::Map(map) if *step == "*" => map
            .iter_mut()
            .for_each(|entry| at(&mut entry.value, rest, change)),
        Kind::Map(map) => {
            if let Some(value) = map.get_mut(step) {
                at(value, rest, change);
            }
        }
        Kind::Null | Kind::Scalar(_) | Kind::List(_) => {}
    }
}

fn one(node: &mut Node, directory: &Path, home: Option<&str>) {
    let span = node.span;
    match &mut node.kind {
        Kind::Scalar(scalar) => {
            if !is_remote(&scalar.text) && !scalar.text.starts_with("${") {
                let path = absolute(directory, &scalar.text, home);
                *node = Node::string(path, span);
            }
        }
        Kind::Map(map) => of_mount(map, directory, home),
        Kind::Null | Kind::List(_) => {}
    }
}

/// The source of a bind mount, or the device of a bound volume.
fn of_mount(map: &mut Map, directory: &Path, home: Option<&str>) {
    let text = |key: &str| map.get(key).and_then(Node::as_str);
    let key = if text("type") == Some("bind") {
        "source"
    } else if text("o").is_some_and(|options| options.split(',').any(|option| option == "bind")) {
        "device"
    } else {
        return;
    };
    if let Some(node) = map.get_mut(key)
        && let Some(path) = node.as_str()
        && !path.starts_with("${")
        && !is_of_windows(path)
    {
        *node = Node::string(absolute(directory, path, home), node.span);
    }
}

/// `C:\x` and `\\host\x` are absolute where they mean something.
fn is_of_windows(path: &str) -> bool {
    let bytes = path.as_bytes();
    let drive = bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.get(1) == Some(&b':')
        && matches!(bytes.get(2), Some(b'\\' | b'/'));
    drive || path.starts_with(r"\\")
}

/// Contexts that a builder fetches.
pub(crate) fn is_remote(context: &str) -> bool {
    context.contains("://")
        || ["service:", "github.com/", "git@"]
            .iter()
            .any(|prefix| context.starts_with(prefix))
}

/// Whether a compose file is asked for that Compose would fetch.
pub(super) fn is_remote_file(file: &str) -> bool {
    file.contains("://")
        || ["github.com/", "git@"]
            .iter()
            .any(|prefix| file.starts_with(prefix))
}

/// What is told of such a file.
pub(super) fn not_fetched(file: &str) -> String {
    format!("ketch can't fetch remote compose files yet: {file}")
}

/// A path as text. What is relative becomes absolute, without `.` and `..`.
pub(super) fn absolute(directory: &Path, path: &str, home: Option<&str>) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    let path = match (path.strip_prefix('~'), home) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
            PathBuf::from(format!("{home}{rest}"))
        }
        _ => directory.join(path),
    };
    clean(&path).to_string_lossy().into_owned()
}

/// Without `.`, `..` and double slashes.
pub(crate) fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            component => clean.push(component),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_absolute_and_clean() {
        let from = |path| absolute(Path::new("/a/b"), path, Some("/home/u"));
        assert_eq!(from("../x/./y/"), "/a/x/y");
        assert_eq!(from("../../../.."), "/");
        assert_eq!(from("/x/../y/"), "/x/../y/");
        assert_eq!(from("~/x"), "/home/u/x");
        assert_eq!(from("~x"), "/a/b/~x");
        assert!(is_of_windows(r"C:\x") && is_of_windows(r"\\host\x") && !is_of_windows("c:x"));
    }
}
