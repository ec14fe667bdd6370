//! Pure: which paths below a rule's own count.

use std::path::{Path, PathBuf};

use ketch_runtime::builder::ignore::Ignore;

/// What no rule is about: version control, and what editors leave beside a file while they
/// write it (vim, emacs, kate, the JetBrains family), and our own.
fn is_never_meant(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 5] = [b".git", b"4913", b"___jb_tmp___", b"___jb_old___", b".idea"];
    const HIDDEN_ENDS: [&[u8]; 5] = [b".swp", b".swx", b".swo", b".swn", b".kate-swp"];
    NAMES.contains(&name)
        || name.ends_with(b"~")
        || name.starts_with(b".#")
        || name.starts_with(b".ketch-")
        || (name.starts_with(b"#") && name.ends_with(b"#"))
        || (name.starts_with(b".") && HIDDEN_ENDS.iter().any(|end| name.ends_with(end)))
}

/// A rule's own patterns and those that it inherits.
#[derive(Debug, Clone)]
pub struct Filter {
    /// The rule's own.
    path: PathBuf,
    /// Each relative to a directory.
    excluded: Vec<(PathBuf, Ignore)>,
    /// Absent: all.
    included: Option<(PathBuf, Ignore)>,
}

impl Filter {
    /// For a rule about this path.
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn new(path: &Path, ignore: &[String], include: &[String]) -> Result<Self, String> {
        let mut excluded = Vec::new();
        if !ignore.is_empty() {
            excluded.push((path.to_owned(), Ignore::new(ignore)?));
        }
        let included = match include.is_empty() {
            true => None,
            false => Some((path.to_owned(), Ignore::new(include)?)),
        };
        Ok(Self {
            path: path.to_owned(),
            excluded,
            included,
        })
    }

    /// With patterns of a file in another directory: the `.dockerignore` of a build context.
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn and_file(mut self, directory: &Path, text: &str) -> Result<Self, String> {
        self.excluded
            .push((directory.to_owned(), Ignore::parse(text)?));
        Ok(self)
    }

    /// With a path and all below it taken out.
    #[must_use]
    pub fn without(mut self, path: &Path) -> Self {
        if let Ok(all) = Ignore::new(&["**".to_owned()]) {
            self.excluded.push((path.to_owned(), all));
        }
        self
    }

    /// Whether a change of this absolute path counts.
    pub fn takes(&self, path: &Path) -> bool {
        if self.is_never(path) {
            return false;
        }
        let excluded = self.excluded.iter().any(|(base, ignore)| {
            relative(path, base).is_some_and(|relative| ignore.excludes(relative))
        });
        let included = self.included.as_ref().is_none_or(|(base, include)| {
            relative(path, base).is_some_and(|relative| include.excludes(relative))
        });
        !excluded && included
    }

    fn is_never(&self, path: &Path) -> bool {
        let below = path.as_os_str().as_encoded_bytes();
        let below = below.strip_prefix(self.path.as_os_str().as_encoded_bytes());
        below.is_some_and(|below| below.split(|byte| *byte == b'/').any(is_never_meant))
    }

    /// Whether something below this directory may count.
    pub fn enters(&self, path: &Path) -> bool {
        !self.is_never(path)
            && self.excluded.iter().all(|(base, ignore)| {
                !ignore.may_prune()
                    || !relative(path, base).is_some_and(|relative| ignore.excludes(relative))
            })
    }
}

/// The path below `base`; the base itself is left out by nothing.
fn relative<'a>(path: &'a Path, base: &Path) -> Option<&'a str> {
    let (path, base) = (
        path.as_os_str().as_encoded_bytes(),
        base.as_os_str().as_encoded_bytes(),
    );
    let relative = path.strip_prefix(base)?.strip_prefix(b"/")?;
    std::str::from_utf8(relative)
        .ok()
        .filter(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(ignore: &[&str], include: &[&str]) -> Filter {
        let owned = |list: &[&str]| list.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
        Filter::new(Path::new("/app/src"), &owned(ignore), &owned(include)).unwrap()
    }

    fn taken<'a>(filter: &Filter, paths: &[&'a str]) -> Vec<&'a str> {
        let all = paths.iter().copied();
        all.filter(|path| filter.takes(&Path::new("/app/src").join(path)))
            .collect()
    }

    #[test]
    fn what_editors_leave_is_never_meant() {
        let names = [
            "a.rs",
            "a.rs~",
            ".a.rs.swp",
            "4913",
            "sub/4913",
            ".#a",
            "#a#",
            ".git/HEAD",
            ".gitignore",
            "x/.idea/w.xml",
            "___jb_tmp___",
            ".a.kate-swp",
            ".ketch-0a1b",
            "sub/.ketch-0a1b",
        ];
        assert_eq!(taken(&filter(&[], &[]), &names), ["a.rs", ".gitignore"]);
        assert!(!filter(&[], &[]).enters(Path::new("/app/src/.git")));
        assert!(filter(&[], &[]).takes(Path::new("/app/src")));
    }

    #[test]
    fn own_patterns_are_relative_to_the_path_and_a_file_s_to_its_directory() {
        let names = [
            "a.js",
            "a.css",
            "node_modules/x.js",
            "deep/node_modules/y.js",
            "deep/b.js",
        ];
        assert_eq!(
            taken(&filter(&["node_modules/"], &["**/*.js"]), &names),
            ["a.js", "deep/node_modules/y.js", "deep/b.js"]
        );
        let by_file = filter(&[], &[])
            .and_file(Path::new("/app"), "src/deep\n!src/deep/b.js\n")
            .unwrap();
        assert_eq!(
            taken(&by_file, &names),
            ["a.js", "a.css", "node_modules/x.js", "deep/b.js"]
        );
        assert!(
            by_file.enters(Path::new("/app/src/deep")),
            "an exception is below"
        );
        let without = filter(&[], &[]).without(Path::new("/app/src/deep"));
        assert!(!without.takes(Path::new("/app/src/deep/b.js")));
        assert!(without.takes(Path::new("/app/src/a.js")));
    }

    #[test]
    fn a_wrong_pattern_is_told() {
        let error = Filter::new(Path::new("/a"), &["[".into()], &[]).unwrap_err();
        assert!(error.contains("syntax error in pattern"), "{error}");
    }
}
