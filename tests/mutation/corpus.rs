//! What mutations begin with: the cases of `compose-specs/` and the examples, each as one text.

use std::fs;
use std::path::{Path, PathBuf};

use crate::checks::FILE;

/// A case's name, and its files in one text.
pub(crate) type Bundle = (String, String);

/// Every case and every example of the repository at `root`.
pub(crate) fn bundles(root: &Path) -> Vec<Bundle> {
    let mut cases = directories(&root.join("examples"));
    for area in directories(&root.join("compose-specs")) {
        cases.extend(directories(&area));
    }
    let name = |case: &PathBuf| {
        let parts = case.strip_prefix(root).into_iter().flatten();
        let parts: Vec<_> = parts.map(|part| part.to_string_lossy()).collect();
        parts.join("-")
    };
    cases
        .iter()
        .map(|case| (name(case), bundle(case)))
        .collect()
}

fn directories(parent: &Path) -> Vec<PathBuf> {
    let mut found = children(parent);
    found.retain(|path| path.is_dir());
    found
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory of the repository");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("it can be listed").path())
        .collect();
    paths.sort();
    paths
}

/// The files of a case without what is expected of it.
fn bundle(case: &Path) -> String {
    let mut text = String::new();
    let mut pending = vec![case.to_owned()];
    while let Some(directory) = pending.pop() {
        for path in children(&directory) {
            if path.is_dir() {
                pending.push(path);
                continue;
            }
            let name = path
                .strip_prefix(case)
                .expect("it lies below")
                .display()
                .to_string();
            if name.starts_with("expect.") {
                continue;
            }
            if let Ok(content) = fs::read_to_string(&path) {
                text.push_str(&format!("{FILE}{name}\n{content}"));
                if !content.ends_with('\n') {
                    text.push('\n');
                }
            }
        }
    }
    text
}
