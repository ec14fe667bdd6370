//! A file or a whole tree from one directory into another.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ketch_runtime::container::directory::{Directory, FileAttributes, FileKind, Found};
use ketch_runtime::error::Error as EngineError;

use super::super::{Error, Result};
use super::tar;

/// Who has what was copied.
#[derive(Debug, Clone, Copy)]
pub(super) enum Owner {
    /// Whoever has the source.
    Source,
    /// Whoever runs the command.
    Caller,
    Is((u32, u32)),
}

impl Owner {
    pub(super) fn of(self, attributes: FileAttributes) -> FileAttributes {
        let (uid, gid) = match self {
            Self::Source => (attributes.uid, attributes.gid),
            Self::Is(owner) => owner,
            Self::Caller => (
                rustix::process::geteuid().as_raw(),
                rustix::process::getegid().as_raw(),
            ),
        };
        FileAttributes {
            uid,
            gid,
            ..attributes
        }
    }
}

struct Copy {
    owner: Owner,
    /// Where files with several names are, once they are copied.
    copied: HashMap<(u64, u64), (Rc<Directory>, OsString)>,
    size: u64,
}

/// Copies what has a name to a name; without one a directory's content into the directory. How
/// many bytes that are, as an archive.
///
/// # Errors
/// A directory in place of something else, or the other way round; a disk that is full.
pub(super) fn copy(
    (from, name): (&Directory, &OsStr),
    (to, new_name): (&Directory, Option<&OsStr>),
    owner: Owner,
) -> Result<u64> {
    let mut copy = Copy {
        owner,
        copied: HashMap::new(),
        size: 2 * tar::BLOCK,
    };
    let shown = Path::new(new_name.unwrap_or(name));
    let told = |error: EngineError| Error::Engine(error.context(shown.display().to_string()));
    match new_name {
        Some(new_name) => {
            let to = Rc::new(to.duplicate().map_err(told)?);
            copy.named(from, name, &to, new_name, shown)?;
        }
        None => {
            let from = from.directory(name).map_err(told)?;
            let to = Rc::new(to.duplicate().map_err(told)?);
            copy.content(&from, &to, shown)?;
        }
    }
    Ok(copy.size)
}

impl Copy {
    fn content(&mut self, from: &Directory, to: &Rc<Directory>, shown: &Path) -> Result<()> {
        let told = |error: EngineError| Error::Engine(error.context(shown.display().to_string()));
        for name in from.names().map_err(told)? {
            self.named(from, &name, to, &name, &shown.join(&name))?;
        }
        Ok(())
    }

    fn named(
        &mut self,
        from: &Directory,
        name: &OsStr,
        to: &Rc<Directory>,
        new_name: &OsStr,
        shown: &Path,
    ) -> Result<()> {
        let told = |error: EngineError| Error::Engine(error.context(shown.display().to_string()));
        // It was there a moment ago.
        let Some(found) = from.look(name).map_err(told)? else {
            return Ok(());
        };
        fits(&found, to.look(new_name).map_err(told)?, shown)?;
        self.size += tar::size_of(&found);
        let attributes = self.owner.of(found.attributes);
        match found.kind {
            FileKind::Directory => {
                let (from, made) = (
                    from.directory(name).map_err(told)?,
                    to.put_directory(new_name, attributes).map_err(told)?,
                );
                let made = Rc::new(made);
                self.content(&from, &made, shown)?;
                // Its time is that of the source, whatever was put in it.
                made.set(attributes).map_err(told)
            }
            FileKind::File => {
                let first = found.shared.and_then(|shared| self.copied.get(&shared));
                if let Some((directory, first)) = first {
                    return to.put_hard_link(new_name, (directory, first)).map_err(told);
                }
                let mut content = from.open(name).map_err(told)?;
                to.put_file(new_name, &mut content, attributes)
                    .map_err(told)?;
                if let Some(shared) = found.shared {
                    let place = (Rc::clone(to), new_name.to_owned());
                    self.copied.insert(shared, place);
                }
                Ok(())
            }
            FileKind::Link => {
                let target: PathBuf = from.read_link(name).map_err(told)?;
                let owner = (attributes.uid, attributes.gid);
                to.put_link(new_name, &target, owner).map_err(told)
            }
            // Sockets, pipes and devices are what they are where they are.
            FileKind::Other => Ok(()),
        }
    }
}

/// A directory is only put in place of one, as with Docker.
fn fits(found: &Found, there: Option<Found>, shown: &Path) -> Result<()> {
    let is_directory = |found: &Found| found.kind == FileKind::Directory;
    let Some(there) = there else { return Ok(()) };
    let (what, over) = match (is_directory(found), is_directory(&there)) {
        (true, false) if there.kind != FileKind::Link => ("directory", "non-directory"),
        (false, true) => ("non-directory", "directory"),
        _ => return Ok(()),
    };
    Err(Error::Failed(format!(
        "cannot overwrite {over} {shown:?} with {what}"
    )))
}
