//! The picture of a diagnostic: `file:line:col`, the source line, a caret, hints.
//!
//! The only file that names annotate-snippets. Messages and source lines come from users'
//! files; control characters in them are shown, never sent to the terminal.

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};

use super::{Diagnostic, Diagnostics, FileId, Label, Severity, Sources, Span};

/// Wider source lines are cut around the caret.
const WIDTH: usize = 140;
/// Of more places than these, the rest is counted.
const MOST_PLACES: usize = 8;

/// All of them, in the order of the files, each ending with a newline.
pub fn render(diagnostics: &Diagnostics, sources: &Sources, colour: bool) -> String {
    let pictures: Vec<String> = diagnostics
        .in_order()
        .into_iter()
        .map(|diagnostic| render_one(diagnostic, sources, colour))
        .collect();
    pictures.join("\n")
}

/// One of them, ending with a newline.
pub fn render_one(diagnostic: &Diagnostic, sources: &Sources, colour: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(diagnostic.message.as_str()));
    let (labels, more) = diagnostic
        .labels
        .split_at(diagnostic.labels.len().min(MOST_PLACES));
    for file in files(labels) {
        group = group.element(snippet(file, labels, sources));
    }
    if !more.is_empty() {
        let places = if more.len() == 1 { "place" } else { "places" };
        group = group.element(Level::NOTE.message(format!("and {} more {places}", more.len())));
    }
    for hint in &diagnostic.hints {
        group = group.element(Level::HELP.with_name("hint").message(hint.as_str()));
    }
    let renderer = if colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let renderer = renderer.term_width(WIDTH).decor_style(DecorStyle::Ascii);
    let mut picture = renderer.render(&[group]);
    if !picture.ends_with('\n') {
        picture.push('\n');
    }
    picture
}

/// One line without a picture: `compose.yaml:7:9: the message`.
pub fn render_line(diagnostic: &Diagnostic, sources: &Sources) -> String {
    match diagnostic.labels.first() {
        Some(label) => format!("{}: {}", place(label.span, sources), diagnostic.message),
        None => diagnostic.message.clone(),
    }
}

/// `compose.yaml:7:9`.
pub fn place(span: Span, sources: &Sources) -> String {
    let (line, column) = sources.position(span);
    format!("{}:{line}:{column}", sources.get(span.file).name)
}

/// The files that the labels lie in, each once, the first label's first.
fn files(labels: &[Label]) -> Vec<FileId> {
    let mut files = Vec::new();
    for label in labels {
        if !files.contains(&label.span.file) {
            files.push(label.span.file);
        }
    }
    files
}

/// The part of one file that the labels need.
fn snippet<'a>(
    file: FileId,
    labels: &'a [Label],
    sources: &'a Sources,
) -> Snippet<'a, Annotation<'a>> {
    let source = sources.get(file);
    let text: &str = &source.text;
    let ranges: Vec<(usize, Range<usize>)> = labels
        .iter()
        .enumerate()
        .filter(|(_, label)| label.span.file == file)
        .map(|(number, label)| (number, visible(text, label.span)))
        .collect();
    let first = ranges
        .iter()
        .map(|(_, range)| range.start)
        .min()
        .unwrap_or(0);
    let last = ranges.iter().map(|(_, range)| range.end).max().unwrap_or(0);
    // Only these lines are handed over: files can be large.
    let window_start = text[..first].rfind('\n').map_or(0, |newline| newline + 1);
    let window_end = text[last..]
        .find('\n')
        .map_or(text.len(), |newline| last + newline);
    let line = text[..window_start]
        .bytes()
        .filter(|byte| *byte == b'\n')
        .count()
        + 1;
    let annotations = ranges.into_iter().map(|(number, range)| {
        let kind = if number == 0 {
            AnnotationKind::Primary
        } else {
            AnnotationKind::Context
        };
        let annotation = kind.span(range.start - window_start..range.end - window_start);
        match labels[number].text.as_str() {
            "" => annotation,
            text => annotation.label(text),
        }
    });
    Snippet::source(sources.shown(file, window_start..window_end))
        .line_start(line)
        .path(source.name.as_str())
        .fold(true)
        .annotations(annotations)
}

/// The first line of a span, on character borders, never past the end of the text.
fn visible(text: &str, span: Span) -> Range<usize> {
    let border = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = border(span.start as usize);
    let end = border(span.end as usize).max(start);
    let line_end = text[start..end]
        .find(['\n', '\r'])
        .map_or(end, |at| start + at);
    start..line_end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(text: &str) -> (Sources, FileId) {
        let mut sources = Sources::default();
        let file = sources.add("compose.yaml", text.into());
        (sources, file)
    }

    #[test]
    fn an_error_shows_its_place_line_caret_and_hint() {
        let (sources, file) = sources("services:\n  web:\n    imag: nginx\n");
        let diagnostic = Diagnostic::error(Span::new(file, 21, 25), "unknown key \"imag\"")
            .hint("did you mean `image`?");
        let expected = "\
error: unknown key \"imag\"
 --> compose.yaml:3:5
  |
3 |     imag: nginx
  |     ^^^^
  |
  = hint: did you mean `image`?
";
        assert_eq!(render_one(&diagnostic, &sources, false), expected);
        assert_eq!(
            render_line(&diagnostic, &sources),
            "compose.yaml:3:5: unknown key \"imag\""
        );
    }

    #[test]
    fn further_labels_are_shown_with_their_words() {
        let (sources, file) = sources("a: 1\nb: 2\na: 3\n");
        let diagnostic =
            Diagnostic::error(Span::new(file, 10, 11), "mapping key \"a\" already defined")
                .label(Span::new(file, 0, 1), "first defined here");
        let picture = render_one(&diagnostic, &sources, false);
        assert!(picture.contains(" --> compose.yaml:3:1\n"), "{picture}");
        assert!(picture.contains("- first defined here"), "{picture}");
    }

    #[test]
    fn every_place_can_be_shown() {
        let text = "schlüssel: \u{1b}[31m€\r\n\tx";
        let (sources, file) = sources(text);
        let end = u32::try_from(text.len()).unwrap() + 3;
        for start in 0..end {
            for end in start..end {
                let diagnostic = Diagnostic::error(Span::new(file, start, end), "odd\u{1b}");
                let picture = render_one(&diagnostic, &sources, false);
                assert!(picture.contains(" compose.yaml:"), "{picture}");
                assert!(!picture.contains('\u{1b}'), "{picture}");
            }
        }
    }

    #[test]
    fn one_without_a_place_is_a_line() {
        let diagnostic = Diagnostic::new(Severity::Warning, "no file");
        let (sources, _) = sources("");
        assert_eq!(
            render_one(&diagnostic, &sources, false),
            "warning: no file\n"
        );
        assert!(render_one(&diagnostic, &sources, true).contains('\u{1b}'));
    }
}
