//! From a Dockerfile and a directory to an image.

pub mod dockerfile;
pub mod ignore;
