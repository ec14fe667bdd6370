//! Pure: where a copy goes, by what is there and by how the paths are written.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use ketch_runtime::container::directory::Directory;

use super::super::{Error, Result};

/// A path as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// Without the end that says more.
    pub(super) path: String,
    /// `dir/.`: what is in it, not the directory.
    pub(super) content_only: bool,
    /// `dir/`, `dir/.`
    pub(super) says_directory: bool,
}

impl Source {
    pub(super) fn parse(text: &str) -> Self {
        let content_only = text == "." || text.ends_with("/.");
        let says_directory = content_only || text.ends_with('/');
        let path = text.strip_suffix("/.").unwrap_or(text);
        let path = path.trim_end_matches('/');
        Self {
            path: match path {
                "" => "/".to_owned(),
                path => path.to_owned(),
            },
            content_only,
            says_directory,
        }
    }

    /// What a copy of it is called in a directory; `None` for what is in it alone.
    fn name(&self) -> Option<OsString> {
        let name = Path::new(&self.path).file_name().map(OsStr::to_owned);
        name.filter(|_| !self.content_only)
    }
}

/// What is where something is to be copied to.
#[derive(Debug)]
pub(super) enum At {
    Directory(Directory),
    /// Something else, in this directory.
    File(Directory, OsString),
    Missing(Directory, OsString),
    NoParent,
}

impl At {
    /// The directory, and the name in it; without one what is copied is the directory itself.
    ///
    /// # Errors
    /// What does not fit, in Docker's words.
    pub(super) fn place(
        self,
        is_directory: bool,
        source: &Source,
        target: &Source,
    ) -> Result<(Directory, Option<OsString>)> {
        let wrong = |text: &str| Err(Error::Failed(text.to_owned()));
        match self {
            Self::Directory(directory) => Ok((directory, source.name())),
            Self::File(..) if is_directory => wrong("cannot copy directory"),
            Self::File(..) if target.says_directory => wrong("not a directory"),
            Self::File(parent, name) => Ok((parent, Some(name))),
            Self::Missing(..) if target.says_directory && !is_directory => {
                wrong("no such directory")
            }
            Self::Missing(parent, name) => Ok((parent, Some(name))),
            Self::NoParent => wrong("no such directory"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(kind: &str) -> At {
        let open = || {
            let file = std::fs::File::open("/").unwrap();
            Directory::from(std::os::fd::OwnedFd::from(file))
        };
        match kind {
            "directory" => At::Directory(open()),
            "file" => At::File(open(), "there".into()),
            "missing" => At::Missing(open(), "new".into()),
            _ => At::NoParent,
        }
    }

    fn place(from: &str, is_directory: bool, kind: &str, to: &str) -> String {
        match at(kind).place(is_directory, &Source::parse(from), &Source::parse(to)) {
            Ok((_, Some(name))) => name.to_string_lossy().into_owned(),
            Ok((_, None)) => "(itself)".into(),
            Err(Error::Failed(text)) => text,
            Err(_) => "?".into(),
        }
    }

    #[test]
    fn docker_s_table() {
        for (from, is_directory, kind, to, wanted) in [
            ("a/file", false, "directory", "d", "file"),
            ("a/file", false, "file", "f", "there"),
            ("a/file", false, "file", "f/", "not a directory"),
            ("a/file", false, "missing", "n", "new"),
            ("a/file", false, "missing", "n/", "no such directory"),
            ("a/file", false, "nothing", "n/x", "no such directory"),
            ("a/dir", true, "directory", "d", "dir"),
            ("a/dir/", true, "directory", "d/", "dir"),
            ("a/dir/.", true, "directory", "d", "(itself)"),
            (".", true, "directory", "d", "(itself)"),
            ("a/dir", true, "file", "f", "cannot copy directory"),
            ("a/dir/.", true, "file", "f", "cannot copy directory"),
            ("a/dir", true, "missing", "n", "new"),
            ("a/dir/.", true, "missing", "n/", "new"),
            ("a/dir", true, "nothing", "n/x", "no such directory"),
        ] {
            assert_eq!(
                place(from, is_directory, kind, to),
                wanted,
                "{from} to {kind} {to}"
            );
        }
    }

    #[test]
    fn the_end_of_a_path_says_more() {
        let parse = |text| {
            let it = Source::parse(text);
            (it.path, it.content_only, it.says_directory)
        };
        assert_eq!(parse("/a/b"), ("/a/b".into(), false, false));
        assert_eq!(parse("/a/b//"), ("/a/b".into(), false, true));
        assert_eq!(parse("/a/b/."), ("/a/b".into(), true, true));
        assert_eq!(parse("/."), ("/".into(), true, true));
        assert_eq!(parse("/"), ("/".into(), false, true));
        assert_eq!(parse("."), (".".into(), true, true));
    }
}
