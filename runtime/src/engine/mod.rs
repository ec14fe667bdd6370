//! The handle that everyone holds: one set of directories, no daemon.
//!
//! Each verb is a plain blocking function; the truth is on disk and with the
//! monitors, so any number of processes may hold an `Engine` on the same roots.

pub mod containers;
pub mod images;
pub mod networks;
pub mod volumes;

use crate::error::Result;
use crate::store::Roots;

/// An installation: its roots, and every verb on what lies in them.
#[derive(Debug, Clone)]
pub struct Engine {
    roots: Roots,
}

impl Engine {
    /// Opens an installation; directories are made when first needed.
    ///
    /// # Errors
    /// When the roots are not absolute.
    pub fn open(roots: Roots) -> Result<Self> {
        Ok(Self { roots })
    }

    /// Where this installation lies.
    pub fn roots(&self) -> &Roots {
        &self.roots
    }
}
