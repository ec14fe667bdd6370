//! The law of the house (ARCHITECTURE.md), held by scanning the sources as text: module order,
//! purity, unsafe code only in `sys`, no stray output, links in the docs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// One crate and its modules in the order of `lib.rs`, with the heading each stands under.
struct Crate {
    source: PathBuf,
    modules: Vec<(String, String)>,
}

impl Crate {
    fn read(source: &str) -> Self {
        let source = Path::new(ROOT).join(source);
        let text = fs::read_to_string(source.join("lib.rs")).expect("every crate has a lib.rs");
        let mut heading = String::new();
        let mut modules = Vec::new();
        for line in text.lines() {
            if let Some(comment) = line.strip_prefix("// ") {
                heading = comment.to_owned();
            } else if let Some(name) = line.strip_prefix("pub mod ").or(line.strip_prefix("mod ")) {
                modules.push((name.trim_end_matches(';').to_owned(), heading.clone()));
            }
        }
        assert!(
            modules.len() > 3,
            "lib.rs of {} lists its modules",
            source.display()
        );
        Self { source, modules }
    }

    fn position(&self, module: &str) -> Option<usize> {
        self.modules.iter().position(|(name, _)| name == module)
    }

    /// Every source file below `src`, with the top-level module that it belongs to.
    fn files(&self) -> Vec<(usize, PathBuf, String)> {
        let mut files = Vec::new();
        for path in rust_files(&self.source) {
            let inside = path.strip_prefix(&self.source).expect("found below it");
            let first = inside.components().next().expect("a file has a name");
            let module = first
                .as_os_str()
                .to_string_lossy()
                .trim_end_matches(".rs")
                .to_owned();
            if let Some(position) = self.position(&module) {
                let text = fs::read_to_string(&path).expect("sources are UTF-8");
                files.push((position, path, text));
            }
        }
        files
    }
}

fn crates() -> [Crate; 2] {
    [Crate::read("src"), Crate::read("runtime/src")]
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The part of a file that is not its unit tests, without comments.
fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    let lines = text[..end].lines().map(|line| {
        if line.trim_start().starts_with("//") {
            ""
        } else {
            line
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn shown(path: &Path) -> String {
    path.strip_prefix(ROOT)
        .unwrap_or(path)
        .display()
        .to_string()
}

fn fail_on(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn a_module_imports_only_from_those_above_it() {
    let mut complaints = Vec::new();
    for krate in crates() {
        for (own, path, text) in krate.files() {
            for (number, line) in code(&text).lines().enumerate() {
                for name in names_after(line, "crate::") {
                    if krate.position(&name).is_some_and(|position| position > own) {
                        let (below, _) = &krate.modules[own];
                        let place = format!("{}:{}", shown(&path), number + 1);
                        complaints.push(format!(
                            "{place}: `{below}` stands above `{name}` in lib.rs"
                        ));
                    }
                }
            }
        }
    }
    fail_on(&complaints);
}

/// The first path segments after each `prefix`, `{a, b}` taken apart.
fn names_after(line: &str, prefix: &str) -> Vec<String> {
    let identifier = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let mut names = Vec::new();
    for (at, _) in line.match_indices(prefix) {
        if line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &line[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(group) => names.extend(group.split(',').map(identifier)),
            None => names.push(identifier(rest)),
        }
    }
    names
}

#[test]
fn pure_modules_touch_nothing_outside() {
    const OUTSIDE: &[&str] = &[
        "std::fs",
        "std::net::Tcp",
        "std::net::Udp",
        "std::process",
        "std::env",
        "std::thread",
        "std::os",
        "Instant::now",
        "SystemTime",
        "Timestamp::now",
        "Zoned::now",
        "tokio",
        "rustix",
        "libc::",
        "println!",
        "eprintln!",
    ];
    let mut complaints = Vec::new();
    for krate in crates() {
        for (own, path, text) in krate.files() {
            let is_pure = krate.modules[own].1.starts_with("Pure") || text.starts_with("//! Pure:");
            if !is_pure {
                continue;
            }
            for (number, line) in code(&text).lines().enumerate() {
                for word in OUTSIDE.iter().filter(|word| line.contains(**word)) {
                    complaints.push(format!(
                        "{}:{}: a pure module names {word}",
                        shown(&path),
                        number + 1
                    ));
                }
            }
        }
    }
    fail_on(&complaints);
}

#[test]
fn unsafe_code_lives_in_sys_alone() {
    let mut complaints = Vec::new();
    for krate in crates() {
        for (own, path, text) in krate.files() {
            if krate.modules[own].0 == "sys" {
                continue;
            }
            for (number, line) in code(&text).lines().enumerate() {
                if line.contains("unsafe ") || line.contains("unsafe_code") {
                    complaints.push(format!(
                        "{}:{}: unsafe outside sys",
                        shown(&path),
                        number + 1
                    ));
                }
            }
        }
    }
    fail_on(&complaints);
}

#[test]
fn the_runtime_knows_no_word_of_compose() {
    let mut complaints = Vec::new();
    for path in rust_files(&Path::new(ROOT).join("runtime/src")) {
        let text = fs::read_to_string(&path).expect("sources are UTF-8");
        for (number, line) in code(&text).lines().enumerate() {
            let lower = line.to_lowercase();
            if ["compose", "depends_on", "project"]
                .iter()
                .any(|word| lower.contains(word))
            {
                complaints.push(format!("{}:{}: {}", shown(&path), number + 1, line.trim()));
            }
        }
    }
    fail_on(&complaints);
}

#[test]
fn no_lint_is_switched_off_without_a_reason() {
    let mut complaints = Vec::new();
    for krate in crates() {
        for path in rust_files(&krate.source) {
            let text = fs::read_to_string(&path).expect("sources are UTF-8");
            for (number, line) in text.lines().enumerate() {
                if line.contains("#[allow(") || line.contains("#![allow(") {
                    complaints.push(format!(
                        "{}:{}: allow; use expect with a reason",
                        shown(&path),
                        number + 1
                    ));
                }
            }
        }
    }
    fail_on(&complaints);
}

#[test]
fn every_source_file_says_what_it_is_for() {
    let mut complaints = Vec::new();
    for krate in crates() {
        for path in rust_files(&krate.source) {
            let text = fs::read_to_string(&path).expect("sources are UTF-8");
            if !text.starts_with("//! ") || text.starts_with("//! To be written") {
                complaints.push(format!("{}: no module comment", shown(&path)));
            }
        }
    }
    fail_on(&complaints);
}

#[test]
fn what_is_shipped_has_no_fail_points() {
    let features = |edges: &str| {
        let output = Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--package", "ketch"])
            .args(["--edges", edges, "--invert", "ketch-runtime"])
            .current_dir(ROOT)
            .output()
            .expect("cargo runs its tests");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("names are UTF-8")
    };
    let shipped = features("features,normal,build");
    assert!(!shipped.contains("failpoints"), "{shipped}");
    let tested = features("features");
    assert!(tested.contains("failpoints"), "{tested}");
}

#[test]
fn links_in_the_docs_lead_somewhere() {
    let mut complaints = Vec::new();
    for path in markdown_files(Path::new(ROOT)) {
        let text = fs::read_to_string(&path).expect("docs are UTF-8");
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split([')', '#']).next().unwrap_or_default();
            if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let directory = path.parent().expect("a file lies in a directory");
            if !directory.join(target).exists() {
                complaints.push(format!("{}: broken link {target}", shown(&path)));
            }
        }
    }
    fail_on(&complaints);
}

fn markdown_files(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).expect("readable") {
            let path = entry.expect("readable").path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    pending.push(path);
                }
            } else if name.ends_with(".md") {
                files.push(path);
            }
        }
    }
    files
}
