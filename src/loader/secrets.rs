//! Values of secrets are hidden in what is told.
//!
//! A secret is a variable that an entry of `secrets` takes its content from, or whose name says
//! so ([`secret::looks_secret`]).

use super::interpolate;
use super::session::Session;
use crate::diag::{Diagnostic, Severity, Sources, Span, Spanned, secret};
use crate::yaml::{Map, Node};

/// Secrets of fewer letters are hidden only where they are known to have been used: elsewhere
/// too many innocent words would go with them.
const LEAST_HIDDEN: usize = 6;

/// Remembers the variables that become secrets of a document.
pub(super) fn note(root: &Node, sources: &mut Sources) {
    let secrets = root.as_map().and_then(|root| root.get("secrets"));
    let secrets = secrets.and_then(Node::as_map);
    for entry in secrets.into_iter().flat_map(Map::iter) {
        let variable = entry.value.as_map().and_then(|map| map.get("environment"));
        if let Some(variable) = variable.and_then(Node::as_str) {
            sources.add_secret(variable);
        }
    }
}

/// Goes over all that was told.
pub(super) fn hide(session: &mut Session<'_>) {
    if session.diagnostics.is_empty() {
        return;
    }
    let sources = &session.sources;
    let (secret, open): (Vec<_>, Vec<_>) = std::mem::take(&mut session.replaced)
        .into_iter()
        .partition(|value| is_secret(value.span, sources));
    session.replaced = open;
    let everywhere = values(session);
    for diagnostic in session.diagnostics.iter_mut() {
        let spans: Vec<Span> = diagnostic.labels.iter().map(|label| label.span).collect();
        for span in &spans {
            if let Some(value) = session.sources.secret_at(*span) {
                let names = names(value);
                hide_in(diagnostic, value, &|part| names.contains(&part));
            }
        }
        for value in secret.iter().filter(|value| spans.contains(&value.span)) {
            let before = written(value.span, &session.sources);
            hide_in(diagnostic, &value.value, &|part| before.contains(part));
            say_so(diagnostic, value);
        }
        for value in &everywhere {
            diagnostic.message = diagnostic.message.replace(value, secret::HIDDEN);
            for hint in &mut diagnostic.hints {
                *hint = hint.replace(value, secret::HIDDEN);
            }
        }
    }
}

/// At the place where the value of others is shown.
fn say_so(diagnostic: &mut Diagnostic, value: &Spanned<String>) {
    if let Some(label) = diagnostic.labels.first_mut()
        && label.span == value.span
        && label.text.is_empty()
        && diagnostic.severity == Severity::Error
    {
        "is a secret after interpolation".clone_into(&mut label.text);
    }
}

/// Whether a secret is among the variables of a value.
fn is_secret(span: Span, sources: &Sources) -> bool {
    let names = names(written(span, sources));
    names.iter().any(|name| sources.is_secret(name))
}

fn written(span: Span, sources: &Sources) -> &str {
    let text = &sources.get(span.file).text;
    text.get(span.start as usize..span.end as usize)
        .unwrap_or_default()
}

/// The variables that a text asks for, those of its defaults among them.
pub(super) fn names(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut texts = vec![text];
    while let Some(text) = texts.pop() {
        for used in interpolate::uses(text) {
            if !names.contains(&used.name) {
                names.push(used.name);
            }
            texts.push(used.word);
        }
    }
    names
}

/// The values of all secrets that are long enough to be told from other words.
fn values(session: &Session<'_>) -> Vec<String> {
    let shell = session.options.environment.iter();
    let files = session.settings.iter().map(|one| (&one.name, &one.value));
    let secret = shell
        .chain(files)
        .filter(|(name, value)| value.len() >= LEAST_HIDDEN && session.sources.is_secret(name));
    secret.map(|(_, value)| value.clone()).collect()
}

fn hide_in(diagnostic: &mut Diagnostic, value: &str, is_open: &dyn Fn(&str) -> bool) {
    diagnostic.message = secret::hidden(&diagnostic.message, value, is_open);
    for hint in &mut diagnostic.hints {
        *hint = secret::hidden(hint, value, is_open);
    }
}
