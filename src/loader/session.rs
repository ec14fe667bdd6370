//! What one loading has at hand: the files, what was asked, what was read and found wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;

use super::Options;
use super::dotenv;
use super::extends::Extended;
use super::files::{Files, Unreadable};
use super::notes::{self, Asked};
use super::origins::{Origins, Source};
use super::secrets;
use crate::diag::{Diagnostic, Diagnostics, FileId, Severity, Sources, Span, Spanned};

/// State of one loading.
pub(super) struct Session<'a> {
    pub(super) files: &'a dyn Files,
    pub(super) options: &'a Options,
    pub(super) sources: Sources,
    pub(super) diagnostics: Diagnostics,
    /// Paths of mappings of which wrong parts were taken out; nothing is told to be missing there.
    pub(super) broken: BTreeSet<String>,
    /// A file has more to it than could be read: nothing is told to be missing anywhere.
    pub(super) cut: bool,
    /// Who asked for a file first, by the file; nobody did for the project's own.
    pub(super) asked: BTreeMap<FileId, Option<Asked>>,
    /// What variables made of a value, by its place.
    pub(super) replaced: Vec<Spanned<String>>,
    /// Values that YAML changed and that were warned about.
    pub(super) changed: BTreeSet<Span>,
    /// What files of variables say, as they were read.
    pub(super) settings: Vec<Setting>,
    /// Where values come from, when that was asked for.
    pub(super) origins: Origins,
    /// How many files were included.
    pub(super) includes: usize,
    /// Services that extend others.
    pub(super) extended: BTreeMap<String, Extended>,
    /// The services of the files before, and which file that is.
    pub(super) defined: BTreeMap<String, String>,
    /// What was read, for whoever asks for the same file next.
    texts: BTreeMap<PathBuf, (FileId, Arc<str>)>,
}

/// Whether a file is standard input by another name.
pub(super) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

impl<'a> Session<'a> {
    pub(super) fn new(files: &'a dyn Files, options: &'a Options) -> Self {
        let mut origins = Origins::new(options.origins);
        for (name, value) in &options.environment {
            let shell = Source {
                kind: "shell",
                span: None,
                value: value.clone(),
            };
            origins.variable(name, shell);
        }
        Self {
            files,
            options,
            sources: Sources::default(),
            diagnostics: Diagnostics::default(),
            broken: BTreeSet::new(),
            cut: false,
            asked: BTreeMap::new(),
            replaced: Vec::new(),
            changed: BTreeSet::new(),
            settings: Vec::new(),
            origins,
            includes: 0,
            extended: BTreeMap::new(),
            defined: BTreeMap::new(),
            texts: BTreeMap::new(),
        }
    }

    /// When all is told: adds to it what helps to find the cause.
    pub(super) fn add_notes(&mut self) {
        secrets::hide(self);
        notes::add(&mut self.diagnostics, &self.asked, &mut self.replaced);
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
        if let (true, Some(text)) = (is_stdin(path), &self.options.stdin) {
            return Some(self.keep(path, Arc::clone(text)));
        }
        if let Some(known) = self.texts.get(path) {
            return Some(known.clone());
        }
        let reason = match self.files.read(path) {
            Ok(text) => return Some(self.keep(path, text)),
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

    fn keep(&mut self, path: &Path, text: Arc<str>) -> (FileId, Arc<str>) {
        let name = match is_stdin(path) {
            true => "<stdin>".to_owned(),
            false => self.shown(path),
        };
        let known = (self.sources.add(name, Arc::clone(&text)), text);
        self.texts.insert(path.to_owned(), known.clone());
        known
    }

    /// The text of a file of variables; an error is told, at the place that asks for it.
    pub(super) fn read_env_text(&mut self, wanted: &EnvFile) -> Option<(FileId, Arc<str>)> {
        if let Some(known) = self.texts.get(&wanted.path) {
            return Some(known.clone());
        }
        let (message, hint) = match self.files.read(&wanted.path) {
            Ok(text) => {
                let known = self.keep(&wanted.path, text);
                self.sources.mark_variables(known.0);
                return Some(known);
            }
            Err(Unreadable::Missing) if !wanted.required => return None,
            Err(Unreadable::Missing) => {
                let path = wanted.path.display();
                match wanted.of_service {
                    true => (
                        format!("env file {path} not found"),
                        "create the file, or write `required: false` beside its `path`",
                    ),
                    false => (
                        format!("couldn't find env file: {path}"),
                        "create the file, or name another",
                    ),
                }
            }
            Err(Unreadable::Other(reason)) => (
                format!("failed to read {}: {reason}", wanted.path.display()),
                "an env file has lines like `NAME=value`",
            ),
        };
        let diagnostic = match wanted.asked_at {
            Some(span) => Diagnostic::error(span, message),
            None => Diagnostic::new(Severity::Error, message),
        };
        self.diagnostics.push(diagnostic.hint(hint));
        None
    }

    /// Reads files of variables, later ones over earlier ones; what is known already wins.
    pub(super) fn read_env_files(
        &mut self,
        files: &[EnvFile],
        environment: &mut IndexMap<String, String>,
    ) {
        let mut variables = dotenv::Variables::new();
        let first = self.settings.len();
        for wanted in files {
            if wanted.path.as_os_str() == "/dev/null" {
                continue;
            }
            let Some((file, text)) = self.read_env_text(wanted) else {
                continue;
            };
            dotenv::parse(
                &text,
                (file, &wanted.path.display().to_string()),
                &|name| environment.get(name).cloned(),
                &mut variables,
                &mut self.diagnostics,
            );
            let own = variables
                .iter()
                .filter(|(_, value)| value.span.file == file);
            let own = own.map(|(name, value)| Setting {
                name: name.clone(),
                value: value.value.clone(),
                span: value.span,
                kind: wanted.kind(),
            });
            self.settings.extend(own);
        }
        // Of files that are read together the last counts first.
        for setting in self.settings[first..].iter().rev() {
            let source = Source {
                kind: setting.kind,
                span: Some(setting.span),
                value: setting.value.clone(),
            };
            self.origins.variable(&setting.name, source);
        }
        for (name, value) in variables {
            environment.entry(name).or_insert(value.value);
        }
    }
}

/// A variable that a file sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) span: Span,
    /// What the file is.
    pub(super) kind: &'static str,
}

/// A file of variables that is asked for.
#[derive(Debug, Clone)]
pub(super) struct EnvFile {
    pub(super) path: PathBuf,
    /// Whether it is an error when the file is missing.
    pub(super) required: bool,
    /// `env_file` of a service, not what the project is loaded against.
    pub(super) of_service: bool,
    /// Where the files ask for it; absent for the command line's.
    pub(super) asked_at: Option<Span>,
}

impl EnvFile {
    /// What people call it.
    fn kind(&self) -> &'static str {
        match (self.asked_at, self.required) {
            _ if self.of_service => "env_file",
            (Some(_), _) => "include",
            (None, true) => "--env-file",
            (None, false) => ".env",
        }
    }

    /// One that the project is loaded against.
    pub(super) fn of_project(path: PathBuf, required: bool, asked_at: Option<Span>) -> Self {
        Self {
            path,
            required,
            of_service: false,
            asked_at,
        }
    }
}
