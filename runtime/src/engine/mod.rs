//! The handle that everyone holds: one set of directories, no daemon.
//!
//! Each verb is a plain blocking function; the truth is on disk and with the
//! monitors, so any number of processes may hold an `Engine` on the same roots.

pub mod containers;
pub mod disk;
pub mod events;
pub mod images;
pub mod networks;
pub mod system;
pub mod volumes;

use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::store::Roots;

/// An installation: its roots, and every verb on what lies in them.
#[derive(Debug, Clone)]
pub struct Engine {
    roots: Roots,
    /// What is executed as a monitor: a program whose `main` calls `reexec::check` first.
    program: PathBuf,
}

impl Engine {
    /// Opens an installation; directories are made when first needed.
    ///
    /// # Errors
    /// When the roots are not absolute.
    pub fn open(roots: Roots) -> Result<Self> {
        for root in [roots.data(), roots.run()] {
            if !root.is_absolute() {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!("{} is not an absolute path", root.display()),
                ));
            }
        }
        Ok(Self {
            roots,
            program: PathBuf::from("/proc/self/exe"),
        })
    }

    /// Monitors are this program instead of the running one.
    #[must_use]
    pub fn with_program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    /// Where this installation lies.
    pub fn roots(&self) -> &Roots {
        &self.roots
    }

    fn program(&self) -> &Path {
        &self.program
    }
}
