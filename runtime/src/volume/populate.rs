//! First use of a volume: what the image has at the mount's target is copied into it.
//!
//! Docker's rule (spec 28.3): only into an empty volume; content with owners, modes, attributes,
//! links and times; then mode and owner of the directory itself, even when it holds nothing.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, FlockOperation};

use crate::error::{Context, Error, ErrorKind, Result};
use crate::failpoint::{self, Point};
use crate::layer::merged::{self, Merged, Node};

/// Fills the volume at `data` with the image's directory at `target`. `layers` are the layers'
/// directories, lowest first. Does nothing when the volume holds anything, or the image has no
/// directory there.
pub fn populate(layers: &[PathBuf], target: &str, data: &Path) -> Result<()> {
    fill(layers, target, data).context(|| format!("populate volume from {target}"))
}

fn fill(layers: &[PathBuf], target: &str, data: &Path) -> Result<()> {
    let volume = File::open(data).context(|| format!("open {}", data.display()))?;
    // Two containers may be created at once.
    rustix::fs::flock(&volume, FlockOperation::LockExclusive)?;
    let image = Merged::new(layers)?;
    let Some(source) = image.resolve(target)? else {
        return Ok(());
    };
    if !source.metadata.is_dir() {
        return Ok(());
    }
    let staged = is_ours(data).then(|| (beside(data, "_filling"), beside(data, "_filled")));
    match staged {
        // A volume that stands for a directory of the host: there is no place beside it.
        None => {
            if is_empty(data)? {
                merged::copy_content(&source, data)?;
                finish(&source, &volume)?;
            }
        }
        Some((filling, filled)) => {
            // Left by a process that was killed while it moved things in: go on with that.
            if !filled.exists() {
                if !is_empty(data)? {
                    return Ok(());
                }
                stage(&source, &filling, &filled)?;
            }
            move_content(&filled, data)?;
            finish(&source, &volume)?;
            std::fs::remove_dir_all(&filled)?;
        }
    }
    Ok(())
}

/// Copies beside the volume first: killed half-way, the volume is still empty and will be filled
/// the next time.
fn stage(source: &Node, filling: &Path, filled: &Path) -> Result<()> {
    if filling.exists() {
        std::fs::remove_dir_all(filling)?;
    }
    std::fs::create_dir(filling)?;
    merged::copy_content(source, filling)?;
    std::fs::rename(filling, filled)?;
    failpoint::reached(Point::VolumeFilled);
    Ok(())
}

/// Not the directory itself: a running container may have it mounted already.
fn move_content(from: &Path, to: &Path) -> Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let there = to.join(entry.file_name());
        if there.symlink_metadata().is_err() {
            std::fs::rename(entry.path(), there)?;
            failpoint::reached(Point::VolumeMoved);
        }
    }
    Ok(())
}

fn finish(source: &Node, volume: &File) -> Result<()> {
    source
        .attributes()?
        .apply(volume.as_fd(), b".", FileType::Directory)
}

fn is_empty(directory: &Path) -> Result<bool> {
    match std::fs::read_dir(directory)?.next() {
        None => Ok(true),
        Some(Ok(_)) => Ok(false),
        Some(Err(error)) => Err(Error::with_source(
            ErrorKind::Internal,
            format!("read {}", directory.display()),
            error,
        )),
    }
}

fn is_ours(data: &Path) -> bool {
    data.file_name().is_some_and(|name| name == "_data")
}

fn beside(data: &Path, name: &str) -> PathBuf {
    data.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o7777
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A layer with /run/app (0711, with a file) and /var/run → /run, and an empty volume.
    fn fixture() -> (tempfile::TempDir, Vec<PathBuf>, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let layer = directory.path().join("layer");
        std::fs::create_dir_all(layer.join("run/app/sub")).unwrap();
        std::fs::create_dir_all(layer.join("run/empty")).unwrap();
        std::fs::create_dir_all(layer.join("var")).unwrap();
        std::fs::write(layer.join("run/app/sub/file"), "content").unwrap();
        set_mode(&layer.join("run/app"), 0o1711);
        set_mode(&layer.join("run/app/sub/file"), 0o640);
        set_mode(&layer.join("run/empty"), 0o2750);
        std::os::unix::fs::symlink("/run", layer.join("var/run")).unwrap();
        let data = directory.path().join("v/_data");
        std::fs::create_dir_all(&data).unwrap();
        (directory, vec![layer], data)
    }

    #[test]
    fn content_and_the_directory_s_own_mode_are_copied_through_links() {
        let (_directory, layers, data) = fixture();
        populate(&layers, "/var/run/app", &data).unwrap();
        assert_eq!(std::fs::read(data.join("sub/file")).unwrap(), b"content");
        assert_eq!(mode(&data.join("sub/file")), 0o640);
        assert_eq!(mode(&data), 0o1711);
        assert_eq!(
            std::fs::read_dir(data.parent().unwrap()).unwrap().count(),
            1
        );
    }

    #[test]
    fn an_empty_directory_gives_its_mode_too_and_a_missing_one_nothing() {
        let (_directory, layers, data) = fixture();
        set_mode(&data, 0o755);
        populate(&layers, "/nowhere", &data).unwrap();
        assert_eq!(mode(&data), 0o755);
        populate(&layers, "/run/empty", &data).unwrap();
        assert_eq!(mode(&data), 0o2750);
    }

    #[test]
    fn a_volume_that_holds_anything_is_left_alone() {
        let (_directory, layers, data) = fixture();
        std::fs::write(data.join("mine"), "").unwrap();
        set_mode(&data, 0o700);
        populate(&layers, "/run/app", &data).unwrap();
        assert!(!data.join("sub").exists());
        assert_eq!(mode(&data), 0o700);
    }

    #[test]
    fn a_filling_that_was_interrupted_goes_on() {
        let (_directory, layers, data) = fixture();
        let filled = data.with_file_name("_filled");
        std::fs::create_dir(&filled).unwrap();
        std::fs::write(filled.join("late"), "").unwrap();
        std::fs::write(data.join("early"), "").unwrap();
        populate(&layers, "/run/app", &data).unwrap();
        assert!(data.join("late").exists() && data.join("early").exists());
        assert!(!filled.exists());
    }
}
