//! Projects for tests, from a text and no file at all.

use std::path::Path;
use std::sync::Arc;

use crate::loader::files::{Files, Unreadable};
use crate::loader::{self, Options};
use crate::model::Project;

struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _path: &Path) -> Result<Arc<str>, Unreadable> {
        Err(Unreadable::Missing)
    }

    fn exists(&self, _path: &Path) -> bool {
        false
    }

    fn is_dir(&self, _path: &Path) -> bool {
        false
    }
}

/// The project of this compose file, called `app`.
pub(super) fn project(text: &str) -> Project {
    let options = Options {
        working_dir: "/app".into(),
        config_files: vec!["-".into()],
        stdin: Some(text.into()),
        project_name: Some("app".into()),
        ..Options::default()
    };
    match loader::load(&NoFiles, &options) {
        Ok(loaded) => loaded.project,
        Err(failed) => panic!("{:?}", failed.diagnostics),
    }
}
