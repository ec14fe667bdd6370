//! From a Dockerfile and a directory to an image.
//!
//! The file is taken apart ([`dockerfile`]), the stages that the target needs are found
//! ([`stages`]), and each is walked in order ([`solve`]): every step has a key ([`cache`]), and one
//! whose key is known is not run again. The context is read in place; a step's writable layer
//! becomes the image's layer as it is, without being copied.

pub mod cache;
pub mod context;
pub mod copy;
pub mod dockerfile;
mod draft;
pub mod ignore;
pub mod run;
pub mod select;
pub mod solve;
pub mod stages;

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use indexmap::IndexMap;

use crate::cancel::Cancel;
use crate::content::digest::Digest;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::image::Image;

/// What to build.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BuildRequest {
    /// The directory that COPY and ADD read; absolute.
    pub context: PathBuf,
    pub dockerfile: DockerfileSource,
    /// `--build-arg`, every value settled.
    pub arguments: Vec<(String, String)>,
    /// Absent: the last stage.
    pub target: Option<String>,
    /// References that the image gets.
    pub tags: Vec<String>,
    /// Labels on top of the file's own.
    pub labels: IndexMap<String, String>,
    /// Run every step, whatever is known.
    pub no_cache: bool,
    /// `none`, `host`, or absent for a network of its own with a way out.
    pub network: Option<String>,
    pub extra_hosts: Vec<(String, String)>,
    pub shm_size_bytes: Option<u64>,
}

/// Gets the image that a FROM or `COPY --from` names: from the store, or from where it can be had.
pub type Fetch<'a> = dyn Fn(&str) -> Result<Image> + 'a;

/// Where the Dockerfile is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DockerfileSource {
    /// Relative to the context, or absolute.
    Path(PathBuf),
    Inline(String),
}

impl Default for DockerfileSource {
    fn default() -> Self {
        Self::Path("Dockerfile".into())
    }
}

/// What happens during a build, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildEvent {
    /// A step begins: `[web 2/4] RUN make`.
    Started {
        step: usize,
        name: String,
    },
    /// A line that the step's program wrote, without its line end.
    Output {
        step: usize,
        line: String,
    },
    /// It was done before.
    Cached {
        step: usize,
    },
    Finished {
        step: usize,
    },
    Failed {
        step: usize,
    },
}

/// Why a build failed, and where in the Dockerfile.
#[derive(Debug)]
pub struct BuildError {
    pub error: Error,
    /// Absent when no line is to blame.
    pub place: Option<Box<Place>>,
}

/// Some lines of a Dockerfile, with all of its text for a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub name: String,
    pub text: String,
    /// From 1.
    pub lines: RangeInclusive<u32>,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{}:{}: ", place.name, place.lines.start())?;
        }
        self.error.fmt(f)
    }
}

impl std::error::Error for BuildError {}

impl From<Error> for BuildError {
    fn from(error: Error) -> Self {
        Self { error, place: None }
    }
}

/// Builds an image and returns its id; tells `events` what happens.
///
/// # Errors
/// What is wrong with the Dockerfile, the context or a step. Nothing is left behind but layers of
/// the steps that went well, for the next attempt.
pub fn build(
    engine: &Engine,
    request: &BuildRequest,
    fetch: &Fetch<'_>,
    events: &mut dyn FnMut(BuildEvent),
    cancel: &Cancel,
) -> Result<Digest, BuildError> {
    let (name, text) = context::read_dockerfile(request)?;
    let at = |error: dockerfile::ParseError| BuildError {
        place: Some(Box::new(Place {
            name: name.clone(),
            text: text.clone(),
            lines: error.lines.clone(),
        })),
        error: Error::new(ErrorKind::Invalid, error.to_string()),
    };
    let file = dockerfile::parse(&text).map_err(at)?;
    let target = request.target.as_deref();
    let globals = stages::globals(&file, &request.arguments, target).map_err(at)?;
    let plan = stages::plan(&file, &globals, target).map_err(at)?;
    let solver = solve::Solver::new(engine, request, fetch, &file, &globals, &plan, cancel)?;
    solver.solve(events).map_err(|failure| BuildError {
        place: failure
            .lines
            .map(|lines| Box::new(Place { name, text, lines })),
        error: failure.error,
    })
}
