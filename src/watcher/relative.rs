//! A path below a rule's own.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// In its order a directory is followed by all that is below it. Plain components without `.`
/// and `..`, so bytes can be compared: paths of the standard library take five times as long.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Relative(PathBuf);

impl Relative {
    /// What is left of a path of the kernel's below this root.
    pub fn below(path: &Path, root: &Path) -> Option<Self> {
        let (path, root) = (path.as_os_str().as_bytes(), root.as_os_str().as_bytes());
        let rest = match path.strip_prefix(root)? {
            [b'/', rest @ ..] => rest,
            rest if rest.is_empty() || root.ends_with(b"/") => rest,
            _ => return None,
        };
        Some(Self(OsStr::from_bytes(rest).into()))
    }

    #[must_use]
    pub fn join(&self, name: &OsStr) -> Self {
        Self(self.0.join(name))
    }

    /// The directory that it is in; the rule's own path is in none.
    pub fn parent(&self) -> Option<Self> {
        Some(Self(self.0.parent()?.to_owned()))
    }

    /// The directories that it is in, the nearest first.
    pub fn above(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(self.parent(), Self::parent)
    }

    /// Whether it is the rule's own path.
    pub fn is_root(&self) -> bool {
        self.0.as_os_str().is_empty()
    }

    /// Whether it is this path or below it.
    pub fn is_within(&self, other: &Self) -> bool {
        let (own, other) = (self.bytes(), other.bytes());
        match own.strip_prefix(other) {
            Some(rest) => other.is_empty() || matches!(rest, [] | [b'/', ..]),
            None => false,
        }
    }

    fn bytes(&self) -> &[u8] {
        self.0.as_os_str().as_bytes()
    }
}

impl Deref for Relative {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Ord for Relative {
    fn cmp(&self, other: &Self) -> Ordering {
        // What separates comes before every other byte; there is no zero in a path.
        let rank = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
        let (own, other) = (self.bytes(), other.bytes());
        match own.iter().zip(other).find(|(own, other)| own != other) {
            Some((own, other)) => rank(own).cmp(&rank(other)),
            None => own.len().cmp(&other.len()),
        }
    }
}

impl PartialOrd for Relative {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relative(text: &str) -> Relative {
        Relative(text.into())
    }

    #[test]
    fn a_directory_is_followed_by_what_is_below_it() {
        let mut paths = ["b", "a.x", "a/b", "", "a", "a-b", "a/b/c", "a/b.c"].map(relative);
        paths.sort();
        let shown: Vec<_> = paths.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(shown, ["", "a", "a/b", "a/b/c", "a/b.c", "a-b", "a.x", "b"]);
        assert!(relative("a/b").is_within(&relative("a")));
        assert!(relative("a").is_within(&relative("a")));
        assert!(relative("a").is_within(&relative("")));
        assert!(!relative("a.x").is_within(&relative("a")));
    }

    #[test]
    fn it_is_what_is_left_below_a_root() {
        let below = |path: &str, root: &str| {
            let relative = Relative::below(Path::new(path), Path::new(root))?;
            Some(relative.to_str().unwrap().to_owned())
        };
        assert_eq!(below("/a/b/c", "/a").as_deref(), Some("b/c"));
        assert_eq!(below("/a", "/a").as_deref(), Some(""));
        assert_eq!(below("/ab", "/a"), None);
        assert_eq!(below("/a/b", "/").as_deref(), Some("a/b"));
        assert_eq!(relative("a/b").parent(), Some(relative("a")));
        assert_eq!(relative("").parent(), None);
    }
}
