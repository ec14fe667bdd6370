//! What a container is on disk: its record (what was asked, merged with the image) and its state (what is).

pub mod directory;
pub mod documents;
pub mod files;
pub mod merge;
pub mod record;
pub mod state;

/// One container, as it was a moment ago.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    pub record: record::Record,
    pub state: state::State,
}
