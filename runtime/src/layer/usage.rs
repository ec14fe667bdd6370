//! How much of the disk a directory takes.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::error::{Context, Result};

/// Bytes of blocks in use below `directory`, each file once; what vanishes meanwhile is left out.
pub fn of(directory: &Path) -> Result<u64> {
    sum(directory, |metadata| metadata.blocks() * 512)
}

fn sum(directory: &Path, size: impl Fn(&Metadata) -> u64) -> Result<u64> {
    let mut seen = BTreeSet::new();
    let mut total_bytes = 0;
    let mut todo = vec![directory.to_owned()];
    while let Some(path) = todo.pop() {
        let entries = match std::fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).context(|| format!("read {}", path.display())),
        };
        for entry in entries.flatten() {
            // Of the entry itself: links are not followed.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.nlink() == 1 || seen.insert((metadata.dev(), metadata.ino())) {
                total_bytes += size(&metadata);
            }
            if metadata.is_dir() {
                todo.push(entry.path());
            }
        }
    }
    Ok(total_bytes)
}

/// Bytes of the files below `directory`, each once: what Docker calls the size of a container.
pub fn of_files(directory: &Path) -> Result<u64> {
    sum(directory, |metadata| {
        if metadata.is_file() {
            metadata.len()
        } else {
            0
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_two_names_counts_once() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a"), vec![1; 8192]).unwrap();
        let before = of(directory.path()).unwrap();
        std::fs::hard_link(directory.path().join("a"), directory.path().join("b")).unwrap();
        assert_eq!(of(directory.path()).unwrap(), before);
    }
}
