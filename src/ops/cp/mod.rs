//! `cp`: files between a container and the host, by the rules of `docker cp`.
//!
//! Both sides are directories that are held open; a container's names lead nowhere else.

mod rules;
mod tar;
mod tree;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use ketch_runtime::container::directory::{Directory, FileKind, Found};
use ketch_runtime::engine::containers::Files;

use super::scope::{self, Scope};
use super::{Context, Error, Result};
use crate::units::bytes;
use rules::{At, Source};

/// What the command line says.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// `-a`: what is copied belongs to the container's user.
    pub archive: bool,
    /// `-L`: what a symlink leads to, not the link.
    pub follow: bool,
    /// Nothing is said.
    pub quiet: bool,
}

/// One end of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// A container, or a service, and a path in it.
    There(String, String),
    Here(PathBuf),
    /// A tar archive on our own streams.
    Stream,
}

impl End {
    /// Reads `CONTAINER:PATH`, `PATH` or `-`.
    pub fn parse(text: &str) -> Self {
        if text == "-" {
            return Self::Stream;
        }
        match text.split_once(':') {
            Some((name, path)) if !text.starts_with('/') && !name.starts_with('.') => {
                Self::There(name.to_owned(), path.to_owned())
            }
            _ => Self::Here(text.into()),
        }
    }
}

/// `docker cp`.
///
/// # Errors
/// What is not there; what can't be where it should go.
pub fn run(context: &Context, from: &str, to: &str, options: Options) -> Result<()> {
    let (from, to) = ends(from, to)?;
    let (name, copied, shown) = match (&from, &to) {
        (End::There(name, path), to) => {
            (name, out_of(context, name, path, to, options)?, shown(to))
        }
        (from, End::There(name, path)) => (
            name,
            into(context, name, path, from, options)?,
            format!("{name}:{path}"),
        ),
        _ => return Err(none_there()),
    };
    if !options.quiet && from != End::Stream && to != End::Stream {
        let size = bytes::human(copied);
        let target = match to {
            End::There(..) => format!("{name}:{}", shown.split_once(':').map_or("", |it| it.1)),
            _ => shown,
        };
        context
            .ui
            .talk(format_args!("Successfully copied {size} to {target}"));
    }
    Ok(())
}

/// Compose's: out of the first container of a service, or into all of them.
///
/// # Errors
/// As with [`run`]; `service "x" is not running`.
pub fn service(
    context: &Context,
    from: &str,
    to: &str,
    index: Option<u32>,
    options: Options,
) -> Result<()> {
    let (from, to) = ends(from, to)?;
    let (End::There(service, path), other) = (match &from {
        End::There(..) => (&from, &to),
        _ => (&to, &from),
    }) else {
        return Err(none_there());
    };
    let scope = Scope::find(context)?;
    let first = scope.running(&context.engine, service, index)?;
    let is_out = matches!(from, End::There(..));
    let names = match (is_out, index) {
        (false, None) => scope::members(&context.engine, &scope.name)?
            .into_iter()
            .filter(|member| member.service == *service && !member.one_off)
            .filter(|member| member.container.state.status.is_active())
            .map(|member| member.name().to_owned())
            .collect(),
        _ => Vec::new(),
    };
    let names = if names.is_empty() {
        vec![first.name().to_owned()]
    } else {
        names
    };
    let progress = match *other {
        End::Stream => context.ui.quiet_progress(),
        _ => context.ui.progress("Copying"),
    };
    for name in &names {
        let told = match is_out {
            true => format!("{name} copy {name}:{path} to {}", shown(other)),
            false => format!("{name} copy {} to {name}:{path}", shown(other)),
        };
        progress.working(&told, "Copying");
        let copied = match (context.dry_run, is_out) {
            (true, _) => Ok(0),
            (_, true) => out_of(context, name, path, other, options),
            (_, false) => into(context, name, path, other, options),
        };
        if let Err(error) = copied {
            progress.finish();
            return Err(error);
        }
        progress.done(&told, "Copied");
    }
    progress.finish();
    Ok(())
}

fn ends(from: &str, to: &str) -> Result<(End, End)> {
    for (what, text) in [("source", from), ("destination", to)] {
        if text.is_empty() {
            return Err(Error::Failed(format!("{what} can not be empty")));
        }
    }
    match (End::parse(from), End::parse(to)) {
        (End::There(..), End::There(..)) => {
            let message = "copying between containers is not supported";
            Err(Error::Failed(message.into()))
        }
        ends => Ok(ends),
    }
}

fn none_there() -> Error {
    Error::Failed("must specify at least one container source".into())
}

fn shown(end: &End) -> String {
    match end {
        End::There(name, path) => format!("{name}:{path}"),
        End::Here(path) => path.display().to_string(),
        End::Stream => "-".into(),
    }
}

/// How much was copied.
fn out_of(context: &Context, name: &str, path: &str, to: &End, options: Options) -> Result<u64> {
    let files = context.engine.files(name)?;
    let source = Source::parse(path);
    let missing = || {
        Error::Failed(format!(
            "Error response from daemon: Could not find the file {path} in container {name}"
        ))
    };
    let (parent, base, found) =
        locate(&files, Path::new(&source.path), options.follow)?.ok_or_else(missing)?;
    if source.says_directory && found.kind != FileKind::Directory {
        return Err(missing());
    }
    let to = match to {
        End::Stream => return tar::write(&parent, &base, &source),
        End::Here(path) => path,
        End::There(..) => return Err(none_there()),
    };
    let target = Source::parse(&to.to_string_lossy());
    let (at, is_directory) = (here(to)?, found.kind == FileKind::Directory);
    if let At::NoParent = at {
        let parent = to.parent().unwrap_or(Path::new("/"));
        return Err(Error::Failed(format!(
            "invalid output path: directory {parent:?} does not exist"
        )));
    }
    let (directory, name) = at.place(is_directory, &source, &target)?;
    let owner = tree::Owner::Caller;
    tree::copy((&parent, &base), (&directory, name.as_deref()), owner)
}

fn into(context: &Context, name: &str, path: &str, from: &End, options: Options) -> Result<u64> {
    let files = context.engine.files(name)?;
    let target = Source::parse(path);
    let at = there(&files, Path::new(&target.path))?;
    let owner = match files.user().filter(|_| options.archive) {
        Some(user) => tree::Owner::Is(user),
        None => tree::Owner::Source,
    };
    let from = match from {
        End::Stream => {
            let At::Directory(_) = at else {
                return Err(Error::Failed(format!(
                    "destination \"{name}:{path}\" must be a directory"
                )));
            };
            return tar::read(&files, Path::new(&target.path), owner);
        }
        End::Here(path) => path,
        End::There(..) => return Err(none_there()),
    };
    let source = Source::parse(&from.to_string_lossy());
    let (parent, base, found) = source_here(from, &source, options.follow)?;
    let is_directory = found.kind == FileKind::Directory;
    if source.says_directory && !is_directory {
        let message = format!("{}: not a directory", from.display());
        return Err(Error::Failed(message));
    }
    if let At::NoParent = at {
        let parent = Path::new(&target.path).parent().unwrap_or(Path::new("/"));
        return Err(Error::Failed(format!(
            "Error response from daemon: Could not find the file {} in container {name}",
            parent.display()
        )));
    }
    let (directory, name) = at.place(is_directory, &source, &target)?;
    tree::copy((&parent, &base), (&directory, name.as_deref()), owner)
}

/// A name in a container: the directory that has it, and what it is. With `follow` that which a
/// symlink leads to.
fn locate(
    files: &Files,
    path: &Path,
    follow: bool,
) -> Result<Option<(Directory, OsString, Found)>> {
    let mut path = path.to_owned();
    // As many links as the kernel follows.
    for _ in 0..40 {
        let parent = path.parent().unwrap_or(Path::new("/"));
        let Some(directory) = files.directory(parent)? else {
            return Ok(None);
        };
        let name = path.file_name().unwrap_or(OsStr::new(".")).to_owned();
        let Some(found) = directory.look(&name)? else {
            return Ok(None);
        };
        if found.kind != FileKind::Link || !follow {
            return Ok(Some((directory, name, found)));
        }
        // Absolute ones too stay inside: every directory is looked up from the root.
        path = parent.join(directory.read_link(&name)?);
    }
    Ok(None)
}

/// Where a path in a container is to be written; links are followed.
fn there(files: &Files, path: &Path) -> Result<At> {
    if let Some(directory) = files.directory(path)? {
        return Ok(At::Directory(directory));
    }
    if let Some((directory, name, _)) = locate(files, path, true)? {
        return Ok(At::File(directory, name));
    }
    let parent = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().map(OsStr::to_owned);
    Ok(match (files.directory(parent)?, name) {
        (Some(parent), Some(name)) => At::Missing(parent, name),
        _ => At::NoParent,
    })
}

/// The same on the host.
fn here(path: &Path) -> Result<At> {
    if let Ok(directory) = open_here(path) {
        return Ok(At::Directory(directory));
    }
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    };
    let name = path.file_name().map(OsStr::to_owned);
    let (Ok(parent), Some(name)) = (open_here(parent), name) else {
        return Ok(At::NoParent);
    };
    Ok(match parent.look(&name)? {
        Some(_) => At::File(parent, name),
        None => At::Missing(parent, name),
    })
}

fn source_here(path: &Path, source: &Source, follow: bool) -> Result<(Directory, OsString, Found)> {
    let wrong = |error: std::io::Error| {
        let error = ketch_runtime::error::Error::from(error);
        Error::Failed(format!("{}: {error}", path.display()))
    };
    // `dir/` and `dir/.` are what a link to a directory leads to.
    let path = match follow || source.says_directory {
        true => path.canonicalize().map_err(wrong)?,
        false => path.to_owned(),
    };
    let (parent, name) = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if parent.as_os_str().is_empty() => (Path::new("."), name),
        (Some(parent), Some(name)) => (parent, name),
        // `..`, `/`: a directory by itself.
        _ => (path.as_path(), OsStr::new(".")),
    };
    let directory = open_here(parent).map_err(wrong)?;
    match directory.look(name)? {
        Some(found) => Ok((directory, name.to_owned(), found)),
        None => Err(wrong(std::io::ErrorKind::NotFound.into())),
    }
}

fn open_here(path: &Path) -> std::io::Result<Directory> {
    let file = std::fs::File::open(path)?;
    match file.metadata()?.is_dir() {
        true => Ok(Directory::from(std::os::fd::OwnedFd::from(file))),
        false => Err(std::io::ErrorKind::NotADirectory.into()),
    }
}
