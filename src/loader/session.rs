//! What one loading has at hand: the files, what was asked, what was read and found wrong.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;

use super::Options;
use super::dotenv;
use super::files::{Files, Unreadable};
use crate::diag::{Diagnostic, Diagnostics, FileId, Severity, Sources, Span};

/// State of one loading.
pub(super) struct Session<'a> {
    pub(super) files: &'a dyn Files,
    pub(super) options: &'a Options,
    pub(super) sources: Sources,
    pub(super) diagnostics: Diagnostics,
    /// Paths of mappings of which wrong parts were taken out; nothing is told to be missing there.
    pub(super) broken: BTreeSet<String>,
}

impl<'a> Session<'a> {
    pub(super) fn new(files: &'a dyn Files, options: &'a Options) -> Self {
        Self {
            files,
            options,
            sources: Sources::default(),
            diagnostics: Diagnostics::default(),
            broken: BTreeSet::new(),
        }
    }

    /// Tells something that belongs to no place.
    pub(super) fn warn(&mut self, message: impl Into<String>) {
        self.diagnostics
            .push(Diagnostic::new(Severity::Warning, message));
    }

    /// As the user should read a path: relative to where they stand when it lies below.
    pub(super) fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.options.working_dir)
            .unwrap_or(path)
            .display()
            .to_string()
    }

    /// The text of a file and its id; an error is told, at the place that asks for it.
    pub(super) fn read(
        &mut self,
        path: &Path,
        asked_at: Option<Span>,
    ) -> Option<(FileId, Arc<str>)> {
        if path.as_os_str() == "-" {
            let text = self.options.stdin.clone().unwrap_or_else(|| "".into());
            return Some((self.sources.add("<stdin>", Arc::clone(&text)), text));
        }
        let reason = match self.files.read(path) {
            Ok(text) => {
                let name = self.shown(path);
                return Some((self.sources.add(name, Arc::clone(&text)), text));
            }
            Err(Unreadable::Missing) => "no such file or directory".to_owned(),
            Err(Unreadable::Other(reason)) => reason,
        };
        let message = format!("open {}: {reason}", path.display());
        self.diagnostics.push(match asked_at {
            Some(span) => Diagnostic::error(span, message),
            None => Diagnostic::new(Severity::Error, message),
        });
        None
    }

    /// Reads a file of variables; what is known already wins.
    pub(super) fn read_env_file(
        &mut self,
        path: &Path,
        required: bool,
        environment: &mut IndexMap<String, String>,
    ) {
        if path.as_os_str() == "/dev/null" {
            return;
        }
        let text = match self.files.read(path) {
            Ok(text) => text,
            Err(_) if !required => return,
            Err(reason) => {
                let message = match reason {
                    Unreadable::Missing => format!("couldn't find env file: {}", path.display()),
                    Unreadable::Other(reason) => {
                        format!("failed to read {}: {reason}", path.display())
                    }
                };
                self.diagnostics
                    .push(Diagnostic::new(Severity::Error, message));
                return;
            }
        };
        let name = self.shown(path);
        let file = self.sources.add(name, Arc::clone(&text));
        let mut variables = dotenv::Variables::new();
        let known = environment.clone();
        dotenv::parse(
            &text,
            (file, &path.display().to_string()),
            &|name| known.get(name).cloned(),
            &mut variables,
            &mut self.diagnostics,
        );
        for (name, value) in variables {
            environment.entry(name).or_insert(value.value);
        }
    }
}
