//! Files on disk, with a memory of what was read.

use std::cell::RefCell;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;

use crate::loader::files::{Files, Unreadable};

/// The files of this machine, standard input as `-` among them. Each is read once, so that all phases see the same text.
#[derive(Debug, Default)]
pub struct DiskFiles {
    read: RefCell<IndexMap<PathBuf, Result<Arc<str>, Unreadable>>>,
}

impl Files for DiskFiles {
    fn read(&self, path: &Path) -> Result<Arc<str>, Unreadable> {
        if let Some(known) = self.read.borrow().get(path) {
            return known.clone();
        }
        let result = read_text(path);
        self.read
            .borrow_mut()
            .insert(path.to_owned(), result.clone());
        result
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn is_dir(&self, path: &Path) -> bool {
        path.is_dir()
    }
}

/// Larger files are refused while they are read: a device may have no end, nor may a pipe.
const MOST_BYTES: u64 = 64 << 20;

/// `-` is standard input.
fn bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file: &mut dyn Read = match path.as_os_str() == "-" {
        true => &mut std::io::stdin().lock(),
        false => &mut std::fs::File::open(path)?,
    };
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= MOST_BYTES => Ok(bytes),
        _ => {
            let message = format!("the file is larger than {} MiB", MOST_BYTES >> 20);
            Err(std::io::Error::other(message))
        }
    }
}

fn read_text(path: &Path) -> Result<Arc<str>, Unreadable> {
    let bytes = bounded(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Unreadable::Missing,
        ErrorKind::IsADirectory => Unreadable::Other("is a directory".into()),
        ErrorKind::PermissionDenied => Unreadable::Other("permission denied".into()),
        _ => Unreadable::Other(error.to_string()),
    })?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text.into()),
        Err(_) => Err(Unreadable::Other("the file is not UTF-8 text".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("compose.yaml");
        std::fs::write(&path, "services: {}").unwrap();
        let files = DiskFiles::default();
        assert_eq!(&*files.read(&path).unwrap(), "services: {}");
        std::fs::write(&path, "other").unwrap();
        assert_eq!(&*files.read(&path).unwrap(), "services: {}");
    }

    #[test]
    fn a_missing_file_is_told_from_an_unreadable_one() {
        let directory = tempfile::tempdir().unwrap();
        let files = DiskFiles::default();
        let missing = files.read(&directory.path().join("none"));
        assert_eq!(missing, Err(Unreadable::Missing));
        let unreadable = files.read(directory.path());
        assert!(matches!(unreadable, Err(Unreadable::Other(_))));
    }

    #[test]
    fn a_file_without_an_end_is_refused() {
        let reason = DiskFiles::default().read(Path::new("/dev/zero"));
        let told = "the file is larger than 64 MiB".to_owned();
        assert_eq!(reason, Err(Unreadable::Other(told)));
    }
}
