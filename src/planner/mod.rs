//! Pure: what is wanted and what is there, turned into a [`Plan`] that prints.
//!
//! [`reconcile`] is `up`; [`teardown`] holds `down`, `stop`, `rm`, `start`, `restart` and
//! `kill`: the same [`Plan`], other way round; [`preflight`] says what would stop a plan half
//! way. Nothing is left to decide when a plan is carried out: every step names its resource,
//! what it comes after, and why it is there.

mod containers;
mod difference;
mod gates;
mod networks;
mod observed;
mod plan;
mod reconcile;
mod volumes;

pub mod preflight;
pub mod teardown;

use indexmap::{IndexMap, IndexSet};

use crate::lowering::OneOff;

pub use observed::{
    Observed, ObservedContainer, ObservedImage, ObservedMount, ObservedNetwork, ObservedVolume,
};
pub use plan::{
    Announce, Cause, Gate, Grace, Kept, Op, Plan, Question, Step, StepId, Subject, Until,
};
pub use reconcile::{reconcile, refuse_too_many};

/// What `up` and `create` may say beside the project itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// Services named on the command line. Empty: all of the project.
    pub targets: Vec<String>,
    /// For the targets.
    pub recreate: Recreate,
    /// For the services that come along as dependencies of the targets.
    pub recreate_dependencies: Recreate,
    /// Anonymous volumes start empty (`-V`).
    pub renew_anonymous_volumes: bool,
    /// Create only (`--no-start`, `create`).
    pub no_start: bool,
    /// Remove containers of services that the project no longer has.
    pub remove_orphans: bool,
    /// Do not warn about them (`COMPOSE_IGNORE_ORPHANS`).
    pub ignore_orphans: bool,
    /// `--scale`.
    pub scale: IndexMap<String, u32>,
    /// `-t`, for containers that must be stopped.
    pub grace: Grace,
    /// Leave dependencies alone, and don't wait for them (`--no-deps`).
    pub no_dependencies: bool,
    /// End only when the targets are running and healthy (`--wait`).
    pub wait: bool,
    /// `run`: this container takes the place of those of its service, which are left alone.
    pub one_off: Option<OneOff>,
    /// Real names of volumes that may be recreated: the [`Question`]s that were answered yes.
    pub recreate_volumes: IndexSet<String>,
}

/// When an existing container gives way to a new one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Recreate {
    /// When its configuration or image differs.
    #[default]
    Diverged,
    /// Always (`--force-recreate`).
    Force,
    /// Never (`--no-recreate`).
    Never,
}

#[cfg(test)]
mod tests;
