//! The directory that is built from: its Dockerfile, its ignore file, its files.

use std::fs;
use std::io::ErrorKind as Io;
use std::path::{Path, PathBuf};

use super::ignore::Ignore;
use super::{BuildRequest, DockerfileSource};
use crate::error::{Context as _, Error, ErrorKind, Result};

/// The Dockerfile's name, as the user knows it, and its text.
///
/// # Errors
/// `failed to read dockerfile: …`.
pub fn read_dockerfile(request: &BuildRequest) -> Result<(String, String)> {
    match &request.dockerfile {
        DockerfileSource::Inline(text) => Ok(("Dockerfile".into(), text.clone())),
        DockerfileSource::Path(path) => {
            let whole = request.context.join(path);
            let text = fs::read_to_string(&whole).map_err(|error| {
                let message = match error.kind() {
                    Io::NotFound => format!(
                        "failed to read dockerfile: open {}: no such file or directory",
                        whole.display()
                    ),
                    _ => format!("failed to read dockerfile: {}: {error}", whole.display()),
                };
                Error::new(ErrorKind::NotFound, message)
            })?;
            Ok((path.display().to_string(), text))
        }
    }
}

/// The patterns that apply: those beside the Dockerfile alone, else those of the context's root.
///
/// # Errors
/// A pattern that can't be understood, a file that can't be read.
pub fn read_ignore(request: &BuildRequest) -> Result<Ignore> {
    let mut candidates: Vec<PathBuf> = Vec::new();
    if let DockerfileSource::Path(path) = &request.dockerfile {
        let mut beside = request.context.join(path).into_os_string();
        beside.push(".dockerignore");
        candidates.push(beside.into());
    }
    candidates.push(request.context.join(".dockerignore"));
    for path in candidates {
        match fs::read_to_string(&path) {
            Ok(text) => {
                return Ignore::parse(&text).map_err(|message| {
                    Error::new(ErrorKind::Invalid, format!("{}: {message}", path.display()))
                });
            }
            Err(error) if error.kind() == Io::NotFound => {}
            Err(error) => return Err(error).context(|| format!("read {}", path.display())),
        }
    }
    Ok(Ignore::default())
}

/// Checks that there is a directory to build from.
///
/// # Errors
/// `unable to prepare context: path "…" not found`.
pub fn check(directory: &Path) -> Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let message = format!(
        "unable to prepare context: path {:?} not found",
        directory.display().to_string()
    );
    Err(Error::new(ErrorKind::NotFound, message))
}
